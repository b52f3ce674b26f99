"""The dev check during training, on cached features."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from autolabel_training.boxes import corners
from autolabel_training.loss import Predictions
from autolabel_training.metric import Detections, ScoredHits, judge, mean_average_precision

from .captions import CaptionWriter
from .features import SCENES, FeatureCache, Sample
from .model import CachedDetector
from .text import CaptionEncoder

BATCH = 8
NMS = 0.5
NO_NMS = 1.0
PHRASE = "phrase"  # scenes are judged over all phrases together


@dataclass(frozen=True)
class Validation:
    """Mean AP at IoU 0.5 of each set with NMS, and without, and with NMS per class."""

    suppressed: dict[str, float]
    raw: dict[str, float]
    classes: dict[str, dict[str, float]]


class Validator:
    """Runs the detector over the dev views of the chosen sets."""

    def __init__(
        self,
        cache: FeatureCache,
        writer: CaptionWriter,
        encoder: CaptionEncoder,
        sets: list[str],
        *,
        device: torch.device,
    ) -> None:
        self._cache, self._writer, self._encoder, self._sets = cache, writer, encoder, sets
        self._device = device

    @torch.no_grad()
    def __call__(self, detector: CachedDetector) -> Validation:
        """Return AP of every set."""
        suppressed, raw, classes = {}, {}, {}
        for dataset in self._sets:
            answers = self._answers(detector, dataset)
            values = mean_average_precision(_judge_all(answers, NMS))
            suppressed[dataset] = values.pop("mean")
            classes[dataset] = values
            raw[dataset] = mean_average_precision(_judge_all(answers, NO_NMS))["mean"]
        return Validation(suppressed, raw, classes)

    def _answers(self, detector: CachedDetector, dataset: str) -> list[dict[str, list[Detections]]]:
        rows = self._cache.rows(dataset, "dev")
        found = []
        for start in range(0, len(rows), BATCH):
            chosen = rows[start : start + BATCH]
            phrases = [self._writer.for_dev(self._cache.samples[row], row) for row in chosen]
            captions = [self._encoder.encode(asked) for asked in phrases]
            predictions = detector(self._cache.features(chosen).to(self._device), captions)
            for place, row in enumerate(chosen):
                found.append(_image_answers(predictions, place, phrases[place], self._cache.samples[row]))
        return found


def _image_answers(
    predictions: Predictions, place: int, phrases: list[str], sample: Sample
) -> dict[str, list[Detections]]:
    scores = predictions.layer_logits[-1][place].sigmoid().cpu()
    boxes = corners(predictions.layer_boxes[-1][place]).cpu().numpy()
    found: dict[str, list[Detections]] = {}
    for phrase, span in zip(phrases, predictions.spans[place], strict=True):
        truth = sample.boxes[[name == phrase for name in sample.names]].reshape(-1, 4)
        answers = Detections(boxes, scores[:, span].mean(-1).numpy(), truth)
        found.setdefault(PHRASE if sample.dataset == SCENES else phrase, []).append(answers)
    return found


def _judge_all(images: list[dict[str, list[Detections]]], nms: float) -> list[dict[str, ScoredHits]]:
    return [
        {phrase: join([judge(each, nms) for each in answers]) for phrase, answers in image.items()} for image in images
    ]


def join(parts: list[ScoredHits]) -> ScoredHits:
    """Join the judged detections of several phrases of one image into one pool."""
    return ScoredHits(
        np.concatenate([part.scores for part in parts]),
        np.concatenate([part.hits for part in parts]),
        sum(part.truths for part in parts),
    )
