"""FiftyOne gets a run's labels and gives corrections back; its own classes where it is installed, stand-ins else."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from ruamel.yaml import YAML

from autolabel.errors import DataError
from autolabel.results.journal import read_decisions
from autolabel.results.ledger import read_labels
from autolabel.results.review import apply_to_row
from autolabel.results.store import finished
from autolabel.types import Labels

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "autolabel.integrations.fiftyone"


class _Document:
    """Stands for FiftyOne's documents: fields by attribute and by key."""

    def __init__(self, **fields: Any) -> None:
        self.id = "0"
        self.__dict__.update({"mask": None, "tags": [], "metadata": None} | fields)

    def __getitem__(self, name: str) -> Any:
        return self.__dict__[name]

    def has_field(self, name: str) -> bool:
        return name in self.__dict__

    @property
    def has_mask(self) -> bool:
        return self.__dict__["mask"] is not None

    def get_mask(self) -> Any:
        return self.__dict__["mask"]


def stand_ins() -> dict[str, ModuleType]:
    names = ("fiftyone", "fiftyone.core", "fiftyone.core.models", "fiftyone.operators")
    made: dict[str, Any] = {name: ModuleType(name) for name in names}
    top = made["fiftyone"]
    for name in ("Detection", "Detections", "Sample", "ImageMetadata"):
        setattr(top, name, type(name, (_Document,), {}))
    models = made["fiftyone.core.models"]
    models.Model = type("Model", (), {})
    models.SamplesMixin = type("SamplesMixin", (), {"__init__": lambda self: None})
    made["fiftyone.operators"].Operator = type("Operator", (), {})
    made["fiftyone.operators"].OperatorConfig = lambda **words: SimpleNamespace(**words)
    made["fiftyone.operators"].types = SimpleNamespace()
    made["fiftyone.core"].models = models
    top.core, top.operators = made["fiftyone.core"], made["fiftyone.operators"]
    return made


@pytest.fixture(params=["real", "stand-in"])
def integration(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The integration, with FiftyOne or with what stands for it."""
    if request.param == "real":
        pytest.importorskip("fiftyone")
    else:
        for name, module in stand_ins().items():
            monkeypatch.setitem(sys.modules, name, module)
    ours = [name for name in sys.modules if name.startswith(PACKAGE)]
    for name in ours:
        monkeypatch.delitem(sys.modules, name)
    yield importlib.import_module(PACKAGE)
    for name in [name for name in sys.modules if name.startswith(PACKAGE)]:
        del sys.modules[name]


def box_of(detection: Any) -> list[float]:
    x, y, width, height = detection.bounding_box
    return [x * 80, y * 64, (x + width) * 80, (y + height) * 64]


def handed_out(run: Path) -> dict[str, list[tuple[str, list[float]]]]:
    store, plan = finished(run)
    review = read_decisions(store)
    rows = [
        row if review is None else apply_to_row(row, review, classes=plan.manifest.classes) for row in read_labels(run)
    ]
    return {row.image.id: sorted(named_boxes(row)) for row in rows}


def named_boxes(row: Labels) -> list[tuple[str, list[float]]]:
    names = [row.prompt.phrases[label] for label in row.instances.labels]
    return list(zip(names, row.instances.boxes.round(1).tolist(), strict=True))


def test_samples_hold_all_that_a_run_hands_out(integration: Any, run: Path) -> None:
    rows = {row.image.id: row for row in read_labels(run)}
    samples = list(integration.samples_of(run))
    assert [sample["autolabel_image"] for sample in samples] == ["0.png", "1.png", "2.png"]
    for sample in samples:
        row = rows[sample["autolabel_image"]]
        assert Path(sample.filepath) == run.parent / "photos" / row.image.id and sample.tags == []
        assert (sample.metadata.height, sample.metadata.width) == (64, 80)
        found = sample["autolabel"].detections
        assert len(found) == len(row.instances)
        for index, one in enumerate(found):
            assert box_of(one) == pytest.approx(row.instances.boxes[index].tolist(), abs=1e-3)
            assert one.confidence == pytest.approx(float(row.instances.scores[index]))
            assert one.label == row.prompt.phrases[row.instances.labels[index]]
            seen = (row.instances.support or ())[index]
            assert (one.support_looks, one.support_labelers, one.support_asked) == (seen.looks, 1, 2)
            mask = (row.instances.masks or ())[index]
            assert mask is not None
            x1, y1, x2, y2 = row.instances.boxes[index].round().astype(int)
            assert np.array_equal(one.mask, mask.decode()[y1:y2, x1:x2])


def test_corrections_of_checked_samples_come_home(integration: Any, run: Path) -> None:
    before = handed_out(run)
    samples = list(integration.samples_of(run))
    with pytest.raises(DataError, match="do not name their run"):
        integration.from_fiftyone(samples)
    assert integration.from_fiftyone(samples, run=run).new == 0, "no sample is checked"
    first, second, _ = samples
    red, blue = first["autolabel"].detections
    red.bounding_box = [10 / 80, 3 / 64, 18 / 80, 17 / 64]
    blue.label = "green"
    second["autolabel"].detections = second["autolabel"].detections[:1]
    for sample in (first, second):
        sample.tags = ["checked"]
    applied = integration.from_fiftyone(samples, run=run)
    assert applied.tool == "FiftyOne" and applied.images == 2 and applied.counts["moved"] == 1
    after = handed_out(run)
    assert after["0.png"] == [("green", [30, 30, 50, 60]), ("red", [10, 3, 28, 20])]
    assert after["1.png"] == before["1.png"][1:] and after["2.png"] == before["2.png"]
    again = list(integration.samples_of(run))
    assert [sample.tags for sample in again] == [["checked"], ["checked"], []]
    assert integration.from_fiftyone(again, run=run).new == 0, "what came home is what goes out"


def test_unknown_images_and_classes_are_told_and_nothing_is_taken(integration: Any, run: Path) -> None:
    samples = list(integration.samples_of(run))
    samples[0]["autolabel"].detections[0].label = "zebra"
    with pytest.raises(DataError, match="zebra"):
        integration.from_fiftyone(samples, run=run, tag=None)
    assert read_decisions(finished(run)[0]) is None


@pytest.fixture
def model(integration: Any, spec: dict[str, Any], run: Path) -> Iterator[Any]:
    made = importlib.import_module(f"{PACKAGE}.model").Model(run)
    yield made
    made.close()


def test_a_model_labels_samples_as_the_run_does(integration: Any, model: Any, run: Path) -> None:
    samples = list(integration.samples_of(run))
    assert model.media_type == "image" and model.ragged_batches and model.transforms is None and not model.preprocess
    pixels = np.zeros((1, 1, 3), np.uint8)
    with model:
        alone = [model.predict(pixels, sample=sample) for sample in samples]
    together = model.predict_all([pixels] * 3, samples=samples)
    for found in (alone, together):
        for one, sample in zip(found, samples, strict=True):
            wanted = sample["autolabel"].detections
            assert [(d.label, box_of(d), d.confidence) for d in one.detections] == [
                (d.label, box_of(d), d.confidence) for d in wanted
            ]
    empty = model.predict(np.full((8, 8, 3), 128, np.uint8))
    assert list(empty.detections) == []
    with pytest.raises(RuntimeError, match="no such file"):
        model.predict(pixels, sample=SimpleNamespace(filepath=str(run / "none.png")))


def test_the_operator_labels_the_view_that_was_chosen(integration: Any, run: Path) -> None:
    called: list[Any] = []

    class View:
        def apply_model(self, model: Any, *, label_field: str, skip_failures: bool) -> None:
            called.append((model.predict_all([np.full((8, 8, 3), 128, np.uint8)]), label_field, skip_failures))

        def __len__(self) -> int:
            return 3

    offered: list[Any] = []
    integration.register(SimpleNamespace(register=offered.append))
    operator = offered[0].__new__(offered[0])
    reloaded: list[bool] = []
    context = SimpleNamespace(
        params={"spec": str(run), "field": "found"},
        target_view=View,
        delegated=False,
        ops=SimpleNamespace(reload_dataset=lambda: reloaded.append(True)),
    )
    assert operator.execute(context) == {"labelled": 3, "field": "found"}
    assert called[0][1:] == ("found", True) and reloaded == [True]
    told = YAML(typ="safe").load(ROOT / "src" / "autolabel" / "integrations" / "fiftyone" / "fiftyone.yml")
    assert told["operators"] == [operator.config.name] and operator.config.allow_delegated_execution
