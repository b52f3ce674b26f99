"""YOLO: a folder of text files, one an image, with a ``data.yaml`` that names the classes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from autolabel.data.corrections.shapes import Corrections, DrawnImage, Shape
from autolabel.errors import DataError, Problem

NAMES = ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml")
LISTS = ("classes.txt", "obj.names", "labels.txt")
MOST_BYTES = 1 << 26


def find_names(folder: Path) -> Path | None:
    """Return the file that names the classes of a folder, None where there is none."""
    for place in (folder, folder.parent):
        for name in (*NAMES, *LISTS):
            if (place / name).is_file():
                return place / name
    return None


def read_yolo(folder: Path) -> Corrections:
    """Return the images of all label files below a folder; an empty file is an image without objects.

    Raises DataError, with the line, where a file is no such thing.
    """
    named = find_names(folder)
    if named is None:
        raise DataError(f"{folder}: nothing names the classes", hint=f"there should be a {NAMES[0]} or {LISTS[0]}")
    classes = _classes(named)
    files = [path for path in sorted(folder.rglob("*.txt")) if path.name not in LISTS and _is_labels(path, folder)]
    return Corrections(tool="YOLO", images=[_image(path, folder, classes) for path in files], endings=False)


def _is_labels(path: Path, folder: Path) -> bool:
    """Tell a label file from the lists of images that lie beside them."""
    parts = path.relative_to(folder).parts[:-1]
    return path.is_file() and (bool(parts) or path.stem not in ("train", "val", "valid", "test"))


def _classes(path: Path) -> dict[int, str]:
    try:
        text = path.read_text(encoding="utf-8")
        if path.name in LISTS:
            return dict(enumerate(line.strip() for line in text.splitlines() if line.strip()))
        names: Any = (YAML(typ="safe", pure=True).load(text) or {}).get("names")
    except (OSError, UnicodeDecodeError, YAMLError, AttributeError) as error:
        raise DataError(f"{path}: the classes cannot be read: {error}") from error
    if isinstance(names, Mapping):
        return {int(number): str(name) for number, name in names.items()}
    if isinstance(names, list):
        return dict(enumerate(map(str, names)))
    raise DataError(f"{path}: 'names' must list the classes")


def _image(path: Path, folder: Path, classes: Mapping[int, str]) -> DrawnImage:
    parts = [part for part in path.relative_to(folder).parts[:-1] if part != "labels"]
    if path.stat().st_size > MOST_BYTES:
        raise DataError(f"{path}: is larger than {MOST_BYTES:,} bytes")
    return DrawnImage(name="/".join((*parts, path.stem)), size=None, shapes=list(_shapes(path, classes)))


def _shapes(path: Path, classes: Mapping[int, str]) -> Iterator[Shape]:
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        words = line.split()
        if not words:
            continue
        try:
            label, shares = int(float(words[0])), [float(word) for word in words[1:]]
            phrase = classes[label]
        except (ValueError, OverflowError, KeyError):
            message = f"expected a class from 0 to {max(classes, default=0)} and numbers, got {line[:60]!r}"
            raise DataError(Problem(file=str(path), line=number, column=1, message=message)) from None
        if len(shares) in (4, 5):
            x, y, width, height = shares[:4]
            corners = [(x - width / 2, y - height / 2), (x + width / 2, y + height / 2)]
            yield Shape(phrase=phrase, kind="box", points=corners, unit="share", place=f"line {number}")
        elif len(shares) >= 6 and not len(shares) % 2:
            ring = list(zip(shares[::2], shares[1::2], strict=True))
            yield Shape(phrase=phrase, kind="polygon", points=ring, unit="share", place=f"line {number}")
        else:
            message = f"expected a box of 4 numbers or a polygon of 6 or more, got {len(shares)}"
            raise DataError(Problem(file=str(path), line=number, column=1, message=message))
