"""Apache Parquet: the whole ledger as one table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autolabel.errors import MachineError
from autolabel.strategies import Exporter
from autolabel.types import Labels
from autolabel_exporters.json_stream import finite, to_json
from autolabel_exporters.placing import Placing, Way, own_name
from autolabel_exporters.rows import ExportedObject, by_image, exported_objects

if TYPE_CHECKING:
    import pyarrow

ROWS, OBJECTS = 4096, 65_536
"""The most rows and objects of a row group, whichever is reached first; a row group is written from memory."""


class Parquet(Exporter):
    """One table row per row of the ledger, objects as a list, field names as in ``labels.jsonl``."""

    name = "parquet"

    class Params(Exporter.Params):
        """``images`` places the images in ``images/``."""

        images: Way | None = None

    params: Params

    def __init__(self, params: Exporter.Params) -> None:
        super().__init__(params)
        if find_spec("pyarrow") is None:
            raise MachineError(
                "the parquet export needs pyarrow, which is not installed",
                hint="pip install 'autolabel-vision[parquet]'",
            )

    def export(self, labels: Iterable[Labels], classes: Sequence[str], out: Path) -> Sequence[Path]:
        """Write ``labels.parquet`` with empty and failed images included; classes and provenance are in its metadata.

        Equal labels and the same pyarrow version give equal bytes. Raises DataError if a number is not finite.
        """
        import pyarrow
        from pyarrow.parquet import ParquetWriter

        path = out / "labels.parquet"
        metadata = {"classes": list(classes), **self.provenance.as_dict()}
        schema = _columns().with_metadata({f"autolabel.{name}": to_json(value) for name, value in metadata.items()})
        placing = Placing(self.params.images, out / "images")
        with ParquetWriter(path, schema, compression="zstd") as writer:
            for group in _groups(labels):
                writer.write_table(pyarrow.Table.from_pylist(group, schema=schema), row_group_size=ROWS)
        if placing.way:
            for image, _ in by_image(labels):
                placing.put(image, own_name(image))
        return [path, *placing.done()]


def _columns() -> pyarrow.Schema:
    """Return the columns listed in docs/formats.md."""
    import pyarrow as pa

    segmentation = pa.struct([("size", pa.list_(pa.int32())), ("counts", pa.string())])
    found = pa.struct(
        [
            ("bbox", pa.list_(pa.float64())),
            ("phrase", pa.string()),
            ("score", pa.float64()),
            ("round", pa.int16()),
            ("segmentation", segmentation),
            ("given", pa.string()),
            ("verdict", pa.float64()),
            ("expression", pa.string()),
        ]
    )
    return pa.schema(
        [
            ("image", pa.string()),
            ("caption_index", pa.int32()),
            ("width", pa.int32()),
            ("height", pa.int32()),
            ("state", pa.string()),
            ("reason", pa.struct([("code", pa.string()), ("message", pa.string())])),
            ("phrases", pa.list_(pa.string())),
            ("caption", pa.string()),
            ("instances", pa.list_(found)),
            ("notes", pa.list_(pa.string())),
        ]
    )


def _groups(labels: Iterable[Labels]) -> Iterator[list[dict[str, Any]]]:
    """Yield groups of at most ROWS rows and OBJECTS objects; a group holds at least one row."""
    group: list[dict[str, Any]] = []
    held = 0
    for row in labels:
        if len(group) == ROWS or (group and held + len(row.instances) > OBJECTS):
            yield group
            group, held = [], 0
        group.append(_record(row))
        held += len(row.instances)
    if group:
        yield group


def _record(row: Labels) -> dict[str, Any]:
    """Return a row as a record of the table's columns."""
    height, width = row.image.size
    return {
        "image": row.image.id,
        "caption_index": row.caption_index,
        "width": width,
        "height": height,
        "state": row.state,
        "reason": row.reason and {"code": row.reason.code, "message": row.reason.message},
        "phrases": row.prompt.phrases,
        "caption": row.prompt.caption,
        "instances": [_instance(item, row.image.id) for item in exported_objects(row)],
        "notes": row.notes,
    }


def _instance(item: ExportedObject, image: str) -> dict[str, Any]:
    """Return one object; ``given`` is JSON text, because the fields of input annotations differ from file to file."""
    return {
        "bbox": item.box,
        "phrase": item.phrase,
        "score": item.score,
        "round": item.round,
        "segmentation": item.mask and item.mask.as_coco(),
        "given": None if item.given is None else _text(item.given, image),
        "verdict": item.verdict,
        "expression": item.expression,
    }


def _text(given: Mapping[str, Any], image: str) -> str:
    """Return the fields of an input annotation as JSON."""
    return to_json(finite(dict(given), f"{image}: annotation {given.get('id')}")).decode()
