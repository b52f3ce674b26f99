"""CVAT for images 1.1: one XML file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal

from autolabel.strategies import Exporter
from autolabel.types import Image, Labels
from autolabel.types.runs import row_runs
from autolabel_exporters.markup import opening, xml_element
from autolabel_exporters.mask_runs import crop
from autolabel_exporters.per_image import labelled_images
from autolabel_exporters.placing import Placing, own_name
from autolabel_exporters.rows import ExportedObject
from autolabel_exporters.shapes import Ring, ToolParams, drawn

_ATTRIBUTE = (
    "<attribute><name>{}</name><mutable>False</mutable><input_type>text</input_type>"
    "<default_value></default_value><values></values></attribute>"
)


class Cvat(Exporter):
    """Boxes, or masks where available, with the attribute ``score`` and, if present, ``verdict`` and ``expression``."""

    name = "cvat"
    loses = ("boxes of objects with a mask unless boxes=true", "rounds", "captions", "fields of input annotations")

    class Params(ToolParams):
        """Which shapes are written for an object; shapes of one object share a ``group_id``."""

    params: Params

    def export(self, labels: Iterable[Labels], classes: Sequence[str], out: Path) -> Sequence[Path]:
        """Write ``annotations.xml``."""
        path = out / "annotations.xml"
        with path.open("w", encoding="utf-8", errors="replace", newline="\n") as file:
            file.write('<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n  <version>1.1</version>\n')
            declared = "".join(map(_ATTRIBUTE.format, _attributes(labels)))
            file.write("  <meta><task><labels>\n")
            file.writelines(_label(name, declared) for name in classes)
            file.write("  </labels></task></meta>\n")
            placing = Placing(self.params.images, out / "images")
            for number, (image, found) in enumerate(labelled_images(labels)):
                file.writelines(_entries(number, image, found, self.params))
                placing.put(image, own_name(image))
            file.write("</annotations>\n")
        return [path, *placing.done()]


def _attributes(labels: Iterable[Labels]) -> Sequence[str]:
    """Return the names of the objects' attributes."""
    verdicts = expressions = False
    for row in labels:
        verdicts |= row.instances.verdicts is not None
        expressions |= row.instances.expressions is not None
    return ("score", *(["verdict"] if verdicts else []), *(["expression"] if expressions else []))


def _label(name: str, attributes: str) -> str:
    """Return the declaration of a class."""
    return f"    <label>{xml_element('name', name)}<attributes>{attributes}</attributes></label>\n"


def _entries(number: int, image: Image, found: Sequence[ExportedObject], params: ToolParams) -> Iterator[str]:
    """Yield the lines of one image; ``name`` is its whole relative path."""
    height, width = image.size
    name = own_name(image) if params.images else image.id
    yield f"  {opening('image', id=number, name=name, width=width, height=height)}\n"
    for group, item in enumerate(found, 1):
        told = f'<attribute name="score">{item.score}</attribute>'
        if item.verdict is not None:
            told += f'<attribute name="verdict">{item.verdict}</attribute>'
        if item.expression is not None:
            told += xml_element("attribute", item.expression, name="expression")
        shapes = list(drawn(item, params))
        together = {"group_id": group} if len(shapes) > 1 else {}
        for one in shapes:
            tag, attributes = _shape(item, one)
            head = opening(tag, label=item.phrase, source="auto", occluded=0, **attributes, z_order=0, **together)
            yield f"    {head}{told}</{tag}>\n"
    yield "  </image>\n"


def _shape(item: ExportedObject, one: Literal["mask", "box"] | Ring) -> tuple[str, dict[str, object]]:
    """Return the tag and the coordinates of a shape; a mask is given as row-major runs of its bounding box."""
    if one == "box":
        return "box", dict(zip(("xtl", "ytl", "xbr", "ybr"), item.box, strict=True))
    if not isinstance(one, str):
        return "polygon", {"points": ";".join(f"{x:.2f},{y:.2f}" for x, y in one)}
    assert item.mask is not None
    cut = crop(item.mask)
    assert cut is not None
    height, width = cut.mask.shape
    runs = ", ".join(map(str, row_runs(cut.mask)))
    return "mask", {"rle": runs, "left": cut.left, "top": cut.top, "width": width, "height": height}
