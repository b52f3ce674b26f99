"""YOLO: a folder of text files, one per image, with a ``data.yaml`` that names the classes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from autolabel.data.corrections.bounded import read_bytes
from autolabel.data.corrections.shapes import Corrections, DrawnImage, Shape
from autolabel.errors import DataError, Problem, SpecError
from autolabel.spec.document import parse_document
from autolabel.spec.limits import MAX_BYTES
from autolabel.spec.node import Node, Place, short

_NAMES = ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml")
_LISTS = ("classes.txt", "obj.names", "labels.txt")
_MOST_BYTES = 1 << 26
_DIGITS = 10
"""A class's number has fewer digits than this."""


def find_names(folder: Path) -> Path | None:
    """Return the file that names the classes of a folder, None if there is none."""
    for place in (folder, folder.parent):
        for name in (*_NAMES, *_LISTS):
            if (place / name).is_file():
                return place / name
    return None


def read_yolo(folder: Path) -> Corrections:
    """Return the images of all label files below a folder; an empty file is an image without objects.

    Raises DataError, with the line, if a file is invalid.
    """
    named = find_names(folder)
    if named is None:
        raise DataError(f"{folder}: no file names the classes", hint=f"there should be a {_NAMES[0]} or {_LISTS[0]}")
    classes = _classes(named)
    files = [path for path in sorted(folder.rglob("*.txt")) if path.name not in _LISTS and _is_labels(path, folder)]
    return Corrections(tool="YOLO", images=[_image(path, folder, classes) for path in files], endings=False)


def _is_labels(path: Path, folder: Path) -> bool:
    """Return whether a file is a label file, not a list of images."""
    parts = path.relative_to(folder).parts[:-1]
    return path.is_file() and (bool(parts) or path.stem not in ("train", "val", "valid", "test"))


def _classes(path: Path) -> dict[int, str]:
    try:
        text = read_bytes(path, most=MAX_BYTES).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: the classes cannot be read: {error}", hint="save the file as UTF-8") from error
    if path.name in _LISTS:
        return dict(enumerate(line.strip() for line in text.splitlines() if line.strip()))
    try:
        root = parse_document(text, lambda mark: Place(str(path), mark.line + 1, mark.column + 1))
    except SpecError as error:
        raise DataError(error.problems) from error
    names = root.child("names")
    if names is None or not isinstance(names.value, dict | list):
        raise DataError(f"{path}: 'names' must list the classes")
    if isinstance(names.value, list):
        return dict(enumerate(map(_name, names.value)))
    return {_number(key, one): _name(one) for key, one in names.value.items()}


def _number(key: str, named: Node) -> int:
    if not (key.isascii() and key.isdecimal() and len(key) < _DIGITS):
        raise _wrong(named, f"{short(key)} is not a class number, wanted 0, 1, 2 and so on")
    return int(key)


def _name(named: Node) -> str:
    if isinstance(named.value, dict | list):
        raise _wrong(named, "a class has a mapping or a list for a name, wanted a text")
    return named.written or str(named.value)


def _wrong(node: Node, message: str) -> DataError:
    place = node.place
    return DataError(Problem(file=place.file, line=place.line, column=place.column, message=message))


def _image(path: Path, folder: Path, classes: Mapping[int, str]) -> DrawnImage:
    parts = [part for part in path.relative_to(folder).parts[:-1] if part != "labels"]
    return DrawnImage(name="/".join((*parts, path.stem)), size=None, shapes=list(_shapes(path, classes)))


def _shapes(path: Path, classes: Mapping[int, str]) -> Iterator[Shape]:
    text = read_bytes(path, most=_MOST_BYTES).decode("utf-8-sig", "replace")
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words:
            continue
        try:
            phrase = classes[float(words[0])]  # type: ignore[index]  # 0 and 0.0 are one key
            shares = [float(word) for word in words[1:]]
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
