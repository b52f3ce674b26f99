"""Labels as ``supervision.Detections``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from autolabel.types import Labels

if TYPE_CHECKING:
    from supervision import Detections


def to_supervision(labels: Labels) -> Detections:
    """Return one image's labels for supervision's annotators, trackers and metrics.

    ``xyxy`` (N, 4) float32 in pixels, ``confidence`` (N,), ``class_id`` (N,) into ``labels.prompt.phrases``, whose
    words are in ``data["class_name"]``; ``mask`` (N, H, W) bool where any object has one, empty for those without;
    ``data["round"]`` (N,), and ``data["looks"]`` of ``data["looks_asked"]`` where an image was seen in several;
    ``data["verdict"]`` where a verifier was asked, NaN for objects that it was not asked about; ``data["expression"]``
    where there are referring expressions, empty for objects without one. Needs the package supervision. No objects give
    empty detections.
    """
    import supervision

    found = labels.instances
    masks = None
    if found.masks and any(mask is not None for mask in found.masks):
        empty = np.zeros(labels.image.size, bool)
        masks = np.stack([empty if mask is None else mask.decode() for mask in found.masks])
    data: dict[str, Any] = {
        "class_name": np.array([labels.prompt.phrases[label] for label in found.labels.tolist()], dtype=str),
        "round": found.rounds.astype(int),
    }
    if found.support is not None:
        data["looks"] = np.array([seen.looks for seen in found.support], int)
        data["looks_asked"] = np.array([seen.asked for seen in found.support], int)
    if found.verdicts is not None:
        data["verdict"] = np.array([np.nan if verdict is None else verdict for verdict in found.verdicts], float)
    if found.expressions is not None:
        data["expression"] = np.array([one or "" for one in found.expressions], dtype=str)
    return supervision.Detections(
        xyxy=found.boxes.reshape(-1, 4),
        confidence=found.scores,
        class_id=found.labels.astype(int),
        mask=masks,
        data=data,
    )
