"""Values of any range, photometric interpretation, orientation, pages: one rule each, for every format."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tifffile
from PIL import Image

from autolabel.errors import ImageError
from autolabel.images import content_mark, read_header, read_pixels, turn_boxes
from autolabel.images.decode_limit import MAX_SCANS, hurried
from autolabel.images.deep import turned

GREY = np.linspace(0, 255, 24 * 32).round().astype(np.uint8).reshape(24, 32)
COLOUR = np.stack([GREY, GREY[::-1], GREY[:, ::-1]], axis=2)
Array = npt.NDArray[Any]

SCALED: dict[str, Callable[[Array], Array]] = {
    "uint16 full": lambda grey: (grey * np.uint16(257)).astype(np.uint16),
    "uint16 of 12 bits": lambda grey: (grey * np.uint16(16) + np.uint16(15)).astype(np.uint16),
    "uint16 of 10 bits": lambda grey: (grey * np.uint16(4) + np.uint16(3)).astype(np.uint16),
    "uint16 of 8 bits": lambda grey: grey.astype(np.uint16),
    "int8": lambda grey: (grey.astype(np.int16) - 128).astype(np.int8),
    "int16": lambda grey: grey.astype(np.int16),
    "int16 with negatives": lambda grey: ((grey.astype(np.int16) - 128) * np.int16(100)).astype(np.int16),
    "int32": lambda grey: grey.astype(np.int32) * 257,
    "uint32 full": lambda grey: grey.astype(np.uint32) * np.uint32(16843009),
    "float32 of 1": lambda grey: (grey / np.float32(255)).astype(np.float32),
    "float32 of 255": lambda grey: grey.astype(np.float32),
    "float32 of 65535": lambda grey: grey.astype(np.float32) * 257,
    "float64 of 1": lambda grey: grey.astype(np.float64) / 255,
    "float64 about 0": lambda grey: grey.astype(np.float64) / 127.5 - 1,
}


@pytest.mark.parametrize("kind", SCALED)
@pytest.mark.parametrize("photo", [GREY, COLOUR], ids=["grey", "colour"])
def test_a_tiff_of_any_range_has_the_values_of_the_8_bit_photo(tmp_path: Path, kind: str, photo: Array) -> None:
    tifffile.imwrite(tmp_path / "a.tif", SCALED[kind](photo), photometric="rgb" if photo.ndim == 3 else "minisblack")
    pixels = read_pixels(tmp_path / "a.tif").astype(int)
    assert np.abs(pixels - (photo if photo.ndim == 3 else photo[:, :, None])).max() <= 1
    assert read_header(tmp_path / "a.tif").size == (24, 32)


@pytest.mark.parametrize("kind", ["uint16 full", "uint16 of 12 bits", "float32 of 1", "float64 of 1", "uint32 full"])
def test_where_zero_is_white_values_are_inverted(tmp_path: Path, kind: str) -> None:
    tifffile.imwrite(tmp_path / "a.tif", SCALED[kind](GREY), photometric="miniswhite")
    assert np.abs(read_pixels(tmp_path / "a.tif")[:, :, 0].astype(int) - (255 - GREY.astype(int))).max() <= 1


def test_a_stated_range_holds_for_every_image(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.full((4, 4), 100, np.uint16))
    assert read_pixels(tmp_path / "a.tif", value_range=(0, 200))[0, 0].tolist() == [128, 128, 128]
    assert read_pixels(tmp_path / "a.tif", value_range=(0, 65535))[0, 0].tolist() == [0, 0, 0]
    assert read_pixels(tmp_path / "a.tif", value_range=(50, 90))[0, 0].tolist() == [255, 255, 255]


def test_values_that_are_not_finite_are_black_and_white_and_none_at_all_fails(tmp_path: Path) -> None:
    values = np.array([[np.nan, np.inf, -np.inf, 0.5, 1.0]], np.float32)
    tifffile.imwrite(tmp_path / "a.tif", values)
    assert read_pixels(tmp_path / "a.tif")[0, :, 0].tolist() == [0, 255, 0, 128, 255]
    tifffile.imwrite(tmp_path / "b.tif", np.full((4, 4), np.nan, np.float32))
    with pytest.raises(ImageError, match=r"b\.tif: holds no finite value") as caught:
        read_pixels(tmp_path / "b.tif")
    assert caught.value.code == "corrupt_image"


def test_a_16_bit_png_in_colour_keeps_its_low_bytes(tmp_path: Path) -> None:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    clear = np.concatenate([COLOUR, np.full((24, 32, 1), 255, np.uint8)], axis=2)
    clear[:, 16:, 3] = 0
    cases = (
        (16, "twelve.png", COLOUR),
        (257, "sixteen.png", COLOUR),
        (16, "clear.png", clear),
        (257, "c16.png", clear),
    )
    for factor, name, photo in cases:
        rows = (photo.astype(np.uint16) * factor).astype(">u2")
        data = b"".join(b"\0" + row.tobytes() for row in rows)
        header = struct.pack(">IIBBBBB", 32, 24, 16, 2 if photo.shape[2] == 3 else 6, 0, 0, 0)
        parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")
        (tmp_path / name).write_bytes(b"\x89PNG\r\n\x1a\n" + parts)
        wanted = photo[:, :, :3].copy()
        if photo.shape[2] == 4:
            wanted[:, 16:] = 255
        assert np.abs(read_pixels(tmp_path / name).astype(int) - wanted).max() <= 2


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif", "avif"])
def test_every_format_is_upright_in_header_and_pixels(tmp_path: Path, suffix: str, orientation: int) -> None:
    stored = Image.new("RGB", (32, 16), "white")
    stored.paste("black", (0, 0, 16, 8))
    exif = Image.Exif()
    exif[0x0112] = orientation
    options: dict[str, Any] = {"quality": 95} if suffix != "tif" else {}
    stored.save(tmp_path / f"a.{suffix}", exif=exif, **options)
    header, pixels = read_header(tmp_path / f"a.{suffix}"), read_pixels(tmp_path / f"a.{suffix}")
    assert header.size == pixels.shape[:2] == ((32, 16) if orientation > 4 else (16, 32))
    assert header.stored == (16, 32)
    box = turn_boxes(np.array([[0, 0, 16, 8]], np.float32), header.stored, header.orientation)[0].astype(int)
    inside = pixels[box[1] : box[3], box[0] : box[2]].astype(int)
    assert inside.size == 16 * 8 * 3 and inside.mean() < 30
    assert pixels.astype(int).sum() - inside.sum() > 0.9 * 255 * 3 * (16 * 32 - 16 * 8)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    "values", [GREY, GREY.astype(np.float64), COLOUR.astype(np.uint16) * 257, GREY.astype(np.uint16)]
)
def test_grey_and_deep_tiffs_are_upright_as_well(tmp_path: Path, values: Array, orientation: int) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, values, extratags=[(274, "H", 1, orientation, True)])
    eight = COLOUR if values.ndim == 3 else np.repeat(GREY[:, :, None], 3, axis=2)
    wanted = turned(eight, orientation)
    assert read_header(path).size == wanted.shape[:2]
    assert np.abs(read_pixels(path).astype(int) - wanted).max() <= 1


def test_pages_are_counted_and_read_one_by_one(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (8, 6), color) for color in ("red", "lime", "blue")]
    for name in ("a.tif", "a.gif", "a.webp"):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
        assert read_header(tmp_path / name).pages == 3
        second = read_pixels(f"{tmp_path / name}#page=2")
        assert int(second[0, 0, 1]) > 200 > 100 > int(second[0, 0, 0])
        with pytest.raises(ImageError, match="has no page 4"):
            read_pixels(f"{tmp_path / name}#page=4")
    tifffile.imwrite(tmp_path / "f.tif", np.stack([GREY, 255 - GREY]).astype(np.float64))
    assert read_header(tmp_path / "f.tif").pages == 2


def test_a_progressive_jpeg_of_very_many_scans_is_refused(tmp_path: Path) -> None:
    out = io.BytesIO()
    Image.fromarray(COLOUR).save(out, "JPEG", progressive=True)
    (tmp_path / "a.jpg").write_bytes(out.getvalue())
    assert read_pixels(tmp_path / "a.jpg").shape == (24, 32, 3)
    data = out.getvalue()
    start = data.rindex(b"\xff\xda")
    scan = data[start:-2]
    (tmp_path / "b.jpg").write_bytes(data[:-2] + scan * MAX_SCANS + b"\xff\xd9")
    with pytest.raises(ImageError, match=r"b\.jpg: 2\d\d scans") as caught:
        read_pixels(tmp_path / "b.jpg")
    assert caught.value.code == "too_slow"


def test_decoding_ends_where_its_time_is_over(tmp_path: Path) -> None:
    Image.fromarray(COLOUR).save(tmp_path / "a.jpg")
    with Image.open(tmp_path / "a.jpg") as image, pytest.raises(ImageError) as caught, hurried(image, seconds=-1):
        image.load()
    assert caught.value.code == "too_slow"


def test_heic_is_read_where_the_plugin_is_installed(tmp_path: Path) -> None:
    heif = pytest.importorskip("pillow_heif")
    known = set(Image.OPEN)
    heif.from_pillow(Image.new("RGB", (64, 48), "red")).save(tmp_path / "a.heic", quality=90)
    assert read_pixels(tmp_path / "a.heic").mean((0, 1)).round(-1).tolist() == [250, 0, 0]
    assert read_header(tmp_path / "a.heic").size == (48, 64)
    assert set(Image.OPEN) == known, "Pillow's own list of formats is left as it was"


def test_the_mark_of_a_file_differs_where_its_bytes_do(tmp_path: Path) -> None:
    data = bytearray(range(256)) * 4000
    (tmp_path / "a").write_bytes(data)
    (tmp_path / "b").write_bytes(data)
    assert content_mark(tmp_path / "a") == content_mark(tmp_path / "b") != ""
    for change in (0, len(data) - 1):
        other = bytearray(data)
        other[change] ^= 1
        (tmp_path / "b").write_bytes(other)
        assert content_mark(tmp_path / "a") != content_mark(tmp_path / "b")
    assert content_mark(tmp_path / "none") == ""


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32, np.float64])
def test_values_are_brought_to_bytes_without_copies_of_the_image(dtype: Any) -> None:
    import tracemalloc

    from autolabel.images.values import STRIP, to_bytes

    values = np.zeros((3000, 4000), dtype)
    values[5, 7] = 1000
    tracemalloc.start()
    pixels = to_bytes(values, None)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert pixels[5, 7].tolist() == [249, 249, 249]
    assert peak < pixels.nbytes + 40 * STRIP, "what is made on the way is a few strips of the image"
