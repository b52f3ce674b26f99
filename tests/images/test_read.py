"""Decoding: upright, within limits, every mode to RGB, every fault by its code."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import random
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngImageFile

from autolabel.errors import ImageError
from autolabel.images import content_mark, read_pixels, read_size
from autolabel.images.opener import open_image
from autolabel.storage import PAUSES

GREY16 = 30_000


def grey16() -> Image.Image:
    return Image.fromarray(np.full((6, 8), GREY16, np.uint16))


def half_transparent() -> Image.Image:
    image = Image.new("RGBA", (8, 6), (200, 0, 0, 255))
    image.paste((0, 0, 0, 0), (0, 0, 4, 6))
    return image


def palette_with_transparency() -> Image.Image:
    image = Image.new("P", (8, 6), 0)
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.info["transparency"] = 0
    return image


MODES: dict[str, tuple[Callable[[], Image.Image], str, tuple[float, float, float]]] = {
    "RGB": (lambda: Image.new("RGB", (8, 6), (10, 20, 30)), "png", (10, 20, 30)),
    "L": (lambda: Image.new("L", (8, 6), 99), "png", (99, 99, 99)),
    "1": (lambda: Image.new("1", (8, 6), 1), "png", (255, 255, 255)),
    "LA": (lambda: Image.new("LA", (8, 6), (50, 0)), "png", (255, 255, 255)),
    "P": (lambda: Image.new("RGB", (8, 6), (10, 20, 30)).quantize(4), "png", (10, 20, 30)),
    "P with transparency": (palette_with_transparency, "png", (255, 255, 255)),
    "RGBA": (half_transparent, "png", (227.5, 127.5, 127.5)),
    "I;16": (grey16, "png", (GREY16 / 257,) * 3),
    "I;16 tiff": (grey16, "tiff", (GREY16 / 257,) * 3),
    "CMYK": (lambda: Image.new("CMYK", (8, 6), (0, 0, 0, 0)), "tiff", (255, 255, 255)),
    "F": (lambda: Image.fromarray(np.full((6, 8), 77.4, np.float32)), "tiff", (77, 77, 77)),
    "GIF": (lambda: Image.new("P", (8, 6), 0), "gif", (0, 0, 0)),
}


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_becomes_rgb(tmp_path: Path, mode: str) -> None:
    make, suffix, mean = MODES[mode]
    path = tmp_path / f"a.{suffix}"
    make().save(path)
    pixels = read_pixels(path)
    assert pixels.shape == (6, 8, 3)
    assert pixels.dtype == np.uint8
    np.testing.assert_allclose(pixels.mean((0, 1)), mean, atol=2)
    assert read_size(path) == (6, 8)


def test_an_orientation_may_follow_the_pixels_of_a_png(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    first, late, none = tmp_path / "first.png", tmp_path / "late.png", tmp_path / "none.png"
    Image.new("RGB", (8, 6)).save(first, exif=exif)
    Image.new("RGB", (8, 6)).save(none)
    data = first.read_bytes()
    start = data.index(b"eXIf") - 4
    chunk = data[start : start + 12 + int.from_bytes(data[start : start + 4])]
    rest = data.replace(chunk, b"")
    late.write_bytes(rest[:-12] + chunk + rest[-12:])
    assert [read_size(path) for path in (first, late, none)] == [(8, 6), (8, 6), (6, 8)]
    assert read_pixels(late).shape == (8, 6, 3)
    monkeypatch.setattr(PngImageFile, "load", lambda self: pytest.fail("pixels were decoded for a header"))
    assert [read_size(path) for path in (first, none)] == [(8, 6), (6, 8)]


def test_the_first_frame_of_an_animation_counts(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (8, 6), color) for color in ("red", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert read_pixels(tmp_path / "a.gif")[0, 0].tolist() == [255, 0, 0]


def photo(fmt: str, *, side: int = 64) -> bytes:
    rng = np.random.default_rng(0)
    smooth = np.kron(rng.integers(0, 255, (side // 8, side // 8, 3), np.uint8), np.ones((8, 8, 1), np.uint8))
    out = io.BytesIO()
    Image.fromarray(smooth).save(out, fmt)
    return out.getvalue()


@pytest.mark.parametrize("fmt", ["JPEG", "PNG"])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.1, 0.5, 0.9, 0.99])
def test_a_truncated_file_is_found_out(tmp_path: Path, fmt: str, share: float) -> None:
    data = photo(fmt)
    (tmp_path / "a.jpg").write_bytes(data[: int(len(data) * share)])
    with pytest.raises(ImageError) as caught:
        read_pixels(tmp_path / "a.jpg")
    assert caught.value.code in ("corrupt_image", "unsupported_format", "unreadable")
    assert "a.jpg" in str(caught.value)


def bomb(width: int, height: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 1000))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("size", [(20_000, 20_000), (2**31 - 1, 2**31 - 1), (100_001, 1000)])
def test_a_bomb_is_refused_on_its_header(tmp_path: Path, size: tuple[int, int]) -> None:
    (tmp_path / "bomb.png").write_bytes(bomb(*size))
    for read in (read_size, read_pixels):
        with pytest.raises(ImageError) as caught:
            read(tmp_path / "bomb.png")
        assert caught.value.code in ("too_large", "corrupt_image")


def test_the_pixel_limit_is_inclusive(tmp_path: Path) -> None:
    Image.new("RGB", (10, 10)).save(tmp_path / "a.png")
    assert read_size(tmp_path / "a.png", max_pixels=100) == (10, 10)
    with pytest.raises(ImageError, match="10x10 pixels, at most 99"):
        read_size(tmp_path / "a.png", max_pixels=99)


@pytest.mark.parametrize(
    ("name", "data", "code"),
    [
        ("eps.jpg", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "unsupported_format"),
        ("page.png", b"<html><body>404</body></html>", "unsupported_format"),
        ("empty.png", b"", "unsupported_format"),
    ],
)
def test_what_is_no_photo_is_refused(tmp_path: Path, name: str, data: bytes, code: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ImageError) as caught:
        read_size(tmp_path / name)
    assert caught.value.code == code


def test_missing_files_and_folders_have_their_codes(tmp_path: Path) -> None:
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    os.mkfifo(tmp_path / "pipe.png")
    codes = {"none.png": "missing"} | dict.fromkeys(("folder.png", "loop.png", "pipe.png"), "unreadable")
    for name, code in codes.items():
        with pytest.raises(ImageError) as caught:
            read_pixels(tmp_path / name)
        assert caught.value.code == code


def mutate(data: bytes, draw: random.Random) -> bytes:
    kind = draw.randrange(4)
    if kind == 0:
        return data[: draw.randrange(len(data))]
    out = bytearray(data)
    if kind == 1:
        for _ in range(draw.randint(1, 20)):
            out[draw.randrange(len(out))] ^= 1 << draw.randrange(8)
    elif kind == 2:
        at, length = draw.randrange(len(out)), draw.randint(1, 64)
        out[at : at + length] = draw.randbytes(length)
    else:
        a, b = sorted(draw.randrange(len(out)) for _ in range(2))
        out = out[b:] + out[a:b] + out[:a]
    return bytes(out)


def survive(folder: Path, count: int) -> int:
    """Read ``count`` mutated files; return how many were refused. Anything but ImageError fails the test."""
    draw, refused = random.Random(0), 0
    formats = {name: photo(name, side=32) for name in ("JPEG", "PNG", "WEBP", "BMP", "TIFF")}
    for index in range(count):
        data = mutate(formats[list(formats)[index % 5]], draw)
        path = folder / "mutant.png"
        path.write_bytes(data)
        try:
            assert read_pixels(path).ndim == 3
        except ImageError:
            refused += 1
    return refused


def test_mutated_files_are_read_or_refused(tmp_path: Path) -> None:
    assert 20 < survive(tmp_path, 100) < 100


@pytest.mark.soak
def test_a_thousand_mutated_files_are_read_or_refused(tmp_path: Path) -> None:
    assert 200 < survive(tmp_path, 1000) < 1000


@pytest.mark.parametrize(("failures", "code"), [(1, ""), (4, ""), (5, "io_error")])
def test_a_disk_that_fails_is_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failures: int, code: str
) -> None:
    Image.new("RGB", (8, 6), (10, 20, 30)).save(tmp_path / "a.png")
    opened, left, pauses = open_image, [OSError(errno.EIO, os.strerror(errno.EIO))] * failures, []

    def flaky(*words: object, **options: object) -> Image.Image:
        if left:
            raise left.pop()
        return opened(*words, **options)  # type: ignore[arg-type]

    monkeypatch.setattr("autolabel.images.read.open_image", flaky)
    monkeypatch.setattr("autolabel.storage.time.sleep", pauses.append)
    if not code:
        assert read_pixels(tmp_path / "a.png").shape == (6, 8, 3)
    else:
        with pytest.raises(ImageError, match=r"a\.png: Input/output error, 5 times") as caught:
            read_pixels(tmp_path / "a.png")
        assert caught.value.code == code
    assert pauses == list(PAUSES)[:failures]


def test_too_many_open_files_are_no_fault_of_the_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from autolabel import storage
    from autolabel.errors import MachineError

    path = tmp_path / "a.png"
    Image.new("RGB", (8, 8)).save(path)
    monkeypatch.setattr(storage, "PAUSES", (0.0,))
    taken = []
    try:
        with pytest.raises(OSError, match="Too many open files"):
            while True:
                taken.append(os.open(path, os.O_RDONLY))
        for read in (read_pixels, read_size):
            with pytest.raises(MachineError, match="Too many open files"):
                read(path)
    finally:
        for handle in taken:
            os.close(handle)


@pytest.mark.parametrize("length", [0, 1, 4096, 4097, 33_000, 100_001])
def test_a_mark_is_of_the_length_and_of_eight_samples(tmp_path: Path, length: int) -> None:
    path, data = tmp_path / "any.bin", random.Random(length).randbytes(length)
    path.write_bytes(data)
    starts = [max(0, length - 4096) * number // 7 for number in range(8)]
    samples = b"".join(data[start : start + 4096] for start in starts)
    wanted = hashlib.blake2b(str(length).encode() + samples, digest_size=8).hexdigest()
    assert content_mark(path) == content_mark(f"file://{path}") == wanted
    assert content_mark(tmp_path / "none") == content_mark(tmp_path) == ""
