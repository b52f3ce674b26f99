"""SAM 3 in two separate steps: encode images, detect the objects of one phrase."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from autolabel.errors import WeightsError
from autolabel.transfer import to_device
from autolabel.types import Size
from autolabel.weights import bare, load_state_dict
from autolabel_labeling.half import halve
from autolabel_labeling.pixels import Shaping
from autolabel_labeling.pretrained import Architecture, build_model
from autolabel_labeling.tensors import to_tensor
from autolabel_transformers.phrases import Ids

_Floats = npt.NDArray[np.float32]
Maps = tuple[Tensor, ...]
"""One image's feature maps (1, channels, height, width), level by level."""
_SAM3 = Architecture(title="a SAM 3", configuration="Sam3Config", model="Sam3Model")
_OF_VIDEO, _OF_TRACKER = "detector_model.", ("tracker_model.", "tracker_neck.")
_REMEMBERED = 4096
"""Phrases whose features are kept."""


@dataclass(frozen=True, slots=True, eq=False)
class PhraseDetections:
    """The network's output for one image and one phrase."""

    scores: _Floats
    """(Q,)."""
    boxes: _Floats
    """(Q, 4) x1, y1, x2, y2 in 0..1."""
    masks: Tensor
    """(Q, h, w) logits, on the device."""


class Sam3Network:
    """transformers' SAM 3 with its vision and text towers called separately."""

    def __init__(self, model: Any, *, shaping: Shaping, device: str) -> None:
        self._model, self._shaping, self._device = model, shaping, device
        self._longest = int(model.config.text_config.max_position_embeddings)
        self._positions: Maps = ()
        self._read = lru_cache(_REMEMBERED)(self._read_anew)
        self.counts = {"vision_passes": 0, "text_passes": 0, "forward_passes": 0}

    @torch.inference_mode()
    def see(self, images: Sequence[npt.NDArray[np.uint8]]) -> list[Maps]:
        """Return the feature maps of images of the network's size, (height, width, 3) uint8."""
        height, width = images[0].shape[:2]
        pixels = to_tensor(images, (height, width), self._shaping, self._device).pixels
        output = self._model.get_vision_features(pixels)
        self._positions = tuple(level[:1] for level in output.fpn_position_encoding)  # the same for every image
        self.counts["vision_passes"] += len(images)
        levels = output.fpn_hidden_states
        return [tuple(level[index : index + 1] for level in levels) for index in range(len(images))]

    @torch.inference_mode()
    def ask(self, images: Sequence[Maps], phrases: Sequence[Ids]) -> list[PhraseDetections]:
        """Return the objects of each image's phrase."""
        from transformers.modeling_outputs import BaseModelOutputWithPooling
        from transformers.models.sam3.modeling_sam3 import Sam3VisionEncoderOutput

        self.counts["forward_passes"] += len(images)
        maps = tuple(torch.cat(level) for level in zip(*images, strict=True))
        positions = tuple(level.expand(len(images), -1, -1, -1) for level in self._positions)
        read = [self._read(ids) for ids in phrases]
        output = self._model(
            vision_embeds=Sam3VisionEncoderOutput(fpn_hidden_states=maps, fpn_position_encoding=positions),
            text_embeds=BaseModelOutputWithPooling(pooler_output=torch.stack([features for features, _ in read])),
            attention_mask=torch.stack([valid for _, valid in read]),
        )
        scores = (output.pred_logits.sigmoid() * output.presence_logits.sigmoid()).float().cpu().numpy()
        boxes = output.pred_boxes.float().cpu().numpy()
        return [PhraseDetections(*parts) for parts in zip(scores, boxes, output.pred_masks, strict=True)]

    @torch.inference_mode()
    def cut(
        self, answer: PhraseDetections, rows: Sequence[int], size: Size, *, threshold: float
    ) -> Iterator[npt.NDArray[np.bool_]]:
        """Yield the masks of selected objects, resized to an image of ``size`` (height, width)."""
        for row in rows:
            chances = answer.masks[row].float().sigmoid()[None, None]
            whole = functional.interpolate(chances, size, mode="bilinear", align_corners=False)[0, 0]
            inside: npt.NDArray[np.bool_] = (whole > threshold).cpu().numpy()
            yield inside

    def _read_anew(self, ids: Ids) -> tuple[Tensor, Tensor]:
        """Return a phrase's features (longest, width), zero at padding, and a mask (longest,) bool of real tokens.

        Every phrase is encoded alone and padded to one length, so that its features do not depend on the batch.
        """
        self.counts["text_passes"] += 1
        row = to_device(torch.tensor([ids]), self._device)
        features = self._model.get_text_features(row, attention_mask=torch.ones_like(row)).pooler_output[0]
        valid = torch.arange(self._longest, device=self._device) < len(ids)
        return functional.pad(features, (0, 0, 0, self._longest - len(ids))), valid


def load_sam3(folder: Path, fields: Mapping[str, Any], *, shaping: Shaping, device: str, half: bool) -> Sam3Network:
    """Return the network of a folder for images or video, without its tracker, on ``device``, rounded if ``half``.

    Raises WeightsError if it does not fit.
    """
    state = {
        key.removeprefix(_OF_VIDEO): tensor
        for key, tensor in bare(load_state_dict(folder)).items()
        if not key.startswith(_OF_TRACKER)
    }
    model = build_model(_SAM3, fields, state, path=folder)
    side = model.config.image_size
    if shaping.exact != (side, side):
        raise WeightsError(f"{folder}: the network wants squares of {side} pixels, its processor makes {shaping.exact}")
    model.to(device)
    if half:
        halve(model.vision_encoder)
    return Sam3Network(model, shaping=shaping, device=device)
