"""COCO's text form of run lengths."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

_Int64: TypeAlias = "npt.NDArray[np.int64]"
_CHUNK_BITS = 5
_LONGEST = 7
"""Characters that hold any difference of two runs of 32 bits."""


def compress(runs: _Int64) -> str:
    """Write runs as COCO's string: differences to the run before last, 5 bits a character, lowest first."""
    rest = runs.copy()
    rest[3:] -= runs[1:-2]
    owners = np.arange(len(runs))
    lengths = np.zeros(len(runs), np.int64)
    pieces = []
    while len(owners):  # one character of every unfinished number
        low = rest & 31
        rest >>= _CHUNK_BITS
        more = rest != -(low >> 4)  # the rest repeats the sign: -1 if the highest bit is set, otherwise 0
        pieces.append((owners, (low + 32 * more + 48).astype(np.uint8)))
        lengths[owners] += 1
        owners, rest = owners[more], rest[more]
    text = np.empty(lengths.sum(), np.uint8)
    places = np.cumsum(lengths) - lengths
    for place, (owners, characters) in enumerate(pieces):
        text[places[owners] + place] = characters
    return text.tobytes().decode("ascii")


def expand(counts: str) -> _Int64:
    """Decode runs from COCO's string, the inverse of ``compress``. Raises ValueError for an invalid string."""
    try:
        codes = np.frombuffer(counts.encode("ascii"), np.uint8) - np.uint8(48)
    except UnicodeEncodeError:
        raise ValueError("the counts of an RLE must be ASCII") from None
    if not len(codes):
        return np.zeros(0, np.int64)
    if codes.max() > 63 or codes[-1] & 32:
        raise ValueError("the counts of an RLE are not a COCO string")
    values, lengths = _values(codes, np.flatnonzero((codes & 32) == 0))
    if lengths.max() > _LONGEST:
        raise ValueError("the counts of an RLE hold a number of more than 32 bits")
    values[1::2] = np.cumsum(values[1::2])
    values[2::2] = np.cumsum(values[2::2])
    return values


def totals(strings: Sequence[str]) -> _Int64:
    """Return the sum of the runs of each of many COCO strings; -1 for invalid strings and negative runs."""
    lengths = np.fromiter(map(len, strings), np.int64, len(strings))
    joined = "".join(strings)
    if not joined or not lengths.all() or not joined.isascii():
        return _totals_of_some(strings, np.asarray([bool(text) and text.isascii() for text in strings], bool))
    codes = np.frombuffer(joined.encode("ascii"), np.uint8) - np.uint8(48)
    ends = np.cumsum(lengths)
    last = (codes & 32) == 0
    cut = ~last[ends - 1]
    last[ends - 1] = True
    values, sizes = _values(codes, np.flatnonzero(last))
    counts = np.add.reduceat(last, ends - lengths, dtype=np.int64)
    firsts = np.cumsum(counts) - counts
    runs = _summed(values, firsts, counts)
    sums = np.add.reduceat(runs, firsts)
    wrong = cut | (np.maximum.reduceat(codes, ends - lengths) > 63) | (np.minimum.reduceat(runs, firsts) < 0)
    sums[wrong | (np.maximum.reduceat(sizes, firsts) > _LONGEST)] = -1
    return sums


def _summed(values: _Int64, firsts: _Int64, counts: _Int64) -> _Int64:
    """Decode the runs of strings that begin at ``firsts``: each is a difference plus the run before last."""
    odd = (np.arange(len(values)) ^ np.repeat(firsts, counts)) & 1
    odds = values * odd
    evens = values - odds
    evens[firsts] = 0
    for steps in (odds, evens):  # a string's first step subtracts the previous string's total
        steps[firsts[1:]] -= np.add.reduceat(steps, firsts)[:-1]
        np.cumsum(steps, out=steps)
    runs: _Int64 = np.where(odd, odds, evens)
    runs[firsts] = values[firsts]
    return runs


def sum_fault(total: int, size: tuple[int, int]) -> str:
    """Return the fault of runs with the sum ``total`` in an image of ``size``; empty if valid."""
    pixels = size[0] * size[1]
    if total == pixels:
        return ""
    side = "short" if total < pixels else "long"
    return f"an RLE is too {side}: its runs add up to {total}, the image has {pixels} pixels"


def rle_fault(counts: str, size: tuple[int, int]) -> str:
    """Return the fault of a COCO string in an image of ``size``; empty if valid."""
    try:
        runs = expand(counts)
    except ValueError as error:
        return str(error)
    return "an RLE has a negative run" if (runs < 0).any() else sum_fault(int(runs.sum()), size)


def _values(codes: npt.NDArray[np.uint8], stops: _Int64) -> tuple[_Int64, _Int64]:
    """Return the numbers whose last characters are at ``stops``, and the number of characters of each.

    Characters beyond the maximum length of a number are ignored.
    """
    starts = np.concatenate([[0], stops[:-1] + 1])
    lengths = stops - starts + 1
    low = codes & 31
    values = low[starts].astype(np.int64)
    for place in range(1, min(int(lengths.max()), _LONGEST)):
        longer = np.flatnonzero(lengths > place)
        values[longer] += low[starts[longer] + place].astype(np.int64) << (_CHUNK_BITS * place)
    negative = np.flatnonzero(codes[stops] & 16)
    values[negative] -= np.int64(1) << (_CHUNK_BITS * np.minimum(lengths[negative], _LONGEST))
    return values, lengths


def _totals_of_some(strings: Sequence[str], chosen: npt.NDArray[np.bool_]) -> _Int64:
    sums = np.full(len(strings), -1, np.int64)
    if chosen.any():
        sums[chosen] = totals([text for text, wanted in zip(strings, chosen, strict=True) if wanted])
    return sums


def row_runs(mask: npt.NDArray[np.bool_]) -> list[int]:
    """Return the lengths of alternating runs of an (h, w) mask row by row, the first one outside (0 if none is)."""
    flat = mask.reshape(-1)
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    lengths: list[int] = np.diff(edges, prepend=0, append=len(flat)).tolist()
    return [0, *lengths] if len(flat) and flat[0] else lengths
