"""OmDet-Turbo against transformers' own image processor, model and post-processing."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import CLIPTokenizer, OmDetTurboForObjectDetection
from transformers.models.detr.image_processing_pil_detr import DetrImageProcessorPil

from autolabel.errors import ImageError, MachineError, WeightsError
from autolabel.testing import check_detector
from autolabel.types import Prompt, boxes
from autolabel_transformers.omdet_turbo import OmdetTurbo
from tests.labelers.tiny_models import detect, loaded, photo, same
from tests.labelers.without_torchvision import own_module

PHRASES = ("red car", "cat", "cargo truck", "car")


@pytest.fixture(scope="module")
def detector(omdet: Path) -> OmdetTurbo:
    made: OmdetTurbo = loaded(OmdetTurbo, omdet)
    return made


def reference(
    folder: Path,
    model: Any,
    monkeypatch: pytest.MonkeyPatch,
    size: tuple[int, int],
    phrases: tuple[str, ...],
    floor: float,
) -> dict[str, torch.Tensor]:
    """Return what transformers finds in the photo of this size, before suppression: that is the aggregator's part."""
    image = DetrImageProcessorPil.from_pretrained(folder)(photo(*size).pixels, do_pad=False, return_tensors="pt")
    tokenizer = CLIPTokenizer.from_pretrained(folder)
    padded = {"padding": "max_length", "truncation": True, "max_length": 24, "return_tensors": "pt"}
    task, classes = tokenizer([f"Detect {', '.join(phrases)}."], **padded), tokenizer(list(phrases), **padded)
    with torch.inference_mode():
        outputs = model(
            pixel_values=image["pixel_values"],
            classes_input_ids=classes["input_ids"],
            classes_attention_mask=classes["attention_mask"],
            tasks_input_ids=task["input_ids"],
            tasks_attention_mask=task["attention_mask"],
            classes_structure=torch.tensor([len(phrases)]),
        )
    theirs = own_module("omdet_turbo.processing_omdet_turbo")
    monkeypatch.setattr(theirs, "batched_nms", lambda _, scores, *rest: torch.arange(len(scores)), raising=False)
    scores, labels = theirs.compute_score(outputs.decoder_class_logits)
    parts = theirs._post_process_boxes_for_image(
        outputs.decoder_coord_logits[0], scores[0], labels, len(phrases), size, floor, nms_threshold=1.0
    )
    return dict(zip(("boxes", "scores", "labels"), parts, strict=True))


@pytest.mark.parametrize(
    "size", [(60, 97), pytest.param((120, 50), marks=pytest.mark.soak), pytest.param((64, 64), marks=pytest.mark.soak)]
)
def test_it_equals_transformers_post_processing(
    omdet: Path, detector: OmdetTurbo, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]
) -> None:
    asked = sorted(PHRASES, key=detector.tokenizer.sentence)  # the order in which the task lists them
    model = OmDetTurboForObjectDetection.from_pretrained(omdet).eval()
    for floor in (0.0, 0.2):
        (found,) = detect(detector, photo(*size, *asked), floor=floor)
        expected = reference(omdet, model, monkeypatch, size, tuple(asked), floor)
        assert 3 < len(found) <= 30
        cut = replace(found, boxes=boxes.clip(found.boxes, size))
        assert same(cut, *(expected[part].numpy() for part in ("boxes", "scores", "labels")))


def test_it_keeps_the_contract_of_a_detector(omdet: Path) -> None:
    samples = [photo(64, 85, "cat", "red car"), photo(50, 20, "dog", seed=2), photo(64, 85, *PHRASES, seed=3)]
    check_detector(OmdetTurbo, {"checkpoint": str(omdet)}, samples=samples, floor=0.05)


def test_the_order_of_classes_does_not_matter(detector: OmdetTurbo) -> None:
    (one,), (other,) = detect(detector, photo(40, 60, *PHRASES)), detect(detector, photo(40, 60, *PHRASES[::-1]))
    assert len(one) == 30
    assert same(one, other.boxes, other.scores, len(PHRASES) - 1 - other.labels)


def test_a_list_too_long_for_one_task_is_dealt_over_several(omdet: Path) -> None:
    names = tuple(f"{colour} {thing}" for colour in ("red", "old") for thing in ("car", "cat", "boat", "hat", "dog"))
    detector: OmdetTurbo = loaded(OmdetTurbo, omdet)
    questions = detector.questions(Prompt(names))
    assert len(questions) == detector.passes(Prompt(names)) > 1
    assert all(len(question.task) <= 24 for question in questions)
    assert sorted(label for question in questions for owner in question.owners for label in owner) == list(range(10))
    (found,) = detect(detector, photo(40, 60, *names))
    assert len(found) == 30 * len(questions)
    assert detector.counters() == {
        "vision_passes": 1,
        "text_passes": 10 + len(questions),
        "forward_passes": len(questions),
    }
    for question in questions:
        asked = [owner[0] for owner in question.owners]
        (alone,) = detect(detector, photo(40, 60, *(names[label] for label in asked)))
        own = found.take(np.isin(found.labels, asked))
        assert np.allclose(np.sort(own.scores), np.sort(alone.scores), atol=1e-6)


def test_one_task_for_all_takes_one_pass(omdet: Path) -> None:
    names = tuple(f"{colour} {thing}" for colour in ("red", "old") for thing in ("car", "cat", "boat", "hat", "dog"))
    detector: OmdetTurbo = loaded(OmdetTurbo, omdet, task="Detect the photo.")
    assert detector.passes(Prompt(names)) == 1
    assert detector.passes(Prompt(())) == 0
    (found,) = detect(detector, photo(40, 60, *names))
    assert len(found) == 30
    with pytest.raises(ImageError, match="the task has 42 tokens, at most 24"):
        OmdetTurbo(OmdetTurbo.Params(checkpoint=str(omdet), task="z" * 40)).passes(Prompt(("cat",)))


def test_phrases_that_read_the_same_get_the_same_boxes(detector: OmdetTurbo) -> None:
    (found,) = detect(detector, photo(40, 60, "Cat", "cat"))
    one, other = found.take(found.labels == 0), found.take(found.labels == 1)
    assert len(one) == 30
    assert np.array_equal(one.boxes, other.boxes) and np.array_equal(one.scores, other.scores)


def test_what_cannot_be_asked_is_refused_before_any_work(omdet: Path) -> None:
    detector = OmdetTurbo(OmdetTurbo.Params(checkpoint=str(omdet)))
    with pytest.raises(ImageError, match=r"'z{22}' does not fit a task of 24 tokens"):
        detector.passes(Prompt(("cat", "z" * 22)))
    with pytest.raises(MachineError, match="not loaded"):
        detector.prepare([detector.preprocess(photo(40, 60))])


def test_a_backbone_of_timm_says_what_to_install(omdet: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(omdet, tmp_path / "model")
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, "backbone_config": {"model_type": "timm_backbone"}}))
    with pytest.raises(WeightsError, match="its backbone is timm's") as caught:
        loaded(OmdetTurbo, copy)
    assert "pip install timm" in caught.value.hint
