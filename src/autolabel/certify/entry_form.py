"""The schema of a certificate's journal entries, used to validate the untrusted file."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal, NoReturn

import msgspec
from msgspec import Meta

from autolabel.certify.answers import parse_answer

Entry = dict[str, Any]
_KINDS = ("draw", "round", "wanted", "shown", "answer")
_UNIT = r"^[0-9a-f]{8}-[bi][0-9a-f]{16}\Z"
"""The name of a unit: the start of the population's digest, its kind, its key."""
_Name = Annotated[str, Meta(pattern=_UNIT)]
_Count = Annotated[int, Meta(ge=0, le=1 << 53)]
_Positive = Annotated[int, Meta(ge=1, le=1 << 53)]
_Finite = Annotated[float, Meta(ge=-1e300, le=1e300)]
_Share = Annotated[float, Meta(ge=0, le=1)]


class _Limits(msgspec.Struct, frozen=True, kw_only=True):
    """The thresholds and filters at the time of the draw."""

    filter: dict[Literal["min_size", "max_size", "min_area", "max_area"], _Finite]
    thresholds: dict[str, _Finite]


class _Draw(msgspec.Struct, frozen=True, kw_only=True):
    """The draw of an audit: its subject and settings."""

    version: _Count
    audit: _Positive
    plan: str
    population: str
    boxes: _Count
    images: _Count
    confidence: Annotated[float, Meta(gt=0, lt=1)]
    K: _Count
    class_K: dict[str, _Count]
    limits: _Limits
    own_thresholds: bool
    review: str
    groups: str = ""


class _Begun(msgspec.Struct, frozen=True, kw_only=True):
    """A round."""

    number: _Positive
    seed: str
    chosen: list[_Name]


class _CertificateGoal(msgspec.Struct, frozen=True, kw_only=True):
    """The goals of the certificate."""

    precision: _Share | None
    recall: _Share | None
    by_class: bool
    budget: Annotated[float, Meta(ge=0, le=1e300)] | None


_FORMS: dict[str, Any] = {"draw": _Draw, "round": _Begun, "wanted": _CertificateGoal, "shown": list[_Name]}


def read_entry(line: bytes) -> Entry:
    """Return the entry of one line; raises ValueError with the fault."""
    entry = json.loads(line, parse_constant=_refuse)
    if not isinstance(entry, dict) or len(entry) != 1 or next(iter(entry)) not in _KINDS:
        raise ValueError(f"an entry is one of {', '.join(_KINDS)}")
    [(kind, said)] = entry.items()
    if kind == "answer":
        if not re.match(_UNIT, parse_answer(said).id):
            raise ValueError("an answer needs the id of its unit")
        return entry
    try:
        return {kind: msgspec.to_builtins(msgspec.convert(said, _FORMS[kind]))}
    except msgspec.ValidationError as error:
        raise ValueError(f"{kind}: {error}") from None


def order_fault(entries: Sequence[Entry]) -> tuple[int, str] | None:
    """Return the number (from 1) of the first entry that is out of order, and why; None if all are in order.

    A journal begins with its only draw; rounds are numbered from 1, and nothing is shown before the first round.
    """
    rounds = 0
    for number, entry in enumerate(entries, 1):
        if ("draw" in entry) != (number == 1):
            return number, "a journal has one draw, in its first line"
        if "round" in entry:
            rounds += 1
            if entry["round"]["number"] != rounds:
                return number, f"round {entry['round']['number']} stands where round {rounds} would begin"
        elif not rounds and "shown" in entry:
            return number, "units are shown before any round has begun"
    return None if rounds or not entries else (len(entries), "no round has begun")


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a number")
