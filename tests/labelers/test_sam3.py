"""SAM 3 against transformers' own model and post-processing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as Picture
from safetensors.torch import load_file, save_file
from transformers import CLIPTokenizer, Sam3Model

from autolabel.errors import MachineError
from autolabel.testing import check_detector
from autolabel.types import Prompt
from autolabel_transformers.sam3 import Sam3
from tests.labelers.tiny_models import detect, loaded, photo
from tests.labelers.without_torchvision import own_module

PHRASES = ("red car", "cat", "cargo truck")


@pytest.fixture(scope="module")
def detector(sam3: Path) -> Sam3:
    made: Sam3 = loaded(Sam3, sam3)
    return made


@pytest.fixture(scope="module")
def model(sam3: Path) -> Any:
    return Sam3Model.from_pretrained(sam3).eval()


def reference(folder: Path, model: Any, size: tuple[int, int], phrase: str, floor: float) -> dict[str, Any]:
    """Return what transformers finds of one phrase in the photo of this size."""
    square = np.asarray(Picture.fromarray(photo(*size).pixels).resize((56, 56), Picture.Resampling.BILINEAR))
    text = CLIPTokenizer.from_pretrained(folder)(phrase, padding="max_length", max_length=32, return_tensors="pt")
    with torch.inference_mode():
        output = model(pixel_values=torch.from_numpy((square / 255 - 0.5) / 0.5).float().permute(2, 0, 1)[None], **text)
    theirs = own_module("sam3.image_processing_sam3").Sam3ImageProcessor
    (found,) = theirs.post_process_instance_segmentation(None, output, threshold=floor, target_sizes=[size])
    return found


@pytest.mark.parametrize("size", [(60, 97), pytest.param((120, 50), marks=pytest.mark.soak)])
def test_boxes_and_masks_equal_transformers_own(sam3: Path, model: Any, detector: Sam3, size: tuple[int, int]) -> None:
    (everything,) = detect(detector, photo(*size, *PHRASES), floor=0.0)
    assert len(everything) == 12 * len(PHRASES)
    floor = float(np.median(everything.scores))
    (found,) = detect(detector, photo(*size, *PHRASES), floor=floor)
    for label, phrase in enumerate(PHRASES):
        expected = reference(sam3, model, size, phrase, floor)
        own = found.take(found.labels == label)
        order = np.argsort(-expected["scores"].numpy(), kind="stable")
        assert len(own) == len(order)
        assert np.allclose(own.scores, expected["scores"].numpy()[order], atol=2e-5)
        assert np.allclose(own.boxes, expected["boxes"].numpy()[order], atol=5e-3)
        for mask, wanted in zip(own.masks or (), expected["masks"].numpy()[order], strict=True):
            assert mask is not None
            assert (mask.decode() != wanted).mean() < 1e-3
    assert 0.02 < np.mean([mask.decode().mean() for mask in found.masks or () if mask is not None]) < 0.98


def test_it_keeps_the_contract_of_a_detector(sam3: Path) -> None:
    samples = [photo(24, 35, "cat", "red car"), photo(20, 20, "dog", seed=2)]
    check_detector(Sam3, {"checkpoint": str(sam3)}, samples=samples, floor=0.02)


def test_vision_and_text_are_computed_once(sam3: Path) -> None:
    detector: Sam3 = loaded(Sam3, sam3)
    items = detector.prepare([detector.preprocess(photo(40, 60, seed=seed)) for seed in range(2)])
    for phrases in (("cat", "dog"), ("cat",), ("Dog", "cat", "dog")):
        detector.detect(items, [Prompt(phrases)] * 2, 0.9)
    assert detector.passes(Prompt(("Dog", "cat", "dog"))) == 2
    assert detector.counters() == {"vision_passes": 2, "text_passes": 2, "forward_passes": 10}


def test_phrases_that_read_the_same_get_the_same_objects(detector: Sam3) -> None:
    (found,) = detect(detector, photo(40, 60, "Cat", "dog", "cat"))
    one, other = found.take(found.labels == 0), found.take(found.labels == 2)
    assert len(one) == 12
    assert np.array_equal(one.boxes, other.boxes) and one.masks == other.masks


def test_a_higher_mask_threshold_only_shrinks(sam3: Path, detector: Sam3) -> None:
    strict: Sam3 = loaded(Sam3, sam3, mask_threshold=0.7)
    (wide,), (tight,) = detect(detector, photo(40, 60, "cat")), detect(strict, photo(40, 60, "cat"))
    pairs = [(a.decode(), b.decode()) for a, b in zip(wide.masks or (), tight.masks or (), strict=True) if a and b]
    assert not any((small & ~large).any() for large, small in pairs)
    assert any(small.sum() < large.sum() for large, small in pairs)


def test_a_video_models_folder_is_read_without_its_tracker(sam3: Path, detector: Sam3, tmp_path: Path) -> None:
    copy = shutil.copytree(sam3, tmp_path / "video")
    config = json.loads((copy / "config.json").read_text())
    video = {"model_type": "sam3_video", "detector_config": config, "tracker_config": {"model_type": "sam3_tracker"}}
    (copy / "config.json").write_text(json.dumps(video))
    state = {f"detector_model.{key}": tensor for key, tensor in load_file(copy / "model.safetensors").items()}
    others = {"tracker_model.x": torch.zeros(1), "tracker_neck.y": torch.zeros(1)}
    save_file({**state, **others}, copy / "model.safetensors")
    (of_video,) = detect(loaded(Sam3, copy), photo(40, 60, "cat"))
    (of_image,) = detect(detector, photo(40, 60, "cat"))
    assert np.array_equal(of_video.scores, of_image.scores) and of_video.masks == of_image.masks


def test_nothing_found_is_no_masks_and_work_before_load_an_error(sam3: Path, detector: Sam3) -> None:
    (found,) = detect(detector, photo(40, 60, "cat"), floor=1.0)
    assert (len(found), found.masks) == (0, ())
    with pytest.raises(MachineError, match="not loaded"):
        Sam3(Sam3.Params(checkpoint=str(sam3))).prepare([detector.preprocess(photo(40, 60))])
