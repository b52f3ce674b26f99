"""Checkpoints of IDEA-Research and TAO learn too, and what is kept answers as they do: TAO's scale and bias stay."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

from autolabel.errors import WeightsError
from autolabel.strategies import FineTuning
from autolabel.types import Image, Instances, Labels, Prompt, Sample
from autolabel_grounding_dino.labeler import GroundingDino
from tests.grounding_dino.checkpoints import detect, load

CLASSES = ("cat", "traffic light")
HOW: dict[str, Any] = {"model": {"nheads": 4}, "short_side": 64, "long_side": 100}


def scaled(state: dict[str, torch.Tensor]) -> dict[str, Any]:
    """Return a TAO file whose heads have a learned scale and bias each."""
    for number, head in enumerate(("transformer.enc_out_class_embed", "class_embed.0", "class_embed.1")):
        state |= {f"{head}.log_scale": torch.tensor([-0.3 * number]), f"{head}.bias": torch.tensor([-0.5 - number])}
    renamed = {f"model.model.{key.replace('backbone.0.', 'backbone.0.body.', 1)}": part for key, part in state.items()}
    return {"state_dict": renamed, "tao_model": "grounding_dino", "epoch": 3}


def plain(state: dict[str, torch.Tensor]) -> dict[str, Any]:
    """Return IDEA-Research's file."""
    return {"model": state}


@pytest.fixture(params=[plain, scaled], ids=["idea", "tao"])
def original(request: pytest.FixtureRequest, write_original: Callable[..., Path]) -> Path:
    return write_original(request.param)


@pytest.fixture
def rows(tmp_path: Path) -> list[Labels]:
    """Three images with a bright square each."""
    made = []
    for number in range(3):
        pixels = np.full((64, 80, 3), 50 + 20 * number, np.uint8)
        pixels[20:44, 10 + 9 * number : 34 + 9 * number] = 240
        Pillow.fromarray(pixels).save(tmp_path / f"{number}.png")
        square = Instances.build([[10 + 9 * number, 20, 34 + 9 * number, 44]], scores=[1.0], labels=[0], rounds=-1)
        image = Image(id=f"{number}.png", path=str(tmp_path / f"{number}.png"), size=(64, 80))
        made.append(Labels(image=image, prompt=Prompt(CLASSES), instances=square))
    return made


def tune(checkpoint: Path, text: Path | None, rows: list[Labels], out: Path, **settings: Any) -> Path:
    how = HOW | {"text_encoder": str(text)} if text is not None else {}
    labeler = GroundingDino(GroundingDino.Params(checkpoint=str(checkpoint), **how))
    task = FineTuning(
        train=rows[1:],
        dev=rows[:1],
        classes=CLASSES,
        settings=labeler.Training.model_validate({"steps": 2, "batch": 2, "checks": 1, **settings}),
        out=out,
        device="cpu",
        told=lambda record: None,
    )
    labeler.fine_tune(task)
    return out / "checkpoint"


def found(detector: GroundingDino, row: Labels) -> Instances:
    pixels = np.asarray(Pillow.open(row.image.path))
    [one] = detect(detector, Sample(image=row.image, pixels=pixels, prompt=row.prompt, instances=Instances.empty()))
    return one


def test_a_start_that_is_kept_answers_as_its_original_file(
    original: Path, text_folder: Path, rows: list[Labels], tmp_path: Path
) -> None:
    kept = tune(original, text_folder, rows, tmp_path / "out", learning_rate=1e-12)
    first = found(load(original, text_encoder=str(text_folder), **HOW), rows[0])
    last = found(load(kept), rows[0])
    assert np.allclose(first.boxes, last.boxes, atol=0.01) and np.allclose(first.scores, last.scores, atol=1e-5)


def test_what_was_learnt_goes_on_from_the_folder_that_is_kept(
    original: Path, text_folder: Path, rows: list[Labels], tmp_path: Path
) -> None:
    kept = tune(original, text_folder, rows, tmp_path / "one", learning_rate=0.01, steps=3)
    again = tune(kept, None, rows, tmp_path / "two", learning_rate=1e-12)
    first, last = (found(load(folder), rows[0]) for folder in (kept, again))
    assert np.allclose(first.scores, last.scores, atol=1e-5)
    stated = [json.loads((folder / "config.json").read_text()).get("autolabel_similarity") for folder in (kept, again)]
    assert stated[0] == stated[1] and (stated[0] is None) == (not original_is_scaled(original))


def original_is_scaled(path: Path) -> bool:
    return "state_dict" in torch.load(path, weights_only=True)


def test_the_loss_sees_the_scale(write_original: Callable[..., Path], text_folder: Path, rows: list[Labels]) -> None:
    from autolabel_grounding_dino.load import load_model
    from autolabel_grounding_dino.params import GroundingDinoParams

    params = GroundingDinoParams(checkpoint="x", text_encoder=str(text_folder), **HOW)
    models = [
        load_model(write_original(wrap, f"{wrap.__name__}.pth"), params, text_folder=text_folder)
        for wrap in (plain, scaled)
    ]
    torch.manual_seed(0)
    queries, words, mask = torch.randn(1, 5, 64), torch.randn(1, 4, 64), torch.tensor([[True, True, True, False]])
    for number in range(2):
        one, other = (model.class_embed[number](queries, words, mask)[..., :4] for model in models)
        wanted = one * np.exp(-0.3 * (number + 1)) - 1.5 - number
        assert torch.allclose(other[..., :3], wanted[..., :3], atol=1e-4)
        assert bool(torch.isneginf(other[..., 3]).all()), "words that are padding stay impossible"


def test_a_damaged_statement_of_the_scale_is_refused(
    write_original: Callable[..., Path], text_folder: Path, rows: list[Labels], tmp_path: Path
) -> None:
    kept = tune(write_original(scaled), text_folder, rows, tmp_path / "out", learning_rate=1e-12)
    config = json.loads((kept / "config.json").read_text())
    for wrong in ([], "much", [{"scale": 1.0}] * 3, [{"scale": float("nan"), "bias": 0.0}] * 3):
        (kept / "config.json").write_text(json.dumps(config | {"autolabel_similarity": wrong}))
        with pytest.raises(WeightsError, match="must state 3 numbers scale and bias"):
            load(kept)
