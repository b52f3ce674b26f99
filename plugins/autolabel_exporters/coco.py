"""COCO instance annotations in one JSON file."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, BinaryIO

from autolabel.strategies import Exporter
from autolabel.types import Image, Labels
from autolabel_exporters.coco_records import Placed, Segmentation, annotate, images, placed, together, with_given
from autolabel_exporters.json_stream import ArrayWriter, encode
from autolabel_exporters.numbering import Numbering, choose_ids, given_of
from autolabel_exporters.relative_name import RelativeName

INFO = {"description": "Labels made by autolabel"}
COPY_BYTES = 1 << 20


class Coco(Exporter):
    """Boxes and masks with scores, each image once; ``iscrowd`` is 0 unless an input annotation said otherwise."""

    name = "coco"
    loses = ("captions",)

    class Params(Exporter.Params):
        """``path`` is relative to the export's folder; masks are written as compressed RLE or as polygons."""

        path: RelativeName = "annotations.json"
        segmentation: Segmentation = "rle"

    params: Params

    def export(self, labels: Iterable[Labels], classes: Sequence[str], out: Path) -> Sequence[Path]:
        """Write one file; an image without objects is listed, one that failed is not."""
        path = out / self.params.path
        path.parent.mkdir(parents=True, exist_ok=True)
        numbering = choose_ids(labels, classes)
        with path.open("wb") as file, TemporaryFile(dir=out) as spool:
            file.write(b'{"info": ' + encode(INFO) + b',\n"annotations": ')
            write_records(labels, numbering, file=file, spool=spool, form=self.params.segmentation)
            file.write(b',\n"images": ')
            spool.seek(0)
            shutil.copyfileobj(spool, file, COPY_BYTES)
            categories = [{"id": number, "name": name} for number, name in numbering.categories]
            file.write(b',\n"categories": ' + encode(categories) + b"}\n")
        return [path]


def write_records(
    labels: Iterable[Labels], numbering: Numbering, *, file: BinaryIO, spool: BinaryIO, form: Segmentation
) -> None:
    """Write the array of annotations to ``file``, that of images to ``spool``, in one walk over the labels."""
    found, listed = ArrayWriter(file), ArrayWriter(spool)
    next_id = 1
    for batch in together(images(labels, numbering)):
        listed.extend([image_record(image, image_id) for image_id, image, _ in batch])
        records = annotation_records(placed(batch), next_id, numbering=numbering, form=form)
        found.extend(records)
        next_id += len(records)
    listed.close()
    found.close()


def image_record(image: Image, number: int) -> dict[str, Any]:
    """Return the record of an image; ``file_name`` is its whole relative path."""
    height, width = image.size
    return {"id": number, "file_name": image.id, "height": height, "width": width}


def annotation_records(
    found: Sequence[Placed], first_id: int, *, numbering: Numbering, form: Segmentation
) -> Sequence[Any]:
    """Return the records of the objects of rows, with what the input annotations carried."""
    made = annotate(found, first_id, numbering=numbering, form=form)
    if all(row.instances.given is None for _, row in found):
        return made
    given = [(row.image.id, one) for _, row in found for one in given_of(row)]
    return [
        with_given(annotation, one, numbering=numbering, place=f"{image}: annotation {one.get('id')}")
        for annotation, (image, one) in zip(made, given, strict=True)
    ]
