"""MM-Grounding-DINO against transformers' own forward pass and post-processing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import BertTokenizer, MMGroundingDinoForObjectDetection
from transformers.models.grounding_dino.image_processing_pil_grounding_dino import GroundingDinoImageProcessorPil
from transformers.models.grounding_dino.processing_grounding_dino import GroundingDinoProcessor

from autolabel.errors import WeightsError
from autolabel.testing import check_detector
from autolabel.types import Prompt
from autolabel_grounding_dino.labeler import GroundingDino
from autolabel_grounding_dino.mm_grounding_dino import MmGroundingDino
from tests.labelers.tiny_models import detect, loaded, photo, same
from tests.since import since

NAMES = tuple(f"{colour} {thing}" for colour in ("red", "blue", "old") for thing in ("car", "cat", "boat", "hat"))


@pytest.fixture(scope="module")
def detector(mm: Path) -> MmGroundingDino:
    made: MmGroundingDino = loaded(MmGroundingDino, mm, score="max")
    return made


@since("transformers", "5.23", "the codes of positions in a phrase were rounded to whole numbers")
def test_it_equals_transformers_post_processing(mm: Path, detector: MmGroundingDino) -> None:
    # One-word phrases: transformers names a box by all words above its text threshold, which only then is one phrase.
    phrases, sample = ("boat", "car", "cat"), photo(90, 120, "boat", "car", "cat")
    processor = GroundingDinoProcessor(
        GroundingDinoImageProcessorPil.from_pretrained(mm), BertTokenizer.from_pretrained(mm)
    )
    inputs = processor(images=sample.pixels, text=". ".join(sorted(phrases, key=ids_of(mm))) + ".", return_tensors="pt")
    model = MMGroundingDinoForObjectDetection.from_pretrained(mm).eval()
    with torch.inference_mode():
        outputs = model(**inputs)
    (found,) = detect(detector, sample)
    floor = float(np.median(found.scores))
    for label, phrase in enumerate(phrases):
        # What transformers keeps for one word: every query whose chance for it is above the threshold.
        column = int((inputs["input_ids"][0] == ids_of(mm)(phrase)).nonzero()[0, 0])
        chances = torch.full_like(outputs.logits, -torch.inf)
        chances[..., column] = outputs.logits[..., column]
        outputs_of_word = type(outputs)(logits=chances, pred_boxes=outputs.pred_boxes)
        (expected,) = processor.post_process_grounded_object_detection(
            outputs_of_word, inputs["input_ids"], threshold=floor, text_threshold=floor, target_sizes=[(90, 120)]
        )
        assert set(expected["text_labels"]) == {phrase}
        own = found.take((found.labels == label) & (found.scores > floor))
        scores = expected["scores"].numpy()
        assert len(scores) > 3
        assert same(own, expected["boxes"].numpy(), scores, np.full(len(scores), label))


def ids_of(folder: Path) -> Callable[[str], int]:
    tokenizer = BertTokenizer.from_pretrained(folder)
    return lambda word: int(tokenizer.convert_tokens_to_ids(word))


@pytest.mark.soak  # the code is Grounding DINO's but for its loading, and that one's contract is checked
def test_it_keeps_the_contract_of_a_detector(mm: Path) -> None:
    samples = [photo(64, 85, "cat", "red car", seed=1), photo(64, 85, "dog", seed=2), photo(85, 64, "dog")]
    check_detector(MmGroundingDino, {"checkpoint": str(mm)}, samples=samples, floor=0.001)


def test_a_long_list_is_asked_in_several_captions(mm: Path) -> None:
    detector: MmGroundingDino = loaded(MmGroundingDino, mm, max_text_len=16)
    assert detector.passes(Prompt(NAMES)) > 2
    (found,) = detect(detector, photo(64, 85, *NAMES))
    assert set(found.labels) == set(range(len(NAMES)))
    assert detector.counters()["vision_passes"] == 1


def test_the_two_families_are_told_apart(mm: Path) -> None:
    other = GroundingDino(GroundingDino.Params(checkpoint=str(mm)))
    with pytest.raises(WeightsError, match="'mm-grounding-dino'; wanted a two-stage 'grounding-dino'") as caught:
        other.load("cpu")
    assert caught.value.hint == "use the labeler mm_grounding_dino"


def test_a_grounding_dino_is_refused(mm: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "grounding-dino"}')
    with pytest.raises(WeightsError, match="says model_type 'grounding-dino', wanted 'mm-grounding-dino'"):
        MmGroundingDino(MmGroundingDino.Params(checkpoint=str(tmp_path))).files()
