"""Describe the differences between two plans, the most important first."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

_LONGEST = 100
_TELLING = (
    r"^classes",
    r"^stages: ",
    r"^stages\[\d+\]\.labeler\.type",
    r"^stages\[\d+\]\.labeler\.checkpoint",
    r"\.rounds|\.conf_thresholds|\.nms_thresholds",
    r"\.aggregator|\.ask|\.labeler|\.members|\.vote|\.tiles|ontology",
    r"\.weights",
)
"""Fields in order of importance: first those that people change, then those that follow from others."""


def plan_differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Return the differences that affect labels, the most important first."""
    found = [*_of_classes(old.get("classes", []), new.get("classes", [])), *_of_stages(old["stages"], new["stages"])]
    for name in dict.fromkeys([*old, *new]):
        if name not in ("classes", "stages"):
            found += changes(name, old.get(name), new.get(name))
    return sorted(found, key=_rank)


def _rank(said: str) -> int:
    """Return the rank of a difference; 0 is the most important."""
    return next((place for place, pattern in enumerate(_TELLING) if re.search(pattern, said)), len(_TELLING))


def _of_classes(old: Sequence[str], new: Sequence[str]) -> Iterator[str]:
    """Return added and removed classes."""
    gone, come = [name for name in old if name not in new], [name for name in new if name not in old]
    if gone or come:
        phrases = [f"without {_listed(gone)}"] if gone else []
        phrases += [f"with {_listed(come)}"] if come else []
        yield f"classes: now {' and '.join(phrases)}"
    elif old != new:
        yield f"classes were in the order {_listed(old)}, now {_listed(new)}"


def _of_stages(old: Sequence[Any], new: Sequence[Any]) -> Iterator[str]:
    """Return the differences of each stage, and added or removed stages."""
    if len(old) != len(new):
        kinds = [" -> ".join(stage["labeler"]["type"] for stage in stages) for stages in (old, new)]
        yield f"stages: {kinds[0]}, now {kinds[1]}"
    for index, (before, now) in enumerate(zip(old, new, strict=False)):
        yield from _of_stage(f"stages[{index}]", before, now)


def _of_stage(path: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    """Return the differences of a stage, in the words of a spec."""
    for name in dict.fromkeys([*old, *new]):
        before, now = old.get(name), new.get(name)
        if name in ("labeler", "aggregator") and before and now:
            yield from _of_strategy(f"{path}.{name}", before, now)
        elif name == "aggregator" and before != now:
            yield f"{path}.aggregator was {before and before['type']}, now {now and now['type']}"
        elif name == "rounds":
            for kind in ("conf_threshold", "nms_threshold"):
                yield from changes(f"{path}.{kind}s", [r[kind] for r in before or ()], [r[kind] for r in now or ()])
        elif name == "weights" and before != now:
            yield f"{path}.weights are other files, or have other contents"
        else:
            yield from changes(f"{path}.{name}", before, now)


def _of_strategy(path: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    """Return the differences of two strategies; parameters are only compared if the names are equal."""
    if old["type"] != new["type"]:
        yield f"{path}.type was {old['type']}, now {new['type']}"
        return
    yield from changes(path, old.get("params") or {}, new.get("params") or {})
    for name in dict.fromkeys([*old, *new]):
        if name not in ("params", "type"):
            yield from changes(f"the {name} of {path}", old.get(name), new.get(name))


def changes(path: str, old: Any, new: Any) -> Iterator[str]:
    """Return the paths and values in which two JSON documents differ."""
    if isinstance(old, dict) and isinstance(new, dict):
        for name in dict.fromkeys([*old, *new]):
            yield from changes(f"{path}.{name}" if path else name, old.get(name), new.get(name))
    elif old != new:
        yield f"{path} was {_brief(old)}, now {_brief(new)}"


def _brief(value: Any) -> str:
    """Return a value's JSON, truncated if long."""
    text = msgspec.json.encode(value, order="sorted").decode()
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."


def _listed(names: Sequence[str], most: int = 3) -> str:
    """Return the first names."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
