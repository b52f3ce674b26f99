"""YOLO: one text file an image, as ultralytics and darknet trainers read them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from autolabel.errors import DataError
from autolabel.paths import SpecPath
from autolabel.strategies import Exporter
from autolabel.types import Image, Labels, Size
from autolabel.types.polygons import joined, parts
from autolabel_exporters.file_names import split_ending
from autolabel_exporters.per_image import survey, walk, write_text
from autolabel_exporters.rows import Found


class Yolo(Exporter):
    """Class index with a box (or polygon) in shares of the image; no scores."""

    name = "yolo"
    loses = ("masks unless segmentation=true", "scores", "rounds", "captions", "fields of input annotations")

    class Params(Exporter.Params):
        """``segmentation`` writes polygons; ``images`` is the folder of the images, if links to them are wanted."""

        segmentation: bool = False
        images: SpecPath | None = None

    params: Params

    def export(self, labels: Iterable[Labels], classes: Sequence[str], out: Path) -> Sequence[Path]:
        """Write ``labels/*.txt``, empty for an empty image, ``data.yaml``, and perhaps links in ``images/``.

        Raises DataError where an image to link to is not there.
        """
        names, index = survey(labels), {name: number for number, name in enumerate(classes)}
        folder, data = out / "labels", out / "data.yaml"
        folder.mkdir()
        write_text(data, data_yaml(classes))
        for image, found in walk(labels):
            text = "".join(self.line(item, index[item.phrase], image.size) for item in found)
            name = names.name(image.id, ".txt")
            write_text(folder / name, text)
            if self.params.images:
                link(image, self.params.images, out / "images" / split_ending(name)[0])
        return [data, folder, *([out / "images"] if (out / "images").exists() else [])]

    def line(self, item: Found, number: int, size: Size) -> str:
        """Return one object."""
        if not self.params.segmentation:
            return f"{number} {centred(item.box, size)}\n"
        return f"{number} {outline(item, size)}\n"


def centred(box: Sequence[float], size: Size) -> str:
    """Return centre, width, height of a box as shares of the image."""
    left, top, right, bottom = box
    height, width = size
    shares = ((left + right) / 2 / width, (top + bottom) / 2 / height, (right - left) / width, (bottom - top) / height)
    return " ".join(f"{share:.6f}" for share in shares)


def outline(item: Found, size: Size) -> str:
    """Return an object's mask as one ring, parts and holes joined by cuts of no width; its box where it has no mask."""
    height, width = size
    left, top, right, bottom = item.box
    ring: npt.NDArray[Any] = np.array([[left, top], [right, top], [right, bottom], [left, bottom]])
    found = parts(item.mask.decode()) if item.mask is not None else []
    shares = (joined(found) if found else ring) / (width, height)
    return " ".join(f"{share:.6f}" for share in shares.reshape(-1).tolist())


def link(image: Image, root: str, stem: Path) -> None:
    """Make a symbolic link to an image below ``root``, named as its label file is but for the ending."""
    target = Path(root).joinpath(*(part for part in image.id.split("/") if part not in ("", ".", "..")))
    if not target.is_file():
        raise DataError(f"{target}: no such image", hint="set `images` to the folder that image names are relative to")
    path = stem.with_name(stem.name + (split_ending(image.id)[1] or ".jpg"))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)


def data_yaml(classes: Sequence[str]) -> str:
    """Return the description of the data set; ``train`` and ``val`` are both this folder's images."""
    names = "".join(f"  {number}: {quoted(name)}\n" for number, name in enumerate(classes))
    return f"train: images\nval: images\nnc: {len(classes)}\nnames:{' {}' if not classes else ''}\n{names}"


def quoted(text: str) -> str:
    """Return text as a double-quoted YAML scalar; what is not printable is escaped."""
    return '"' + "".join(map(escaped, text)) + '"'


def escaped(character: str) -> str:
    """Return a character as it stands inside double quotes."""
    if character in '"\\':
        return "\\" + character
    return character if character.isprintable() else f"\\U{ord(character):08x}"
