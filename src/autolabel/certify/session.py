"""One certificate in progress: the draw, the next units, the answers, the statements."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from autolabel.certify import journal as entries
from autolabel.certify.answers import Answer, Book, parse_answer, shortened
from autolabel.certify.checks import Checks, Settings
from autolabel.certify.entry_form import Entry
from autolabel.certify.evidence import DrawRound
from autolabel.certify.goals import BOX_SECONDS, IMAGE_SECONDS, MISSED_SECONDS, CertificateProgress, Goals, next_draws
from autolabel.certify.journal import CertificateJournal
from autolabel.certify.order import digest_of, seed_of, shuffled
from autolabel.certify.units import Units
from autolabel.errors import DataError, Problem

Unit = dict[str, Any]
_Place = tuple[str, int]
"""``b`` or ``i``, and the place of a box or an image."""


class CertificateSession:
    """A journal together with its units.

    A unit's name is the population's digest, ``b`` or ``i``, and its key, so that answers about another run or about
    unknown boxes are detected.
    """

    def __init__(self, journal: CertificateJournal, units: Units, recorded: Sequence[Entry]) -> None:
        """Replay the journal; raises DataError if it is damaged, or its seed was changed."""
        self.journal, self.units, self.draw = journal, units, recorded[0]["draw"]
        caps = tuple(self.draw["class_K"].get(name, self.draw["K"]) for name in units.classes)
        self.checks = Checks(units, Settings(confidence=self.draw["confidence"], cap=self.draw["K"], caps=caps))
        self.goals, self.book, self.seed = Goals(), Book(), ""
        self.shown: dict[_Place, None] = {}
        """Units that were shown, in the order in which they were."""
        for number, entry in enumerate(recorded[1:], 2):
            self._replay(number, entry)
        self._settle()

    @property
    def prefix(self) -> str:
        """The common prefix of the names of all units."""
        return self.units.digest[:8]

    def next(self, count: int, *, top_up: bool = True) -> list[Unit]:
        """Return up to ``count`` units to check, and record that they were shown.

        Units that were shown but not answered come first, so that none is skipped. If there are any and ``top_up`` is
        False, no others are added. Empty once everything is checked.
        """
        waiting = self.waiting()[:count]
        fresh = [] if waiting and not top_up else list(self._fresh(count - len(waiting)))
        if fresh:
            self.journal.append([entries.shown_entry(self.name(*unit) for unit in fresh)])
            self.shown.update(dict.fromkeys(fresh))
            self._settle()
        return [self.described(*unit) for unit in (*waiting, *fresh)]

    def answer(self, answers: Sequence[Answer], *, file: str = "", lines: Sequence[int] = ()) -> None:
        """Add all answers, on disk before this returns; or none.

        Raises DataError for unknown units, for units that were not drawn yet, and for answers that do not fit their
        unit, with ``file`` and line numbers if given.
        """
        wrong: list[Problem] = []
        for index, one in enumerate(answers):
            if said := self._objection(one):
                message, hint = said
                line = lines[index] if index < len(lines) else 0
                wrong.append(Problem(file=file or "answer", line=line, column=1, message=message, hint=hint))
        if wrong:
            raise DataError(shortened(wrong, file))
        self.journal.append([entries.answered(one) for one in answers])
        for one in answers:
            self.book.enter(one)
        self._settle()

    def begin_round(self, known: Iterable[_Place] = ()) -> None:
        """Draw a new order of all unanswered units; ``known`` were decided outside the draw since the last round.

        Raises DataError if a shown unit has no answer, because skipping it would bias the sample.
        """
        if waiting := self.waiting():
            raise DataError(
                f"{len(waiting)} shown units have no answer, and a new round may begin only when they have",
                hint='answer them (`autolabel certify RUN --next N`), with "cannot tell" if you are unsure',
            )
        number = len(self.checks.box_rounds) + 1
        chosen = sorted(self.name(*place) for place in known)
        seed = seed_of(self.units.digest, self._known_digest(chosen), number)
        entry = {"round": {"number": number, "seed": seed, "chosen": chosen}}
        self.journal.append([entry])
        self._replay(0, entry)
        self._settle()

    def want(self, goals: Goals) -> None:
        """Record new goals."""
        if goals != self.goals:
            wanted = {name: getattr(goals, name) for name in ("precision", "recall", "by_class", "budget")}
            self.journal.append([{"wanted": wanted}])
            self.goals = goals

    def waiting(self) -> list[_Place]:
        """Return the units of the round that were shown but not answered, in the order shown."""
        return [unit for unit in self.shown if not self.is_decided(unit)]

    def seconds(self) -> tuple[float, float]:
        """Return the modelled working time of the checked boxes and images."""
        missed = sum(len(one) for one in self.checks.images.values() if one)
        boxes = len(self.checks.boxes.keys() - self.checks.box_rounds[0].known)
        images = len(self.checks.images.keys() - self.checks.image_rounds[0].known)
        return boxes * BOX_SECONDS, images * IMAGE_SECONDS + missed * MISSED_SECONDS

    def name(self, kind: str, place: int) -> str:
        """Return a unit's name."""
        keys = self.units.box_keys if kind == "b" else self.units.image_keys
        return f"{self.prefix}-{kind}{keys[place]:016x}"

    def described(self, kind: str, place: int) -> Unit:
        """Return a unit as printed by ``certify --next``."""
        facts = self.units.box(place) if kind == "b" else self.units.image(place)
        return {"id": self.name(kind, place), **facts}

    def place(self, name: str) -> _Place | None:
        """Return the unit with a name; None if it is not in this population."""
        prefix, _, rest = name.partition("-")
        kind, key = rest[:1], rest[1:]
        if prefix != self.prefix or kind not in ("b", "i") or len(key) != 16:
            return None
        places = self.units.place_of_box if kind == "b" else self.units.place_of_image
        try:
            place = places.get(int(key, 16))
        except ValueError:
            return None
        return None if place is None else (kind, place)

    def _fresh(self, count: int) -> Iterable[_Place]:
        """Return the next units of the two orders, and of single classes if requested."""
        from autolabel.certify.state import progress

        if count <= 0:
            return []
        boxes, images = self._left(self.checks.box_rounds[-1], "b"), self._left(self.checks.image_rounds[-1], "i")
        stage, first = progress(self)
        if self.goals.recall is None:
            images = images[:0]
        if len(first):  # classes with too few drawn units
            boxes = np.concatenate([boxes[np.isin(boxes, first)], boxes[~np.isin(boxes, first)]])
        out: list[_Place] = []
        taken = {"box": 0, "image": 0}
        for kind, some in next_draws(stage, boxes=len(boxes), images=len(images), count=count):
            source = boxes if kind == "box" else images
            out += [(kind[0], place) for place in source[taken[kind] : taken[kind] + some].tolist()]
            taken[kind] += some
        return sorted(out, key=lambda unit: unit[0])  # boxes first, so that the kind of work does not alternate

    def _left(self, one: DrawRound, kind: str) -> Any:
        gone = [place for name, place in self.shown if name == kind]
        return one.order[~np.isin(one.order, gone)]

    def stage(self, *, recall_settled: bool) -> CertificateProgress:
        """Return the progress, including units that were shown but not answered."""
        boxes, images = self.seconds()
        seen = len(self.checks.images)
        missed = sum(len(one) for one in self.checks.images.values() if one)
        each = IMAGE_SECONDS + MISSED_SECONDS * (missed / seen if seen else 0.5)
        waiting = self.waiting()
        return CertificateProgress(
            box_seconds=boxes + BOX_SECONDS * sum(kind == "b" for kind, _ in waiting),
            image_seconds=images + each * sum(kind == "i" for kind, _ in waiting),
            seconds_an_image=each,
            recall_settled=recall_settled,
        )

    def is_decided(self, unit: _Place) -> bool:
        """Return whether a unit is answered or was known before."""
        return unit[1] in (self.checks.boxes if unit[0] == "b" else self.checks.images)

    def _replay(self, number: int, entry: Entry) -> None:
        if "wanted" in entry:
            self.goals = Goals(**entry["wanted"])
        elif "shown" in entry:
            self.shown.update(dict.fromkeys(self._known_place(number, name) for name in entry["shown"]))
        elif "answer" in entry:
            self._replay_answer(number, parse_answer(entry["answer"]))
        elif "round" in entry:
            self._begin(number, entry["round"])

    def _replay_answer(self, number: int, one: Answer) -> None:
        place = self.place(one.id)
        if place is not None and (said := _unfit(one, place[0])):
            raise DataError(self._damage(number, said[0]))
        self.book.enter(one)

    def _known_place(self, number: int, name: str) -> _Place:
        if (place := self.place(name)) is None:
            raise DataError(self._damage(number, f"{name} is not a unit of these labels"))
        return place

    def _begin(self, number: int, one: Mapping[str, Any]) -> None:
        """Begin a round: decided units are known, all others get a random order."""
        self._settle()
        expected = seed_of(self.units.digest, self._known_digest(one["chosen"]), one["number"])
        if one["seed"] != expected:
            said = f"the seed {one['seed'][:16]} is not the one that these labels give"
            hint = "the seed must follow from the labels and earlier decisions; begin again with --redraw"
            raise DataError(self._damage(number, said, hint))
        self.seed = expected
        for name in one["chosen"]:
            kind, place = self._known_place(number, name)
            if kind == "b":
                self.checks.boxes.setdefault(place, "yes")
            else:
                self.checks.images.setdefault(place, ())
        for kind, rounds, done, keys in self._columns():
            rounds.append(_drawn(f"{expected} {kind}", keys, frozenset(done)))
        self.shown = {}

    def _columns(self) -> list[tuple[str, list[DrawRound], Mapping[int, Any], Any]]:
        boxes, images = self.units.keys()
        return [
            ("box", self.checks.box_rounds, self.checks.boxes, boxes),
            ("image", self.checks.image_rounds, self.checks.images, images),
        ]

    def _known_digest(self, chosen: Iterable[str]) -> str:
        names = {self.name("b", place) for place in self.checks.boxes}
        names |= {self.name("i", place) for place in self.checks.images}
        keys: dict[str, set[int]] = {"b": set(), "i": set()}
        for name in names.union(chosen):
            rest = name.partition("-")[2]
            keys[rest[0]].add(int(rest[1:], 16))
        return digest_of(keys["b"], keys["i"])

    def _settle(self) -> None:
        """Update verdicts and rounds from the answers."""
        known = [one.known for one in (*self.checks.box_rounds[-1:], *self.checks.image_rounds[-1:])]
        standing = {self.place(unit): one for unit, one in self.book.standing().items()}
        for place, kept in zip(("b", "i"), known, strict=False):
            done: dict[int, Any] = self.checks.boxes if place == "b" else self.checks.images
            for unit in [unit for unit in done if unit not in kept and (place, unit) not in standing]:
                del done[unit]
        for where, answer in standing.items():
            if where is not None:
                self.checks.take(*where, answer)
        for kind, rounds, _, _ in self._columns():
            if rounds:
                rounds[-1] = _with_shown(rounds[-1], {place for name, place in self.shown if name == kind[0]})

    def _objection(self, one: Answer) -> tuple[str, str] | None:
        """Return what is wrong with an answer, and what to do; None if it is valid."""
        ask = "`autolabel certify RUN --next N --json` prints the units to answer"
        place = self.place(one.id)
        if place is None:
            other = one.id[8:9] == "-" and one.id[:8] != self.prefix
            return (
                f"{one.id!r} belongs to a sample of another run, or of earlier labels"
                if other
                else f"{one.id!r} is not a unit of this run"
            ), ask
        if place not in self.shown and not self.is_decided(place):
            return f"{one.id!r} has not been drawn yet, and only drawn units are evidence", ask
        kind, number = place
        if one.withdrawn:
            latest = (self.checks.box_rounds if kind == "b" else self.checks.image_rounds)[-1]
            earlier = number in latest.known
            return ("an answer of an earlier round cannot be taken back", "answer it anew") if earlier else None
        if said := _unfit(one, kind):
            return said
        return self._misplaced(one, number) if kind == "i" else None

    def _misplaced(self, one: Answer, image: int) -> tuple[str, str] | None:
        height, width = self.units.rows[image].size
        for missed in one.missed or ():
            if missed.phrase is not None and missed.phrase not in self.units.place_of_class:
                return f"{missed.phrase!r} is not a class of this run", f"one of {', '.join(self.units.classes[:10])}"
            xs, ys = missed.place[0::2], missed.place[1::2]
            if height and (any(not 0 <= x <= width for x in xs) or any(not 0 <= y <= height for y in ys)):
                return f"{list(missed.place)} lies outside the image of {width}x{height}", "x before y, in pixels"
        return None

    def _damage(self, number: int, message: str, hint: str = "") -> list[Problem]:
        return [Problem(file=str(self.journal.path), line=number, column=1, message=message, hint=hint)]


def _unfit(one: Answer, kind: str) -> tuple[str, str] | None:
    """Return why an answer does not fit this kind of unit, and what to do; None if it fits."""
    if one.withdrawn:
        return None
    if kind == "b" and one.verdict is None:
        return f"{one.id!r} is a box: its answer is a verdict, not missed", "yes, no or cannot tell"
    if kind == "i" and one.verdict in ("yes", "no"):
        return f'{one.id!r} is an image: its answer is missed, or "cannot tell"', "0 where it lacks nothing"
    return None


def _drawn(seed: str, keys: Any, known: frozenset[int]) -> DrawRound:
    left = np.setdiff1d(np.arange(len(keys)), np.fromiter(known, np.int64, len(known)), assume_unique=True)
    return DrawRound(known, left[shuffled(seed, keys[left])])


def _with_shown(one: DrawRound, places: set[int]) -> DrawRound:
    """Return a round with the length of the shown prefix of its order; units shown beyond it are of single classes."""
    count = 0
    for unit in one.order.tolist():
        if unit not in places:
            break
        count += 1
    return DrawRound(one.known, one.order, count)
