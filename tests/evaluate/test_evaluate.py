"""Evaluations counted by hand, and against pycocotools called the plain way."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from rich.console import Console

from autolabel.errors import DataError
from autolabel.evaluate import evaluate
from autolabel.evaluate.table import render_evaluation
from autolabel.types import Image, Instances, Labels, Prompt, Rle

SIZE = (100, 200)
A, B, C = [0, 0, 20, 20], [50, 50, 90, 90], [100, 10, 180, 80]


def test_perfect_labels_score_one(row: Any, truth: Any) -> None:
    result = evaluate([row("a.jpg", [A, B], labels=[0, 1])], truth({"a.jpg": [("cat", A), ("dog", B)]}))
    assert result.boxes.ap == pytest.approx(1) and result.boxes.ap50 == pytest.approx(1)
    assert (result.total.precision, result.total.recall, result.total.f1) == (1, 1, 1)
    assert result.boxes.ap_small == pytest.approx(1) and result.boxes.ap_large is None
    assert result.masks is None and result.overlap is None and result.notes == ()


def test_right_wrong_and_missed_are_counted_by_class(row: Any, truth: Any) -> None:
    rows = [row("a.jpg", [A, A, B], labels=[0, 0, 0], scores=[0.5, 0.9, 0.4]), row("b.jpg", [C], labels=[1])]
    result = evaluate(rows, truth({"a.jpg": [("cat", A), ("dog", B)], "b.jpg": [("dog", C), ("cat", A)]}))
    cat, dog = result.classes
    assert (cat.true, cat.found, cat.right) == (2, 3, 1)
    assert (dog.true, dog.found, dog.right) == (2, 1, 1)
    assert cat.precision == pytest.approx(1 / 3) and cat.recall == 0.5 and cat.f1 == pytest.approx(2 / 5)
    assert (result.total.true, result.total.found, result.total.right) == (4, 4, 2)
    assert [(c.true, c.found, c.count) for c in result.confusions] == [("dog", "cat", 1)]


def test_rounds_tell_what_annealing_added(row: Any, truth: Any) -> None:
    rows = [row("a.jpg", [A, B, C, [0, 60, 20, 90]], rounds=[0, 1, 1, 2])]
    result = evaluate(rows, truth({"a.jpg": [("cat", A), ("cat", B), ("cat", [110, 10, 180, 80]), ("dog", C)]}))
    assert [(r.round, r.found, r.right, r.wrong, r.recall) for r in result.rounds] == [
        (0, 1, 1, 0, 0.25),
        (1, 2, 2, 0, 0.75),
        (2, 1, 0, 1, 0.75),
    ]


def test_the_matrix_accounts_for_every_true_and_every_found_box(row: Any, truth: Any) -> None:
    rows = [row("a.jpg", [A, B, C, [0, 60, 20, 90]], labels=[0, 0, 1, 1])]
    result = evaluate(rows, truth({"a.jpg": [("cat", A), ("dog", B), ("dog", C), ("cat", [150, 0, 160, 9])]}))
    assert result.matrix([0, 1]) == [[1, 0, 1], [1, 1, 0], [0, 1, 0]]
    assert result.matrix([1]) == [[1, 1], [1, 0]]
    assert result.frequent(2) == [0, 1] and result.frequent(1) == [0]
    assert sum(map(sum, result.matrix([0, 1]))) == result.total.true + result.total.found - 2 - 1


def test_the_curve_falls_where_a_wrong_box_is_surer(row: Any, truth: Any) -> None:
    rows = [row("a.jpg", [A, [0, 60, 20, 90], B], scores=[0.9, 0.8, 0.7])]
    result = evaluate(rows, truth({"a.jpg": [("cat", A), ("cat", B), ("cat", C)]}, ["cat", "dog"]))
    cat, dog = result.boxes.curves
    assert dog is None and cat is not None and len(cat) == 101
    reached = [round(step / 100, 2) for step, value in enumerate(cat) if value > 0]
    assert cat[33] == pytest.approx(1) and cat[34] == pytest.approx(2 / 3) and max(reached) == 0.66
    assert np.mean(cat) == pytest.approx(result.boxes.ap50_by_class[0])


def test_the_overlap_asked_for_decides(row: Any, truth: Any) -> None:
    file = truth({"a.jpg": [("cat", [0, 0, 10, 10])]})
    rows = [row("a.jpg", [[0, 0, 10, 6]])]
    assert evaluate(rows, file, iou=0.6).total.right == 1
    assert evaluate(rows, file, iou=0.61).total.right == 0
    with pytest.raises(DataError, match="iou must be"):
        evaluate(rows, file, iou=0)


def test_an_image_is_matched_by_its_path(row: Any, truth: Any) -> None:
    rows = [row("a/1.jpg", [A]), row("b/1.jpg", [B])]
    result = evaluate(rows, truth({"b/1.jpg": [("cat", B)], "./a/1.jpg": [("cat", A)]}))
    assert (result.images, result.total.right, result.notes) == (2, 2, ())


def test_what_has_no_counterpart_is_noted(row: Any, truth: Any) -> None:
    rows = [row("photos/x/1.jpg", [A]), row("photos/2.jpg", [B]), row("photos/3.jpg", failed=True), row("4.jpg", [A])]
    file = truth({"1.jpg": [("cat", A)], "2.jpg": [("cat", B)], "3.jpg": [("cat", A)], "9.jpg": []}, ["cat", "cow"])
    result = evaluate(rows, file)
    assert (result.images, result.total.true, result.total.right) == (3, 3, 2)
    assert result.notes == (
        "1 image(s) of the truth file are not in the run",
        "1 image(s) of the run are not in the truth file",
        "1 image(s) failed in the run; their objects count as missed",
        "3 image(s) were found although their names differ: another folder in front",
        "1 class(es) of the truth file were not asked for: cow; --map cow=CLASS measures one as another",
    )


def test_base_names_that_could_mean_several_images_are_left_out(row: Any, truth: Any) -> None:
    rows = [row("a/1.jpg", [A]), row("b/1.jpg", [A]), row("2.jpg", [B])]
    names = ["1.jpg", "p/2.jpg", "q/2.jpg", "x/b/1.jpg"]
    result = evaluate(rows, truth({name: [("cat", A)] for name in names}))
    assert (result.images, result.total.right) == (1, 1)
    assert "3 name(s) in the truth file could mean several images" in result.notes


def test_an_image_of_another_size_is_left_out(row: Any, truth: Any) -> None:
    rows = [row("a.jpg", [A]), row("b.jpg", [A], size=(200, 100))]
    result = evaluate(rows, truth({"a.jpg": [("cat", A)], "b.jpg": [("cat", A)]}))
    assert result.images == 1
    assert result.notes[0].startswith("1 image(s) have another size in the truth file, such as b.jpg is 200x100")


def test_classes_are_compared_without_case_and_spaces(row: Any, truth: Any) -> None:
    result = evaluate([row("a.jpg", [A], phrases=["red  Cat"])], truth({"a.jpg": [("Red cat", A)]}, ["Red cat"]))
    assert [(c.name, c.right) for c in result.classes] == [("Red cat", 1)]


@pytest.mark.parametrize(
    ("images", "names", "message"),
    [
        ({"x.jpg": []}, ["cat"], "none of its 1 images is in the run"),
        ({"a.jpg": []}, ["cow"], "none of its classes: cow"),
    ],
)
def test_files_that_share_nothing_are_refused(images: Any, names: Any, message: str, row: Any, truth: Any) -> None:
    with pytest.raises(DataError, match=message):
        evaluate([row("a.jpg", [A])], truth(images, names))


def test_nothing_found_and_nothing_true(row: Any, truth: Any) -> None:
    missed = evaluate([row("a.jpg")], truth({"a.jpg": [("cat", A)]}))
    assert (missed.boxes.ap, missed.total.precision, missed.total.recall, missed.total.f1) == (0, None, 0, 0)
    empty = evaluate([row("a.jpg", [A])], truth({"a.jpg": []}))
    assert (empty.boxes.ap, empty.total.precision, empty.total.recall, empty.total.f1) == (None, 0, None, 0)
    neither = evaluate([row("a.jpg")], truth({"a.jpg": []}))
    assert (neither.boxes.ap, neither.total.f1, neither.rounds) == (None, None, ())


def test_what_lies_in_a_crowd_is_neither_right_nor_wrong(row: Any, truth: Any) -> None:
    crowd = {"iscrowd": 1, "segmentation": Rle.encode(np.ones((100, 200), bool)).as_coco()}
    rows = [row("a.jpg", [A, [110, 20, 130, 40], [40, 90, 45, 95]], scores=[0.9, 0.8, 0.1])]
    result = evaluate(rows, truth({"a.jpg": [("cat", A), ("cat", C, crowd)]}))
    assert (result.total.true, result.total.found, result.total.right) == (1, 2, 1)
    assert result.boxes.ap == pytest.approx(1)


def ellipse(box: Any) -> Rle:
    y, x = np.mgrid[:100, :200]
    inside = ((x - (box[0] + box[2]) / 2) / (box[2] - box[0])) ** 2 + (
        (y - (box[1] + box[3]) / 2) / (box[3] - box[1])
    ) ** 2
    return Rle.encode(inside < 0.25)


def square(box: Any) -> Rle:
    mask = np.zeros((100, 200), bool)
    mask[box[1] : box[3], box[0] : box[2]] = True
    return Rle.encode(mask)


def test_masks_are_measured_where_all_true_objects_have_one(row: Any, truth: Any) -> None:
    segmentation = [{"segmentation": square(box).as_coco()} for box in (A, B)]
    file = truth({"a.jpg": [("cat", A, segmentation[0]), ("dog", B, segmentation[1])]})
    half = square([50, 50, 90, 70])
    result = evaluate([row("a.jpg", [A, B], labels=[0, 1], masks=[square(A), half])], file)
    assert result.masks is not None and result.masks.ap50 == pytest.approx(1)
    assert result.overlap is not None
    assert (result.overlap.pairs, result.overlap.mean) == (2, 0.75)
    assert (result.overlap.small, result.overlap.medium, result.overlap.large) == (1, 0.5, None)
    boxes_only = truth({"a.jpg": [("cat", A, segmentation[0]), ("dog", B)]})
    partly = evaluate([row("a.jpg", [A, B], labels=[0, 1], masks=[square(A), None])], boxes_only)
    assert partly.masks is None and partly.overlap is not None and partly.overlap.pairs == 1


def test_given_boxes_are_matched_by_their_ids(row: Any, truth: Any) -> None:
    masks = [{"segmentation": square(A).as_coco()}, {"segmentation": ellipse(A).as_coco()}]
    file = truth({"a.jpg": [("cat", A, masks[0]), ("cat", A, masks[1])]})
    swapped = row("a.jpg", [A, A], masks=[ellipse(A), square(A)], given=[{"id": 2}, {"id": 1}], rounds=-1)
    result = evaluate([swapped], file)
    assert result.overlap is not None and (result.overlap.by_id, result.overlap.mean) == (2, 1)
    elsewhere = row("a.jpg", [A, A], masks=[square(A), ellipse(A)], given=[{"id": 77}, {"id": 78}], rounds=-1)
    unknown = evaluate([elsewhere], file).overlap
    assert unknown is not None and (unknown.by_id, unknown.pairs) == (0, 2)


def test_a_missing_mask_counts_nothing(row: Any, truth: Any) -> None:
    file = truth(
        {
            "a.jpg": [
                ("cat", A, {"segmentation": square(A).as_coco()}),
                ("cat", B, {"segmentation": square(B).as_coco()}),
            ]
        }
    )
    result = evaluate([row("a.jpg", [A, B], masks=[square(A), None])], file)
    assert result.overlap is not None and result.overlap.mean == 0.5
    assert result.masks is not None and result.masks.ap == pytest.approx(0.5, abs=0.01)


def random_case(seed: int) -> tuple[list[Labels], dict[str, Any]]:
    """A random data set with noisy detections, as rows and as a COCO dictionary."""
    draw = np.random.default_rng(seed)
    rows, data = (
        [],
        {"images": [], "annotations": [], "categories": [{"id": 5, "name": "cat"}, {"id": 2, "name": "dog"}]},
    )
    for number in range(1, 13):
        n = int(draw.integers(0, 9))
        corners = draw.uniform(0, 60, (n, 2))
        true = np.concatenate([corners, corners + draw.uniform(5, 90, (n, 2))], axis=1)
        true[:, 2], true[:, 3] = np.minimum(true[:, 2], 200), np.minimum(true[:, 3], 100)
        classes = draw.integers(0, 2, n)
        data["images"].append({"id": number, "file_name": f"{number:02}.jpg", "height": 100, "width": 200})
        for box, k in zip(true.tolist(), classes.tolist(), strict=True):
            record: dict[str, Any] = {
                "id": len(data["annotations"]) + 1,
                "image_id": number,
                "category_id": (5, 2)[k],
                "iscrowd": 0,
            }
            record |= {"bbox": [box[0], box[1], box[2] - box[0], box[3] - box[1]]}
            mask = ellipse(box)
            data["annotations"].append(record | {"area": mask.area(), "segmentation": mask.as_coco()})
        found = np.clip(true + draw.normal(0, 4, (n, 4)), 0, None)
        found[:, 2:] = np.maximum(found[:, 2:], found[:, :2] + 1)
        found[:, 2], found[:, 3] = np.minimum(found[:, 2], 200), np.minimum(found[:, 3], 100)
        labels = np.where(draw.uniform(size=n) < 0.9, classes, 1 - classes)
        instances = Instances.build(
            found, scores=draw.uniform(size=n), labels=labels, masks=[ellipse(box) for box in found.tolist()]
        )
        image = Image(id=f"{number:02}.jpg", path="", size=(100, 200))
        rows.append(Labels(image=image, prompt=Prompt(("cat", "dog")), instances=instances))
    return rows, data


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_precision_is_that_of_pycocotools_called_plainly(seed: int, tmp_path: Path) -> None:
    rows, data = random_case(seed)
    file = tmp_path / "truth.json"
    file.write_text(json.dumps(data))
    result = evaluate(rows, file)
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(file))
        for kind, measured in (("bbox", result.boxes), ("segm", result.masks)):
            detections = []
            for number, one in enumerate(rows, 1):
                for index in range(len(one.instances)):
                    x1, y1, x2, y2 = map(float, one.instances.boxes[index].astype(float))
                    common: dict[str, Any] = {"image_id": number, "category_id": (5, 2)[one.instances.labels[index]]}
                    common["score"] = float(one.instances.scores[index])
                    place: dict[str, Any] = {"bbox": [x1, y1, x2 - x1, y2 - y1]}
                    if kind == "segm":
                        place = {"segmentation": one.instances.masks[index].as_coco()}  # type: ignore[index,union-attr]
                    detections.append(common | place)
            plain = COCOeval(coco, coco.loadRes(detections), kind)
            plain.evaluate()
            plain.accumulate()
            plain.summarize()
            assert measured is not None
            ours = [measured.ap, measured.ap50, measured.ap75, measured.ap_small, measured.ap_medium, measured.ap_large]
            ours += [measured.ar100, measured.ar_small, measured.ar_medium, measured.ar_large]
            theirs = [*plain.stats[:6], *plain.stats[8:]]
            assert [-1 if value is None else value for value in ours] == pytest.approx(theirs, abs=1e-12)


def test_it_prints_nothing_and_becomes_json_and_tables(row: Any, truth: Any, capfd: Any) -> None:
    rows = [row("a.jpg", [A, B, C], labels=[0, 0, 1], rounds=[0, 1, 2], phrases=["[red]cat[/red]", "dog"])]
    result = evaluate(rows, truth({"a.jpg": [("[red]cat[/red]", A), ("dog", B)]}, ["[red]cat[/red]", "dog"]))
    assert capfd.readouterr() == ("", "")
    values = json.loads(json.dumps(result.as_dict(), allow_nan=False))
    assert values["classes"][0] | {"box_ap": 0} == {
        "name": "[red]cat[/red]", "true": 1, "found": 2, "right": 1, "precision": 0.5, "recall": 1.0, "f1": 2 / 3,
        "box_ap": 0, "box_ap50": values["classes"][0]["box_ap50"],
        "interval": {"precision": None, "recall": None, "f1": None},
    }  # fmt: skip
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(render_evaluation(result))
    text = console.export_text()
    assert "[red]cat[/red]" in text and "recall so far" in text and "Average precision" in text


def both(truth: Any, **changes: Any) -> Any:
    """Write the truth of two images, then change the file."""
    path = truth({"a.jpg": [("cat", A)], "b.jpg": [("cat", B)]})
    document = json.loads(path.read_text())
    for place, value in changes.items():
        section, index, key = place.split("__")
        document[section][int(index)][key] = value
    path.write_text(json.dumps(document))
    return path


@pytest.mark.parametrize("name", ["a.jpg", "./a.jpg"])
def test_an_image_that_the_file_lists_twice_has_the_objects_of_both_entries(row: Any, truth: Any, name: str) -> None:
    path = both(truth, images__1__file_name=name)
    result = evaluate([row("a.jpg", [A, B])], path)
    assert (result.images, result.total.true, result.total.right, result.notes) == (1, 2, 2, ())


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("images__0__width", -1), ("images__0__height", 0), ("images__0__width", "wide"), ("annotations__0__id", "x"),
        ("annotations__0__area", -5), ("annotations__0__area", None), ("images__0__id", "1"),
        ("annotations__0__image_id", 1.0), ("annotations__0__segmentation", [[1, 2, 3, 4]]),
        ("annotations__0__segmentation", {"size": [1, 1], "counts": "zz"}), ("annotations__0__segmentation", "x"),
        ("annotations__0__score", float("nan")), ("annotations__0__depth", 2**80),
    ],
)  # fmt: skip
def test_what_boxes_do_not_need_refuses_no_truth(row: Any, truth: Any, place: str, value: Any) -> None:
    result = evaluate([row("a.jpg", [A]), row("b.jpg", [B])], both(truth, **{place: value}))
    assert (result.images, result.total.true, result.total.right) == (2, 2, 2)
    assert result.boxes.ap == pytest.approx(1) and result.boxes.ar100 == pytest.approx(1)


def test_a_box_that_is_wrong_costs_no_other(row: Any, truth: Any) -> None:
    result = evaluate([row("a.jpg", [A]), row("b.jpg", [B])], both(truth, annotations__0__bbox=[1, 2, -3, 4]))
    assert (result.images, result.total.true, result.total.right) == (2, 1, 1)
    assert any("/annotations/0/bbox/2: reversed box" in note for note in result.notes)


def test_a_mask_that_cannot_be_read_counts_neither_way(row: Any, truth: Any) -> None:
    pixels = np.zeros((2, *SIZE), bool)
    pixels[0, :20, :20] = pixels[1, 50:90, 50:90] = True
    masks = [Rle.encode(one) for one in pixels]
    square = {"segmentation": masks[1].as_coco()}
    path = truth({"a.jpg": [("cat", A, {"segmentation": [[1, 1, 2, 2]]})], "b.jpg": [("cat", B, square)]})
    rows = [row("a.jpg", [A], masks=masks[:1]), row("b.jpg", [B], masks=masks[1:])]
    result = evaluate(rows, path)
    assert result.masks is not None and result.masks.ap == pytest.approx(1)
    assert any("1 true object(s) have a segmentation that cannot be read" in note for note in result.notes)


def test_true_boxes_are_cut_at_the_edges_as_found_ones_are(row: Any, truth: Any) -> None:
    result = evaluate([row("a.jpg", [[0, 0, 30, 30]])], truth({"a.jpg": [("cat", [-60, -60, 30, 30])]}), iou=0.95)
    assert result.total.right == 1


@pytest.mark.parametrize(("objects", "limited"), [(150, True), (100, False)])
def test_the_limit_of_a_hundred_is_told_with_a_figure_without_it(
    row: Any, truth: Any, objects: int, limited: bool
) -> None:
    boxes = [[x, y, x + 5, y + 5] for x in range(0, 200, 10) for y in range(0, 100, 10)][:objects]
    path = truth({"a.jpg": [("cat", box) for box in boxes]})
    result = evaluate([row("a.jpg", boxes, scores=[0.5] * objects)], path)
    assert result.total.precision == result.total.recall == 1
    assert result.boxes.ap is not None and (result.boxes.ap < 0.7) == limited
    assert result.boxes.ap_unlimited == pytest.approx(1)
    assert [note for note in result.notes if "without that limit the AP of boxes is 1.000" in note] == (
        list(result.notes) if limited else []
    )


@pytest.mark.parametrize("size", [(200, 100), (50, 100)])
def test_a_truth_of_which_every_size_is_another_is_an_error(row: Any, truth: Any, size: tuple[int, int]) -> None:
    with pytest.raises(DataError, match=rf"a\.jpg is {size[1]}x{size[0]} in the file, 200x100 as the run read it"):
        evaluate([row("a.jpg", [A])], truth({"a.jpg": [("cat", A)]}, size=size))


def test_classes_may_be_mapped(row: Any, truth: Any) -> None:
    rows = [row("a.jpg", [A], phrases=["red blood cell"])]
    path = truth({"a.jpg": [("RBC", A)]}, ["RBC"])
    with pytest.raises(DataError) as caught:
        evaluate(rows, path)
    assert "--map" in caught.value.hint
    result = evaluate(rows, path, names={"rbc": "Red Blood Cell"})
    assert result.total.right == 1
    with pytest.raises(DataError, match="no class is called 'WBC'; nearest: RBC"):
        evaluate(rows, path, names={"WBC": "red blood cell"})
    with pytest.raises(DataError, match="asked for no class 'red blod cell'; nearest: red blood cell"):
        evaluate(rows, path, names={"RBC": "red blod cell"})


@pytest.mark.parametrize(
    "name",
    ["1a2b3c4d-my_photo.jpg", "my-photo_jpg.rf.0123456789abcdef0123456789abcdef.jpg", "MY PHOTO.JPG", "my%20photo.jpg"],
)
def test_names_of_other_tools_are_matched(row: Any, truth: Any, name: str) -> None:
    result = evaluate([row("in/my photo.jpg", [A]), row("in/other.jpg")], truth({name: [("cat", A)]}))
    assert result.total.right == 1 and any("their names differ" in note for note in result.notes)


def test_it_says_what_the_truth_covers(row: Any, truth: Any) -> None:
    rows = [row("a.jpg", [[0, 0, 20, 20]]), row("b.jpg", [[0, 0, 20, 20]]), row("c.jpg")]
    part = evaluate(rows, truth({"a.jpg": [("cat", [0, 0, 20, 20])], "b.jpg": []}))
    assert (part.images, part.run_images, part.covered) == (2, 3, "2 of the run's 3 images")
    assert part.as_dict()["run_images"] == 3 and part.total_interval.recall is not None
    whole = evaluate(rows[:1], truth({"a.jpg": [("cat", [0, 0, 20, 20])]}))
    assert whole.covered == "1 images"
