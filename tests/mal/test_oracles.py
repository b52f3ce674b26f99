"""MAL against the masks and intermediate values of the original code, on its random checkpoints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from autolabel.data.coco.read import Annotation, read_coco
from autolabel.images import read_pixels
from autolabel.types import Image, Instances, Prompt, Rle, Sample
from autolabel_labeling.given_boxes import clip_box
from autolabel_mal.crop import box_profiles, crop_image, region
from autolabel_mal.ensemble import Ensemble
from autolabel_mal.labeler import Mal
from autolabel_mal.load import load_networks
from autolabel_mal.vit import VisionTransformer

ORACLES = Path(__file__).resolve().parents[2] / "../shared/oracles"
pytestmark = pytest.mark.skipif(not (ORACLES / "mal/mal_dev.pth").exists(), reason="needs the oracles")
TAO, NVLABS = "mal_dev.pth", "mal_nvlabs_dev.ckpt"


def labeler(checkpoint: str, **params: Any) -> Mal:
    mal = Mal(Mal.Params(checkpoint=str(ORACLES / "mal" / checkpoint), **params))
    mal.load("cpu")
    return mal


def samples(boxes: str, ids: set[int]) -> tuple[list[Sample], list[list[int]]]:
    """Return the photos with the chosen boxes, and the boxes' ids."""
    made, numbers = [], []
    for image, listed in read_coco(ORACLES / "mal" / boxes).by_image():
        chosen = [annotation for annotation in listed if annotation.id in ids]
        if not chosen:
            continue
        pixels = read_pixels(ORACLES / "images" / image.file_name)
        instances = Instances.build(
            [annotation.corners() for annotation in chosen],
            scores=[1] * len(chosen),
            labels=[0] * len(chosen),
            rounds=-1,
        )
        where = Image(id=image.file_name, path="", size=pixels.shape[:2])
        made.append(Sample(image=where, pixels=pixels, prompt=Prompt(("thing",)), instances=instances))
        numbers.append([annotation.id or 0 for annotation in chosen])
    return made, numbers


def expected(name: str, key: str = "annotations") -> dict[int, Rle]:
    records = json.loads((ORACLES / "mal" / name).read_text())[key]
    return {
        record["id"]: Rle(tuple(record["segmentation"]["size"]), record["segmentation"]["counts"]) for record in records
    }


def ious(mal: Mal, wanted: dict[int, Rle], boxes: str = "boxes.json") -> list[float]:
    batch, numbers = samples(boxes, set(wanted))
    found = [mask for result in mal.segment(batch) for mask in result.masks or ()]
    flat = [number for group in numbers for number in group]
    assert len(found) == len(wanted)
    return [iou(mask, wanted[number]) for number, mask in zip(flat, found, strict=True)]


def iou(mask: Rle | None, wanted: Rle) -> float:
    assert mask is not None
    ours, theirs = mask.decode(), wanted.decode()
    union = (ours | theirs).sum()
    return float((ours & theirs).sum() / union) if union else 1.0


def some(wanted: dict[int, Rle], step: int) -> dict[int, Rle]:
    return {number: mask for index, (number, mask) in enumerate(wanted.items()) if index % step == 0}


@pytest.mark.parametrize(
    ("checkpoint", "file"),
    [(TAO, "expected_masks.json"), (NVLABS, "expected_masks_nvlabs.json")],
    ids=["tao", "nvlabs"],
)
@pytest.mark.parametrize("step", [4, pytest.param(1, marks=pytest.mark.soak)])
def test_masks_are_the_originals(checkpoint: str, file: str, step: int) -> None:
    values = ious(labeler(checkpoint), some(expected(file), step))
    assert min(values) >= 0.99
    assert np.mean(values) >= 0.999


@pytest.mark.parametrize(
    ("variant", "params"), [("teacher", {"which": "teacher"}), ("mixed", {"which": "mixed"}), ("flip", {"flip": True})]
)
def test_variants_are_the_originals(variant: str, params: dict[str, Any]) -> None:
    values = ious(labeler(TAO, **params), some(expected("expected_variants.json", variant), 2))
    assert min(values) >= 0.99


def test_student_and_teacher_differ() -> None:
    assert min(ious(labeler(TAO), some(expected("expected_variants.json", "teacher"), 2))) < 0.9


def test_areas_on_the_border_of_two_groups_are_decoded() -> None:
    """The originals decode an area of exactly 32^2 or 96^2 with no group at all, which fills the whole box."""
    wanted = expected("expected_masks.json", "quirk_annotations")
    boxes = {1000: 33 * 33, 1001: 97 * 97}
    assert all(wanted[number].area() == area for number, area in boxes.items())
    batch, _ = samples("boxes_quirk.json", set(boxes))
    masks = labeler(TAO).segment(batch)[0].masks
    assert masks is not None
    for mask, area in zip(masks, boxes.values(), strict=True):
        assert mask is not None
        assert 0 < mask.area() < 0.9 * area


@pytest.fixture(scope="module")
def tao() -> Ensemble:
    mal = labeler(TAO)
    return mal._ensemble


@pytest.fixture(scope="module")
def annotation_of() -> dict[int, tuple[str, Annotation]]:
    pairs: dict[int, tuple[str, Annotation]] = {}
    for image, own in read_coco(ORACLES / "mal/boxes.json").by_image():
        pairs.update({annotation.id or 0: (image.file_name, annotation) for annotation in own})
    return pairs


@pytest.mark.parametrize("number", range(4))
def test_each_step_gives_the_originals_values(
    number: int, tao: Ensemble, annotation_of: dict[int, tuple[str, Annotation]]
) -> None:
    stored = np.load(ORACLES / "mal/intermediates.npz")
    file_name, annotation = annotation_of[int(stored[f"ann_id_{number}"])]
    pixels = read_pixels(ORACLES / "images" / file_name)
    box = clip_box(annotation.corners(), pixels.shape[:2])
    assert box is not None
    at = region(box, pixels.shape[:2], (0.6, 0.6))
    assert (at.left, at.top, at.left + at.width, at.top + at.height) == tuple(stored[f"ext_box_{number}"])
    crop = crop_image(pixels, at, 512)
    assert np.array_equal(crop, stored[f"crop_uint8_{number}"])
    rows, columns = box_profiles(at, 512)
    inside = np.unpackbits(stored[f"boxmask_bits_{number}"]).reshape(512, 512)
    assert np.array_equal(np.outer(rows, columns), inside)
    with torch.inference_mode():
        crops = torch.from_numpy(crop.copy())[None]
        logits = tao.logits(crops, torch.tensor([at.group]))
        np.testing.assert_allclose(logits[0], stored[f"seg_logits_{number}"], atol=5e-4)
        if f"spatial_feat_{number}" in stored:
            features = tao.networks[0].backbone(tao.networks[0].normalise(crops))
            np.testing.assert_allclose(features[0], stored[f"spatial_feat_{number}"], atol=5e-4)


@pytest.mark.parametrize(("checkpoint", "file"), [(TAO, "intermediates.npz"), (NVLABS, "intermediates_nvlabs.npz")])
def test_positions_are_stretched_as_each_original_does(checkpoint: str, file: str) -> None:
    params = Mal.Params(checkpoint=str(ORACLES / "mal" / checkpoint))
    backbone = load_networks(ORACLES / "mal" / checkpoint, params)[0].backbone
    assert isinstance(backbone, VisionTransformer)
    stored = np.load(ORACLES / "mal" / file)["pos_embed_32x32"]
    np.testing.assert_allclose(backbone.pos_embed[0, 1:].detach(), stored[1:], atol=1e-5)


def test_licence_is_nvidias() -> None:
    licence = Mal(Mal.Params(checkpoint=str(ORACLES / "mal" / TAO))).licence()
    assert (licence.name, licence.commercial) == ("nvidia-source-code-license-nc", False)
