"""COCO instance annotations in one JSON file."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, BinaryIO

from autolabel.strategies import Exporter
from autolabel.types import Image, Labels
from autolabel_exporters.coco_layout import Layout, places
from autolabel_exporters.coco_records import Form, Placed, Segmentation, annotate, images, placed, together, with_given
from autolabel_exporters.file_names import FileNames
from autolabel_exporters.json_stream import ArrayWriter, to_json
from autolabel_exporters.numbering import Numbering, choose_ids, given_of
from autolabel_exporters.placing import Placing, Way, beside, own_name
from autolabel_exporters.relative_name import RelativeName
from autolabel_exporters.rows import by_image

INFO = {"description": "Labels made by autolabel"}
_WRITTEN = frozenset({"info", "annotations", "images", "categories"})
_COPY_BYTES = 1 << 20


class Coco(Exporter):
    """Boxes and masks with scores, each image once; ``iscrowd`` is 0 unless the input annotation sets it."""

    name = "coco"
    loses = ("captions",)

    class Params(Exporter.Params):
        """``path`` is relative to the export's folder; masks are written as compressed RLE or as polygons.

        ``layout`` sets file names and folders for a family of readers: ``roboflow`` (RF-DETR and others that read
        ``train/_annotations.coco.json``), ``datumaro`` (``annotations/instances_default.json``), or ``annotations`` (at
        ``path``). ``images`` also places the images.
        """

        path: RelativeName = "annotations.json"
        segmentation: Segmentation = "rle"
        layout: Layout = "annotations"
        images: Way | None = None

    params: Params

    def export(self, labels: Iterable[Labels], classes: Sequence[str], out: Path) -> Sequence[Path]:
        """Write one file; images without objects are listed, failed images are not."""
        return self.write_part(labels, classes, out, part="")

    def export_parts(self, parts: Mapping[str, Iterable[Labels]], classes: Sequence[str], out: Path) -> Sequence[Path]:
        """Write a file for each part, named and placed as the layout requires."""
        return [path for part, labels in parts.items() for path in self.write_part(labels, classes, out, part=part)]

    def write_part(self, labels: Iterable[Labels], classes: Sequence[str], out: Path, *, part: str) -> Sequence[Path]:
        """Write the file of one part, and its images."""
        files = places(self.params.layout, part, self.params.path)
        path = out / files.annotations
        path.parent.mkdir(parents=True, exist_ok=True)
        given = self.provenance.given
        numbering = choose_ids(labels, classes, given)
        placing = Placing(self.params.images, out / files.images)
        listing = _ImageNaming(placing, FileNames.survey(_ids(labels)) if files.distinct_stems else None)
        masks = self.provenance.masks
        form = Form(self.params.segmentation, _any_masks(labels) if masks is None else masks)
        with path.open("wb") as file, TemporaryFile(dir=out) as spool:
            file.write(b'{"info": ' + to_json(self.info()) + b',\n"annotations": ')
            _write_records(labels, numbering, file=file, spool=spool, form=form, listing=listing)
            file.write(b',\n"images": ')
            spool.seek(0)
            shutil.copyfileobj(spool, file, _COPY_BYTES)
            file.write(b',\n"categories": ' + to_json(numbering.categories))
            for name, value in given.items():
                if name not in _WRITTEN:
                    file.write(b",\n" + to_json(name) + b": " + to_json(value))
            file.write(b"}\n")
        return [path, *placing.done()]

    def info(self) -> Any:
        """Return the input file's ``info`` with the provenance of the labels added."""
        info = self.provenance.given.get("info", INFO)
        return self.provenance.as_dict() | info if isinstance(info, dict) else info


@dataclass(frozen=True, slots=True)
class _ImageNaming:
    """Names images in the file, and places them in the export's folder."""

    placing: Placing
    names: FileNames | None
    """Names of which no two differ in their ending only; None if each image has its own."""

    def record(self, image: Image, number: int) -> dict[str, Any]:
        """Place an image and return its record."""
        if self.names is not None:
            name = beside(self.names.name(image.id, ".json"), image)
        else:
            name = own_name(image) if self.placing.way else image.id
        self.placing.put(image, name)
        return _image_record(image, number, name)


def _ids(labels: Iterable[Labels]) -> Iterator[str]:
    """Yield the ids of images that did not fail."""
    return (image.id for image, _ in by_image(labels))


def _any_masks(labels: Iterable[Labels]) -> bool:
    """Return whether any object has a mask."""
    return any(row.instances.masks is not None for row in labels)


def _write_records(
    labels: Iterable[Labels],
    numbering: Numbering,
    *,
    file: BinaryIO,
    spool: BinaryIO,
    form: Form,
    listing: _ImageNaming,
) -> None:
    """Write the array of annotations to ``file``, that of images to ``spool``, in one walk over the labels."""
    found, listed = ArrayWriter(file), ArrayWriter(spool)
    next_id = numbering.first_free_annotation
    for batch in together(images(labels, numbering)):
        listed.extend([listing.record(image, image_id) for image_id, image, _ in batch])
        records = annotation_records(placed(batch), next_id, numbering=numbering, form=form)
        found.extend(records)
        next_id += len(records)
    listed.close()
    found.close()


def _image_record(image: Image, number: int, name: str) -> dict[str, Any]:
    """Return the record of an image; ``file_name`` is its whole relative path."""
    height, width = image.size
    own = {key: value for key, value in (image.given or {}).items() if key != "id"}
    return {"id": number, "file_name": name, "height": height, "width": width, **own}


def annotation_records(found: Sequence[Placed], first_id: int, *, numbering: Numbering, form: Form) -> Sequence[Any]:
    """Return the records of the objects of rows, with the fields of their input annotations."""
    made = annotate(found, first_id, numbering=numbering, form=form)
    if all(row.instances.given is None for _, row in found):
        return made
    given = [(row.image.id, one) for _, row in found for one in given_of(row)]
    return [
        with_given(annotation, one, numbering=numbering, place=f"{image}: annotation {one.get('id')}")
        for annotation, (image, one) in zip(made, given, strict=True)
    ]
