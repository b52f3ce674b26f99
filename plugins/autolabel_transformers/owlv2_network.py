"""OWLv2 in two separate steps: encode images, score their patches by sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from autolabel.errors import WeightsError
from autolabel.transfer import to_device
from autolabel.weights import bare, load_state_dict
from autolabel_labeling.half import halve
from autolabel_labeling.pixels import Shaping
from autolabel_labeling.pretrained import Architecture, build_model
from autolabel_transformers.phrases import Ids

_Floats = npt.NDArray[np.float32]
_OWLV2 = Architecture(title="an OWLv2", configuration="Owlv2Config", model="Owlv2ForObjectDetection")
_REMEMBERED = 4096
"""Sentences whose features are kept."""
_SMALLEST = 1e-6
_NEAR = 0.8
"""The share of the best overlap with an example from which a box of the network may represent it."""


@dataclass(frozen=True, slots=True, eq=False)
class Patches:
    """The features of one image's P patches, for comparison with sentences."""

    features: Tensor
    """(P, width), of length 1."""
    shift: Tensor
    """(P, 1)."""
    scale: Tensor
    """(P, 1)."""


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """The unit-length features of a phrase with examples: of its words, if used, and of the examples."""

    features: tuple[Tensor, ...]


Query = Ids | Shown
_Corners = tuple[float, float, float, float]


class Owlv2Network:
    """transformers' OWLv2 with its towers called separately."""

    def __init__(self, model: Any, *, shaping: Shaping, device: str) -> None:
        self._model, self._device = model, device
        self._mean, self._std = (torch.tensor(values, device=device) for values in (shaping.mean, shaping.std))
        self._read = lru_cache(_REMEMBERED)(self._read_anew)
        self.counts = {"vision_passes": 0, "text_passes": 0, "forward_passes": 0}

    @torch.inference_mode()
    def see(self, images: _Floats) -> list[tuple[Patches, _Floats]]:
        """Return the patches of each of B images (B, side, side, 3) in 0..1, with their boxes (P, 4).

        Boxes are x1, y1, x2, y2 as fractions of the side.
        """
        pixels = (to_device(torch.from_numpy(images), self._device) - self._mean) / self._std
        grid = self._model.image_embedder(pixels.permute(0, 3, 1, 2))[0]
        features = grid.flatten(1, 2)
        self.counts["vision_passes"] += len(images)
        head = self._model.class_head
        alike = _unit(head.dense0(features))
        shift, scale = head.logit_shift(features), head.elu(head.logit_scale(features)) + 1
        boxes = self._model.box_predictor(features, grid)
        centre, half = boxes[..., :2], boxes[..., 2:] / 2
        corners = torch.cat([centre - half, centre + half], -1).float().cpu().numpy()
        return [(Patches(*parts), corners[index]) for index, parts in enumerate(zip(alike, shift, scale, strict=True))]

    @torch.inference_mode()
    def ask(self, patches: Patches, asked: Sequence[Query]) -> _Floats:
        """Return the scores (P, queries) of an image's patches; a query with several features scores by its best."""
        self.counts["forward_passes"] += 1
        parts = [[self._read(query)] if isinstance(query, tuple) else list(query.features) for query in asked]
        owner = torch.tensor([place for place, part in enumerate(parts) for _ in part], device=self._device)
        alike = patches.features @ torch.stack([one for part in parts for one in part]).T
        best = alike.new_full((len(alike), len(asked)), -2.0).scatter_reduce(
            1, owner.expand(len(alike), -1), alike, "amax"
        )
        logits = (best + patches.shift) * patches.scale
        scores: _Floats = logits.sigmoid().float().cpu().numpy()
        return scores

    def words(self, ids: Ids) -> Tensor:
        """Return a sentence's features (width,), of length 1."""
        return self._read(ids)

    @torch.inference_mode()
    def show(self, image: _Floats, boxes: Sequence[_Corners]) -> list[Tensor]:
        """Return the features (width,), of length 1, of objects in an image (side, side, 3) in 0..1.

        ``boxes`` are x1, y1, x2, y2 as fractions of the side. For each, the candidates are the network's boxes with at
        least 0.8 of the best IoU (generalised IoU if none overlaps); the one whose features are least similar to the
        mean of all patches is chosen. This is the rule of OWL-ViT's authors, as implemented in transformers. Without
        boxes, the box of highest objectness is chosen, as in ``Owlv2ForObjectDetection.embed_image_query``.
        """
        pixels = (to_device(torch.from_numpy(image[None]), self._device) - self._mean) / self._std
        grid = self._model.image_embedder(pixels.permute(0, 3, 1, 2))[0]
        self.counts["vision_passes"] += 1
        features = grid.flatten(1, 2)
        shown = self._model.class_head.dense0(features)[0]
        if not boxes:
            chosen = [int(self._model.objectness_predictor(features)[0].argmax())]
        else:
            box = self._model.box_predictor(features, grid)[0]
            corners = torch.cat([box[:, :2] - box[:, 2:] / 2, box[:, :2] + box[:, 2:] / 2], -1)
            chosen = [_exemplar(shown, corners, torch.tensor(one, device=corners.device)) for one in boxes]
        return [_unit(shown[one]) for one in chosen]

    def _read_anew(self, ids: Ids) -> Tensor:
        """Return a sentence's unit-length features (width,), encoded alone, so that they do not depend on the batch."""
        self.counts["text_passes"] += 1
        output = self._model.owlv2.get_text_features(to_device(torch.tensor([ids]), self._device))
        features: Tensor = output.pooler_output[0]
        return _unit(features / features.norm())


def _exemplar(features: Tensor, corners: Tensor, box: Tensor) -> int:
    """Return the index of the patch that represents a box (4,), given features (P, width) and boxes (P, 4)."""
    overlap, general = _overlaps(corners, box)
    overlap = overlap if bool((overlap > 0).any()) else general
    near = torch.nonzero(overlap >= overlap.max() * _NEAR).flatten()
    near = near if len(near) else overlap.argmax()[None]
    return int(near[(features[near] @ features.mean(0)).argmin()])


def _overlaps(corners: Tensor, box: Tensor) -> tuple[Tensor, Tensor]:
    """Return IoU and generalised IoU of boxes (P, 4) with one (4,)."""
    sides = (torch.minimum(corners[:, 2:], box[2:]) - torch.maximum(corners[:, :2], box[:2])).clamp(min=0)
    both = sides.prod(1)
    union = (corners[:, 2:] - corners[:, :2]).prod(1) + (box[2:] - box[:2]).prod() - both
    hull = (torch.maximum(corners[:, 2:], box[2:]) - torch.minimum(corners[:, :2], box[:2])).prod(1)
    return both / union, both / union - (hull - union) / hull


def _unit(features: Tensor) -> Tensor:
    lengths: Tensor = features.norm(dim=-1, keepdim=True)
    return features / (lengths + _SMALLEST)


def load_owlv2(folder: Path, fields: Mapping[str, Any], *, shaping: Shaping, device: str, half: bool) -> Owlv2Network:
    """Return the network of a folder on ``device``, rounded if ``half``; raises WeightsError if it does not fit."""
    model = build_model(_OWLV2, fields, bare(load_state_dict(folder)), path=folder)
    side = model.config.vision_config.image_size
    if shaping.exact != (side, side):
        raise WeightsError(f"{folder}: the network wants squares of {side} pixels, its processor makes {shaping.exact}")
    model.to(device)
    if half:
        halve(model.owlv2.vision_model)
    return Owlv2Network(model, shaping=shaping, device=device)
