"""The meaning of a plain scalar by the YAML 1.2 core schema (https://yaml.org/spec/1.2.2, chapter 10.3.2)."""

from __future__ import annotations

import math
import re

from autolabel.spec.node import Scalar, short

_NULL = {"", "~", "null", "Null", "NULL"}
_BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_MAX_DIGITS = 18
_BASES = {"0o": 8, "0x": 16}


def resolve_scalar(text: str) -> Scalar:
    """Return the value of an unquoted scalar: ``no`` is a text, ``010`` is ten.

    Raises ValueError, with a message for the user, for numbers that are not finite or have more than 18 digits.
    """
    if text in _NULL:
        return None
    if text in _BOOL:
        return _BOOL[text]
    if _INT.fullmatch(text):
        return _integer(text)
    return _number(text) if _FLOAT.fullmatch(text) else text


def _integer(text: str) -> int:
    if len(text.lstrip("+-0")) > _MAX_DIGITS:
        raise ValueError(f"{short(text, 30)} has too many digits for a number; put a text in quotes")
    return int(text, _BASES.get(text[:2], 10))


def _number(text: str) -> float:
    number = float(re.sub(r"\.(?=[a-zA-Z])", "", text))
    if not math.isfinite(number):
        raise ValueError(f"{short(text, 30)} is not a finite number")
    return number
