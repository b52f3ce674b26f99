"""ODVG JSON lines, the format of TAO and open Grounding DINO trainers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from autolabel.strategies import Exporter
from autolabel.types import Labels
from autolabel_exporters.json_stream import to_json
from autolabel_exporters.placing import Placing, Way, own_name
from autolabel_exporters.rows import ExportedObject, exported_objects


class Odvg(Exporter):
    """One line per row: detection form without a caption, grounding form with one."""

    name = "odvg"
    loses = ("masks", "rounds", "fields of input annotations")

    class Params(Exporter.Params):
        """``images`` places the images in ``images/``."""

        images: Way | None = None

    params: Params

    def export(self, labels: Iterable[Labels], classes: Sequence[str], out: Path) -> Sequence[Path]:
        """Write ``annotations.jsonl``, ``labelmap.json``, and ``empty.jsonl`` for captions without any box.

        Trainers fail on a grounding line without regions, so such lines go into ``empty.jsonl``. A detection line may
        have no instances. Failed rows are left out.
        """
        index = {name: number for number, name in enumerate(classes)}
        annotations, labelmap, empty = out / "annotations.jsonl", out / "labelmap.json", out / "empty.jsonl"
        labelmap.write_bytes(to_json({str(number): name for name, number in index.items()}) + b"\n")
        with ExitStack() as stack:
            file = stack.enter_context(annotations.open("wb"))
            aside, placing, last = None, Placing(self.params.images, out / "images"), ""
            for row in (row for row in labels if row.reason is None):
                name = own_name(row.image) if placing.way else row.image.id
                if row.prompt.caption is not None and not len(row.instances):
                    aside = aside or stack.enter_context(empty.open("wb"))
                    aside.write(to_json(_line(row, index, name)) + b"\n")
                else:
                    file.write(to_json(_line(row, index, name)) + b"\n")
                if row.image.id != last:
                    placing.put(row.image, name)
                last = row.image.id
        return [annotations, labelmap, *([empty] if aside else []), *placing.done()]


def _line(row: Labels, index: Mapping[str, int], name: str) -> dict[str, Any]:
    """Return the record of a row; boxes are ``x1 y1 x2 y2`` pixels.

    ``name``, the whole relative path, is written twice: TAO reads ``file_name``; mmdet and Open-GroundingDino read
    ``filename``.
    """
    height, width = row.image.size
    head = {"file_name": name, "filename": name, "height": height, "width": width}
    found = list(exported_objects(row))
    if row.prompt.caption is None:
        instances = [
            {"bbox": item.box, "category": item.phrase, "label": index[item.phrase]}
            | {"score": item.score, **_beside(item)}
            for item in found
        ]
        return head | {"detection": {"instances": instances}}
    caption = row.prompt.caption
    regions = [
        {
            "bbox": item.box,
            "phrase": item.phrase,
            "tokens_positive": places_of(item.phrase, caption),
            "score": item.score,
            **_beside(item),
        }
        for item in found
    ]
    return head | {"grounding": {"caption": caption, "regions": regions}}


def _beside(item: ExportedObject) -> dict[str, Any]:
    """Return the verdict and the referring expression of an object, as far as it has them."""
    told = {"verdict": item.verdict, "expression": item.expression}
    return {name: value for name, value in told.items() if value is not None}


def places_of(phrase: str, caption: str) -> list[list[int]]:
    """Return the ``[start, end]`` character spans of a phrase in its caption, ignoring case.

    Empty if the caption does not contain the phrase as whole words.
    """
    pattern = rf"(?<!\w){re.escape(phrase)}(?!\w)"
    return [[*found.span()] for found in re.finditer(pattern, caption, re.IGNORECASE) if phrase]
