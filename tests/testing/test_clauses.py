"""Every clause of the contract checks catches a strategy that breaks it."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ConfigDict, Field

from autolabel.strategies import Aggregator, Detector, Exporter, Scheduler, Segmenter
from autolabel.testing import check_aggregator, check_detector, check_exporter, check_scheduler, check_segmenter
from autolabel.testing.subject import Subject
from autolabel.types import Instances, Labels, Prompt, Rle, Round, Sample

CALLS = itertools.count()


class Rising(Scheduler):
    name = "rising"

    class Params(Scheduler.Params):
        levels: tuple[float, ...] = (0.5, 0.4)
        first: int = 0

    params: Any

    def rounds(self) -> Sequence[Round]:
        return [Round(index=i + self.params.first, conf_threshold=x) for i, x in enumerate(self.params.levels)]


@pytest.mark.parametrize(
    ("params", "clause"),
    [
        ({"levels": ()}, "at least one round"),
        ({"levels": (0.5, 0.6)}, "conf_threshold may not rise"),
        ({"levels": (1.5,)}, r"conf_threshold must lie in \[0, 1\]"),
        ({"first": 1}, "indexed from 0"),
        ({"levels": "half"}, "`Params` refuses the parameters"),
    ],
)
def test_scheduler_clauses(params: dict[str, Any], clause: str) -> None:
    check_scheduler(Rising, {})
    with pytest.raises(AssertionError, match=f"Rising: .*{clause}"):
        check_scheduler(Rising, params)


class Restless(Rising):
    def rounds(self) -> Sequence[Round]:
        return [Round(index=0, conf_threshold=1 / (2 + next(CALLS)))]


class Vendored(Rising):
    def rounds(self) -> Sequence[Round]:
        return [Round(index=0, conf_threshold=np.float64(0.5))]


class Nameless(Rising):
    name = ""


class Lenient(Rising):
    class Params(Rising.Params):
        model_config = ConfigDict(extra="ignore")


class Thawed(Rising):
    class Params(Rising.Params):
        model_config = ConfigDict(frozen=False)


class Forgetful(Rising):
    def __init__(self, params: Any) -> None:
        super().__init__(self.Params(levels=(0.9,)))


@pytest.mark.parametrize(
    ("strategy", "clause"),
    [
        (Restless, "same at every call"),
        (Vendored, "plain floats"),
        (Nameless, "`name` must be a text"),
        (Lenient, "forbid unknown keys"),
        (Thawed, "must be frozen"),
        (Forgetful, "keep its parameters"),
    ],
)
def test_common_clauses(strategy: type[Scheduler], clause: str) -> None:
    with pytest.raises(AssertionError, match=f"{strategy.__name__}: .*{clause}"):
        check_scheduler(strategy, {})


def test_a_local_class_cannot_be_sent_to_a_worker() -> None:
    class Local(Rising):
        pass

    with pytest.raises(AssertionError, match="class and params must pickle"):
        check_scheduler(Local, {})


def test_a_class_of_another_kind_is_refused() -> None:
    with pytest.raises(AssertionError, match="must be a subclass of Aggregator"):
        check_aggregator(Rising, {})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("source", "clause"),
    [("import sklearn\n", "may not import sklearn, scipy"), ("raise OSError('no disk')\n", "OSError: no disk")],
)
def test_imports_are_checked_in_a_process_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, clause: str
) -> None:
    name = f"imported_{len(source)}"
    (tmp_path / f"{name}.py").write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(Rising, "__module__", name)
    with pytest.raises(AssertionError, match=clause):
        Subject(Rising, {}).check_import()


class Pass(Aggregator):
    name = "pass"

    def aggregate(self, instances: Instances, round: Round) -> Instances:
        if round.nms_threshold == 0 or not len(instances):
            return instances
        return self.spoil(instances)

    def spoil(self, found: Instances) -> Instances:
        return found


class Wide(Pass):
    def spoil(self, found: Instances) -> Instances:
        return replace(found, boxes=found.boxes.astype(np.float64))


class Inventive(Pass):
    def spoil(self, found: Instances) -> Instances:
        return replace(found, labels=found.labels + 7)


class Doubling(Pass):
    def spoil(self, found: Instances) -> Instances:
        return Instances.concatenate([found, found])


class Boastful(Pass):
    def spoil(self, found: Instances) -> Instances:
        return replace(found, scores=np.ones_like(found.scores))


class Growing(Pass):
    def spoil(self, found: Instances) -> Instances:
        return replace(found, boxes=found.boxes + np.array([-1, -1, 1, 1], np.float32))


class Vandal(Pass):
    def spoil(self, found: Instances) -> Instances:
        found.scores[:] *= np.float32(0.5)
        return found


class Stripping(Pass):
    def spoil(self, found: Instances) -> Instances:
        return replace(found, masks=None)


class Mixing(Pass):
    def spoil(self, found: Instances) -> Instances:
        return replace(found, masks=tuple(reversed(found.masks or ())))


class Shuffling(Pass):
    def spoil(self, found: Instances) -> Instances:
        return found.take(np.roll(np.arange(len(found)), next(CALLS)))


class Deaf(Pass):
    def aggregate(self, instances: Instances, round: Round) -> Instances:
        return instances.take(np.arange(min(1, len(instances))))


@pytest.mark.parametrize(
    ("strategy", "clause"),
    [
        (Wide, "boxes must be float32"),
        (Inventive, "labels must index the 3 phrases"),
        (Doubling, "may not be more boxes"),
        (Boastful, "may not exceed the highest"),
        (Growing, "boxes must lie within those put in"),
        (Vandal, "may not be changed"),
        (Stripping, "must be kept"),
        (Mixing, "must come from the same instance"),
        (Shuffling, "the same input must give the same result"),
        (Deaf, "nms_threshold 0 must return the input unchanged"),
    ],
)
def test_aggregator_clauses(strategy: type[Aggregator], clause: str) -> None:
    check_aggregator(Pass, {})
    with pytest.raises(AssertionError, match=f"{strategy.__name__}: .*{clause}"):
        check_aggregator(strategy, {})


class Reddish(Detector):
    """Finds one box round all that is purely red, unless told to misbehave."""

    name = "reddish"

    class Params(Detector.Params):
        fault: str = ""
        score: float = Field(default=0.75)

    params: Any
    loads = 0
    ready = False

    def load(self, device: str) -> None:
        type(self).loads += 1
        self.ready = True

    def preprocess(self, sample: Sample) -> Any:
        if self.params.fault == "needs the model" and not self.ready:
            return replace(sample, pixels=np.roll(sample.pixels, 1, axis=0))
        return sample

    def prepare(self, batch: Sequence[Sample]) -> Sequence[Any]:
        if self.params.fault == "paints":
            for sample in batch:
                sample.pixels[0, 0] = 1
        if self.params.fault == "loses an item":
            return [sample.pixels for sample in batch[1:]]
        return [[sample.pixels, 0, len(batch)] for sample in batch]

    def detect(self, prepared: Sequence[Any], prompts: Sequence[Prompt], floor: float) -> Sequence[Instances]:
        if self.params.fault == "fears nothing" and not prepared:
            return [Instances.empty()]
        return [self.answer(item, prompt, floor) for item, prompt in zip(prepared, prompts, strict=True)]

    def answer(self, item: list[Any], prompt: Prompt, floor: float) -> Instances:
        pixels, asked, batched = item
        item[1] += 1
        y, x = np.nonzero((pixels == (255, 0, 0)).all(axis=2))
        box = [x.min(), y.min(), x.max() + 1, y.max() + 1]
        score = self.params.score
        match self.params.fault:
            case "is reversed":
                box[0], box[2] = box[2], box[0]
            case "tires":
                score -= 0.01 * asked
            case "depends on the batch":
                score -= 0.01 * batched
            case "depends on the instance":
                score -= 0.01 * self.loads
            case "raises the floor" if floor >= 0.5:
                box[2] -= 3
        masks = [Rle.encode((pixels == 255).all(axis=2))] if self.params.fault == "masks" else None
        found = Instances.build([box], scores=[score], labels=[len(prompt.phrases) - 1], masks=masks)
        return found if score > floor or self.params.fault == "ignores the floor" else Instances.empty()


class Masked(Reddish):
    gives = "masks"


@pytest.mark.parametrize(
    ("fault", "clause"),
    [
        ("paints", "pixels that were passed in may not be changed"),
        ("loses an item", "`prepare` must return 1 items, found 0"),
        ("fears nothing", "`detect` of no items"),
        ("is reversed", "x1 y1 x2 y2 with an area"),
        ("tires", "an item that was asked another prompt before"),
        ("depends on the batch", "a sample alone instead of in a batch"),
        ("needs the model", "preprocessing before `load` must give the same answer"),
        ("depends on the instance", "a new instance must give the same answer"),
        ("raises the floor", "the floor may only filter"),
        ("ignores the floor", "scores must be above the floor 0.1"),
        ("masks", "masks, but `gives` says boxes"),
    ],
)
def test_detector_clauses(fault: str, clause: str) -> None:
    check_detector(Reddish, {})
    score = 0.05 if fault == "ignores the floor" else 0.75
    with pytest.raises(AssertionError, match=f"Reddish: .*{clause}"):
        check_detector(Reddish, {"fault": fault, "score": score})


def test_a_detector_of_masks_must_give_them() -> None:
    check_detector(Masked, {"fault": "masks"})
    with pytest.raises(AssertionError, match="masks are missing"):
        check_detector(Masked, {})


class Filling(Segmenter):
    """Fills each box, unless told to misbehave."""

    name = "filling"

    class Params(Segmenter.Params):
        fault: str = ""

    params: Any

    def load(self, device: str) -> None:
        pass

    def segment(self, batch: Sequence[Sample]) -> Sequence[Instances]:
        return [self.fill(sample, len(batch)) for sample in batch]

    def fill(self, sample: Sample, batched: int) -> Instances:
        found, fault = sample.instances, self.params.fault
        canvas = np.zeros((len(found), *sample.image.size), np.bool_)
        for mask, (x1, y1, x2, y2) in zip(canvas, found.boxes.astype(int), strict=True):
            mask[y1 : y2 - (batched if fault == "depends on the batch" else 0), x1:x2] = True
        if fault == "crops":
            canvas = canvas[:, 1:]
        masks = tuple(map(Rle.encode, canvas))
        if fault == "skips":
            masks = (None,) * len(found)  # type: ignore[assignment]
        if fault == "drops":
            return replace(found, masks=masks).take(np.arange(len(found) // 2))
        boxes = found.boxes + np.float32(0.5) if fault == "moves" else found.boxes
        return replace(found, boxes=boxes, masks=None if fault == "forgets" else masks)


@pytest.mark.parametrize(
    ("fault", "clause"),
    [
        ("drops", "every box must come back$"),
        ("moves", "must come back as it was: boxes differ"),
        ("skips", "has no mask"),
        ("forgets", "masks are missing"),
        ("crops", r"masks must have the size \(48, 64\)"),
        ("depends on the batch", "a sample alone instead of in a batch"),
    ],
)
def test_segmenter_clauses(fault: str, clause: str) -> None:
    check_segmenter(Filling, {})
    with pytest.raises(AssertionError, match=f"Filling: .*{clause}"):
        check_segmenter(Filling, {"fault": fault})


class Listing(Exporter):
    """Writes the ids of the images, unless told to misbehave."""

    name = "listing"

    class Params(Exporter.Params):
        fault: str = ""

    params: Any

    def export(self, labels: Iterable[Labels], classes: Sequence[str], out: Path) -> Sequence[Path]:
        fault = self.params.fault
        path = (out.parent if fault == "escapes" else out) / "list.txt"
        text = "\n".join(row.image.id for row in labels)
        path.write_text(text + (str(next(CALLS)) if fault == "wavers" else ""))
        if fault == "invents":
            return [path, out / "other.txt"]
        return [] if fault == "conceals" else [path]


@pytest.mark.parametrize(
    ("fault", "clause"),
    [
        ("escapes", "inside the folder that is given"),
        ("wavers", r"equal bytes, but these differ: \['list.txt'\]"),
        ("invents", r"files that do not exist: \['other.txt'\]"),
        ("conceals", r"left out: \['list.txt'\]"),
    ],
)
def test_exporter_clauses(fault: str, clause: str) -> None:
    check_exporter(Listing, {})
    with pytest.raises(AssertionError, match=f"Listing: .*{clause}"):
        check_exporter(Listing, {"fault": fault})


class Slicing(Listing):
    def export(self, labels: Iterable[Labels], classes: Sequence[str], out: Path) -> Sequence[Path]:
        return super().export(labels[:1], classes, out)  # type: ignore[index]


def test_labels_reach_an_exporter_as_a_stream() -> None:
    with pytest.raises(TypeError, match="not subscriptable"):
        check_exporter(Slicing, {})
