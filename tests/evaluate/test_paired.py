"""Two runs on the same images: the gain is that of the figures, and chance alone is not accepted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from autolabel.errors import DataError
from autolabel.evaluate import evaluate
from autolabel.evaluate.paired import Estimate, measure_gain
from autolabel.percentiles import expanded_percentiles


def gained(before: Any, after: Any, truth: Any, **more: Any) -> Any:
    return measure_gain(before, after, truth, group_of=more.get("group_of", str))


def square(place: int) -> tuple[int, int, int, int]:
    return place, 10, place + 20, 30


@pytest.fixture
def scene(row: Any, truth: Any) -> tuple[list[Any], list[Any], Any]:
    """Eight images with two cats each: the first run finds one and a wrong one, the second both."""
    names = [f"{number}.png" for number in range(8)]
    file = truth({name: [("cat", square(0)), ("cat", square(60))] for name in names})
    before = [row(name, [square(0), square(120)]) for name in names]
    after = [row(name, [square(0), square(60)]) for name in names]
    return before, after, file


def test_figures_are_those_of_evaluate(scene: Any) -> None:
    before, after, file = scene
    found = gained(before, after, file)
    for side, labels in (("before", before), ("after", after)):
        single = evaluate(labels, file)
        assert getattr(found.ap, side).value == pytest.approx(single.boxes.ap)
        assert getattr(found.ap50, side).value == pytest.approx(single.boxes.ap50)
        assert getattr(found.precision, side).value == single.total.precision
        assert getattr(found.recall, side).value == single.total.recall
        assert getattr(found.f1, side).value == single.total.f1
    assert found.recall.gain.value == 0.5 and found.recall.gain.interval == (0.5, 0.5)
    assert (found.images, found.groups, found.objects) == (8, 8, 16)


def test_images_of_a_group_are_drawn_together(scene: Any, row: Any) -> None:
    """The gain lies in half of the images; as two groups they leave more open than as eight."""
    before, after, file = scene
    mixed = [*after[:4], *before[4:]]
    apart = gained(before, mixed, file).recall.gain
    together = gained(before, mixed, file, group_of=lambda name: "a" if name < "4" else "b")
    assert together.groups == 2 and together.recall.gain.value == apart.value == 0.25
    assert together.recall.gain.interval == (0.0, 0.5)
    assert apart.interval[0] > 0 or apart.interval[1] < 0.5


def test_one_group_has_no_interval_and_nothing_found_no_precision(scene: Any, row: Any) -> None:
    before, after, file = scene
    assert gained(before, after, file, group_of=lambda name: "all").ap50.gain.interval is None
    nothing = [row(labels.image.id) for labels in before]
    assert gained(nothing, after, file).precision.before == Estimate(value=None, interval=None)


def test_runs_over_other_images_are_refused(scene: Any) -> None:
    before, after, file = scene
    with pytest.raises(DataError, match="differ in their images"):
        gained(before, after[:5], file)


@pytest.mark.parametrize(("groups", "tail"), [(6, 0.243), (20, 1.588), (10**6, 2.5)])
def test_few_groups_widen_the_interval(groups: int, tail: float) -> None:
    """A tail is that of t with one degree less, stretched by n / (n - 1): Phi(-2.571 * sqrt(6 / 5)) for six."""
    levels = expanded_percentiles(groups)
    assert levels is not None and levels == pytest.approx((tail, 100 - tail), abs=0.001)


@pytest.mark.soak
@pytest.mark.parametrize("images", [6, 12])
def test_chance_alone_is_seldom_above_zero(row: Any, truth: Any, images: int) -> None:
    """Two runs that are equally good by construction: each image's labels are dealt to them by a coin.

    A lower bound of 95 % is above zero in one case of forty; 12 of 200 would happen once in ten thousand series.
    """
    generator = np.random.default_rng(images)
    names = [f"{number}.png" for number in range(images)]
    file = truth({name: [("cat", square(0)), ("cat", square(60)), ("cat", square(120))] for name in names})
    above = 0
    for _ in range(200):
        sides: tuple[list[Any], list[Any]] = ([], [])
        for name in names:
            found = [
                row(name, [square(x) for x in (0, 60, 120, 160) if generator.random() < chance])
                for chance in (0.8, 0.5)
            ]
            first = int(generator.integers(2))
            sides[0].append(found[first])
            sides[1].append(found[1 - first])
        interval = gained(*sides, file).ap50.gain.interval
        above += interval is not None and interval[0] > 0
    assert above < 12
