"""Read the config.json that transformers writes beside a checkpoint, without torch."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from autolabel.errors import WeightsError
from autolabel.weights import read_mapping

_LABELERS = {
    "grounding-dino": "use the labeler grounding_dino",
    "mm-grounding-dino": "use the labeler mm_grounding_dino",
    "omdet-turbo": "use the labeler omdet_turbo",
    "owlv2": "use the labeler owlv2",
    "sam": "it makes masks of boxes: use the labeler sam, behind a detector",
    "sam2": "it makes masks of boxes: use the labeler sam2, behind a detector",
    "sam2_video": "it makes masks of boxes: use the labeler sam2, behind a detector",
    "sam3": "use the labeler sam3",
    "sam3_video": "use the labeler sam3",
    "mal": "it is a mask model, which makes masks of boxes: use the labeler mal, behind a detector",
}
"""The labeler that reads each ``model_type``, for the hint when a model is given to another labeler."""


def read_configuration(path: Path) -> dict[str, Any]:
    """Return the content of the config.json in a folder, or beside a file; empty if there is none.

    Raises WeightsError if it is not a JSON object.
    """
    file = (path if path.is_dir() else path.parent) / "config.json"
    return read_mapping(file) if file.is_file() else {}


def check_kind(path: Path, content: dict[str, Any], kinds: Collection[str]) -> None:
    """Raise WeightsError unless the configuration read at ``path`` is of one of these kinds of model."""
    if not content:
        raise WeightsError(f"{path}: no config.json there", hint="expected a Hugging Face folder with config.json")
    kind = content.get("model_type")
    if kind not in kinds:
        wanted = " or ".join(map(repr, kinds))
        raise WeightsError(f"{path}: config.json says model_type {kind!r}, wanted {wanted}", hint=other_labeler(kind))


def other_labeler(kind: object) -> str:
    """Return a hint that names the labeler for a kind of model; empty if there is none."""
    return _LABELERS[kind] if isinstance(kind, str) and kind in _LABELERS else ""
