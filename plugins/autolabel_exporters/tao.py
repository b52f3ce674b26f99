"""The output files of TAO's Auto-Label, under TAO's names, in the results directory itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator

from autolabel.strategies import Exporter
from autolabel.types import Labels
from autolabel_exporters.coco import Coco
from autolabel_exporters.json_stream import to_json
from autolabel_exporters.relative_name import RelativeName
from autolabel_exporters.rows import exported_objects
from autolabel_exporters.tao_expressions import write_expressions

_ANNOTATIONS, _LABELMAP = "final_annotation.jsonl", "labelmap.json"
_OWN = frozenset({"plan.json", "inputs.jsonl", "labels.jsonl", "outputs.json", "review.json", "stages", "logs"})
"""Reserved names in a results directory."""


def _free(name: str) -> str:
    if Path(name).parts[0] in _OWN or name.startswith("."):
        raise ValueError(f"{name!r} is the name of one of autolabel's own files")
    return name


class Tao(Exporter):
    """What `tao dataset auto_label` writes: ODVG lines with their label map, MAL's COCO file, or expressions."""

    name = "tao"
    loses = (
        "scores",
        "verdicts",
        "expressions unless expressions=true",
        "masks",
        "rounds",
        "fields of input annotations",
    )
    at_top = True

    class Params(Exporter.Params):
        """``label_dump_path`` names MAL's file, and is written in place of the two of Grounding DINO.

        ``expressions`` writes ``annotations.jsonl`` in their place, as TAO's `image_referring_expression` does.
        """

        label_dump_path: Annotated[RelativeName, AfterValidator(_free)] | None = None
        expressions: bool = False

    params: Params

    def export(self, labels: Iterable[Labels], classes: Sequence[str], out: Path) -> Sequence[Path]:
        """Write ``final_annotation.jsonl`` and ``labelmap.json``, or what the parameters say in their place.

        A line has exactly TAO's fields. An image without boxes gets a line without instances (TAO omits it), unless the
        run has captions: TAO's trainer fails on such lines. Failed rows are left out.
        """
        if self.params.label_dump_path is not None:
            coco = Coco(Coco.Params(path=self.params.label_dump_path))
            coco.provenance = self.provenance
            return coco.export(labels, classes, out)
        if self.params.expressions:
            return [write_expressions(labels, out)]
        index = {name: number for number, name in enumerate(classes)}
        (out / _LABELMAP).write_bytes(to_json({str(number): name for name, number in index.items()}) + b"\n")
        with (out / _ANNOTATIONS).open("wb") as file:
            for row in labels:
                if row.reason is None and (row.prompt.caption is None or len(row.instances)):
                    file.write(to_json(_line(row, index)) + b"\n")
        return [out / _ANNOTATIONS, out / _LABELMAP]


def _line(row: Labels, index: Mapping[str, int]) -> dict[str, Any]:
    """Return TAO's record of a row; boxes are ``x1 y1 x2 y2`` pixels, ``file_name`` is the whole relative path."""
    height, width = row.image.size
    head = {"file_name": row.image.id, "height": height, "width": width}
    found = list(exported_objects(row))
    if row.prompt.caption is None:
        instances = [{"bbox": one.box, "label": index[one.phrase], "category": one.phrase} for one in found]
        return head | {"detection": {"instances": instances}}
    regions = [{"bbox": one.box, "phrase": one.phrase} for one in found]
    return head | {"grounding": {"caption": row.prompt.caption, "regions": regions}}
