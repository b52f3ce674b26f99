"""Which rows a report counts and shows."""

from collections import Counter

import numpy as np

from autolabel.report import sample
from autolabel.report.sample import ROWS, Sampler, Smallest
from autolabel.results.tally import BINS, MOST_PHRASES, Tally
from autolabel.types import Labels
from tests.report.rows import make_row

BOX = [1, 2, 30, 40]


def survey(rows: list[Labels]) -> Sampler:
    sampler = Sampler()
    for place, row in enumerate(rows):
        sampler.add(place, row)
    return sampler


def many(count: int) -> list[Labels]:
    scores = np.random.default_rng(1).uniform(0.2, 1, count)
    return [
        make_row(f"{i:05d}.jpg", [BOX], scores=[scores[i]], phrases=("cell", f"rare {i}"), labels=[i % 500 == 7])
        for i in range(count)
    ]


def test_few_rows_are_all_shown_but_the_failed_ones() -> None:
    rows = [make_row("a.jpg", [BOX]), make_row("b.jpg"), make_row("c.jpg", failure=("missing", "gone"))]
    sampler = survey(rows)
    assert sampler.chosen() == {0, 1}
    assert sampler.failures() == {2}


def test_of_many_rows_a_bounded_number_is_shown_with_the_least_certain_and_the_rare() -> None:
    rows = many(3000)
    chosen = survey(rows).chosen()
    assert len(chosen) == ROWS
    least = sorted(range(3000), key=lambda i: rows[i].instances.scores[0])[: sample.LEAST_CERTAIN]
    assert chosen >= set(least)
    assert chosen >= {i for i in range(3000) if i % 500 == 7}


def test_every_round_is_shown() -> None:
    rows = [make_row(f"{i:04d}.jpg", [BOX], rounds=[3 if i == 900 else 0]) for i in range(1000)]
    assert 900 in survey(rows).chosen()


def test_the_sample_depends_on_nothing_but_the_rows() -> None:
    rows = many(1000)
    backwards = survey(rows[::-1]).chosen()
    assert survey(rows).chosen() == {999 - place for place in backwards}


def test_the_rest_is_uniform() -> None:
    rows = [make_row(f"{i:05d}.jpg") for i in range(4000)]
    quarters = Counter(place // 1000 for place in survey(rows).chosen())
    assert all(35 <= quarters[quarter] <= 85 for quarter in range(4))


def test_smallest_keeps_the_smallest() -> None:
    keys = np.random.default_rng(2).permutation(50)
    kept = Smallest(5)
    for item, key in enumerate(keys.tolist()):
        kept.add(key, item)
    assert [int(keys[item]) for item in kept.items()] == [0, 1, 2, 3, 4]


def test_counts() -> None:
    tally = Tally()
    tally.add(make_row("a.jpg", [BOX, BOX], scores=[1.0, 0.26], labels=[0, 1], rounds=[0, 2], caption_index=0))
    tally.add(make_row("a.jpg", [BOX], scores=[1.0], rounds=[-1], caption_index=1))
    tally.add(make_row("b.jpg"))
    tally.add(make_row("c.jpg", failure=("missing", "gone")))
    assert (tally.rows, tally.images, tally.boxes, tally.usable) == (4, 3, 3, 3)
    assert tally.states == {"labelled": 2, "empty": 1, "failed": 1}
    assert tally.reasons == {"missing": 1}
    assert tally.found == {("cell", 0): 1, ("dot", 2): 1, ("cell", -1): 1}
    assert tally.first_rounds == {0: 1, -1: 1}
    assert tally.rounds == [-1, 0, 2]
    assert tally.scores["cell"] == [0] * (BINS - 1) + [1]
    assert tally.scores["dot"][5] == 1 and sum(tally.scores["dot"]) == 1


def test_phrases_beyond_a_bound_are_counted_together() -> None:
    tally = Tally()
    for number in range(MOST_PHRASES + 5):
        tally.add_box(f"phrase {number}", round=0, score=0.5)
    tally.add_box("phrase 0", round=0, score=0.5)
    assert len(tally.classes) == MOST_PHRASES + 1
    assert tally.classes[None] == 5
    assert tally.boxes == MOST_PHRASES + 6
    ranked = tally.ranked()
    assert ranked[0] == "phrase 0" and ranked[-1] is None
