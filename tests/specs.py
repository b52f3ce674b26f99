"""The spec document that tests start from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def make_spec(
    images: Path | str,
    results_dir: Path | str,
    *,
    classes: object = ("red",),
    data: Mapping[str, Any] | None = None,
    stages: Sequence[Mapping[str, Any]] = ({"labeler": {"type": "colors"}},),
    **sections: Any,
) -> dict[str, Any]:
    """Return a spec: the free labeler ``colors`` looks for ``classes`` in ``images``, on the CPU.

    ``data`` stands in the place of ``classes``; ``sections`` are the spec's other sections (``run``, ``export``, ...).
    """
    named = {"classes": list(classes) if isinstance(classes, tuple) else classes} if data is None else data
    return {
        "version": 1,
        "data": {"images": [str(images)], **named},
        "stages": list(stages),
        "devices": "cpu",
        "results_dir": str(results_dir),
        **sections,
    }
