"""SAM and SAM 2 against transformers' own model and post-processing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image as Picture
from transformers import Sam2Model, SamModel
from transformers.models.sam.image_processing_pil_sam import SamImageProcessorPil
from transformers.models.sam.processing_sam import SamProcessor

from autolabel.errors import MachineError, WeightsError
from autolabel.testing import check_segmenter
from autolabel.types import Instances, Rle, Sample
from autolabel_transformers.box_segmenter import BoxSegmenter, BoxSegmenterParams
from autolabel_transformers.sam import Sam
from autolabel_transformers.sam2 import Sam2
from tests.labelers.tiny_models import loaded, photo
from tests.labelers.without_torchvision import own_module

Masks = npt.NDArray[np.bool_]
BOXES: list[list[float]] = [[3.5, 4, 40, 30.25], [10, 20, 60, 90], [0, 0, 97, 60]]
FAMILY = pytest.mark.parametrize("kind", [Sam, Sam2], ids=["sam", "sam2"])


@pytest.fixture
def folder(kind: type[BoxSegmenter], sam: Path, sam2: Path) -> Path:
    return sam if kind is Sam else sam2


def boxed(height: int, width: int, boxes: list[list[float]], *, seed: int = 0) -> Sample:
    count = len(boxes)
    given = Instances.build(boxes, scores=[0.5] * count, labels=[0] * count)
    return replace(photo(height, width, "cell", seed=seed), instances=given)


def sam_reference(folder: Path, sample: Sample, *, best: bool) -> Masks:
    """Return the masks of transformers' processor, model and post-processing."""
    processor = SamProcessor(SamImageProcessorPil.from_pretrained(folder))
    inputs = processor(sample.pixels, input_boxes=[sample.instances.boxes.tolist()], return_tensors="pt")
    inputs["input_boxes"] = inputs["input_boxes"].float()
    sizes = inputs.pop("original_sizes"), inputs.pop("reshaped_input_sizes")
    with torch.inference_mode():
        output = SamModel.from_pretrained(folder).eval()(**inputs, multimask_output=best)
    (masks,) = processor.post_process_masks(output.pred_masks, *sizes)
    return chosen(masks, output.iou_scores[0])


def sam2_reference(folder: Path, sample: Sample, *, best: bool) -> Masks:
    """Return the masks of transformers' model and post-processing, for pixels prepared by the published rule."""
    height, width = sample.pixels.shape[:2]
    square = np.asarray(Picture.fromarray(sample.pixels).resize((64, 64), Picture.Resampling.BILINEAR))
    pixels = (square / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    boxes = sample.instances.boxes * np.array([64 / width, 64 / height] * 2, np.float32)
    with torch.inference_mode():
        output = Sam2Model.from_pretrained(folder).eval()(
            pixel_values=torch.from_numpy(pixels).float().permute(2, 0, 1)[None],
            input_boxes=torch.from_numpy(boxes)[None],
            multimask_output=best,
        )
    theirs = own_module("sam2.image_processing_sam2").Sam2ImageProcessor
    (masks,) = theirs.post_process_masks(None, output.pred_masks, [(height, width)])
    return chosen(masks, output.iou_scores[0])


def chosen(masks: torch.Tensor, trust: torch.Tensor) -> Masks:
    """Return (boxes, height, width) of masks (boxes, choices, height, width): those that are trusted most."""
    best: Masks = masks[torch.arange(len(masks)), trust.argmax(-1)].numpy()
    return best


REFERENCES: dict[type[BoxSegmenter], Callable[..., Masks]] = {Sam: sam_reference, Sam2: sam2_reference}


def decoded(found: Instances) -> Masks:
    assert found.masks is not None
    return np.stack([mask.decode() for mask in found.masks if mask is not None])


@FAMILY
@pytest.mark.parametrize("mask", ["single", "best"])
@pytest.mark.parametrize(
    "size", [pytest.param((90, 120), marks=pytest.mark.soak), (131, 70), pytest.param((64, 64), marks=pytest.mark.soak)]
)
def test_masks_equal_transformers_own(kind: type[BoxSegmenter], folder: Path, mask: str, size: tuple[int, int]) -> None:
    inside = np.minimum(BOXES, [size[1], size[0]] * 2).tolist()
    sample = boxed(*size, inside)
    segmenter: BoxSegmenter = loaded(kind, folder, mask=mask, boxes_per_pass=2)
    (found,) = segmenter.segment([sample])
    ours, theirs = decoded(found), REFERENCES[kind](folder, sample, best=mask == "best")
    assert ours.shape == theirs.shape == (3, *size)
    assert 0.002 < theirs.mean() < 0.98, "some pixels, not all"
    assert (ours != theirs).mean() < 1e-4
    assert segmenter.counters() == {"vision_passes": 1, "boxes": 3, "forward_passes": 2}


@pytest.mark.parametrize(
    "kind", [Sam, pytest.param(Sam2, marks=pytest.mark.soak)], ids=["sam", "sam2"]
)  # they differ in three small methods
def test_they_keep_the_contract_of_a_segmenter(kind: type[BoxSegmenter], folder: Path) -> None:
    check_segmenter(kind, {"checkpoint": str(folder)})


@FAMILY
def test_every_box_has_a_mask_of_its_own(kind: type[BoxSegmenter], folder: Path) -> None:
    segmenter: BoxSegmenter = loaded(kind, folder)
    (all_of_them,) = segmenter.segment([boxed(90, 120, BOXES)])
    (alone,) = segmenter.segment([boxed(90, 120, BOXES[1:2])])
    masks = decoded(all_of_them)
    assert (masks[1] != decoded(alone)[0]).mean() < 1e-3
    assert (masks[0] != masks[1]).mean() > 0.01


@FAMILY
def test_boxes_outside_and_images_without_boxes(kind: type[BoxSegmenter], folder: Path) -> None:
    segmenter: BoxSegmenter = loaded(kind, folder)
    outside = boxed(60, 97, [[-20, -30, 40, 30], [200, 10, 220, 20], [5, 5, 5, 9]])
    (cut,) = segmenter.segment([boxed(60, 97, [[0, 0, 40, 30]])])
    found, nothing = segmenter.segment([outside, boxed(60, 97, [])])
    assert found.masks is not None and cut.masks is not None
    assert found.masks[0] == cut.masks[0] and found.masks[1:] == (None, None)
    assert np.array_equal(found.boxes, outside.instances.boxes)
    assert nothing.masks == ()
    assert segmenter.counters() == {"vision_passes": 2, "boxes": 2, "forward_passes": 2}


@FAMILY
def test_a_crowd_keeps_its_region(kind: type[BoxSegmenter], folder: Path) -> None:
    region = Rle.encode(np.eye(60, 97, dtype=bool))
    sample = boxed(60, 97, BOXES[:2])
    given: tuple[dict[str, object], ...] = ({"iscrowd": 1, "segmentation": region.as_coco()}, {"iscrowd": 0})
    sample = replace(sample, instances=replace(sample.instances, given=given))
    (found,) = loaded(kind, folder).segment([sample])
    assert found.masks is not None and found.masks[0] == region
    assert found.masks[1] not in (None, region)


@FAMILY
def test_work_before_load_is_an_error(kind: type[BoxSegmenter], folder: Path) -> None:
    with pytest.raises(MachineError, match="not loaded"):
        kind(BoxSegmenterParams(checkpoint=str(folder))).segment([])


@FAMILY
def test_a_processor_of_another_size_is_refused(kind: type[BoxSegmenter], folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "model")
    size = {"longest_edge": 1024} if kind is Sam else {"height": 1024, "width": 1024}
    (copy / "preprocessor_config.json").write_text(json.dumps({"size": size}))
    with pytest.raises(WeightsError, match=r"wants squares of 64 pixels, its processor makes \(?1024"):
        loaded(kind, copy)


def test_the_two_are_told_apart(sam: Path, sam2: Path) -> None:
    with pytest.raises(WeightsError, match=r"model_type 'sam2', wanted 'sam'"):
        loaded(Sam, sam2)
    with pytest.raises(WeightsError, match=r"model_type 'sam', wanted 'sam2' or 'sam2_video'"):
        loaded(Sam2, sam)


def test_a_video_models_folder_is_read_without_its_memory(sam2: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    copy = shutil.copytree(sam2, tmp_path / "video")
    config = json.loads((copy / "config.json").read_text())
    video = {**config, "model_type": "sam2_video", "num_maskmem": 7, "architectures": ["Sam2VideoModel"]}
    (copy / "config.json").write_text(json.dumps(video))
    memory = {"memory_encoder.projection.weight": torch.zeros(3, 3), "no_object_pointer": torch.zeros(1, 3)}
    save_file({**load_file(copy / "model.safetensors"), **memory}, copy / "model.safetensors")
    sample = boxed(90, 120, BOXES)
    (of_video,), (of_image,) = loaded(Sam2, copy).segment([sample]), loaded(Sam2, sam2).segment([sample])
    assert of_video.masks == of_image.masks
