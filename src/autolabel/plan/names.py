"""Find class names that the detectors of a spec cannot read or cannot tell apart."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from autolabel.errors import Problem, SpecError
from autolabel.plan.files import on_this_machine
from autolabel.spec.model import Spec
from autolabel.spec.node import short
from autolabel.strategies import Detector, Reading


@dataclass(frozen=True, slots=True)
class _ClassPhrase:
    """A phrase that is asked on behalf of a class."""

    name: str
    index: int
    phrase: str
    negative: bool
    """Whether a box of the class that fits it better is dropped."""


def check_names(spec: Spec, *, fetch: bool = True) -> list[str]:
    """Return notices on phrases that a spec's detectors read differently than written.

    Without ``fetch``, detectors without local files are skipped.

    Raises SpecError for a phrase that a detector cannot read at all, and for two that it cannot distinguish because of
    characters that it cannot read.
    """
    asked = list(_phrases_of(spec))
    problems: list[Problem] = []
    notices: list[str] = []
    for index, stage in enumerate(spec.stages):
        for member, choice in enumerate(stage.choices):
            on_disk = fetch or on_this_machine(choice.params)
            if asked and on_disk and issubclass(choice.strategy, Detector):
                detector = choice.make()
                assert isinstance(detector, Detector)
                key = ("labelers", member) if stage.labelers else ("labeler",)
                problems += _unasked(spec, ("stages", index, *key), detector, asked)
                readings = [(one, detector.read(one.phrase)) for one in asked]
                problems += _unreadable(spec, readings, detector.name)
                notices += _partly_read(readings, detector.name)
                found, said = _alike(spec, readings, detector.name)
                problems += found
                notices += said
    if problems:
        raise SpecError(list(dict.fromkeys(problems)))
    return list(dict.fromkeys(notices))


def _unasked(
    spec: Spec, place: tuple[str | int, ...], detector: Detector, asked: Sequence[_ClassPhrase]
) -> Iterator[Problem]:
    """Yield a problem for every phrase in a detector's parameters that belongs to no class."""
    phrases = [one.phrase for one in asked]
    for phrase in detector.unasked(phrases):
        message = f"{detector.name} has examples of {short(phrase)}, and no class is asked by that"
        yield spec.problem(place, message, hint=f"the phrases are {', '.join(map(short, phrases[:8]))}")


def _phrases_of(spec: Spec) -> Iterator[_ClassPhrase]:
    """Yield all phrases and negative phrases of a spec's classes."""
    ontology = spec.data.ontology()
    for index, name in enumerate(spec.data.classes or ()):
        terms = ontology.get(name)
        for phrase in terms.phrases if terms else (name,):
            yield _ClassPhrase(name, index, phrase, negative=False)
        for phrase in terms.negatives if terms else ():
            yield _ClassPhrase(name, index, phrase, negative=True)


def _unreadable(spec: Spec, readings: Sequence[tuple[_ClassPhrase, Reading]], model: str) -> Iterator[Problem]:
    """Yield a problem for every phrase without readable tokens."""
    for one, reading in readings:
        if not reading.readable and reading.unknown:
            message = f"{model} can read nothing of {short(one.phrase)}: {_listed(reading.unknown)} to it"
            hint = f"ask for it in words that the model was trained with: classes: {{{one.name}: [its English name]}}"
            yield spec.problem(_place_of(spec, one), message, hint=hint)


def _partly_read(readings: Sequence[tuple[_ClassPhrase, Reading]], model: str) -> Iterator[str]:
    """Yield a notice for every phrase with unreadable parts."""
    for one, reading in readings:
        if reading.readable and reading.unknown:
            yield f"{model} cannot read all of {short(one.phrase)}: {_listed(reading.unknown)} to it"


def _alike(spec: Spec, readings: Sequence[tuple[_ClassPhrase, Reading]], model: str) -> tuple[list[Problem], list[str]]:
    """Return problems and notices on phrases that the model reads as the same."""
    first: dict[tuple[int | str, ...], tuple[_ClassPhrase, Reading]] = {}
    problems, notices = [], []
    for one, reading in readings:
        if not reading.pieces or not reading.readable:
            continue
        other, _ = first.setdefault(reading.pieces, (one, reading))
        if other is one or other.phrase == one.phrase:
            continue
        said = f"{short(other.phrase)} and {short(one.phrase)} read the same to {model}"
        if reading.unknown:
            hint = "ask for them in words that the model was trained with"
            problems.append(spec.problem(_place_of(spec, one), f"{said}: {_listed(reading.unknown)} to it", hint=hint))
        elif one.name == other.name and one.negative != other.negative:
            problems.append(spec.problem(_place_of(spec, one), f"{said}: it is a phrase and a negative of the class"))
        elif one.name != other.name and not one.negative and not other.negative:
            notices.append(f"{said}: every box is found once for each of them")
    return problems, notices


def _place_of(spec: Spec, one: _ClassPhrase) -> tuple[str | int, ...]:
    """Return the place of a class in the spec."""
    return ("data", "classes", one.name if isinstance(spec.data.classes, dict) else one.index)


def _listed(unknown: Sequence[str]) -> str:
    """Return the unknown parts, with a verb."""
    shown = ", ".join(map(repr, unknown[:5])) + (", ..." if len(unknown) > 5 else "")
    return f"{shown} {'is' if len(unknown) == 1 else 'are'} unknown"
