"""The choice among wordings, and what of the winner's figure is luck."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import pytest

from autolabel.evaluate.precision import average_precision
from autolabel.evaluate.scene import Objects, Scene
from autolabel.phrases.choose import Chooser
from autolabel.phrases.judged import ClassJudge, Float64, FoundBoxes, Phrases

IMAGES = 24


class DrawnJudge:
    """Knows what each phrase finds, and lets a union find what any of its phrases does."""

    def __init__(self, by_phrase: Mapping[str, FoundBoxes]) -> None:
        self.by_phrase = by_phrase
        self.true: Float64 = next(iter(by_phrase.values())).true
        self.rows = list(self.true)

    def found(self, phrases: Phrases) -> FoundBoxes:
        best: dict[tuple[int, bool], float] = {}
        for one in (self.by_phrase[phrase] for phrase in phrases):
            for image, score, right in zip(one.images.tolist(), one.scores.tolist(), one.right.tolist(), strict=True):
                best[image, right] = max(score, best.get((image, right), 0))
        keys = list(best)
        return ranked([image for image, _ in keys], list(best.values()), [right for _, right in keys], self.true)


class SingleChooser(Chooser):
    """Chooses among single phrases."""

    def grown(self, start: Phrases, beside: Sequence[Phrases], times: Float64) -> tuple[Phrases, float]:
        return start, self.precision(start, times)


def ranked(images: Any, scores: Any, right: Any, true: Any) -> FoundBoxes:
    order = np.argsort(-np.asarray(scores), kind="stable")
    return FoundBoxes(
        np.asarray(images, np.int64)[order],
        np.asarray(scores, np.float64)[order],
        np.asarray(right, bool)[order],
        np.asarray(true, np.float64),
    )


def chooser(today: Phrases, **by_phrase: FoundBoxes) -> Chooser:
    judge = cast(ClassJudge, DrawnJudge(by_phrase))
    return Chooser(judge, today, tuple(phrase for phrase in by_phrase if phrase not in today))


def finding(share: float, seed: int, *, images: int = IMAGES, alarms: float = 0.5) -> FoundBoxes:
    """One object an image; a phrase finds it with this chance, and invents a box as surely with another."""
    random = np.random.default_rng(seed)
    hits = np.flatnonzero(random.uniform(size=images) < share)
    wrong = np.flatnonzero(random.uniform(size=images) < alarms)
    return ranked(
        np.concatenate([hits, wrong]),
        np.concatenate([random.uniform(0.4, 1, len(hits)), random.uniform(0.2, 0.8, len(wrong))]),
        np.arange(len(hits) + len(wrong)) < len(hits),
        np.ones(images),
    )


def test_figures_by_hand() -> None:
    found = ranked([0, 1, 1, 2], [0.9, 0.8, 0.7, 0.6], [True, False, True, False], [1, 2, 0])
    once = np.ones(3)
    f1, threshold = found.best_f1(once)
    assert f1 == pytest.approx(2 * 2 / (3 + 3)) and threshold == 0.7
    assert found.false_alarms(0.7) == (1, 0) and found.false_alarms(0.6) == (2, 1)
    assert found.false_alarms(None) == (0, 0)
    assert found.best_f1(np.array([1.0, 0, 0])) == (1.0, 0.9)
    nothing = ranked([0], [0.9], [False], [1])
    assert nothing.best_f1(np.ones(1)) == (0.0, None) and nothing.average_precision(np.ones(1)) == 0
    empty = ranked([], [], [], [1, 1])
    assert empty.best_f1(np.ones(2)) == (0.0, None) and empty.average_precision(np.ones(2)) == 0


def test_average_precision_is_cocos() -> None:
    random = np.random.default_rng(5)
    scenes, images, scores, right = [], list[int](), list[float](), list[bool]()
    for number in range(20):
        true = np.array([[20 * place, 0, 20 * place + 10, 10] for place in range(3)], float)
        hit = random.uniform(size=3) < 0.6
        found = np.where(hit[:, None], true, true + np.array([0, 50, 0, 50]))
        own = random.uniform(0, 1, 3)
        scenes.append(scene(true, found, own))
        images += [number] * 3
        scores += own.tolist()
        right += hit.tolist()
    expected = average_precision(scenes, ("cell",), "bbox").ap50
    got = ranked(images, scores, right, np.full(20, 3)).average_precision(np.ones(20))
    assert got == pytest.approx(expected, abs=1e-9)


def scene(true: Any, found: Any, scores: Any) -> Scene:
    def objects(boxes: Any) -> Objects:
        count = len(boxes)
        return Objects(boxes=boxes, classes=np.zeros(count, np.int64), masks=(None,) * count, ids=(None,) * count)

    return Scene(
        size=(100, 100),
        true=objects(true),
        crowds=np.zeros(len(true), bool),
        areas=np.full(len(true), 100.0),
        broken=np.zeros(len(true), bool),
        found=objects(found),
        scores=scores,
        rounds=np.zeros(len(found), np.int64),
        shares=np.ones(len(found)),
        verdicts=np.full(len(found), np.nan),
    )


def test_todays_phrase_stands_among_equals() -> None:
    same = finding(0.7, 1)
    assert chooser(("a",), a=same, b=same, c=same).choose(np.ones(IMAGES)) == ("a",)


def test_a_better_phrase_is_chosen_and_its_penalty_is_none() -> None:
    made = chooser(("a",), a=finding(0.2, 1), b=finding(1.0, 2, alarms=0), c=finding(0.1, 3))
    assert made.choose(np.ones(IMAGES)) == ("b",)
    penalty, stable = made.penalty(("b",))
    assert penalty == 0 and stable == 1
    low, high = made.against_today(("b",)) or (0, 0)
    assert 0.4 < low < high <= 1


def test_a_union_is_taken_where_each_finds_what_the_other_misses() -> None:
    half = IMAGES // 2
    even = ranked(np.arange(half), np.full(half, 0.9), np.ones(half), np.ones(IMAGES))
    odd = ranked(np.arange(half, IMAGES), np.full(half, 0.9), np.ones(half), np.ones(IMAGES))
    made = chooser(("a",), a=even, b=odd, c=finding(0.3, 1))
    assert made.choose(np.ones(IMAGES)) == ("a", "b")
    assert ("a", "b") in made.unions(np.ones(IMAGES))
    assert made.penalty(("a", "b")) == (0, 1)


def test_a_phrase_that_adds_nothing_is_not_taken_in() -> None:
    good = finding(0.9, 1, alarms=0)
    made = chooser(("a",), a=good, b=good)
    assert made.choose(np.ones(IMAGES)) == ("a",)


def test_without_two_images_that_hold_an_object_nothing_is_told_of_luck() -> None:
    true = np.zeros(IMAGES)
    true[3] = 1
    found = ranked([3], [0.9], [True], true)
    made = chooser(("a",), a=ranked([], [], [], true), b=found)
    assert made.choose(np.ones(IMAGES)) == ("b",) and made.penalty(("b",)) == (None, None)
    one = chooser(("a",), a=ranked([0], [0.9], [True], [1]), b=ranked([0], [0.8], [True], [1]))
    assert one.against_today(("b",)) is None


def test_each_image_is_held_back_once_in_every_deal() -> None:
    made = chooser(("a",), a=finding(0.7, 1), b=finding(0.7, 2))
    held = list(made.deals())
    assert len(held) == 20
    for deal in range(4):
        assert (np.sum(held[5 * deal : 5 * deal + 5], axis=0) == 1).all()


def test_the_penalty_is_what_the_winner_owes_to_luck() -> None:
    """Twelve phrases that are equally good: the winner's AP less its penalty is what a phrase reaches on new images."""
    apparent, corrected, wins = [], [], 0
    for seed in range(30):
        phrases = {f"p{number}": finding(0.6, 1000 * seed + number) for number in range(12)}
        made = SingleChooser(cast(ClassJudge, DrawnJudge(phrases)), ("p0",), tuple(phrases)[1:])
        once = np.ones(IMAGES)
        winner = made.choose(once)
        penalty, _ = made.penalty(winner)
        assert penalty is not None
        apparent.append(made.precision(winner, once))
        corrected.append(apparent[-1] - penalty)
        wins += penalty > 0
    truth = np.mean([finding(0.6, 77_000 + seed).average_precision(np.ones(IMAGES)) for seed in range(400)])
    assert np.mean(apparent) - truth > 0.08, "the best of twelve looks better than it is"
    assert abs(np.mean(corrected) - truth) < 0.04 and wins > 20


@pytest.mark.parametrize("seed", range(3))
def test_luck_alone_is_not_shown_to_be_better(seed: int) -> None:
    phrases = {f"p{number}": finding(0.6, 100 * seed + number) for number in range(8)}
    made = SingleChooser(cast(ClassJudge, DrawnJudge(phrases)), ("p0",), tuple(phrases)[1:])
    winner = made.choose(np.ones(IMAGES))
    bounds, (penalty, _) = made.against_today(winner), made.penalty(winner)
    assert winner == ("p0",) or (bounds is not None and penalty is not None and bounds[0] - penalty <= 0)
