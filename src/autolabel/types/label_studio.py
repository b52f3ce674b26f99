"""Label Studio's coordinates (percent of the image) and masks (RGBA bytes packed as in thi.ng/rle-pack)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from autolabel.types.image import Size
from autolabel.types.polygons import keyhole, parts
from autolabel.types.runs import row_runs

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_PERCENT_DECIMALS = 6

_WORD_BITS = 8
_LENGTH_BITS = (4, 8, 12, 16)
"""A run says which of these holds its length less one."""
_LONGEST_RUN = 1 << _LENGTH_BITS[-1]
_CHANNELS = 4


def pack(mask: npt.NDArray[np.bool_]) -> list[int]:
    """Return an (H, W) mask as the list of bytes that a ``brushlabels`` result holds; inside is 255 in all channels."""
    height, width = mask.shape
    header = f"{height * width * _CHANNELS:032b}{_WORD_BITS - 1:05b}" + "".join(
        f"{bits - 1:04b}" for bits in _LENGTH_BITS
    )
    runs = (
        _run_bits(length * _CHANNELS, inside=bool(place % 2)) for place, length in enumerate(row_runs(mask)) if length
    )
    bits = header + "".join(runs)
    padded = bits.ljust(-(-len(bits) // 8) * 8, "0")
    return list(int(padded, 2).to_bytes(len(padded) // 8))


def _run_bits(length: int, *, inside: bool) -> str:
    """Return a run of equal bytes as bits, split if it exceeds the maximum length."""
    value = "1" * _WORD_BITS if inside else "0" * _WORD_BITS
    pieces, rest = divmod(length, _LONGEST_RUN)
    lengths = [_LONGEST_RUN] * pieces + ([rest] if rest else [])
    return "".join(f"1{_length_bits(piece - 1)}{value}" for piece in lengths)


def _length_bits(value: int) -> str:
    """Return the size class for a length minus one, and the encoded length."""
    size = next(index for index, bits in enumerate(_LENGTH_BITS) if value < 1 << bits)
    return f"{size:02b}{value:0{_LENGTH_BITS[size]}b}"


def _share(place: float, side: int) -> float:
    """Return a position in percent of a side."""
    return round(100 * place / side, _PERCENT_DECIMALS)


def percent(box: Sequence[float], size: Size) -> dict[str, float]:
    """Return a box ``x1 y1 x2 y2`` in an image of ``size`` as left, top, width, height in percent."""
    left, top, right, bottom = box
    height, width = size
    x, y = _share(left, width), _share(top, height)
    sides = {"width": _share(right, width) - x, "height": _share(bottom, height) - y}
    return {"x": x, "y": y} | {name: round(side, _PERCENT_DECIMALS) for name, side in sides.items()}


def percent_ring(ring: Sequence[Sequence[float]], size: Size) -> list[list[float]]:
    """Return the corners of a polygon in percent."""
    height, width = size
    return [[_share(x, width), _share(y, height)] for x, y in ring]


def rings_of(mask: npt.NDArray[np.bool_]) -> list[list[list[float]]]:
    """Return a polygon for each part of a mask, exact along pixel edges; holes are joined by zero-width cuts."""
    return [keyhole(part).astype(float).tolist() for part in parts(mask)]
