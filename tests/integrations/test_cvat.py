"""CVAT's own driver takes what the function returns."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

import autolabel
from autolabel.errors import SpecError
from autolabel.registry import Registry
from autolabel.types import Labels

pytest.importorskip("cvat_sdk")

from cvat_sdk import auto_annotation as cvat
from cvat_sdk import models
from cvat_sdk.auto_annotation import driver
from cvat_sdk.masks import decode_mask

from autolabel.integrations.cvat import Function, create

SIZE = (64, 64)


@pytest.fixture
def hazards(hazards_path: str) -> Registry:
    return autolabel.discover()


@pytest.fixture
def spec(hazards: Registry, tmp_path: Path) -> Path:
    from autolabel_colors import Rectangle, save

    for name, place in (("a.png", 2), ("b.png", 6)):
        rectangles = [Rectangle(place, 3, 20 + place, 20, "red", 0.9), Rectangle(30, 30, 50, 60, "blue", 0.6)]
        save(tmp_path / "photos" / name, rectangles)
    save(tmp_path / "photos" / "empty.png", [])
    written = {
        "version": 1,
        "data": {"images": ["photos"], "classes": ["red", "blue"]},
        "stages": [{"labeler": {"type": "colors"}}, {"labeler": {"type": "filled"}}],
        "devices": "cpu",
        "results_dir": "run",
    }
    (tmp_path / "spec.json").write_text(json.dumps(written))
    return tmp_path / "spec.json"


@pytest.fixture
def wanted(spec: Path, hazards: Registry) -> dict[str, Labels]:
    with autolabel.open(spec, registry=hazards) as predictor:
        return {path.name: predictor.predict(path) for path in sorted((spec.parent / "photos").iterdir())}


class Client:
    """Stands for a connection to CVAT: keeps what would be uploaded."""

    def __init__(self) -> None:
        self.logger = logging.getLogger("cvat")
        self.sent: list[Any] = []
        self.tasks = SimpleNamespace(api=self)

    def partial_update_annotations(self, action: str, task: int, *, patched_labeled_data_request: Any) -> None:
        self.sent += [*patched_labeled_data_request.shapes]


class Dataset:
    """Stands for a task of CVAT with the three photos, whose labels have ids of their own."""

    def __init__(self, photos: Path, *, score: bool = True) -> None:
        text = models.InputTypeEnum("text")
        attributes = [models.Attribute(id=70, name="score", mutable=False, input_type=text, values=[])] if score else []
        names = {"blue": 11, "red": 12, "other": 13}
        self.labels = [
            models.Label(id=number, name=name, type="any", attributes=attributes, sublabels=[])
            for name, number in names.items()
        ]
        paths = sorted(photos.iterdir())
        self.samples = [
            SimpleNamespace(
                frame_index=index,
                frame_name=path.name,
                media=SimpleNamespace(load_image=lambda path=path: Pillow.open(path)),
            )
            for index, path in enumerate(paths)
        ]


@pytest.fixture
def annotate(spec: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    made: list[Function] = []

    def run(score: bool = True, words: dict[str, str] | None = None, **options: Any) -> list[Any]:
        monkeypatch.setattr(driver, "TaskDataset", lambda *_, **__: Dataset(spec.parent / "photos", score=score))
        client, function = Client(), create(str(spec), **(words or {}))
        made.append(function)
        cvat.annotate_task(client, 7, function, **options)
        return client.sent

    yield run
    for function in made:
        function.close()


def scores(shapes: list[Any]) -> list[list[tuple[int, str]]]:
    return [[(one.spec_id, one.value) for one in shape.attributes] for shape in shapes]


def test_masks_arrive_with_their_scores_under_the_labels_of_the_task(annotate: Any, wanted: dict[str, Labels]) -> None:
    sent = annotate()
    assert [(one.type.value, one.label_id, one.frame) for one in sent] == [
        ("mask", 12, 0), ("mask", 11, 0), ("mask", 12, 1), ("mask", 11, 1),
    ]  # fmt: skip
    assert scores(sent) == [[(70, "0.9000")], [(70, "0.6000")]] * 2
    for shape, mask in zip(
        sent, [*(wanted["a.png"].instances.masks or ()), *(wanted["b.png"].instances.masks or ())], strict=True
    ):
        assert mask is not None
        assert np.array_equal(decode_mask(shape.points, image_width=64, image_height=64), mask.decode())


def test_boxes_are_those_of_the_predictor(annotate: Any, wanted: dict[str, Labels]) -> None:
    sent = annotate(words={"shapes": "rectangles"})
    assert {one.type.value for one in sent} == {"rectangle"}
    boxes = [*wanted["a.png"].instances.boxes.tolist(), *wanted["b.png"].instances.boxes.tolist()]
    assert [one.points for one in sent] == boxes


def test_polygons_where_the_task_or_the_caller_wants_them(annotate: Any) -> None:
    for options in ({"conv_mask_to_poly": True}, {"words": {"shapes": "polygons"}}):
        sent = annotate(**options)
        assert {one.type.value for one in sent} == {"polygon"} and len(sent) == 4
        xs, ys = sent[0].points[::2], sent[0].points[1::2]
        assert (min(xs), min(ys), max(xs), max(ys)) == (2, 3, 22, 20)


def test_the_least_confidence_is_obeyed(annotate: Any) -> None:
    assert scores(annotate(conf_threshold=0.7)) == [[(70, "0.9000")]] * 2
    assert annotate(conf_threshold=0.95) == []


def test_labels_without_the_attribute(annotate: Any) -> None:
    with pytest.raises(cvat.BadFunctionError, match="'score'"):
        annotate(score=False)
    assert len(annotate(score=False, words={"score": ""})) == 4
    assert scores(annotate(score=False, allow_unmatched_labels=True)) == [[]] * 4


def test_wrong_words_are_told(spec: Path, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="shapes: found 'dots', wanted one of auto, rectangles"):
        create(str(spec), shapes="dots")
    with pytest.raises(SpecError, match="cannot be read"):
        create(str(tmp_path / "none.yaml"))


def test_cvat_cli_finds_the_function(spec: Path) -> None:
    common = pytest.importorskip("cvat_cli._internal.common")
    loaded = common.FunctionLoader("autolabel.integrations.cvat", None, {"spec": str(spec)}).load()
    assert [label.name for label in loaded.spec.labels] == ["red", "blue"]
    loaded.close()
    assert "autolabel.integrations.cvat" in sys.modules
