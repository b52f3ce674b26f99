"""Write one file per image, in folders that mirror the image folders."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from autolabel.types import Image, Labels
from autolabel_exporters.file_names import FileNames
from autolabel_exporters.rows import ExportedObject, by_image, exported_objects


def labelled_images(labels: Iterable[Labels]) -> Iterator[tuple[Image, list[ExportedObject]]]:
    """Yield each image that did not fail, with the objects of all its captions."""
    for image, rows in by_image(labels):
        yield image, [item for row in rows for item in exported_objects(row)]


def survey(labels: Iterable[Labels], *, flat: bool = False) -> FileNames:
    """Return the file names for all images that did not fail."""
    return FileNames.survey((image.id for image, _ in by_image(labels)), flat=flat)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 with ``\\n`` line ends, creating parent folders; a lone surrogate becomes a question mark."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode("utf-8", "replace"))
