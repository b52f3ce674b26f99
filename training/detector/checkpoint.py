"""A checkpoint directory behind transformers' own classes, asked for phrases."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from transformers import AutoTokenizer, GroundingDinoForObjectDetection

import autolabel_labeling.efficientnet  # noqa: F401  (registers the backbone)
from autolabel_training.boxes import corners

Floats = NDArray[np.float32]

SEPARATOR = " . "
DELIMITERS = (101, 102, 1012)  # [CLS], [SEP] and "."


class Checkpoint:
    """A checkpoint directory, loaded in float32, with the pixel pipeline of its processor configuration."""

    def __init__(self, folder: Path) -> None:
        self._model = GroundingDinoForObjectDetection.from_pretrained(folder, dtype=torch.float32).eval()
        self._tokenizer = AutoTokenizer.from_pretrained(folder)
        self._pixels = json.loads((folder / "processor_config.json").read_text())["image_processor"]

    @torch.no_grad()
    def detect(self, pixels: NDArray[np.uint8], phrases: Sequence[str]) -> tuple[Floats, Floats]:
        """Return boxes (queries, 4) x0, y0, x1, y1 in 0..1 and scores (queries, phrases): means of token scores."""
        text = self._tokenizer(SEPARATOR.join(phrases) + " .", return_tensors="pt")
        output = self._model(pixel_values=self._prepare(pixels), **text)
        tokens = output.logits[0].sigmoid()
        spans = phrase_spans(text["input_ids"][0].tolist())
        scores = torch.stack([tokens[:, span].mean(-1) for span in spans], 1)
        return corners(output.pred_boxes[0]).numpy(), scores.numpy()

    def _prepare(self, pixels: NDArray[np.uint8]) -> Tensor:
        size = (self._pixels["size"]["width"], self._pixels["size"]["height"])
        image = Image.fromarray(pixels).resize(size, Image.Resampling(self._pixels["resample"]))
        values = np.asarray(image, np.float32) * self._pixels["rescale_factor"]
        values = (values - np.float32(self._pixels["image_mean"])) / np.float32(self._pixels["image_std"])
        return torch.from_numpy(values.astype(np.float32)).permute(2, 0, 1)[None]


def phrase_spans(ids: Sequence[int]) -> list[list[int]]:
    """Return the token positions between delimiters, one list per phrase."""
    spans: list[list[int]] = [[]]
    for position, token in enumerate(ids):
        if token in DELIMITERS:
            spans.append([])
        else:
            spans[-1].append(position)
    return [span for span in spans if span]
