"""The answers of IDEA-Research's and of TAO's own code are reproduced; skipped where their outputs are not at hand."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

from autolabel.types import Image, Instances, Prompt, Sample
from autolabel_grounding_dino.features import ImageFeatures
from autolabel_grounding_dino.grounded import _GroundedImage
from autolabel_grounding_dino.labeler import GroundingDino
from autolabel_grounding_dino.network import _NetworkOutput
from tests.grounding_dino.checkpoints import SHARED, load

GDINO = SHARED / "gdino"
IMAGES = ("astronaut.png", "china.png")
LOGIT, BOX = 5e-4, 5e-5
REST = [(0, 1), (0, 2), (1, 0), (1, 2)]
pytestmark = pytest.mark.skipif(not GDINO.is_dir(), reason="needs the reference outputs")


@pytest.fixture(scope="module", autouse=True)
def two_threads() -> Iterator[None]:
    """Compute with two threads, as the references were: two proposals of the padded images tie within 2e-5.

    Queries take their content by rank, so an exchange of the two would move every logit by up to 0.1.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def read(name: str) -> Any:
    return json.loads((GDINO / name).read_text())


def photo_of(name: str) -> Sample:
    pixels = np.asarray(Pillow.open(SHARED / "images" / name).convert("RGB"))
    image = Image(id=name, path=name, size=(pixels.shape[0], pixels.shape[1]))
    return Sample(image=image, pixels=pixels, prompt=Prompt(()), instances=Instances.empty())


def see(detector: GroundingDino) -> list[_GroundedImage]:
    if detector.params.padding == "fixed":
        return list(detector.prepare([detector.preprocess(photo_of(name)) for name in IMAGES]))
    return [detector.prepare([detector.preprocess(photo_of(name))])[0] for name in IMAGES]


def ask(detector: GroundingDino, items: list[_GroundedImage], captions: list[tuple[int, ...]]) -> _NetworkOutput:
    with torch.inference_mode():
        return detector.network.ask(ImageFeatures.join([item.features for item in items]), captions)


def check(answer: _NetworkOutput, row: int, logits: np.ndarray, boxes: np.ndarray) -> None:
    assert np.abs(answer.logits[row, :, : logits.shape[1]].numpy() - logits).max() < LOGIT
    assert np.abs(answer.boxes[row].numpy() - boxes).max() < BOX


@pytest.fixture(scope="module")
def idea() -> GroundingDino:
    return load(GDINO / "groundingdino_dev.pth", score="max")


@pytest.fixture(scope="module")
def idea_items(idea: GroundingDino) -> list[_GroundedImage]:
    return see(idea)


def unwrap(key: str) -> str:
    return key.replace("model.", "").replace("backbone.0.body.", "backbone.0.")


@pytest.fixture(scope="module")
def tao(tmp_path_factory: pytest.TempPathFactory) -> GroundingDino:
    """Return a detector of the TAO file: the same weights under TAO's names."""
    state = torch.load(GDINO / "groundingdino_dev.pth", weights_only=True)["model"]
    by_plain = {unwrap(key): key for key in read("tao_keys.json")}
    renamed = {by_plain[key.removeprefix("module.")]: value for key, value in state.items()}
    assert len(renamed) == len(read("tao_keys.json"))
    path = tmp_path_factory.mktemp("tao") / "tao.pth"
    torch.save({"state_dict": renamed, "tao_model": "grounding_dino"}, path)
    return load(path, padding="fixed", text_encoder=str(GDINO / "text_encoder"))


@pytest.fixture(scope="module")
def tao_items(tao: GroundingDino) -> list[_GroundedImage]:
    return see(tao)


@pytest.mark.parametrize("image", [0, 1])
def test_pixels_are_resized_as_the_originals_do(image: int, idea: GroundingDino) -> None:
    expected = np.asarray(Pillow.open(GDINO / f"resized_{IMAGES[image]}").convert("RGB"))
    assert np.array_equal(idea.preprocess(photo_of(IMAGES[image])).pixels, expected)


CASES = [(0, 0), (1, 1), *(pytest.param(image, prompt, marks=pytest.mark.soak) for image, prompt in REST)]


@pytest.mark.parametrize(("image", "prompt"), CASES)
def test_raw_outputs_and_predictions_of_idea_research(
    image: int, prompt: int, idea: GroundingDino, idea_items: list[_GroundedImage]
) -> None:
    raw = np.load(GDINO / "expected_raw.npz")
    answer = ask(idea, [idea_items[image]], [tuple(raw[f"input_ids_{prompt}"].tolist())])
    check(answer, 0, raw[f"logits_{image}_{prompt}"], raw[f"boxes_{image}_{prompt}"])
    document = read("expected_predict.json")
    wanted = (IMAGES[image], document["prompts"][prompt])
    (expected,) = (result for result in document["results"] if (result["image"], result["prompt"]) == wanted)
    scores = answer.logits[0].sigmoid().amax(-1).numpy()
    kept = scores > expected["box_threshold"]
    assert kept.sum() == len(expected["scores"]) > 0
    assert np.abs(scores[kept] - expected["scores"]).max() < 1e-4
    assert np.abs(answer.boxes[0].numpy()[kept] - expected["boxes_cxcywh"]).max() < BOX


@pytest.mark.parametrize("prompt", [0, 1, 2])
def test_token_masks_and_positions_of_idea_research(prompt: int, idea: GroundingDino) -> None:
    raw = np.load(GDINO / "expected_raw.npz")
    with torch.inference_mode():
        caption = idea.network.text.encode(tuple(raw[f"input_ids_{prompt}"].tolist()))
    assert np.array_equal(caption.attends.numpy(), raw[f"text_self_attention_mask_{prompt}"].astype(bool))
    assert np.array_equal(caption.positions.numpy(), raw[f"position_ids_{prompt}"])


@pytest.mark.soak
def test_raw_outputs_of_tao_with_fixed_padding(tao: GroundingDino, tao_items: list[_GroundedImage]) -> None:
    raw = np.load(GDINO / "expected_tao_raw.npz")
    answer = ask(tao, tao_items, [tuple(raw["input_ids"].tolist())] * 2)
    for row in (0, 1):
        check(answer, row, raw[f"logits_{row}"], raw[f"boxes_{row}"])


@pytest.mark.soak
def test_two_captions_in_one_batch_answer_as_tao_does_for_each_alone(
    tao: GroundingDino, tao_items: list[_GroundedImage]
) -> None:
    raw = np.load(GDINO / "expected_tao_raw.npz")
    texts = read("mixed_captions.json")
    captions = [tao.captions(Prompt(tuple(text.removesuffix(" .").split(" . "))))[0] for text in texts]
    ordered = [as_written(tao, text) for text in texts]
    assert [sorted(ids) for ids in ordered] == [sorted(caption.ids) for caption in captions]
    answer = ask(tao, tao_items, ordered)
    for row in (0, 1):
        check(answer, row, raw[f"alone_logits_{row}"], raw[f"alone_boxes_{row}"])
        assert np.abs(raw[f"batched_logits_{row}"] - raw[f"alone_logits_{row}"]).max() > 0.5


def as_written(detector: GroundingDino, text: str) -> tuple[int, ...]:
    """Return the token ids of a caption in its own order of phrases."""
    phrases = text.removesuffix(" .").split(" . ")
    body = [token for phrase in phrases for token in (*detector._tokenizer.ids(phrase), 1012)]
    return (101, *body, 102)


def overlaps(box: np.ndarray, others: np.ndarray) -> np.ndarray:
    low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
    shared = np.clip(high - low, 0, None).prod(1)
    area, areas = np.prod(box[2:] - box[:2]), (others[:, 2:] - others[:, :2]).prod(1)
    return shared / (area + areas - shared)


def suppressed(boxes: np.ndarray, labels: np.ndarray) -> list[int]:
    """Return what greedy suppression at IoU 0.5 within each label keeps of boxes that are sorted by score."""
    kept: list[int] = []
    for index in range(len(boxes)):
        alike = [other for other in kept if labels[other] == labels[index]]
        if not alike or overlaps(boxes[index], boxes[alike]).max() <= 0.5:
            kept.append(index)
    return kept


@pytest.fixture(scope="module")
def tao_found(tao: GroundingDino, tao_items: list[_GroundedImage]) -> list[Instances]:
    """Return everything above 0.3 that the closed set of classes finds in both images."""
    prompt = Prompt(tuple(read("expected_tao_closed_set.json")["class_names"]))
    return list(tao.detect(tao_items, [prompt, prompt], 0.3))


@pytest.mark.soak
@pytest.mark.parametrize("image", [0, 1])
def test_the_closed_set_answer_of_tao_box_for_box(image: int, tao_found: list[Instances]) -> None:
    expected = read("expected_tao_closed_set.json")["results"][image]
    threshold, top = expected["conf_threshold"], expected["top100"]
    found = tao_found[image].take(tao_found[image].scores > threshold)
    wanted = [index for index, score in enumerate(top["scores"]) if score > threshold]
    boxes, labels = np.array(top["boxes_xyxy"])[wanted], np.array(top["labels"])[wanted]
    assert len(found) == len(wanted) == expected["kept_no_nms"]
    order = [match(found, label, box) for label, box in zip(labels, boxes, strict=True)]
    assert sorted(order) == list(range(len(found)))
    assert np.abs(found.scores[order] - np.array(top["scores"])[wanted]).max() < 1e-5
    assert np.abs(found.boxes[order] - boxes).max() < 0.02
    assert suppressed(found.boxes[order], labels) == expected["kept_after_nms_0.5"]


def match(found: Instances, label: int, box: np.ndarray) -> int:
    """Return the found box of a label that lies nearest to a box."""
    distance = np.abs(found.boxes - box).max(1) + 1e6 * (found.labels != label)
    return int(distance.argmin())


@pytest.mark.soak
@pytest.mark.parametrize("image", [0, 1])
def test_more_than_a_hundred_boxes_come_back(image: int, tao_found: list[Instances]) -> None:
    top = read("expected_tao_closed_set.json")["results"][image]["top100"]
    assert len(tao_found[image]) > 150
    assert np.allclose(tao_found[image].scores[:100], top["scores"], atol=1e-5)


def test_shapes_of_the_renamed_file_are_read(tao: GroundingDino) -> None:
    assert Path(str(tao.files()[0])).name == "tao.pth"
    assert tao.network.text.vocabulary == 30522
