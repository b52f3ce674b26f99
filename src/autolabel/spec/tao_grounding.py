"""Translate TAO's ``image_grounding`` and ``image_referring_expression``, which ask a vision-language model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath

from autolabel.spec.node import Loc, Node

KINDS = {"image_grounding": "vlm", "image_referring_expression": "refer"}
"""The labeler of each kind of document."""
_REFERRING = "image_referring_expression"
_CHECKED = 'Does the {colour} box frame exactly one object, and do these words fit it: "{phrase}"? Answer yes or no.'
"""The question of step 3, which checks each expression."""
_LEFT_OUT = {
    "1": "captions of whole images are not written: TAO's step 2 alone uses them",
    "2": "expressions for groups of boxes are not written: each expression names one box",
}
_STEPS = ("0", "1", "2", "3")
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


def faults(given: Node, section: str) -> Iterator[tuple[Loc, str]]:
    """Yield the path and message of each fault: a secret key in the document, a missing address or model."""
    backend = _backend(given, section)
    for name in _KEYS:
        if given.find((section, "vlm", name, "api_key")) is not None:
            yield (
                (section, "vlm", name, "api_key"),
                f"holds a secret key, which does not belong in a spec: leave it empty and set {_KEYS[name]}",
            )
    if backend == "openai":
        for name in ("base_url", "model_name"):
            if given.find((section, "vlm", "openai", name)) is None:
                yield (section, "vlm", "openai", name), "missing: needed for backend: openai"
    if section == _REFERRING:
        yield from _wrong_steps(given)


def _wrong_steps(given: Node) -> Iterator[tuple[Loc, str]]:
    """Yield what is wrong with the steps of ``image_referring_expression``: step 0 writes what step 3 checks."""
    steps = _steps(given)
    if others := [step for step in steps if step not in _STEPS]:
        yield (_REFERRING, "workflow", "steps"), f"found step {others[0]!r}, wanted some of 0, 1, 2, 3"
    elif "0" not in steps:
        yield (_REFERRING, "workflow", "steps"), "step 0, which writes the expressions, is not among them"


def notices(given: Node, kind: str) -> Iterator[str]:
    """Yield a line for each step that is not taken here, by name."""
    if kind == _REFERRING:
        yield from (
            f"no effect ({why}): {kind}.workflow.steps {step}"
            for step, why in _LEFT_OUT.items()
            if step in _steps(given)
        )


def _steps(given: Node) -> list[str]:
    """Return the steps of ``image_referring_expression``; all of them unless the document says."""
    found = given.find((_REFERRING, "workflow", "steps"))
    written = found.plain() if found is not None else list(_STEPS)
    return [str(step) for step in written] if isinstance(written, list) else []


def native(given: Node, section: str) -> Iterator[tuple[str, object, str]]:
    """Yield native paths with their values, and the path in TAO's document that they come from.

    Boxes are told in the numbers of TAO's own prompts. No box is dropped by score.
    """
    backend = _backend(given, section)
    home = f"{section}.vlm.{backend}"
    settings = dict(_DEFAULTS[backend])
    found = given.find((section, "vlm", backend))
    for name, child in found.value.items() if found is not None and isinstance(found.value, dict) else ():
        if name not in ("api_key", "media_resolution"):
            settings[_NAMES[backend].get(name, name)] = child.plain()
    settings["api_key_env"] = _KEYS[backend]
    yield from (_grounding if section == "image_grounding" else _referring)(given, settings, home)
    yield "devices", "cpu", section


def _grounding(given: Node, settings: dict[str, object], home: str) -> Iterator[tuple[str, object, str]]:
    """Yield what searches for the phrases of captions, in pixels of the original image."""
    section = "image_grounding"
    for name, value in {**settings, "coordinates": "pixels", "resize": "none"}.items():
        yield f"stage.labeler.{name}", value, home
    yield "stage.scheduler.type", "fixed", section
    yield "stage.scheduler.rounds", [{"conf_threshold": 0.0, "nms_threshold": 0.0}], section
    yield "stage.aggregator.type", "nms", section
    yield "export", [{"type": "coco"}, {"type": "odvg"}], section
    file = given.find((section, "data", "input_jsonl"))
    if given.find((section, "data", "image_root")) is None and file is not None:
        yield "data.images", str(PurePosixPath(str(file.value)).parent), f"{section}.data.input_jsonl"


def _referring(given: Node, settings: dict[str, object], home: str) -> Iterator[tuple[str, object, str]]:
    """Yield what writes an expression for each box, told in 1/1000 of the sides, and, for step 3, what checks them."""
    section = _REFERRING
    for name, value in {**settings, "coordinates": "unit_1000", "resize": "none"}.items():
        yield f"stage.labeler.{name}", value, home
    if "3" in _steps(given):
        workers = given.find((section, "workflow", "max_workers"))
        checked = {name: value for name, value in settings.items() if name not in ("max_tokens", "temperature")}
        checked |= {"type": "verify", "resize": "none", "prompt": _CHECKED}
        checked["concurrency"] = 4 if workers is None else workers.plain()
        for name, value in checked.items():
            yield f"checks.labeler.{name}", value, home
    yield "export", [{"type": "coco"}, {"type": "odvg"}, {"type": "tao", "expressions": True}], section


def _backend(given: Node, section: str) -> str:
    found = given.find((section, "vlm", "backend"))
    return str(found.value) if found is not None and found.value in _KEYS else "gemini"
