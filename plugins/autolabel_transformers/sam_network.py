"""SAM and SAM 2 in two separate steps: encode images, decode the masks of boxes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from autolabel.errors import ImageError, WeightsError
from autolabel.transfer import to_device
from autolabel.types import Size
from autolabel.weights import bare, load_state_dict
from autolabel_labeling.half import halve
from autolabel_labeling.pixels import Shaping, resize_pixels
from autolabel_labeling.pretrained import Architecture, build_model
from autolabel_labeling.tensors import to_tensor

_SAM = Architecture(title="a SAM", configuration="SamConfig", model="SamModel")
_SAM2 = Architecture(title="a SAM 2", configuration="Sam2Config", model="Sam2Model")
_PARTS = ("vision_config", "prompt_encoder_config", "mask_decoder_config", "initializer_range")
"""The parts of a configuration that concern images; the rest of a video model's is about its memory."""
_Pixels = npt.NDArray[np.uint8]
_Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class _SamImage:
    """An image's features on the device."""

    features: Any
    """The ``image_embeddings`` of transformers' model for a batch of one."""
    size: Size
    """(height, width) of the upright image."""
    inner: Size
    """(height, width) that it was resized to."""


class SamNetwork(ABC):
    """transformers' model with its vision tower called separately from its mask decoder."""

    def __init__(self, model: Any, *, shaping: Shaping, device: str) -> None:
        self._model, self._shaping, self._device = model, shaping, device
        self.side = int(model.config.prompt_encoder_config.image_size)
        self.counts = {"vision_passes": 0, "boxes": 0, "forward_passes": 0}

    @abstractmethod
    def inner(self, size: Size) -> Size:
        """Return (height, width) that an image of ``size`` is resized to, within a square of ``side``."""

    @abstractmethod
    def item(self, features: Any, index: int) -> Any:
        """Return one image's features of a batch's, as a batch of one."""

    @abstractmethod
    def enlarge(self, masks: Tensor, seen: _SamImage) -> Tensor:
        """Return logits (1, 1, height, width) of the whole image from the decoder's (1, 1, h, w)."""

    @torch.inference_mode()
    def see(self, images: Sequence[_Pixels]) -> list[_SamImage]:
        """Return the features of images (height, width, 3) uint8; the vision tower runs once over all of them."""
        if not images:
            return []
        sizes = [(image.shape[0], image.shape[1]) for image in images]
        inners = [self.inner(size) for size in sizes]
        resized = [resize_pixels(image, inner) for image, inner in zip(images, inners, strict=True)]
        pixels = to_tensor(resized, (self.side, self.side), self._shaping, self._device).pixels
        features = self._model.get_image_embeddings(pixels)
        self.counts["vision_passes"] += len(images)
        return [
            _SamImage(self.item(features, index), *pair) for index, pair in enumerate(zip(sizes, inners, strict=True))
        ]

    @torch.inference_mode()
    def cut(self, seen: _SamImage, boxes: npt.NDArray[np.float32], *, best: bool, chunk: int) -> Iterator[_Bools]:
        """Yield the mask (height, width) of each of N boxes (N, 4), ``chunk`` of them decoded together."""
        (height, width), (inner_height, inner_width) = seen.size, seen.inner
        across, down = inner_width / width, inner_height / height
        placed = to_device(torch.from_numpy(boxes * np.array([across, down, across, down])).float(), self._device)
        for part in torch.split(placed, chunk):
            output = self._model(image_embeddings=seen.features, input_boxes=part[None], multimask_output=best)
            self.counts["boxes"] += len(part)
            self.counts["forward_passes"] += 1
            if not bool(output.pred_masks.isfinite().all()):
                raise ImageError("answer_not_finite", "the model's masks are not finite: its weights are damaged")
            choice = output.iou_scores[0].argmax(-1)
            for masks, index in zip(output.pred_masks[0], choice, strict=True):
                yield self._whole(masks[index], seen)

    def _whole(self, mask: Tensor, seen: _SamImage) -> _Bools:
        inside: _Bools = (self.enlarge(mask[None, None].float(), seen)[0, 0] > 0).cpu().numpy()
        return inside


def _stretch(masks: Tensor, size: Size) -> Tensor:
    return functional.interpolate(masks, size, mode="bilinear", align_corners=False)


class _Sam1Network(SamNetwork):
    """SAM: the longer side is resized to the square's side, the rest is padding."""

    def inner(self, size: Size) -> Size:
        """Return the size with the longer side as long as the square's (rounded as in Meta's code)."""
        scale = self.side / max(size)
        return max(1, int(size[0] * scale + 0.5)), max(1, int(size[1] * scale + 0.5))

    def item(self, features: Any, index: int) -> Any:
        """Return one image's map."""
        return features[index : index + 1]

    def enlarge(self, masks: Tensor, seen: _SamImage) -> Tensor:
        """Resize to the square, remove the padding, resize to the image."""
        square = _stretch(masks, (self.side, self.side))
        return _stretch(square[..., : seen.inner[0], : seen.inner[1]], seen.size)


class _Sam2Network(SamNetwork):
    """SAM 2: the image is resized to the square."""

    def inner(self, size: Size) -> Size:
        """Return the square."""
        return self.side, self.side

    def item(self, features: Any, index: int) -> Any:
        """Return one image's maps of all levels."""
        return [level[index : index + 1] for level in features]

    def enlarge(self, masks: Tensor, seen: _SamImage) -> Tensor:
        """Resize to the image."""
        return _stretch(masks, seen.size)


def load_sam(folder: Path, fields: Mapping[str, Any], *, shaping: Shaping, device: str, half: bool) -> SamNetwork:
    """Return the network of a SAM folder on ``device``, rounded if ``half``; raises WeightsError if it does not fit."""
    network = _Sam1Network(_model(_SAM, folder, fields, device, half=half), shaping=shaping, device=device)
    if shaping.long_side != network.side:
        raise WeightsError(
            f"{folder}: the network wants squares of {network.side} pixels, its processor makes {shaping.long_side}"
        )
    return network


def load_sam2(folder: Path, fields: Mapping[str, Any], *, shaping: Shaping, device: str, half: bool) -> SamNetwork:
    """Return the network of a SAM 2 folder, for images or video, without its memory; raises WeightsError likewise."""
    network = _Sam2Network(_model(_SAM2, folder, fields, device, half=half), shaping=shaping, device=device)
    if shaping.exact != (network.side, network.side):
        raise WeightsError(
            f"{folder}: the network wants squares of {network.side} pixels, its processor makes {shaping.exact}"
        )
    return network


def _model(architecture: Architecture, folder: Path, fields: Mapping[str, Any], device: str, *, half: bool) -> Any:
    own = {key: value for key, value in fields.items() if key in _PARTS}
    model = build_model(architecture, own, bare(load_state_dict(folder)), path=folder).to(device)
    if half:
        halve(model.vision_encoder)
    return model
