"""Small files that claim or hold a great many pixels are refused on their headers, before memory is spent."""

from __future__ import annotations

import ctypes
import io
import os
import resource
import struct
import warnings
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from PIL import Image

from autolabel.errors import ImageError
from autolabel.images import read_pixels, read_size

SIDE = 20_000
GROWTH = 50 << 20


def saved(fmt: str, *, size: tuple[int, int] = (64, 64)) -> bytes:
    out = io.BytesIO()
    Image.new("L" if fmt != "WEBP" else "RGB", size).save(out, fmt)
    return out.getvalue()


def patched(data: bytes, at: int, piece: bytes) -> bytes:
    return data[:at] + piece + data[at + len(piece) :]


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(*extra: bytes, pixels: bytes = b"\0" * 1000) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", SIDE, SIDE, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(extra) + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")


def full_png() -> bytes:
    """Return a PNG that really holds 400 million zeros in 400 kB."""
    squeeze = zlib.compressobj()
    rows = b"".join(squeeze.compress(b"\0" * (1 + SIDE)) for _ in range(SIDE)) + squeeze.flush()
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", SIDE, SIDE, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def jpeg() -> bytes:
    data = saved("JPEG")
    return patched(data, data.index(b"\xff\xc0") + 5, struct.pack(">HH", SIDE, SIDE))


def tiff() -> bytes:
    out = bytearray(saved("TIFF"))
    start, order = struct.unpack("<I", out[4:8])[0], "<"
    for number in range(struct.unpack(f"{order}H", out[start : start + 2])[0]):
        at = start + 2 + 12 * number
        if struct.unpack(f"{order}H", out[at : at + 2])[0] in (256, 257):
            out[at + 2 : at + 12] = struct.pack(f"{order}HII", 4, 1, SIDE)
    return bytes(out)


def webp() -> bytes:
    """Return an extended WebP whose canvas is as large as the format allows."""
    frame = saved("WEBP")[12:]
    body = b"VP8X" + struct.pack("<I", 10) + b"\0\0\0\0" + b"\xff\xff\x00" * 2 + frame
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


BOMBS: dict[str, Callable[[], bytes]] = {
    "png that lies": png,
    "png that does not lie": full_png,
    "png with a great text": lambda: png(chunk(b"zTXt", b"k\0\0" + zlib.compress(b"\0" * (64 << 20)))),
    "png with a great profile": lambda: png(chunk(b"iCCP", b"k\0\0" + zlib.compress(b"\0" * (64 << 20)))),
    "gif": lambda: patched(saved("GIF"), 6, struct.pack("<HH", 0xFFFF, 0xFFFF)),
    "bmp": lambda: patched(saved("BMP"), 18, struct.pack("<ii", SIDE, SIDE)),
    "bmp of negative height": lambda: patched(saved("BMP"), 18, struct.pack("<ii", SIDE, -SIDE)),
    "jpeg": jpeg,
    "tiff": tiff,
    "webp": webp,
}


def growth(work: Callable[[], object]) -> int:
    """Return by how many bytes ``work`` raises the peak of a forked process."""
    reader, writer = os.pipe()
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
        trim(0)  # memory that tests before this one have freed would be used again, and hide what is taken
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with suppress(ImageError):
            work()
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        os.write(writer, str(grown << 10).encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(writer)
    with os.fdopen(reader) as stream:
        return int(stream.read())


@pytest.fixture(scope="module", autouse=True)
def warm(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Let Pillow load its readers."""
    path = tmp_path_factory.mktemp("warm") / "a.png"
    path.write_bytes(saved("PNG"))
    read_pixels(path)
    path.write_bytes(b"nothing that any of them reads")
    with suppress(ImageError):
        read_pixels(path)


def test_growth_is_seen() -> None:
    assert growth(lambda: b"x" * (2 * GROWTH)) > GROWTH


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_costs_no_memory(tmp_path: Path, name: str) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(BOMBS[name]())
    assert path.stat().st_size < 1 << 20
    for read in (read_size, read_pixels):
        with pytest.raises(ImageError) as caught:
            read(path)
        assert caught.value.code in ("too_large", "corrupt_image", "unsupported_format")
        assert len(str(caught.value)) < 300
        assert growth(lambda: read(path)) < GROWTH  # noqa: B023


@pytest.mark.parametrize("name", ["png that lies", "gif", "bmp", "jpeg", "tiff"])
def test_a_bomb_is_refused_for_its_size(tmp_path: Path, name: str) -> None:
    (tmp_path / "bomb").write_bytes(BOMBS[name]())
    with pytest.raises(ImageError, match=r"\d+x\d+ pixels, at most 100000000 are read") as caught:
        read_size(tmp_path / "bomb")
    assert caught.value.code == "too_large"
