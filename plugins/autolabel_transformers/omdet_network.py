"""OmDet-Turbo in three separate steps: encode images, encode texts, decode boxes from both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from autolabel.transfer import to_device
from autolabel.weights import bare, load_state_dict
from autolabel_labeling.half import halve
from autolabel_labeling.pixels import Shaping
from autolabel_labeling.pretrained import Architecture, build_model
from autolabel_labeling.tensors import to_tensor
from autolabel_transformers.phrases import Ids

_Floats = npt.NDArray[np.float32]
Pyramid = tuple[Tensor, ...]
"""One image's feature maps (1, channels, height, width), level by level."""
_OMDET_TURBO = Architecture(
    title="an OmDet-Turbo", configuration="OmDetTurboConfig", model="OmDetTurboForObjectDetection"
)
_REMEMBERED = 4096
"""Texts whose features are kept."""


class OmdetNetwork:
    """transformers' OmDet-Turbo with its parts called separately."""

    def __init__(self, model: Any, *, shaping: Shaping, device: str) -> None:
        self._model, self._shaping, self._device = model, shaping, device
        self._class = lru_cache(_REMEMBERED)(self._read_class)
        self._task = lru_cache(_REMEMBERED)(self._read_task)
        self.counts = {"vision_passes": 0, "text_passes": 0, "forward_passes": 0}

    @torch.inference_mode()
    def see(self, images: Sequence[npt.NDArray[np.uint8]]) -> list[Pyramid]:
        """Return the feature maps of images of the network's size, (height, width, 3) uint8."""
        height, width = images[0].shape[:2]
        pixels = to_tensor(images, (height, width), self._shaping, self._device).pixels
        levels = self._model.encoder(self._model.vision_backbone(pixels)).extracted_states
        self.counts["vision_passes"] += len(images)
        return [tuple(level[index : index + 1] for level in levels) for index in range(len(images))]

    @torch.inference_mode()
    def ask(
        self, images: Sequence[Pyramid], asked: Sequence[tuple[Ids, Sequence[Ids]]]
    ) -> list[tuple[_Floats, _Floats]]:
        """Return for each image its scores (Q, classes) and boxes (Q, 4): centre x, y, width, height in 0..1.

        ``asked`` has a task with its classes for each image; all tasks have equally many classes.
        """
        self.counts["forward_passes"] += len(images)
        levels = [torch.cat(level) for level in zip(*images, strict=True)]
        classes = torch.stack([torch.stack([self._class(ids) for ids in own]) for _, own in asked], 1)
        tasks, valid = _padded([self._task(task) for task, _ in asked])
        output = self._model.decoder(levels, classes, tasks, valid)
        scores = output.decoder_classes[-1].sigmoid().float().cpu().numpy()
        boxes = output.decoder_coords[-1].float().cpu().numpy()
        return list(zip(scores, boxes, strict=True))

    def _read_class(self, ids: Ids) -> Tensor:
        """Return a class's features (width,); each text is encoded alone, so that they do not depend on the batch."""
        self.counts["text_passes"] += 1
        features: Tensor = self._model.language_backbone(self._row(ids), encode_type="class")[0]
        return features

    def _read_task(self, ids: Ids) -> Tensor:
        """Return a task's features (tokens, width)."""
        self.counts["text_passes"] += 1
        row = self._row(ids)
        features: Tensor = self._model.language_backbone(row, mask=torch.ones_like(row), encode_type="task")[0]
        return features[:, 0]

    def _row(self, ids: Ids) -> Tensor:
        return to_device(torch.tensor([ids]), self._device)


def _padded(tasks: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Return tasks as one batch (longest, B, width) and its padding mask (B, longest) int64, 1 for real tokens."""
    features = torch.nn.utils.rnn.pad_sequence(list(tasks))
    lengths = torch.tensor([len(task) for task in tasks], device=features.device)
    return features, (torch.arange(len(features), device=features.device) < lengths[:, None]).long()


def load_omdet(
    folder: Path, fields: Mapping[str, Any], *, shaping: Shaping, device: str, half: bool, timm: bool
) -> OmdetNetwork:
    """Return the network of a folder on ``device``, rounded if ``half``; raises WeightsError if it does not fit.

    ``timm`` is True for a backbone from the package timm.
    """
    model = build_model(_OMDET_TURBO, fields, bare(load_state_dict(folder)), path=folder, timm=timm)
    model.to(device)
    if half:
        halve(model.vision_backbone)
    return OmdetNetwork(model, shaping=shaping, device=device)
