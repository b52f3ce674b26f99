"""COCO detection results: the list that pycocotools' ``loadRes`` takes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from autolabel.strategies import Exporter
from autolabel.types import Labels
from autolabel_exporters.coco import annotation_records
from autolabel_exporters.coco_records import Form, images, placed, together
from autolabel_exporters.json_stream import ArrayWriter
from autolabel_exporters.numbering import choose_ids
from autolabel_exporters.placing import Placing, Way, own_name
from autolabel_exporters.relative_name import RelativeName

_FIELDS = ("image_id", "category_id", "bbox", "segmentation", "score")


class CocoResults(Exporter):
    """Detections only; ids match those of the ``coco`` export of the same labels."""

    name = "coco_results"
    loses = (
        "class names",
        "rounds",
        "verdicts",
        "expressions",
        "empty images",
        "captions",
        "fields of input annotations",
    )

    class Params(Exporter.Params):
        """``path`` is relative to the export's folder; ``images`` places the images in ``images/``."""

        path: RelativeName = "results.json"
        images: Way | None = None

    params: Params

    def export(self, labels: Iterable[Labels], classes: Sequence[str], out: Path) -> Sequence[Path]:
        """Write one file; this format does not list images without objects."""
        path = out / self.params.path
        path.parent.mkdir(parents=True, exist_ok=True)
        numbering = choose_ids(labels, classes, self.provenance.given)
        with path.open("wb") as file:
            results, placing = ArrayWriter(file), Placing(self.params.images, out / "images")
            for batch in together(images(labels, numbering)):
                records = annotation_records(placed(batch), 1, numbering=numbering, form=Form("rle"))
                results.extend([_detection(record) for record in records])
                for _, image, _ in batch:
                    placing.put(image, own_name(image))
            results.close()
            file.write(b"\n")
        return [path, *placing.done()]


def _detection(record: Any) -> dict[str, Any]:
    """Return the subset of an annotation's fields that a detection has."""
    values = record if isinstance(record, dict) else msgspec.structs.asdict(record)
    return {name: values[name] for name in _FIELDS if values.get(name, msgspec.UNSET) is not msgspec.UNSET}
