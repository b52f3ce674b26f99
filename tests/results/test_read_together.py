"""Readers that share a walk see the same rows in the same order, however they read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

import pytest

from autolabel.results.read_together import read_together
from autolabel.types import Image, Instances, Labels, Prompt

PROMPT = Prompt(("red",))


class Rows:
    """Rows that count how often each is made."""

    def __init__(self, count: int, *, fails_at: int | None = None) -> None:
        self.count, self.fails_at = count, fails_at
        self.made = self.walks = 0

    def __iter__(self) -> Iterator[Labels]:
        self.walks += 1
        for index in range(self.count):
            if index == self.fails_at:
                raise ValueError("damaged")
            self.made += 1
            image = Image(id=f"{index:06d}", path="", size=(4, 4))
            yield Labels(image=image, prompt=PROMPT, instances=Instances.empty())


def ids(rows: Iterable[Labels]) -> list[str]:
    return [row.image.id for row in rows]


def peek_then_all(rows: Iterable[Labels]) -> list[str]:
    """Read as an exporter does that looks at the first rows to choose its form."""
    next(iter(rows), None)
    assert ids(islice(rows, 3)) == ids(islice(rows, 3))
    return ids(rows)


@pytest.mark.parametrize("count", [0, 1, 63, 64, 65, 1000])
def test_rows_are_made_once_for_all_readers(count: int) -> None:
    rows = Rows(count)
    own, made = read_together(rows, [ids, peek_then_all, lambda _: [], ids], ids)
    assert own == made[0] == made[1] == made[3] == [f"{index:06d}" for index in range(count)]
    assert made[2] == [] and rows.made == count and rows.walks == 1


def test_a_second_iteration_walks_on_its_own() -> None:
    rows = Rows(500)
    own, [(first, second)] = read_together(rows, [lambda seen: (ids(seen), ids(seen))], ids)
    assert own == first == second and rows.walks == 2


def test_two_iterations_at_a_time_do_not_share_rows() -> None:
    def pairs(seen: Iterable[Labels]) -> list[tuple[str, str]]:
        return [(one.image.id, other.image.id) for one, other in zip(seen, seen, strict=True)]

    rows = Rows(500)
    own, [both] = read_together(rows, [pairs], ids)
    assert both == list(zip(own, own, strict=True)) and rows.walks == 2


def test_a_reader_that_stops_late_holds_nobody_up() -> None:
    rows = Rows(1000)
    own, [some, again, rest] = read_together(
        rows, [lambda seen: ids(islice(seen, 200)), lambda seen: ids(islice(seen, 200)) and ids(seen), ids], ids
    )
    assert own == again == rest and some == own[:200] and rows.walks == 2


def test_a_walk_that_its_own_reader_leaves_goes_on_for_the_others() -> None:
    first, [rest] = read_together(Rows(300), [ids], lambda rows: next(iter(rows)).image.id)
    assert first == "000000" and len(rest) == 300


def test_a_reader_that_fails_is_told_once_the_others_are_done() -> None:
    done = []

    def fails(rows: Iterable[Labels]) -> None:
        next(iter(rows))
        raise LookupError("no room")

    with pytest.raises(LookupError, match="no room"):
        read_together(Rows(1000), [fails, lambda rows: done.append(ids(rows))], ids)
    assert len(done[0]) == 1000


def test_rows_that_fail_fail_every_reader() -> None:
    faults = []

    def reader(rows: Iterable[Labels]) -> None:
        try:
            ids(rows)
        except ValueError as error:
            faults.append(str(error))
            raise

    with pytest.raises(ValueError, match="damaged"):
        read_together(Rows(1000, fails_at=700), [reader, reader], ids)
    assert faults == ["damaged", "damaged"]


def test_what_ends_the_walk_ends_every_reader() -> None:
    def stopped(rows: Iterable[Labels]) -> None:
        next(iter(rows))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        read_together(Rows(1000), [ids, ids], stopped)
