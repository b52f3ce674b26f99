"""Label Studio tasks with predictions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from autolabel.strategies import Exporter
from autolabel.types import Image, Labels, Size
from autolabel_exporters.brush import pack
from autolabel_exporters.json_stream import ArrayWriter
from autolabel_exporters.markup import opening
from autolabel_exporters.per_image import walk, write_text
from autolabel_exporters.rows import Found

PERCENT_DECIMALS = 6


class LabelStudio(Exporter):
    """Boxes in percent, masks as brush strokes, each with its score; a task has the score of its least sure object."""

    name = "label_studio"
    loses = ("boxes of objects with a mask", "rounds", "captions", "fields of input annotations")

    class Params(Exporter.Params):
        """``image_prefix`` leads to the images: a URL, or Label Studio's path of local files; the quoted id follows."""

        image_prefix: str = "/data/local-files/?d="
        model_version: str = "autolabel"

    params: Params

    def export(self, labels: Iterable[Labels], classes: Sequence[str], out: Path) -> Sequence[Path]:
        """Write ``tasks.json`` to import, and ``label_config.xml`` to paste as the project's labeling interface."""
        tasks, config = out / "tasks.json", out / "label_config.xml"
        write_text(config, labeling_interface(classes))
        with tasks.open("wb") as file:
            array = ArrayWriter(file)
            for image, found in walk(labels):
                array.extend([self.task(image, found)])
            array.close()
            file.write(b"\n")
        return [tasks, config]

    def task(self, image: Image, found: Sequence[Found]) -> dict[str, Any]:
        """Return an image with one prediction, which has no results where nothing was found."""
        prediction: dict[str, Any] = {
            "model_version": self.params.model_version,
            "result": [result(number, item, image.size) for number, item in enumerate(found, 1)],
        }
        if found:
            prediction["score"] = min(item.score for item in found)
        return {"data": {"image": self.params.image_prefix + quote(image.id)}, "predictions": [prediction]}


def result(number: int, item: Found, size: Size) -> dict[str, Any]:
    """Return one region."""
    height, width = size
    region = {
        "id": str(number),
        "to_name": "image",
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
        "score": item.score,
    }
    if item.mask is not None:
        value = {"format": "rle", "rle": pack(item.mask.decode()), "brushlabels": [item.phrase]}
        return region | {"from_name": "brush", "type": "brushlabels", "value": value}
    value = percent(item.box, size) | {"rotation": 0, "rectanglelabels": [item.phrase]}
    return region | {"from_name": "box", "type": "rectanglelabels", "value": value}


def percent(box: Sequence[float], size: Size) -> dict[str, Any]:
    """Return a box as Label Studio has it: left, top, width, height in percent of the image."""
    left, top, right, bottom = box
    height, width = size
    sides = {"x": left / width, "y": top / height, "width": (right - left) / width, "height": (bottom - top) / height}
    return {name: round(100 * share, PERCENT_DECIMALS) for name, share in sides.items()}


def labeling_interface(classes: Sequence[str]) -> str:
    """Return the configuration whose control names the results use."""
    entries = "".join(f"    {opening('Label', value=name)[:-1]}/>\n" for name in classes)
    boxes = f'  <RectangleLabels name="box" toName="image">\n{entries}  </RectangleLabels>\n'
    masks = f'  <BrushLabels name="brush" toName="image">\n{entries}  </BrushLabels>\n'
    return f'<View>\n  <Image name="image" value="$image" zoom="true"/>\n{boxes}{masks}</View>\n'
