"""Thresholds that promise a precision: the promise holds, and where it cannot be made that is said."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest

from autolabel.errors import DataError
from autolabel.evaluate import calibrate
from autolabel.evaluate.calibration import CalibrationGoal, Judged, _ScoredBoxes, choose, thresholds
from autolabel.evaluate.precision_bound import chances, faultless_images, loosest, singles, starts, tally
from autolabel.types import Image, Instances, Labels, Prompt

NORMAL = NormalDist()
A, B = [0, 0, 20, 20], [50, 50, 90, 90]


def population(draw: np.random.Generator, images: int, *, together: float, base: float, slope: float) -> Judged:
    """Boxes whose chance to be right grows with the score; ``together`` is how much those of one image share luck."""
    counts = np.minimum(draw.negative_binomial(1.2, 0.25, images), 30)
    image = np.repeat(np.arange(images), counts)
    scores = draw.uniform(0.2, 1, len(image)).astype(np.float32)
    luck = np.sqrt(together) * draw.standard_normal(images)[image]
    luck += np.sqrt(1 - together) * draw.standard_normal(len(image))
    chance = np.clip(base + slope * scores, 0.001, 0.999)
    right = luck < np.array([NORMAL.inv_cdf(one) for one in np.round(chance, 3).tolist()])
    return Judged(image, np.zeros(len(image), np.int64), scores, right)


def part(boxes: Judged, images: np.ndarray[Any, Any]) -> Judged:
    inside = np.isin(boxes.images, images)
    return Judged(boxes.images[inside], boxes.classes[inside], boxes.scores[inside], boxes.right[inside])


def found_of(boxes: Judged, images: int) -> _ScoredBoxes:
    order = np.argsort(boxes.scores, kind="stable")
    names = tuple(map(str, range(images)))
    return _ScoredBoxes(boxes.scores[order], boxes.classes[order], boxes.images[order], names)


def broken(
    resamples: int, *, together: float, base: float, slope: float, checked: int = 80, images: int = 3000
) -> tuple[int, int]:
    """Return how many promises of ``resamples`` were made, and how many were broken: in the run, and where it is large
    also on held-back images."""
    draw = np.random.default_rng(7)
    boxes = population(draw, images, together=together, base=base, slope=slope)
    every = found_of(boxes, images)
    made = failed = 0
    for _ in range(resamples):
        order = draw.permutation(images)
        sample, seen = part(boxes, order[:checked]), frozenset(map(str, order[:checked].tolist()))
        wanted = CalibrationGoal(0.9, 0.95)
        found = choose(every, sample, wanted, images=checked, seen=seen, most=images / checked)
        if found["threshold"] is not None:
            held = part(boxes, order[checked:] if images >= 10 * checked else order)
            made += 1
            failed += held.right[held.scores >= np.float32(found["threshold"])].mean() < 0.9
    return made, failed


@pytest.mark.parametrize(
    ("together", "base", "slope", "made"), [(0.0, 0.65, 0.4, 25), (0.3, 0.75, 0.3, 20), (0.95, 0.895, 0.0, 0)]
)
def test_the_promise_holds_in_95_of_100_resamples(together: float, base: float, slope: float, made: int) -> None:
    promises, failed = broken(100, together=together, base=base, slope=slope)
    assert failed <= 5
    assert promises >= made


@pytest.mark.soak
@pytest.mark.parametrize("together", [0.0, 0.3, 0.7, 0.99])
@pytest.mark.parametrize(("base", "slope"), [(0.895, 0.0), (0.6, 0.4), (0.8, 0.2), (0.97, 0.0)])
@pytest.mark.parametrize("checked", [20, 60, 200])
def test_the_promise_holds_however_mistakes_come(together: float, base: float, slope: float, checked: int) -> None:
    """5 % and 2.4 standard errors of 400 resamples."""
    _, failed = broken(400, together=together, base=base, slope=slope, checked=checked)
    assert failed <= 0.076 * 400


@pytest.mark.soak
@pytest.mark.parametrize("together", [0.0, 0.3, 0.7, 0.99])
@pytest.mark.parametrize(("base", "slope"), [(0.895, 0.0), (0.6, 0.4), (0.8, 0.2)])
@pytest.mark.parametrize(("images", "checked"), [(100, 30), (100, 60), (100, 90), (300, 150)])
def test_the_promise_holds_for_small_runs(
    together: float, base: float, slope: float, images: int, checked: int
) -> None:
    _, failed = broken(400, together=together, base=base, slope=slope, checked=checked, images=images)
    print(f"small runs: {checked} of {images}, {together}, {base} {slope}: {failed / 400:.3f}")  # noqa: T201
    assert failed <= 0.06 * 400


def test_a_run_that_is_checked_wholly_gets_the_loosest_exact_threshold() -> None:
    boxes = population(np.random.default_rng(1), 60, together=0.5, base=0.6, slope=0.4)
    every, names = found_of(boxes, 60), frozenset(map(str, range(60)))
    found = choose(every, boxes, CalibrationGoal(0.9, 0.95), images=60, seen=names, most=1.0)
    levels = thresholds(every.scores)
    passes = [level for level in levels.tolist() if boxes.right[boxes.scores >= np.float32(level)].mean() >= 0.9]
    assert found["threshold"] == pytest.approx(min(passes)) and found["precision"] >= 0.9
    bad = population(np.random.default_rng(2), 60, together=0.5, base=0.3, slope=0.1)
    none = choose(found_of(bad, 60), bad, CalibrationGoal(0.9, 0.95), images=60, seen=names, most=1.0)
    assert none["threshold"] is None and "more_images" not in none, "nothing is left to check"


def test_advice_can_be_followed() -> None:
    """Never more images than the run has left; following it to the end is exact."""
    boxes = population(np.random.default_rng(3), 102, together=0.3, base=0.72, slope=0.3)
    sample = part(boxes, np.arange(20))
    seen = frozenset(map(str, range(20)))
    found = choose(found_of(boxes, 102), sample, CalibrationGoal(0.9, 0.95), images=20, seen=seen, most=102 / 20)
    assert found["threshold"] is None and 0 < found["more_images"] <= 82


def test_boxes_that_count_one_by_one_would_break_it() -> None:
    """Plain Clopper-Pearson takes 40 boxes of 4 images for 40 witnesses; the effective number does not."""
    together = np.array([[10, 10, 10, 10]])
    alone = np.ones((1, 40), np.int64)
    sharp = {"precision": 0.9, "risk": 0.05}
    assert chances(tally(alone, alone, precision=0.9), **sharp)[0] <= 0.05
    assert chances(tally(together, together, precision=0.9), **sharp)[0] > 0.2


def test_with_one_box_an_image_it_is_clopper_and_pearsons() -> None:
    """36 faultless trials are what 0.9 takes with half of 5 %; the degrees of freedom take a few more."""
    assert 0.9**36 < 0.025 < 0.9**35
    assert 36 <= faultless_images(precision=0.9, confidence=0.95) <= 42
    assert loosest(singles(20, 0.9), precision=0.9, confidence=0.95) is None


def test_the_risk_is_shared_out_and_handed_on() -> None:
    assert [sum(starts(count)) for count in (1, 3, 5, 40)] == [1, 3, 5, 5]
    assert all(starts(count)[-1] for count in range(1, 60))
    found = np.array([[1] * 40 + [0] * 260, [1] * 300, [1] * 300])
    right = np.array([[1] * 10 + [0] * 290, [1] * 300, [1] * 150 + [0] * 150])
    counts = tally(right, found, precision=0.9)
    assert loosest(counts, precision=0.9, confidence=0.95) == 1, "one that fails does not bar the looser ones"


def test_levels_are_scores_of_the_run_from_strict_to_loose() -> None:
    scores = np.sort(np.random.default_rng(0).uniform(0, 1, 1000).astype(np.float32))
    levels = thresholds(scores)
    assert len(levels) == 40 and (np.diff(levels) < 0).all() and levels[-1] == scores[0]
    assert [int((scores >= level).sum()) for level in levels[:2]] == [25, 50]
    assert thresholds(np.array([0.5, 0.5, 0.5], np.float32)).tolist() == [0.5]
    assert thresholds(np.zeros(0, np.float32)).tolist() == []


def run_and_truth(
    tmp_path: Path, right: int, wrong: int, *, unchecked: int = 0, sure: bool = False
) -> tuple[list[Labels], Path]:
    """Sure boxes are right, unsure ones wrong, one of a class an image; the last images are not in the
    truth, and unsure unless ``sure`` says otherwise."""
    rows, data = [], {"images": [], "annotations": [], "categories": [{"id": 3, "name": "Cat"}]}
    for number in range(right + wrong + unchecked):
        name = f"{number:04}.jpg"
        score = 0.9 if number < right or (sure and number >= right + wrong) else 0.4
        rows.append(
            Labels(
                image=Image(id=name, path="", size=(100, 200)),
                prompt=Prompt(("cat", "dog")),
                instances=Instances.build([A], scores=[score], labels=[0]),
            )
        )
        if number < right + wrong:
            box = A if number < right else B
            data["images"].append({"id": number + 1, "file_name": name, "height": 100, "width": 200})
            record = {"id": number + 1, "image_id": number + 1, "category_id": 3, "iscrowd": 0, "area": 400}
            data["annotations"].append(record | {"bbox": [box[0], box[1], box[2] - box[0], box[3] - box[1]]})
    path = tmp_path / "truth.json"
    path.write_text(json.dumps(data))
    return rows, path


def test_the_threshold_parts_right_from_wrong(tmp_path: Path) -> None:
    rows, truth = run_and_truth(tmp_path, 60, 30, unchecked=10)
    result = calibrate(rows, truth, classes=("cat", "dog"), precision=0.9)
    assert result.thresholds == {"cat": pytest.approx(0.9)} and result.complete
    [cat] = result.classes
    assert (cat.boxes, cat.kept, cat.checked, cat.right, cat.precision) == (100, 60, 60, 60, 1.0)
    assert (result.images, json.loads(json.dumps(result.as_dict()))["classes"][0]["name"]) == (90, "cat")


def test_too_few_checks_say_how_many_more(tmp_path: Path) -> None:
    rows, truth = run_and_truth(tmp_path, 10, 0, unchecked=900, sure=True)
    [cat] = calibrate(rows, truth, classes=("cat", "dog"), precision=0.9).classes
    assert cat.threshold is None and cat.more_images is not None and 26 <= cat.more_images <= 40
    assert cat.more_boxes == cat.more_images
    rows, truth = run_and_truth(tmp_path, 10 + cat.more_images, 0, unchecked=900 - cat.more_images, sure=True)
    assert calibrate(rows, truth, classes=("cat", "dog"), precision=0.9).complete, "the number that was told is enough"


def test_no_number_of_checks_makes_a_bad_class_good(tmp_path: Path) -> None:
    rows, truth = run_and_truth(tmp_path, 0, 40)
    [cat] = calibrate(rows, truth, classes=("cat",), precision=0.5).classes
    assert (cat.threshold, cat.more_images, cat.checked, cat.right) == (None, None, 40, 0)


def test_a_class_without_boxes_has_nothing_to_promise(row: Any, truth: Any) -> None:
    result = calibrate([row("a.jpg", [A])], truth({"a.jpg": [("cat", A)]}), classes=("cat", "dog"), precision=0.9)
    cat, dog = result.classes
    assert (dog.boxes, dog.threshold, dog.more_images) == (0, None, None)
    assert cat.threshold == pytest.approx(0.9) and cat.more_images is None, "its one box is checked: exact"
    unseen = calibrate(
        [row("a.jpg"), row("b.jpg", [A])], truth({"a.jpg": [("cat", A)]}), classes=("cat",), precision=0.9
    )
    assert unseen.classes[0].more_boxes == 1, "no more than the run has left"


@pytest.mark.parametrize("wrong", [{"precision": 0}, {"precision": 1}, {"precision": 0.9, "confidence": 1.0}])
def test_impossible_promises_are_refused(wrong: dict[str, Any], row: Any, truth: Any) -> None:
    with pytest.raises(DataError, match="must be above 0 and below 1"):
        calibrate([row("a.jpg", [A])], truth({"a.jpg": [("cat", A)]}), classes=("cat",), **wrong)
