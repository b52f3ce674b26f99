"""Pascal VOC: one XML file per image."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

from autolabel.strategies import Exporter
from autolabel.types import Image, Labels, Size
from autolabel_exporters.file_names import split_ending
from autolabel_exporters.markup import xml_element
from autolabel_exporters.per_image import labelled_images, survey, write_text
from autolabel_exporters.placing import Placing, Way, beside
from autolabel_exporters.rows import ExportedObject


class Voc(Exporter):
    """Boxes in whole pixels; no masks."""

    name = "voc"
    loses = ("masks", "fractions of a pixel", "rounds", "captions", "fields of input annotations")

    class Params(Exporter.Params):
        """``origin`` 0 writes edges from 0, as most readers expect; 1 counts pixels from 1, like VOC's own kit.

        ``images`` places the images in ``JPEGImages/``.
        """

        origin: Literal[0, 1] = 0
        images: Way | None = None

    params: Params

    def export(self, labels: Iterable[Labels], classes: Sequence[str], out: Path) -> Sequence[Path]:
        """Write ``Annotations/*.xml``, with the list ``ImageSets/Main/default.txt`` and ``labelmap.txt``."""
        names, annotations = survey(labels), out / "Annotations"
        placing = Placing(self.params.images, out / "JPEGImages")
        annotations.mkdir()
        listing, labelmap = out / "ImageSets/Main/default.txt", out / "labelmap.txt"
        write_text(labelmap, "".join(f"{_single_line(name)}:::\n" for name in classes))
        listing.parent.mkdir(parents=True)
        with listing.open("w", encoding="utf-8", errors="replace", newline="\n") as file:
            for image, found in labelled_images(labels):
                name = names.name(image.id, ".xml")
                own = beside(name, image) if placing.way else image.id
                write_text(annotations / name, _document(image, own, found, self.params.origin))
                placing.put(image, own)
                file.write(split_ending(name)[0] + "\n")
        return [annotations, listing, labelmap, *placing.done()]


def _document(image: Image, name: str, found: Sequence[ExportedObject], origin: int) -> str:
    """Return the XML of one image; ``filename`` is its whole relative path."""
    height, width = image.size
    size = f"<size><width>{width}</width><height>{height}</height><depth>3</depth></size>"
    head = f"  <folder/>\n  {xml_element('filename', name)}\n  {size}\n  <segmented>0</segmented>\n"
    return f"<annotation>\n{head}{''.join(_entry(item, image.size, origin) for item in found)}</annotation>\n"


def _entry(item: ExportedObject, size: Size, origin: int) -> str:
    """Return one object."""
    corners = zip(("xmin", "ymin", "xmax", "ymax"), _pixels(item.box, size, origin), strict=True)
    box = "".join(xml_element(tag, value) for tag, value in corners)
    flags = "<pose>Unspecified</pose><truncated>0</truncated><difficult>0</difficult>"
    named, scored = xml_element("name", item.phrase), xml_element("score", item.score)
    if item.verdict is not None:
        scored += xml_element("verdict", item.verdict)
    if item.expression is not None:
        scored += xml_element("expression", item.expression)
    return f"  <object>{named}{flags}{scored}<bndbox>{box}</bndbox></object>\n"


def _pixels(box: Sequence[float], size: Size, origin: int) -> tuple[int, int, int, int]:
    """Return a half-open box rounded to whole pixels, at least one pixel large and inside the image.

    With origin 1, the first and the last pixel, counted from 1; with origin 0, the left, top, right and bottom edge.
    """
    height, width = size
    left, right = _span(box[0], box[2], width)
    top, bottom = _span(box[1], box[3], height)
    return left + origin, top + origin, right, bottom


def _span(start: float, end: float, limit: int) -> tuple[int, int]:
    """Return a half-open span rounded to whole pixels."""
    first = min(max(round(start), 0), limit - 1)
    return first, min(max(round(end), first + 1), limit)


def _single_line(text: str) -> str:
    """Return a name without line breaks, for a list with one name per line."""
    return " ".join(text.split())
