"""The detector as the annealing loop uses it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from autolabel.errors import ImageError, MachineError
from autolabel.testing import check_detector
from autolabel.types import Instances, Prompt
from autolabel.weights import licence_of
from autolabel_grounding_dino.labeler import GroundingDino
from autolabel_labeling.candidates import candidates, phrase_scores, to_pixels
from autolabel_labeling.caption import Caption
from tests.grounding_dino.checkpoints import detect, load
from tests.labelers.tiny_models import photo

THINGS = ("car", "cat", "boat", "hat")
NAMES = tuple(f"{colour} {thing}" for colour in ("red", "blue", "green", "old") for thing in THINGS)


def as_set(instances: Instances) -> list[tuple[Any, ...]]:
    """Return what was found in an order of its own, rounded."""
    rows = zip(instances.labels.tolist(), instances.scores.tolist(), instances.boxes.tolist(), strict=True)
    return sorted((label, round(score, 4), tuple(round(side, 1) for side in box)) for label, score, box in rows)


def close(one: Instances, other: Instances, *, tolerance: float = 1e-5) -> bool:
    """Return whether two results hold the same boxes, matched by label and score."""
    if len(one) != len(other) or len(one) == 0:
        return False
    first, second = (np.lexsort((np.round(part.scores, 4), part.labels)) for part in (one, other))
    return bool(
        np.array_equal(one.labels[first], other.labels[second])
        and np.allclose(one.scores[first], other.scores[second], atol=tolerance)
    )


def test_discovery_and_planning_import_no_torch(folder: Path) -> None:
    script = f"""
import sys
import autolabel_grounding_dino
from autolabel.types import Prompt
labeler, _ = autolabel_grounding_dino.autolabel_labelers()
detector = labeler(labeler.Params(checkpoint={str(folder)!r}))
assert detector.passes(Prompt(("cat", "dog"))) == 1
assert detector.batch_key((480, 640)) == (64, 85)
assert detector.files()
heavy = {{"torch", "transformers", "numba", "scipy", "sklearn"}} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", script], check=True)


def test_it_keeps_the_contract_of_a_detector(folder: Path) -> None:
    samples = [photo(64, 85, "cat", "red car", seed=seed) for seed in (1, 2)]
    check_detector(GroundingDino, {"checkpoint": str(folder)}, samples=[*samples, photo(85, 64, "dog")], floor=0.001)


def test_every_pair_above_the_floor_comes_back_best_first(detector: GroundingDino) -> None:
    (everything,) = detect(detector, photo(64, 85, "cat", "dog"), floor=0.0)
    assert len(everything) > 30
    assert set(everything.labels) == {0, 1}
    assert (np.diff(everything.scores) <= 0).all()
    floor = float(np.median(everything.scores))
    (above,) = detect(detector, photo(64, 85, "cat", "dog"), floor=floor)
    assert as_set(above) == as_set(everything.take(everything.scores > floor))
    assert 0 < len(above) < len(everything)


def test_boxes_are_in_pixels_of_the_image_given(detector: GroundingDino) -> None:
    (small,), (large,) = detect(detector, photo(64, 80, "cat")), detect(detector, photo(128, 160, "cat"))
    centres = [(part.boxes[:, :2] + part.boxes[:, 2:]) / 2 for part in (small, large)]
    assert (centres[0] <= [80, 64]).all() and (centres[1] <= [160, 128]).all()
    assert centres[1].max() > 80 > centres[0].max() > 40
    assert (large.boxes[:, 2] > large.boxes[:, 0]).all() and (large.boxes[:, 3] > large.boxes[:, 1]).all()


def test_a_batch_answers_as_each_image_alone(detector: GroundingDino) -> None:
    samples = [photo(64, 85, *phrases, seed=seed) for seed, phrases in enumerate([("cat",), NAMES, ("old hat", "dog")])]
    together = detect(detector, *samples)
    for sample, found in zip(samples, together, strict=True):
        assert close(found, detect(detector, sample)[0])


def test_images_prepared_together_may_be_asked_apart_and_mixed(detector: GroundingDino) -> None:
    samples = [photo(64, 85, "cat", seed=seed) for seed in range(4)]
    items = list(detector.prepare([detector.preprocess(sample) for sample in samples]))
    prompts = [sample.prompt for sample in samples]
    expected = detector.detect(items, prompts, 0.0)
    mixed = detector.detect([items[3], items[0], items[3]], [prompts[0]] * 3, 0.0)
    assert close(mixed[0], expected[3]) and close(mixed[1], expected[0]) and close(mixed[2], expected[3])
    assert not close(expected[0], expected[3])


def test_items_of_different_shapes_may_be_asked_at_once(detector: GroundingDino) -> None:
    wide, tall = photo(64, 85, "cat"), photo(85, 64, "cat")
    items = [detector.prepare([detector.preprocess(sample)])[0] for sample in (wide, tall)]
    found = detector.detect(items, [wide.prompt, tall.prompt], 0.0)
    assert close(found[0], detect(detector, wide)[0])
    assert close(found[1], detect(detector, tall)[0])


def test_the_order_of_classes_does_not_matter(detector: GroundingDino) -> None:
    (one,) = detect(detector, photo(64, 85, *NAMES))
    (other,) = detect(detector, photo(64, 85, *reversed(NAMES)))
    back = other.take(np.arange(len(other)))
    flipped = Instances.build(back.boxes, scores=back.scores, labels=len(NAMES) - 1 - back.labels)
    assert as_set(one) == as_set(flipped)


def test_a_long_list_is_asked_in_several_captions(folder: Path) -> None:
    detector = load(folder, max_text_len=16)
    prompt = Prompt(NAMES)
    captions = detector.captions(prompt)
    assert detector.passes(prompt) == len(captions) > 3
    (found,) = detect(detector, photo(64, 85, *NAMES))
    assert set(found.labels) == set(range(len(NAMES)))
    assert detector.counters() == {
        "vision_passes": 1,
        "text_passes": len(NAMES) + 2,
        "forward_passes": len(captions),
    }
    for caption in captions:
        asked = tuple(NAMES[labels[0]] for labels in caption.labels)
        (alone,) = detect(detector, photo(64, 85, *asked))
        rows = np.isin(found.labels, [labels[0] for labels in caption.labels])
        assert np.allclose(np.sort(found.scores[rows]), np.sort(alone.scores), atol=1e-6)


def test_counters_show_that_vision_and_text_are_computed_once(folder: Path) -> None:
    detector = load(folder)
    assert detector.counters() == {"vision_passes": 0, "text_passes": 0, "forward_passes": 0}
    items = detector.prepare([detector.preprocess(photo(64, 85, seed=seed)) for seed in range(3)])
    for phrases in (("cat", "dog"), ("cat",), ("dog", "cat")):
        detector.detect(items, [Prompt(phrases)] * 3, 0.2)
    assert detector.counters() == {"vision_passes": 3, "text_passes": 2 + 2, "forward_passes": 9}


def test_a_phrase_reads_alike_in_every_caption(folder: Path) -> None:
    detector = load(folder)
    text = detector.network.text
    long, short = (detector.captions(Prompt(phrases))[0].ids for phrases in (("cat", "dog", "red car"), ("red car",)))
    with torch.inference_mode():
        both, alone = text.encode(long), text.encode(short)
    count = len(short) - 2
    (start,) = (place for place in range(len(long)) if long[place : place + count] == short[1:-1])
    assert torch.equal(both.features[start : start + count], alone.features[1:-1])
    assert torch.equal(both.features[[0, -1]], alone.features[[0, -1]])
    assert text.passes == 3 + 2


def test_nothing_asked_is_nothing_found(detector: GroundingDino) -> None:
    before = detector.counters()["forward_passes"]
    (found,) = detect(detector, photo(64, 85))
    assert len(found) == 0
    assert detector.counters()["forward_passes"] == before
    assert detector.passes(Prompt(())) == 0
    assert detector.prepare([]) == [] == detector.detect([], [], 0.0)


def test_phrases_that_read_the_same_get_the_same_boxes(detector: GroundingDino) -> None:
    (found,) = detect(detector, photo(64, 85, "Cat", "dog", "cat"))
    one, other = found.take(found.labels == 0), found.take(found.labels == 2)
    assert np.array_equal(one.boxes, other.boxes) and np.array_equal(one.scores, other.scores)


def test_an_image_with_fewer_places_than_queries_is_answered(folder: Path) -> None:
    detector = load(folder, short_side=16, long_side=24)
    (found,) = detect(detector, photo(10, 400, "cat"))
    assert 0 < len(found) < 30
    assert np.isfinite(found.boxes).all()


def test_fewer_queries_may_be_asked_for(folder: Path) -> None:
    (found,) = detect(load(folder, num_queries=5), photo(64, 85, "cat"))
    assert 0 < len(found) <= 5


def test_more_queries_than_the_checkpoint_has_are_warned_of(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    (found,) = detect(load(folder, num_queries=900), photo(64, 85, "cat"))
    assert len(found) == 30
    assert caplog.messages == ["num_queries is 900 in the spec, the checkpoint has 30"]


@pytest.mark.parametrize("padding", ["bucket", "fixed"])
def test_padding_is_masked_and_boxes_refer_to_the_image(folder: Path, padding: str) -> None:
    detector = load(folder, padding=padding)
    assert detector.batch_key((64, 70)) == {"bucket": (64, 77), "fixed": (64, 100)}[padding]
    short, long = photo(64, 70, "cat"), photo(64, 66, "cat", seed=2)
    found = detect(detector, short, long)
    centres = [(part.boxes[:, 0] + part.boxes[:, 2]) / 2 for part in found]
    assert 45 < centres[0].max() <= 70 and centres[1].max() <= 66
    assert close(found[1], detect(detector, long)[0], tolerance=2e-5)


def test_the_score_is_the_mean_or_the_maximum_over_a_phrases_tokens(folder: Path) -> None:
    sample = photo(64, 85, "red car", "cat")
    (mean,), (most,) = detect(load(folder), sample), detect(load(folder, score="max"), sample)
    assert mean.scores[mean.labels == 0].max() < most.scores[most.labels == 0].max()
    assert np.allclose(np.sort(mean.scores[mean.labels == 1]), np.sort(most.scores[most.labels == 1]), atol=1e-6)


CAPTION = Caption((101, 7, 8, 1012, 9, 1012, 102), ((1, 3), (4, 5)), ((1,), (0,)))
LOGITS = np.array([[0, 0, 2, 0, -np.inf, 0, 0], [9, -1, 1, 9, 3, 9, 9]], np.float32)


def sigmoid(value: float) -> float:
    return float(1 / (1 + np.exp(-value)))


def test_scores_are_taken_over_the_span_only() -> None:
    mean = phrase_scores(LOGITS, CAPTION, score="mean")
    assert np.allclose(mean, [[(0.5 + sigmoid(2)) / 2, 0], [(sigmoid(-1) + sigmoid(1)) / 2, sigmoid(3)]])
    most = phrase_scores(LOGITS, CAPTION, score="max")
    assert np.allclose(most, [[sigmoid(2), 0], [sigmoid(1), sigmoid(3)]])


def test_boxes_may_reach_beyond_the_image_and_are_dropped_without_area() -> None:
    boxes = np.array([[0.5, 0.5, 2.0, 0.5], [0.5, 0.5, 0, 0.1]], np.float32)
    assert to_pixels(boxes, (100, 200)).tolist()[0] == [-100, 25, 300, 75]
    logits = np.full((2, 7), 5, np.float32)
    found = candidates(logits, boxes, CAPTION, size=(100, 200), score="mean", floor=0.5)
    assert found.boxes.tolist() == [[-100, 25, 300, 75]] * 2
    assert sorted(found.labels) == [0, 1]
    assert len(candidates(logits, boxes, CAPTION, size=(100, 200), score="mean", floor=0.999)) == 0


@pytest.mark.parametrize("box", [[np.nan, 0.5, 1, 1], [0.5, np.inf, 1, 1]])
def test_an_answer_that_is_not_finite_fails_its_image(box: list[float]) -> None:
    boxes, logits = np.array([box], np.float32), np.full((1, 7), 5, np.float32)
    with pytest.raises(ImageError, match="the model's output is not finite"):
        candidates(logits, boxes, CAPTION, size=(100, 200), score="mean", floor=0.5)
    with pytest.raises(ImageError, match="the model's output is not finite"):
        candidates(
            logits * np.float32(np.nan),
            np.ones_like(boxes) / np.float32(2),
            CAPTION,
            size=(100, 200),
            score="mean",
            floor=0.5,
        )


def test_the_checkpoint_decides_pixels_unless_the_spec_does(folder: Path) -> None:
    own = GroundingDino(GroundingDino.Params(checkpoint=str(folder)))
    assert own.batch_key((100, 100)) == (64, 64)
    params = GroundingDino.Params(checkpoint=str(folder), short_side=32, image_mean=(0, 0, 0), image_std=(1, 1, 1))
    set_by_spec = GroundingDino(params)
    assert set_by_spec.batch_key((100, 100)) == (32, 32)
    assert set_by_spec.shaping.mean == (0, 0, 0)
    assert set_by_spec.shaping.long_side == own.shaping.long_side == 100


def test_files_are_the_folders_own(folder: Path) -> None:
    names = [file.name for file in GroundingDino(GroundingDino.Params(checkpoint=str(folder))).files()]
    assert names == ["config.json", "model.safetensors", "processor_config.json", "vocab.txt"]


def test_the_licence_is_the_checkpoints(folder: Path) -> None:
    assert GroundingDino(GroundingDino.Params(checkpoint=str(folder))).licence() == licence_of(folder)


def test_a_phrase_that_cannot_be_asked_is_refused_before_any_work(folder: Path) -> None:
    with pytest.raises(ImageError, match="contains nothing that the model can read"):
        GroundingDino(GroundingDino.Params(checkpoint=str(folder))).passes(Prompt(("cat", "?")))


def test_work_before_load_is_an_error(folder: Path) -> None:
    detector = GroundingDino(GroundingDino.Params(checkpoint=str(folder)))
    with pytest.raises(MachineError, match="not loaded"):
        detector.prepare([detector.preprocess(photo(64, 64))])
    assert detector.counters() == {}


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({}, "checkpoint\n  Field required"),
        ({"checkpoint": "tiny", "score": "median"}, "Input should be 'mean' or 'max'"),
        ({"checkpoint": "tiny", "max_text_len": 3}, "greater than or equal to 4"),
        ({"checkpoint": "tiny", "image_std": (0, 1, 1)}, "greater than 0"),
        ({"checkpoint": "tiny", "chekpoint": "x"}, "Extra inputs are not permitted"),
        ({"checkpoint": "tiny", "model": {"pe_temperatureH": 20, "pe_temperatureW": 10}}, "must be equal"),
        ({"checkpoint": "tiny", "model": {"two_stage_type": "no"}}, "Input should be 'standard'"),
    ],
)
def test_wrong_params_are_refused(params: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        GroundingDino.Params(**params)
