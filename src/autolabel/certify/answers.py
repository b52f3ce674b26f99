"""Read people's answers from JSON lines, and combine several answers about one unit."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from autolabel.errors import DataError, Problem

_Verdict = Literal["yes", "no", "cannot tell"]
_VERDICTS = ("yes", "no", "cannot tell")
_STRICTNESS = {"yes": 0, "cannot tell": 1, "no": 2}
_MOST_PROBLEMS = 20
_MOST_MISSED = 100_000
"""More missed objects than this in one image are a slip of the finger."""
_MOST_PIXELS = 10**10
"""No image has a side as long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Missed:
    """An object without a right box, with its class and its position if they were given."""

    phrase: str | None = None
    place: tuple[float, ...] = ()
    """Empty, ``x y``, or ``x1 y1 x2 y2``, in pixels of the upright image."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One person's answer about one unit."""

    id: str
    verdict: _Verdict | None = None
    """The verdict on a box; for an image only ``cannot tell``."""
    missed: tuple[Missed, ...] | None = None
    """The missed objects of an image; empty if it lacks none."""
    withdrawn: bool = False
    """Whether it takes an earlier answer of the same person back."""
    reviewer: str | None = None

    @property
    def strictness(self) -> tuple[int, int]:
        """Sort key of answers about one unit: the strictest answer is the largest."""
        if self.missed is not None:
            return (0, len(self.missed))
        return (1, 0) if self.verdict is None else (_STRICTNESS[self.verdict], 0)

    def as_dict(self) -> dict[str, Any]:
        """Return the answer as plain JSON."""
        out: dict[str, Any] = {"id": self.id}
        if self.withdrawn:
            out["verdict"] = None
        elif self.verdict is not None:
            out["verdict"] = self.verdict
        if self.missed is not None:
            out["missed"] = [_written(one) for one in self.missed]
        return out | ({"reviewer": self.reviewer} if self.reviewer else {})


def _written(one: Missed) -> dict[str, Any]:
    word = "bbox" if len(one.place) == 4 else "point"
    out: dict[str, Any] = {word: list(one.place)} if one.place else {}
    return out | ({"phrase": one.phrase} if one.phrase is not None else {})


def read_answers(text: bytes, *, file: str, reviewer: str | None = None) -> list[tuple[int, Answer]]:
    """Read answers from JSON lines, each with its line number; blank lines are skipped.

    ``{"id", "verdict": "yes" | "no" | "cannot tell"}`` is about a box, ``{"id", "missed"}`` about an image: a count, or
    a list of points ``[x, y]`` and boxes ``[x1, y1, x2, y2]``, each also as ``{"point" | "bbox", "phrase"}``. Either
    may name its ``reviewer``; the argument ``reviewer`` is the default. Raises DataError with file, line and value if
    any line is wrong.
    """
    answers: list[tuple[int, Answer]] = []
    wrong: list[Problem] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            answers.append((number, parse_answer(json.loads(line), reviewer=reviewer)))
        except (ValueError, RecursionError) as error:
            said = "not JSON" if isinstance(error, json.JSONDecodeError | UnicodeDecodeError) else str(error)
            wrong.append(Problem(file=file, line=number, column=1, message=said))
    if wrong:
        raise DataError(shortened(wrong, file))
    return answers


def shortened(wrong: Sequence[Problem], file: str) -> list[Problem]:
    """Return the first problems and the number of further ones."""
    more = len(wrong) - _MOST_PROBLEMS
    return [*wrong[:_MOST_PROBLEMS], *([Problem(file=file, message=f"and {more} more problems")] if more > 0 else [])]


def parse_answer(value: Any, *, reviewer: str | None = None) -> Answer:
    """Read one answer; raises ValueError naming the field and its value."""
    if not isinstance(value, dict):
        raise ValueError(f'an answer is an object such as {{"id": ..., "verdict": "yes"}}, got {_shown(value)}')
    if unknown := value.keys() - {"id", "verdict", "missed", "reviewer"}:
        raise ValueError(f"unknown field {min(unknown)!r}: an answer has id, verdict or missed, and reviewer")
    if not isinstance(value.get("id"), str) or not value["id"]:
        raise ValueError(f"id must be the text that `--next` printed, got {_shown(value.get('id'))}")
    who = value.get("reviewer", reviewer)
    if who is not None and not isinstance(who, str):
        raise ValueError(f"reviewer must be a name, got {_shown(who)}")
    if ("verdict" in value) == ("missed" in value):
        raise ValueError("an answer has either verdict (of a box) or missed (of an image)")
    if "missed" in value:
        if value["missed"] == "cannot tell":
            return Answer(id=value["id"], verdict="cannot tell", reviewer=who)
        return Answer(id=value["id"], missed=tuple(_missed(value["missed"])), reviewer=who)
    if value["verdict"] is None:
        return Answer(id=value["id"], withdrawn=True, reviewer=who)
    if value["verdict"] not in _VERDICTS:
        raise ValueError(f"verdict must be one of {', '.join(_VERDICTS)}, got {_shown(value['verdict'])}")
    return Answer(id=value["id"], verdict=value["verdict"], reviewer=who)


def _missed(value: Any) -> Iterator[Missed]:
    if isinstance(value, int) and not isinstance(value, bool):
        if not 0 <= value <= _MOST_MISSED:
            raise ValueError(f"missed must be a count from 0 to {_MOST_MISSED}, or a list, got {_shown(value)}")
        yield from [Missed()] * value
        return
    if not isinstance(value, list) or len(value) > _MOST_MISSED:
        raise ValueError(f"missed must be a count, or a list of points or boxes, got {_shown(value)}")
    yield from map(_one, value)


def _one(value: Any) -> Missed:
    phrase = None
    if isinstance(value, dict):
        if value.keys() - {"point", "bbox", "phrase"} or {"point", "bbox"} <= value.keys():
            raise ValueError(f"a missed object has point or bbox, and phrase, got {_shown(value)}")
        phrase = value.get("phrase")
        if phrase is not None and not isinstance(phrase, str):
            raise ValueError(f"phrase must be a class's name, got {_shown(phrase)}")
        wanted = 2 if "point" in value else 4
        value = value.get("point", value.get("bbox", []))
        if isinstance(value, list) and len(value) not in (0, wanted):
            raise ValueError(
                f"a {'point is [x, y]' if wanted == 2 else 'bbox is [x1, y1, x2, y2]'}, got {_shown(value)}"
            )
    numbers = isinstance(value, list) and all(
        isinstance(n, int | float) and not isinstance(n, bool) and abs(n) <= _MOST_PIXELS for n in value
    )
    if not numbers or len(value) not in (0, 2, 4):
        raise ValueError(f"a missed object is a point [x, y] or a box [x1, y1, x2, y2], got {_shown(value)}")
    if len(value) == 4 and not (value[0] < value[2] and value[1] < value[3]):
        raise ValueError(f"a box is x1 y1 x2 y2 with x1 < x2 and y1 < y2, got {_shown(value)}")
    return Missed(phrase=phrase, place=tuple(float(n) for n in value))


def _shown(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) < 80 else f"{text[:77]}..."


class Book:
    """The current answers: the last one of each person about a unit, of which the strictest counts."""

    def __init__(self) -> None:
        self._by_unit: dict[str, dict[str, Answer]] = {}

    def enter(self, answer: Answer) -> None:
        """Add an answer.

        An answer with a reviewer's name replaces that reviewer's earlier one. Answers without a name may come from
        different people, so all different ones are kept.
        """
        said = self._by_unit.setdefault(answer.id, {})
        who = f"={answer.reviewer}" if answer.reviewer else f"?{answer.strictness}"
        if answer.withdrawn:
            for name in [who] if answer.reviewer else [name for name in said if name.startswith("?")]:
                said.pop(name, None)
            if not said:
                del self._by_unit[answer.id]
        else:
            said[who] = answer

    def standing(self) -> Mapping[str, Answer]:
        """Return the strictest answer about each unit."""
        return {unit: max(said.values(), key=lambda one: one.strictness) for unit, said in self._by_unit.items()}

    def disagreements(self) -> Iterable[str]:
        """Return the units with different answers."""
        return [unit for unit, said in self._by_unit.items() if len({one.strictness for one in said.values()}) > 1]
