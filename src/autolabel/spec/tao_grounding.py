"""Translate TAO's ``image_grounding``: captions whose phrases a vision-language model searches for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath

from autolabel.spec.node import Loc, Node

_SECTION = "image_grounding"
_GEMINI = "https://generativelanguage.googleapis.com/v1beta/openai"
"""The address at which Google's models speak OpenAI's protocol."""
_KEYS = {"gemini": "GOOGLE_API_KEY", "openai": "OPENAI_API_KEY"}
_NAMES = {
    "gemini": {"model": "model", "max_output_tokens": "max_tokens"},
    "openai": {"model_name": "model", "max_tokens": "max_tokens", "base_url": "endpoint"},
}
_DEFAULTS: dict[str, dict[str, object]] = {
    "gemini": {
        "endpoint": _GEMINI,
        "model": "gemini-3.1-flash-lite-preview",
        "temperature": 0.3,
        "max_tokens": 8192,
        "timeout": 120,
    },
    "openai": {"temperature": 0.7, "max_tokens": 4096, "timeout": 60},
}


def faults(given: Node) -> Iterator[tuple[Loc, str]]:
    """Yield the path and message of each fault: a secret key in the document, a missing address or model."""
    backend = _backend(given)
    for name in _KEYS:
        if given.find((_SECTION, "vlm", name, "api_key")) is not None:
            yield (
                (_SECTION, "vlm", name, "api_key"),
                f"holds a secret key, which does not belong in a spec: leave it empty and set {_KEYS[name]}",
            )
    if backend == "openai":
        for name in ("base_url", "model_name"):
            if given.find((_SECTION, "vlm", "openai", name)) is None:
                yield (_SECTION, "vlm", "openai", name), "missing: needed for backend: openai"


def native(given: Node) -> Iterator[tuple[str, object, str]]:
    """Yield native paths with their values, and the path in TAO's document that they come from.

    The model is asked for boxes in pixels of the original image, as in TAO's own prompt. No box is dropped by score.
    """
    backend = _backend(given)
    home = f"{_SECTION}.vlm.{backend}"
    settings = dict(_DEFAULTS[backend])
    found = given.find((_SECTION, "vlm", backend))
    for name, child in found.value.items() if found is not None and isinstance(found.value, dict) else ():
        if name not in ("api_key", "media_resolution"):
            settings[_NAMES[backend].get(name, name)] = child.plain()
    settings |= {"api_key_env": _KEYS[backend], "coordinates": "pixels", "resize": "none"}
    for name, value in settings.items():
        yield f"stage.labeler.{name}", value, home
    yield "stage.scheduler.type", "fixed", _SECTION
    yield "stage.scheduler.rounds", [{"conf_threshold": 0.0, "nms_threshold": 0.0}], _SECTION
    yield "stage.aggregator.type", "nms", _SECTION
    yield "export", [{"type": "coco"}, {"type": "odvg"}], _SECTION
    yield "devices", "cpu", _SECTION
    file = given.find((_SECTION, "data", "input_jsonl"))
    if given.find((_SECTION, "data", "image_root")) is None and file is not None:
        yield "data.images", str(PurePosixPath(str(file.value)).parent), f"{_SECTION}.data.input_jsonl"


def _backend(given: Node) -> str:
    found = given.find((_SECTION, "vlm", "backend"))
    return str(found.value) if found is not None and found.value in _KEYS else "gemini"
