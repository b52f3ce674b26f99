"""Label Studio tasks with predictions."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from autolabel.storage import is_url
from autolabel.strategies import Exporter
from autolabel.types import Image, Labels, Size
from autolabel.types.label_studio import pack, percent, percent_ring
from autolabel_exporters.json_stream import ArrayWriter
from autolabel_exporters.markup import opening
from autolabel_exporters.per_image import labelled_images, write_text
from autolabel_exporters.placing import Placing, own_name
from autolabel_exporters.rows import ExportedObject, by_image
from autolabel_exporters.shapes import Ring, ToolParams, drawn

_LOCAL_FILES = "/data/local-files/?d="
"""Label Studio's path of files below its document root."""


class LabelStudio(Exporter):
    """Boxes in percent and masks as brush strokes, each with its score and the verifier's verdict.

    A task's score is the lowest score of its objects.
    """

    name = "label_studio"
    loses = ("boxes of objects with a mask unless boxes=true", "rounds", "captions", "fields of input annotations")

    class Params(ToolParams):
        """The shapes drawn for an object, and how tasks refer to images.

        ``image_prefix``, for example a URL, is put before an image's quoted id. Without it, tasks refer to files served
        by Label Studio, whose document root is then the parent of the image folder, or the results directory if
        ``images`` places them. ``model_version`` defaults to plan digest and weights.
        """

        image_prefix: str | None = None
        model_version: str | None = None

    params: Params

    def export(self, labels: Iterable[Labels], classes: Sequence[str], out: Path) -> Sequence[Path]:
        """Write ``tasks.json`` to import, and ``label_config.xml`` to paste as the project's labeling interface."""
        return self.write_part(labels, classes, out, part="")

    def export_parts(self, parts: Mapping[str, Iterable[Labels]], classes: Sequence[str], out: Path) -> Sequence[Path]:
        """Write the same files for each part, in a folder named after the part."""
        written: list[Path] = []
        for name, labels in parts.items():
            (out / name).mkdir()
            written += self.write_part(labels, classes, out / name, part=f"{name}/")
        return written

    def write_part(self, labels: Iterable[Labels], classes: Sequence[str], out: Path, *, part: str) -> Sequence[Path]:
        """Write tasks, interface and images of ``part`` into a folder of that name below the export's folder."""
        tasks, config = out / "tasks.json", out / "label_config.xml"
        write_text(config, _labeling_interface(classes, self.params))
        placing = Placing(self.params.images, out / "images")
        if self.params.image_prefix is not None:
            address = partial(_prefixed, self.params.image_prefix, placed=bool(placing.way))
        elif placing.way:
            address = partial(_prefixed, f"{_LOCAL_FILES}{self.name}/{part}images/", placed=True)
        else:
            address = partial(_served, top=_document_root(labels))
        with tasks.open("wb") as file:
            array = ArrayWriter(file)
            for image, found in labelled_images(labels):
                array.extend([self.task(image, found, address(image))])
                placing.put(image, own_name(image))
            array.close()
            file.write(b"\n")
        return [tasks, config, *placing.done()]

    def task(self, image: Image, found: Sequence[ExportedObject], address: str) -> dict[str, Any]:
        """Return an image with one prediction; the prediction has no results if nothing was found."""
        prediction: dict[str, Any] = {
            "model_version": self.params.model_version or str(self.provenance) or "autolabel",
            "result": [
                one for number, item in enumerate(found, 1) for one in _results(number, item, image, self.params)
            ],
        }
        if found:
            prediction["score"] = min(item.score for item in found)
        return {"data": {"image": address}, "predictions": [prediction]}


def _prefixed(prefix: str, image: Image, *, placed: bool) -> str:
    """Return an image's quoted id behind a prefix, or the name under which it was placed."""
    return prefix + quote(own_name(image) if placed else image.id)


def _served(image: Image, *, top: str) -> str:
    """Return the address under which Label Studio serves an image's file, with ``top`` as its document root."""
    return _LOCAL_FILES + quote(posixpath.relpath(image.path, top) if top else image.id)


def _document_root(labels: Iterable[Labels]) -> str:
    """Return the parent of the image folder, or of all image folders; empty if images have no folder.

    Label Studio refuses to serve images from the document root itself.
    """
    roots = {_root_of(image) for image, _ in by_image(labels)}
    if not roots or "" in roots or any(is_url(root) for root in roots):
        return ""
    top = posixpath.commonpath(roots)
    return posixpath.dirname(top) if top in roots else top


def _root_of(image: Image) -> str:
    """Return the folder that an image's id is relative to; with several folders, the id's first part names it."""
    for name in (image.id, image.id.partition("/")[2]):
        if name and image.path.endswith(f"/{name}"):
            return image.path[: -len(name) - 1] or "/"
    return posixpath.dirname(image.path)


def _results(number: int, item: ExportedObject, image: Image, params: ToolParams) -> list[dict[str, Any]]:
    """Return the regions of an object; ids of further regions are prefixed with the object's number."""
    kinds = drawn(item, params)
    return [
        _result(f"{number}-{index}" if index else f"{number}", item, one, image.size) for index, one in enumerate(kinds)
    ]


def _result(name: str, item: ExportedObject, one: Literal["mask", "box"] | Ring, size: Size) -> dict[str, Any]:
    """Return one region."""
    height, width = size
    region = {
        "id": name,
        "to_name": "image",
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
        "score": item.score,
    }
    told = [] if item.verdict is None else [f"verdict {item.verdict:g}"]
    if told := [*told, *([] if item.expression is None else [item.expression])]:
        region["meta"] = {"text": told}
    if one == "box":
        value = {**percent(item.box, size), "rotation": 0, "rectanglelabels": [item.phrase]}
        return region | {"from_name": "box", "type": "rectanglelabels", "value": value}
    if not isinstance(one, str):
        value = {"points": percent_ring(one, size), "closed": True, "polygonlabels": [item.phrase]}
        return region | {"from_name": "polygon", "type": "polygonlabels", "value": value}
    assert item.mask is not None
    value = {"format": "rle", "rle": pack(item.mask.decode()), "brushlabels": [item.phrase]}
    return region | {"from_name": "brush", "type": "brushlabels", "value": value}


def _labeling_interface(classes: Sequence[str], params: ToolParams) -> str:
    """Return the labeling configuration; results refer to its control names."""
    entries = "".join(f"    {opening('Label', value=name)[:-1]}/>\n" for name in classes)
    tags = {"box": "RectangleLabels"} | {
        "masks": {"brush": "BrushLabels"},
        "polygons": {"polygon": "PolygonLabels"},
    }.get(params.segmentation, {})
    controls = "".join(f'  <{tag} name="{name}" toName="image">\n{entries}  </{tag}>\n' for name, tag in tags.items())
    return f'<View>\n  <Image name="image" value="$image" zoom="true"/>\n{controls}</View>\n'
