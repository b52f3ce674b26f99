"""CVAT for images 1.1: one XML file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from autolabel.strategies import Exporter
from autolabel.types import Image, Labels
from autolabel_exporters.markup import element, opening
from autolabel_exporters.mask_runs import crop, row_runs
from autolabel_exporters.per_image import walk
from autolabel_exporters.rows import Found

SCORE_ATTRIBUTE = (
    "<attribute><name>score</name><mutable>False</mutable><input_type>text</input_type>"
    "<default_value></default_value><values></values></attribute>"
)


class Cvat(Exporter):
    """Boxes, or masks where there are any, with the score as an attribute named ``score``."""

    name = "cvat"
    loses = ("boxes of objects with a mask", "rounds", "captions", "fields of input annotations")

    def export(self, labels: Iterable[Labels], classes: Sequence[str], out: Path) -> Sequence[Path]:
        """Write ``annotations.xml``."""
        path = out / "annotations.xml"
        with path.open("w", encoding="utf-8", errors="replace", newline="\n") as file:
            file.write('<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n  <version>1.1</version>\n')
            file.write(f"  <meta><task><labels>\n{''.join(map(label, classes))}  </labels></task></meta>\n")
            for number, (image, found) in enumerate(walk(labels)):
                file.writelines(entries(number, image, found))
            file.write("</annotations>\n")
        return [path]


def label(name: str) -> str:
    """Return the declaration of a class."""
    return f"    <label>{element('name', name)}<attributes>{SCORE_ATTRIBUTE}</attributes></label>\n"


def entries(number: int, image: Image, found: Sequence[Found]) -> Iterator[str]:
    """Yield the lines of one image; ``name`` is its whole relative path."""
    height, width = image.size
    yield f"  {opening('image', id=number, name=image.id, width=width, height=height)}\n"
    for item in found:
        tag, attributes = shape(item)
        score = f'<attribute name="score">{item.score}</attribute>'
        head = opening(tag, label=item.phrase, source="auto", occluded=0, **attributes, z_order=0)
        yield f"    {head}{score}</{tag}>\n"
    yield "  </image>\n"


def shape(item: Found) -> tuple[str, dict[str, object]]:
    """Return an object's tag and place: its mask as row-major runs of the part it covers, else its box."""
    cut = crop(item.mask) if item.mask is not None else None
    if cut is None:
        return "box", dict(zip(("xtl", "ytl", "xbr", "ybr"), item.box, strict=True))
    height, width = cut.mask.shape
    runs = ", ".join(map(str, row_runs(cut.mask)))
    return "mask", {"rle": runs, "left": cut.left, "top": cut.top, "width": width, "height": height}
