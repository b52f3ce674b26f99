"""The score of an object from the probabilities of its tokens."""

from __future__ import annotations

import math
import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import accumulate

from autolabel.endpoint import Reply
from autolabel_vlm.answer import BOX, LABEL, Found

_VALUE = re.compile(
    rf"""["'](?:{"|".join(BOX)})["']\s*:\s*[\[(]([^\])]*)[\])]|["'](?:{"|".join(LABEL)})["']\s*:\s*["']([^"']*)["']"""
)


def from_tokens(reply: Reply, objects: Sequence[Found]) -> list[float] | None:
    """Return the geometric mean of the probabilities of each object's numbers and label.

    None if the reply has no token probabilities, or its tokens do not spell its text.
    """
    if not reply.tokens:
        return None
    joined = "".join(token.text for token in reply.tokens)
    shift = joined.find(reply.text)
    if shift < 0 or not reply.text:
        return None
    ends = list(accumulate(len(token.text) for token in reply.tokens))
    return [_mean(reply, found, ends, shift) for found in objects]


def _mean(reply: Reply, found: Found, ends: Sequence[int], shift: int) -> float:
    chosen: list[float] = []
    for match in _VALUE.finditer(reply.text, found.start, found.end):
        start, stop = match.span(1) if match[1] is not None else match.span(2)
        first, last = bisect_right(ends, start + shift), bisect_left(ends, stop + shift)
        chosen += [reply.tokens[index].logprob for index in range(first, min(last + 1, len(ends)))]
    if not chosen:
        return 0.0
    return min(1.0, math.exp(max(sum(chosen) / len(chosen), -700.0)))
