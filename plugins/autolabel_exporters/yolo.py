"""YOLO: one text file per image, for ultralytics and darknet trainers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from autolabel.paths import SpecPath
from autolabel.strategies import Exporter
from autolabel.types import Labels, Size
from autolabel.types.polygons import parts, single_ring
from autolabel_exporters.per_image import labelled_images, survey, write_text
from autolabel_exporters.placing import Placing, Way, beside
from autolabel_exporters.rows import ExportedObject

if TYPE_CHECKING:
    import numpy.typing as npt

_MILLION = 10**6
_FOLDERS = {"val": "valid"}
"""Trainers' names for the parts of a split."""


class Yolo(Exporter):
    """Class index with a box (or polygon) normalised to the image; no scores."""

    name = "yolo"
    loses = (
        "masks unless segmentation=true",
        "scores",
        "verdicts",
        "expressions",
        "rounds",
        "captions",
        "fields of input annotations",
    )

    class Params(Exporter.Params):
        """``segmentation`` writes polygons; ``images`` places the images in one folder, as every trainer expects.

        ``images`` may also name the folder to link them from. Without it, the label files mirror the image folders.
        """

        segmentation: bool = False
        images: Way | SpecPath | None = "link"

    params: Params

    def export(self, labels: Iterable[Labels], classes: Sequence[str], out: Path) -> Sequence[Path]:
        """Write ``labels/*.txt``, empty for an empty image, ``images/``, and ``data.yaml``.

        Raises DataError if an image is not in the named folder.
        """
        data = out / "data.yaml"
        write_text(data, _data_yaml({"train": "images", "val": "images"}, classes))
        return [data, *self.write_part(labels, classes, out)]

    def export_parts(self, parts: Mapping[str, Iterable[Labels]], classes: Sequence[str], out: Path) -> Sequence[Path]:
        """Write ``train/``, ``valid/``, ``test/``, each with ``images/`` and ``labels/``, and one ``data.yaml``."""
        written: list[Path] = []
        folders = {name: _FOLDERS.get(name, name) for name in parts}
        for name, labels in parts.items():
            (out / folders[name]).mkdir()
            written += self.write_part(labels, classes, out / folders[name])
        places = {name: f"{folder}/images" for name, folder in folders.items() if _holds(out / folder)}
        if "val" not in places:  # trainers require a val part
            places["val"] = places.get("test") or places.get("train", "train/images")
        data = out / "data.yaml"
        write_text(data, _data_yaml(places, classes))
        return [data, *written]

    def write_part(self, labels: Iterable[Labels], classes: Sequence[str], out: Path) -> Sequence[Path]:
        """Write ``labels/`` and ``images/`` below ``out``."""
        way: Way | None = self.params.images if self.params.images in get_args(Way) else "link"  # type: ignore[assignment]
        root = self.params.images if self.params.images not in (*get_args(Way), None) else None
        placing = Placing(way if self.params.images else None, out / "images", root=root)
        names, index = survey(labels, flat=bool(self.params.images)), {name: i for i, name in enumerate(classes)}
        folder = out / "labels"
        folder.mkdir()
        for image, found in labelled_images(labels):
            name = names.name(image.id, ".txt")
            write_text(folder / name, "".join(self.line(item, index[item.phrase], image.size) for item in found))
            placing.put(image, beside(name, image))
        return [folder, *placing.done()]

    def line(self, item: ExportedObject, number: int, size: Size) -> str:
        """Return one object."""
        if not self.params.segmentation:
            return f"{number} {_centred(item.box, size)}\n"
        return f"{number} {_outline(item, size)}\n"


def _centred(box: Sequence[float], size: Size) -> str:
    """Return centre, width, height of a box normalised to the image, in millionths, with its edges inside the image."""
    left, top, right, bottom = box
    height, width = size
    x, w = _span(left / width, right / width)
    y, h = _span(top / height, bottom / height)
    return " ".join(f"{share / _MILLION:.6f}" for share in (x, y, w, h))


def _span(start: float, end: float) -> tuple[int, int]:
    """Return centre and length in millionths, rounded so that the edges stay within 0..1."""
    centre = min(max(round((start + end) / 2 * _MILLION), 1), _MILLION - 1)
    length = round((end - start) * _MILLION)
    return centre, max(1, min(length, 2 * centre, 2 * (_MILLION - centre)))


def _outline(item: ExportedObject, size: Size) -> str:
    """Return an object's mask as one ring, parts and holes joined by zero-width cuts; its box if it has no mask."""
    height, width = size
    left, top, right, bottom = item.box
    ring: npt.NDArray[Any] = np.array([[left, top], [right, top], [right, bottom], [left, bottom]])
    found = parts(item.mask.decode()) if item.mask is not None else []
    shares = (single_ring(found) if found else ring) / (width, height)
    return " ".join(f"{share:.6f}" for share in shares.reshape(-1).tolist())


def _holds(part: Path) -> bool:
    """Return whether a part has any image."""
    return any((part / "labels").iterdir())


def _data_yaml(places: Mapping[str, str], classes: Sequence[str]) -> str:
    """Return the description of the data set: the folder of images of each part, the names of the classes."""
    parts = "".join(f"{part}: {places[part]}\n" for part in ("train", "val", "test") if part in places)
    names = "".join(f"  {number}: {_quoted(name)}\n" for number, name in enumerate(classes))
    return f"{parts}nc: {len(classes)}\nnames:{' {}' if not classes else ''}\n{names}"


def _quoted(text: str) -> str:
    """Return text as a double-quoted YAML scalar; what is not printable is escaped."""
    return '"' + "".join(map(_escaped, text)) + '"'


def _escaped(character: str) -> str:
    """Return a character as it is inside double quotes."""
    if character in '"\\':
        return "\\" + character
    return character if character.isprintable() else f"\\U{ord(character):08x}"
