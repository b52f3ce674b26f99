"""A Grounding DINO of any backbone learns from a few images, goes on where it stopped, and is kept for autolabel."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from safetensors.torch import load_file
from tokenizers import Tokenizer
from transformers import GroundingDinoForObjectDetection, SwinConfig

from autolabel.registry import Registry
from autolabel.strategies import FineTuning, Labeler
from autolabel.types import Image, Instances, Labels, Prompt, Sample
from autolabel_grounding_dino.learning import DetectorTraining
from autolabel_training.loop import STATE_FILE
from benchmarks._shares import mix
from tests.training.conftest import tiny_config
from training.detector.export import export

CLASSES = ("square", "star")
SIZE = (60, 80)


def swin_model() -> GroundingDinoForObjectDetection:
    """A random detector with a Swin backbone of four levels, the same at each call."""
    torch.manual_seed(3)
    backbone = SwinConfig(
        embed_dim=16,
        depths=[1, 1, 1, 1],
        num_heads=[1, 2, 2, 4],
        window_size=4,
        image_size=64,
        out_features=["stage2", "stage3", "stage4"],  # type: ignore[call-arg]
    )
    return GroundingDinoForObjectDetection(tiny_config(backbone, levels=4)).eval()


@pytest.fixture(params=["efficientnet", "swin"])
def checkpoint(
    request: pytest.FixtureRequest,
    tiny_model: Callable[[], GroundingDinoForObjectDetection],
    tokenizer: Tokenizer,
    tmp_path: Path,
) -> Path:
    """A Hugging Face folder of a random detector: squashed to squares, or with its sides kept in proportion."""
    folder = tmp_path / "start"
    model = tiny_model() if request.param == "efficientnet" else swin_model()
    export(model, tokenizer, image_size=64, folder=folder)
    if request.param == "swin":
        said = json.loads((folder / "processor_config.json").read_text())
        said["image_processor"]["size"] = {"shortest_edge": 64, "longest_edge": 96}
        (folder / "processor_config.json").write_text(json.dumps(said))
    return folder


@pytest.fixture
def rows(tmp_path: Path) -> list[Labels]:
    """Four images with a bright square each, and one without."""
    made = []
    for number in range(5):
        pixels = np.full((*SIZE, 3), 60 + 5 * number, np.uint8)
        left = 10 + 8 * number
        boxes = [[left, 15, left + 20, 35]] if number < 4 else []
        for x0, y0, x1, y1 in boxes:
            pixels[y0:y1, x0:x1] = 240
        path = tmp_path / f"{number}.png"
        Pillow.fromarray(pixels).save(path)
        instances = Instances.build(boxes, scores=[1.0] * len(boxes), labels=[0] * len(boxes), rounds=-1)
        made.append(
            Labels(image=Image(id=path.name, path=str(path), size=SIZE), prompt=Prompt(CLASSES), instances=instances)
        )
    return made


def tune(
    registry: Registry, checkpoint: Path, rows: list[Labels], out: Path, *, dev: int = 1, **settings: Any
) -> list[dict[str, Any]]:
    """Train, with the first ``dev`` rows as dev images; return what was told."""
    told: list[dict[str, Any]] = []
    labeler: Labeler = registry.make("labeler", "grounding_dino", {"checkpoint": str(checkpoint)})
    assert labeler.Training is not None
    task = FineTuning(
        train=rows[1:],
        dev=rows[:dev],
        classes=CLASSES,
        settings=labeler.Training.model_validate({"batch": 2, "checks": 1, **settings}),
        out=out,
        device="cpu",
        told=lambda record: told.append(dict(record)),
    )
    labeler.fine_tune(task)
    return told


def found(registry: Registry, checkpoint: Path, row: Labels) -> Instances:
    labeler: Any = registry.make("labeler", "grounding_dino", {"checkpoint": str(checkpoint)})
    labeler.load("cpu")
    pixels = np.asarray(Pillow.open(row.image.path))
    sample = Sample(image=row.image, pixels=pixels, prompt=row.prompt, instances=Instances.empty())
    [instances] = labeler.detect(labeler.prepare([labeler.preprocess(sample)]), [row.prompt], 0.0)
    return instances


def started(registry: Registry, checkpoint: Path, rows: list[Labels], out: Path, **settings: Any) -> DetectorTraining:
    labeler: Any = registry.make("labeler", "grounding_dino", {"checkpoint": str(checkpoint)})
    task = FineTuning(
        train=rows,
        dev=rows[:1],
        classes=CLASSES,
        settings=labeler.Training.model_validate({"batch": 4, "warmup": 1, **settings}),
        out=out,
        device="cpu",
        told=print,
    )
    return DetectorTraining(labeler, task)


def test_the_loss_falls_and_what_stays_stays(
    registry: Registry, checkpoint: Path, rows: list[Labels], tmp_path: Path
) -> None:
    training = started(registry, checkpoint, rows, tmp_path, learning_rate=0.002, steps=1000)
    before = {name: value.clone() for name, value in training.model.state_dict().items()}
    [batch] = training.batches(range(1))
    losses = [training.learn(batch, step)["loss"] for step in range(10)]
    assert losses[-1] < 0.7 * losses[0]
    after = training.model.state_dict()
    learnt = {name for name, value in after.items() if not torch.equal(value, before[name])}
    tower = [name for name, _ in training.model.named_parameters() if name.startswith("model.backbone.")]
    assert not any(name.startswith("model.text_backbone.") for name in learnt)
    assert not learnt & set(tower[: len(tower) // 2])
    assert learnt & set(tower[len(tower) // 2 :])
    assert any(name.startswith("model.decoder.") for name in learnt)


def test_what_is_kept_answers_as_the_trained_model_does(
    registry: Registry, checkpoint: Path, rows: list[Labels], tmp_path: Path
) -> None:
    training = started(registry, checkpoint, rows, tmp_path, steps=3)
    for step, batch in enumerate(training.batches(range(3))):
        training.learn(batch, step)
    [judged] = training.judge(training.average)
    training.export(training.average, tmp_path / "checkpoint")
    answer = found(registry, tmp_path / "checkpoint", rows[0])
    for label, name in enumerate(CLASSES):
        best = answer.scores[answer.labels == label].max()
        assert judged[name].scores.max() == pytest.approx(best, abs=0.02), "half precision costs a little"
    assert GroundingDinoForObjectDetection.from_pretrained(tmp_path / "checkpoint").config.num_queries == 10


@pytest.mark.parametrize("checkpoint", ["swin"], indirect=True)
def test_a_share_of_the_weights_before_is_evaluated_and_saved(
    registry: Registry, checkpoint: Path, rows: list[Labels], tmp_path: Path
) -> None:
    training = started(registry, checkpoint, rows, tmp_path, learning_rate=0.01, steps=3, start_share=0.25)
    before = {name: weight.detach().clone() for name, weight in training.parameters.items()}
    for step, batch in enumerate(training.batches(range(3))):
        training.learn(batch, step)
    saved = training.averaged()
    assert any(not torch.equal(training.average[name], weight) for name, weight in before.items())
    for name, weight in saved.items():
        torch.testing.assert_close(weight, 0.75 * training.average[name] + 0.25 * before[name])
    training.load_state(training.state())  # a resumed training begins with the state, not with the weights before
    assert all(torch.equal(weight, saved[name]) for name, weight in training.averaged().items())


@pytest.mark.parametrize("checkpoint", ["swin"], indirect=True)
def test_what_is_saved_is_the_mix_of_the_files_before_and_after(
    registry: Registry, checkpoint: Path, rows: list[Labels], tmp_path: Path
) -> None:
    for share in (0.0, 0.5):
        settings = {"steps": 4, "learning_rate": 0.01, "start_share": share}
        tune(registry, checkpoint, rows, tmp_path / f"{share}", dev=0, **settings)
    mix(checkpoint, tmp_path / "0.0" / "checkpoint", 0.5, tmp_path / "mixed")
    before, after, saved, mixed = (
        {name: each.float() for file in folder.glob("*.safetensors") for name, each in load_file(file).items()}
        for folder in (checkpoint, tmp_path / "0.0/checkpoint", tmp_path / "0.5/checkpoint", tmp_path / "mixed")
    )
    assert any((after[name] - saved[name]).abs().max() > 0.01 for name in saved)
    assert any((before[name] - saved[name]).abs().max() > 0.01 for name in saved)
    assert saved.keys() == mixed.keys() <= before.keys()
    for name, weight in saved.items():
        torch.testing.assert_close(weight, mixed[name], atol=2e-3, rtol=2e-3)
    made = found(registry, tmp_path / "mixed", rows[0])
    assert np.allclose(made.scores, found(registry, tmp_path / "0.5/checkpoint", rows[0]).scores, atol=0.02)


def test_a_stopped_training_ends_where_a_whole_one_does(
    registry: Registry, checkpoint: Path, rows: list[Labels], tmp_path: Path
) -> None:
    tune(registry, checkpoint, rows, tmp_path / "whole", steps=4)
    whole = torch.load(tmp_path / "whole" / STATE_FILE, weights_only=True)
    stopped = tmp_path / "stopped"

    class Stop(Exception):
        """Somebody pressed Ctrl-C."""

    labeler: Labeler = registry.make("labeler", "grounding_dino", {"checkpoint": str(checkpoint)})
    assert labeler.Training is not None

    def stop(record: Any) -> None:
        if record["event"] == "dev" and record["step"] == 2:
            raise Stop

    settings = labeler.Training.model_validate({"batch": 2, "checks": 2, "steps": 4})
    task = FineTuning(
        train=rows[1:], dev=rows[:1], classes=CLASSES, settings=settings, out=stopped, device="cpu", told=stop
    )
    with pytest.raises(Stop):
        labeler.fine_tune(task)
    tune(registry, checkpoint, rows, stopped, steps=4)
    again = torch.load(stopped / STATE_FILE, weights_only=True)
    for kind in ("parameters", "average"):
        for name, value in whole[kind].items():
            assert torch.equal(value, again[kind][name]), name


def _count(calls: list[int]) -> None:
    calls[-1] += 1


def test_activations_that_are_not_kept_change_no_gradient(
    registry: Registry, checkpoint: Path, rows: list[Labels], tmp_path: Path
) -> None:
    weights: list[dict[str, torch.Tensor | None]] = []
    calls: list[int] = []
    for again in (False, True):
        training = started(registry, checkpoint, rows, tmp_path, gradient_checkpointing=again)
        layer = training.model.model.encoder.layers[0]
        calls.append(0)
        layer.text_enhancer_layer.register_forward_pre_hook(lambda *_: _count(calls))
        [batch] = training.batches(range(1))
        training.learn(batch, 0)
        weights.append({name: parameter.grad for name, parameter in training.parameters.items()})
    kept, recomputed = weights
    assert calls[1] == 2 * calls[0] > 0, "forward, and again for the backward pass"
    assert any(value is not None for value in kept.values())
    for name, value in kept.items():
        other = recomputed[name]
        assert (value is None) == (other is None), name
        if value is not None and other is not None:
            assert torch.allclose(value, other, atol=1e-6), name


@pytest.mark.parametrize("checkpoint", ["efficientnet"], indirect=True)
def test_a_large_network_learns_slowly_and_keeps_no_activations(
    registry: Registry, checkpoint: Path, rows: list[Labels], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rates(training: DetectorTraining) -> list[float]:
        return [group["base"] for group in training.optimiser.param_groups]

    def recomputes(training: DetectorTraining) -> bool:
        return "forward" in vars(training.model.model.encoder.layers[0])

    small = started(registry, checkpoint, rows, tmp_path)
    assert rates(small) == pytest.approx([4e-4, 4e-4, 4e-5])
    assert not recomputes(small)
    monkeypatch.setattr("autolabel_grounding_dino.learning._LARGE", 1000)
    large = started(registry, checkpoint, rows, tmp_path)
    assert rates(large) == pytest.approx([1e-4, 1e-4, 1e-5])
    assert recomputes(large)
    told = started(
        registry, checkpoint, rows, tmp_path, learning_rate=0.002, image_tower_rate=0.5, gradient_checkpointing=False
    )
    assert rates(told) == pytest.approx([2e-3, 2e-3, 1e-3]), "what is set counts"
    assert not recomputes(told)


def test_a_start_that_nothing_betters_is_kept(
    registry: Registry, checkpoint: Path, rows: list[Labels], tmp_path: Path
) -> None:
    told = tune(registry, checkpoint, rows, tmp_path / "out", steps=2, learning_rate=1e-12)
    assert told[-1]["best_step"] == 0
    first, last = (found(registry, folder, rows[0]) for folder in (checkpoint, tmp_path / "out" / "checkpoint"))
    assert np.allclose(first.boxes, last.boxes, atol=0.1)
    assert np.allclose(first.scores, last.scores, atol=1e-3)


def test_time_decides_how_many_steps_there_are_once(
    registry: Registry, checkpoint: Path, rows: list[Labels], tmp_path: Path
) -> None:
    told = tune(registry, checkpoint, rows, tmp_path / "out", minutes=0.001)
    [course] = [record for record in told if record["event"] == "course"]
    assert course["steps"] == 20, "the fewest, however little time there is"
    assert json.loads((tmp_path / "out" / "course.json").read_text()) == {"steps": 20}


def test_names_of_other_things_are_asked_and_never_the_classes_themselves(
    registry: Registry, checkpoint: Path, rows: list[Labels], tmp_path: Path
) -> None:
    training = started(registry, checkpoint, rows, tmp_path, batch=8)
    training.task = replace(training.task, classes=("Person", "square"))
    captions = [caption for batch in training.batches(range(12)) for caption in batch.captions]
    asked = [{caption.ids[start:stop] for start, stop in caption.spans} for caption in captions]
    person = training.labeler._tokenizer.ids("person")
    assert all(len(spans) == len(caption.spans) for spans, caption in zip(asked, captions, strict=True))
    assert any(len(spans) > 2 for spans in asked)
    assert all(len(spans) - 2 <= 3 for spans in asked)
    assert any(person in spans for spans in asked), "as a class"
