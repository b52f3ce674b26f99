"""Score boxes with cleanlab's ObjectLab, in a Python that has it: ``python _objectlab.py IN.json OUT.json``.

IN: {"classes": K, "images": [{"labels": {"boxes", "classes"}, "found": {"boxes", "classes", "scores"}}]}.
OUT: by setting, {"missing": [[score of a found box]], "place": [[of a labelled box]], "class": [[...]]}; low scores are
likely errors, null where ObjectLab gives none.
"""

from __future__ import annotations

import json
import math
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from cleanlab.object_detection import rank

HIGH = (0.95, 0.7, 0.5, 0.3)
LOW = (0.5, 0.2)
"""ObjectLab's two thresholds of probability; its defaults come first."""


def main(source: str, target: str) -> None:
    """Write the scores of all settings."""
    warnings.simplefilter("ignore")
    given = json.loads(Path(source).read_text(encoding="utf-8"))
    labels, found, orders = [], [], []
    for image in given["images"]:
        boxes = np.array(image["labels"]["boxes"], float).reshape(-1, 4)
        labels.append({"bboxes": boxes, "labels": np.array(image["labels"]["classes"], int)})
        one, order = by_class(image["found"], given["classes"])
        found.append(one)
        orders.append(order)
    out = {}
    for high in HIGH:
        for low in LOW:
            known: dict[str, Any] = {"labels": labels, "predictions": found}
            missing = rank.compute_overlooked_box_scores(**known, high_probability_threshold=high)
            out[f"{high} {low}"] = {
                "missing": [as_given(scores, order) for scores, order in zip(missing, orders, strict=True)],
                "place": listed(rank.compute_badloc_box_scores(**known, low_probability_threshold=low)),
                "class": listed(rank.compute_swap_box_scores(**known, high_probability_threshold=high)),
            }
    Path(target).write_text(json.dumps(out), encoding="utf-8")


def by_class(found: dict[str, Any], classes: int) -> tuple[Any, list[int]]:
    """Return found boxes as cleanlab wants them, one array a class, and the places that they had."""
    boxes = np.array(found["boxes"], float).reshape(-1, 4)
    numbers, scores = np.array(found["classes"], int), np.array(found["scores"], float)
    rows = np.concatenate([boxes, scores[:, None]], axis=1)
    out = np.empty(classes, dtype=object)
    order: list[int] = []
    for number in range(classes):
        mine = np.flatnonzero(numbers == number)
        out[number] = rows[mine]
        order += mine.tolist()
    return out, order


def as_given(scores: Any, order: list[int]) -> list[float | None]:
    """Return scores in the order in which the found boxes were given."""
    out: list[float | None] = [None] * len(order)
    for score, place in zip(listed([scores])[0], order, strict=True):
        out[place] = score
    return out


def listed(scores: Any) -> list[list[float | None]]:
    """Return scores as plain lists, null for what is no number."""
    return [[None if math.isnan(value) else float(value) for value in one] for one in scores]


if __name__ == "__main__":
    main(*sys.argv[1:])
