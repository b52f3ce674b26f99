"""OWLv2 against transformers' own processor, model and post-processing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from transformers import CLIPTokenizer, Owlv2ForObjectDetection
from transformers.models.owlv2.image_processing_pil_owlv2 import Owlv2ImageProcessorPil
from transformers.models.owlv2.processing_owlv2 import Owlv2Processor

from autolabel.errors import ImageError, MachineError
from autolabel.testing import check_detector
from autolabel.types import Prompt
from autolabel_transformers.owlv2 import Owlv2
from autolabel_transformers.owlv2_pixels import square
from tests.labelers.tiny_models import detect, loaded, photo, same

PHRASES = ("red car", "cat", "cargo truck", "car")


@pytest.fixture(scope="module")
def detector(owlv2: Path) -> Owlv2:
    made: Owlv2 = loaded(Owlv2, owlv2)
    return made


def reference(folder: Path, height: int, width: int, floor: float) -> dict[str, torch.Tensor]:
    """Return what transformers' model and post-processing give for the photo of this size: one label a box."""
    processor = Owlv2Processor(
        Owlv2ImageProcessorPil.from_pretrained(folder), CLIPTokenizer.from_pretrained(folder, model_max_length=16)
    )
    texts = [f"a photo of a {phrase}" for phrase in PHRASES]
    inputs = processor(text=[texts], images=photo(height, width).pixels, return_tensors="pt")
    model = Owlv2ForObjectDetection.from_pretrained(folder).eval()
    with torch.inference_mode():
        outputs = model(**inputs)
    (found,) = processor.post_process_grounded_object_detection(
        outputs, threshold=floor, target_sizes=[(height, width)], text_labels=[texts]
    )
    return found


@pytest.mark.parametrize(
    ("height", "width"),
    [(60, 97), pytest.param(120, 50, marks=pytest.mark.soak), pytest.param(20, 20, marks=pytest.mark.soak)],
)
def test_it_equals_transformers_post_processing(owlv2: Path, detector: Owlv2, height: int, width: int) -> None:
    (all_pairs,) = detect(detector, photo(height, width, *PHRASES))
    assert len(all_pairs) == 36 * len(PHRASES)
    floor = float(np.median(all_pairs.scores))
    expected = reference(owlv2, height, width, floor)
    assert 0 < len(expected["scores"]) <= 36
    best: dict[tuple[float, ...], int] = {}
    for index, box in enumerate(all_pairs.boxes.tolist()):  # best first
        best.setdefault(tuple(box), index)
    found = all_pairs.take([index for index in best.values() if all_pairs.scores[index] > floor])
    assert same(found, *(expected[part].numpy() for part in ("boxes", "scores", "labels")))


@pytest.mark.parametrize("size", [(300, 200), (37, 48), (48, 48), (5, 90), (1, 7), (400, 401)])
def test_pixels_equal_the_published_rule(size: tuple[int, int]) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (*size, 3), dtype=np.uint8)
    theirs = Owlv2ImageProcessorPil(size={"height": 48, "width": 48}, do_normalize=False)
    expected = theirs(pixels, input_data_format="channels_last")["pixel_values"][0]
    assert np.allclose(square(pixels, 48).transpose(2, 0, 1), expected, atol=2e-6)


def test_it_keeps_the_contract_of_a_detector(owlv2: Path) -> None:
    samples = [photo(64, 85, "cat", "red car"), photo(50, 20, "dog", seed=2), photo(64, 85, *PHRASES, seed=3)]
    check_detector(Owlv2, {"checkpoint": str(owlv2)}, samples=samples, floor=0.2)


def test_a_phrases_scores_do_not_depend_on_the_others(detector: Owlv2) -> None:
    (together,), (alone,) = detect(detector, photo(40, 60, *PHRASES)), detect(detector, photo(40, 60, "car"))
    car = together.take(together.labels == PHRASES.index("car"))
    assert np.allclose(car.scores, alone.scores, atol=1e-6) and np.allclose(car.boxes, alone.boxes, atol=1e-3)
    cargo = together.take(together.labels == PHRASES.index("cargo truck"))
    assert not np.allclose(cargo.scores, alone.scores, atol=1e-3)


def test_vision_and_text_are_computed_once(owlv2: Path) -> None:
    detector: Owlv2 = loaded(Owlv2, owlv2)
    items = detector.prepare([detector.preprocess(photo(40, 60, seed=seed)) for seed in range(3)])
    for phrases in (("cat", "dog"), ("cat",), ("Dog", "cat", "dog")):
        detector.detect(items, [Prompt(phrases)] * 3, 0.2)
    assert detector.counters() == {"vision_passes": 3, "text_passes": 2, "forward_passes": 9}


def test_phrases_that_read_the_same_get_the_same_boxes(detector: Owlv2) -> None:
    (found,) = detect(detector, photo(40, 60, "Cat", "dog", " cat"))
    one, other = found.take(found.labels == 0), found.take(found.labels == 2)
    assert len(one) == 36
    assert np.array_equal(one.boxes, other.boxes) and np.array_equal(one.scores, other.scores)


def test_the_template_is_asked(owlv2: Path, detector: Owlv2) -> None:
    bare: Owlv2 = loaded(Owlv2, owlv2, template="{}")
    (within,), (alone,) = detect(detector, photo(40, 60, "cat")), detect(bare, photo(40, 60, "cat"))
    (spelt,) = detect(bare, photo(40, 60, "a photo of a cat"))
    assert np.array_equal(within.scores, spelt.scores)
    assert not np.allclose(within.scores, alone.scores, atol=1e-3)


def test_a_template_needs_one_place(owlv2: Path) -> None:
    with pytest.raises(ValidationError, match=r"one place \{\} for the phrase, got 'a photo'"):
        Owlv2.Params(checkpoint=str(owlv2), template="a photo")


def test_what_cannot_be_asked_is_refused_before_any_work(owlv2: Path) -> None:
    detector = Owlv2(Owlv2.Params(checkpoint=str(owlv2)))
    assert detector.passes(Prompt(())) == 0
    assert detector.passes(Prompt(PHRASES)) == 1
    with pytest.raises(ImageError, match="contains nothing that the model can read"):
        detector.passes(Prompt(("cat", "<|endoftext|>")))
    with pytest.raises(ImageError, match="'zzzzzzzzzzzz' has 18 tokens with its template, at most 16"):
        detector.passes(Prompt(("cat", "z" * 12)))
    with pytest.raises(MachineError, match="not loaded"):
        detector.prepare([detector.preprocess(photo(40, 60))])
    assert detector.counters() == {}
