"""JPEGs give the same pixels, or the same error, with simplejpeg and without."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from autolabel.errors import ImageError
from autolabel.images import decode_pixels, jpeg, read_pixels

simplejpeg = pytest.importorskip("simplejpeg")


def picture(width: int, height: int, mode: str = "RGB") -> Pillow.Image:
    rng = np.random.default_rng(width * 1000 + height)
    coarse = Pillow.fromarray(rng.integers(0, 255, (5, 7, 3), np.uint8)).resize((width, height))
    grain = np.asarray(coarse, np.int16) + rng.integers(-20, 20, (height, width, 3), np.int16)
    return Pillow.fromarray(grain.clip(0, 255).astype(np.uint8)).convert(mode)


def encoded(image: Pillow.Image, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "JPEG", **options)
    return stream.getvalue()


def turned(value: int) -> Pillow.Exif:
    exif = Pillow.Exif()
    exif[0x0112] = value
    return exif


def decoded(data: bytes) -> Any:
    try:
        return decode_pixels(data, name="photo.jpg")
    except ImageError as error:
        return error.code, error.message


def counted(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    quick: list[bool] = []

    def decode(*given: Any, **more: Any) -> Any:
        pixels = simplejpeg.decode_jpeg(*given, **more)
        quick.append(True)
        return pixels

    monkeypatch.setattr(jpeg, "_decoder", lambda: decode)
    return quick


@pytest.mark.parametrize("size", [(1, 1), (7, 5), (16, 16), (17, 33), (120, 91)])
@pytest.mark.parametrize("quality", [20, 75, 100])
@pytest.mark.parametrize(
    ("options", "mode", "quick"),
    [
        ({"subsampling": "4:4:4"}, "RGB", True),
        ({"subsampling": "4:2:2"}, "RGB", True),
        ({"subsampling": "4:2:0"}, "RGB", True),
        ({"subsampling": "4:2:0", "restart_marker_rows": 1}, "RGB", True),
        ({"subsampling": "4:2:0", "optimize": True, "exif": turned(6)}, "RGB", True),
        ({"exif": turned(3)}, "RGB", True),
        ({"exif": turned(5)}, "RGB", True),
        ({"progressive": True}, "RGB", False),
        ({"keep_rgb": True}, "RGB", False),
        ({}, "L", False),
        ({}, "CMYK", False),
    ],
)
def test_pixels_are_equal(
    monkeypatch: pytest.MonkeyPatch,
    size: tuple[int, int],
    quality: int,
    options: dict[str, Any],
    mode: str,
    quick: bool,
) -> None:
    data = encoded(picture(*size, mode), quality=quality, **options)
    used = counted(monkeypatch)
    found = decoded(data)
    assert bool(used) == quick
    monkeypatch.setattr(jpeg, "_decoder", lambda: None)
    np.testing.assert_array_equal(found, decoded(data))
    assert found.flags.c_contiguous and found.flags.writeable


@pytest.mark.parametrize("seed", range(40))
def test_a_damaged_file_gives_what_pillow_gives(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    rng = np.random.default_rng(seed)
    data = bytearray(encoded(picture(64, 48), subsampling="4:2:0"))
    if seed % 2:
        del data[int(rng.integers(200, len(data))) :]
    else:
        for place in rng.integers(2, len(data), 3):
            data[place] = int(rng.integers(256))
    found = decoded(bytes(data))
    monkeypatch.setattr(jpeg, "_decoder", lambda: None)
    np.testing.assert_equal(found, decoded(bytes(data)))


def test_files_are_read_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(encoded(picture(50, 40), exif=turned(8)))
    used = counted(monkeypatch)
    found = read_pixels(tmp_path / "photo.jpg")
    assert used and found.shape == (50, 40, 3)
    monkeypatch.setattr(jpeg, "_decoder", lambda: None)
    np.testing.assert_array_equal(found, read_pixels(tmp_path / "photo.jpg"))
