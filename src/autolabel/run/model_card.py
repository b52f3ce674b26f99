"""The card of a fine-tuned checkpoint."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autolabel.strategies import Labeler
from autolabel.types import Labels

_FRONT = {
    "boxes": ("library_name: transformers", "pipeline_tag: zero-shot-object-detection"),
    "masks": ("pipeline_tag: mask-generation",),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedOn:
    """What a checkpoint began with, and what it learnt from."""

    start: str
    source: str
    """The COCO file or run."""
    rows: Sequence[Labels]
    """All images with their boxes, those that chose among the weights included."""
    classes: Sequence[str]
    train: int
    """Images that were learnt from."""
    dev: int
    """Images that chose among the weights."""


def model_card(labeler: Labeler, data: TrainedOn, figures: Mapping[str, Any] | None) -> str:
    """Return a model card: what was learnt from what, how good it is, under which licence."""
    licence = labeler.licence()
    counts = Counter(name for row in data.rows for name in (row.prompt.phrases[i] for i in row.instances.labels))
    lines = [
        "---",
        f"license: {licence.name}",
        *_FRONT[labeler.gives],
        "---",
        "",
        f"# {Path(data.start).name}, fine-tuned",
        "",
        f"Trained by `autolabel train` from `{data.start}` on {data.train} images of {Path(data.source).name}"
        + (f"; {data.dev} more chose among the weights." if data.dev else "."),
        "",
        "| class | boxes |",
        "|---|---|",
        *(f"| {_cell(name)} | {counts[name]:,} |" for name in data.classes),
        "",
        f"The licence is that of the weights it began with ({licence.name}); that of the images is yours to know.",
    ]
    if figures is None:
        return "\n".join([*lines, "", "Nothing chose among the weights: the last ones are kept, unmeasured."]) + "\n"
    gain = f"{figures['gain']['value']:+.3f}"
    if (interval := figures["gain"]["interval"]) is not None:
        gain += " [{:+.3f}, {:+.3f}] (95 %, paired over images)".format(*interval)
    lines += [
        "",
        f"| {figures['metric']} | before | after |",
        "|---|---|---|",
        *_rows(figures),
        "",
        f"The gain is {gain}. It was measured on the images that chose among the weights, so it flatters a little.",
    ]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    """Return a class name as a cell of a table, whatever characters it has."""
    plain = " ".join(text.split()).replace("|", "\\|").replace("`", "'")
    return f"`{plain}`"


def _rows(figures: Mapping[str, Any]) -> Iterable[str]:
    for name, after in figures["after"].items():
        before = figures["before"].get(name)
        yield f"| {name if name == 'mean' else _cell(name)} | {_said(before)} | {_said(after)} |"


def _said(figure: Mapping[str, Any] | None) -> str:
    if figure is None:
        return "-"
    if figure["interval"] is None:
        return f"{figure['value']:.3f}"
    low, high = figure["interval"]
    return f"{figure['value']:.3f} [{low:.3f}, {high:.3f}]"
