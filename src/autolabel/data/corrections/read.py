"""Detect and read the export of another tool."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

from autolabel.data.coco.read import read_coco
from autolabel.data.corrections.bounded import read_bounded_json, read_bytes
from autolabel.data.corrections.cvat import read_cvat
from autolabel.data.corrections.label_studio import is_label_studio, read_label_studio
from autolabel.data.corrections.labelme import is_labelme, labelme_image
from autolabel.data.corrections.shapes import Corrections, DrawnImage, Shape
from autolabel.data.corrections.yolo import find_names, read_yolo
from autolabel.errors import DataError, SpecError
from autolabel.types import Rle, Size

Tool = Literal["review", "coco", "label_studio", "cvat", "labelme", "yolo"]
_TOOLS: tuple[Tool, ...] = get_args(Tool)


def tool_of(path: Path) -> Tool:
    """Return the tool that wrote a file or folder; raises DataError if it cannot be detected."""
    if path.is_dir():
        return _tool_of_folder(path)
    start = _start(path)
    if start.startswith(b"<"):
        return "cvat"
    if start.startswith(b"["):
        return "label_studio"
    value = read_bounded_json(path, hint="--from says which tool wrote it: a COCO file, or a review, may be larger")
    if isinstance(value, dict) and "decisions" in value:
        return "review"
    if isinstance(value, dict) and "images" in value:
        return "coco"
    if is_labelme(value):
        return "labelme"
    raise DataError(f"{path}: no supported tool writes such a file", hint=f"say which: --from {' | '.join(_TOOLS)}")


def _start(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(4096).lstrip(b"\xef\xbb\xbf \t\r\n")
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error


def _tool_of_folder(folder: Path) -> Tool:
    if any(is_labelme(read_bounded_json(path)) for path in _files(folder, ".json")[:20]):
        return "labelme"
    if find_names(folder) is not None and next(folder.rglob("*.txt"), None) is not None:
        return "yolo"
    known = [*_annotations(folder, ".json"), *_annotations(folder, ".xml")]
    if len(known) == 1:
        return tool_of(known[0])
    raise DataError(f"{folder}: no supported tool writes such a folder", hint="name the file in it, or say --from")


def read_corrections(path: Path, tool: Tool) -> Corrections:
    """Read a tool's export; raises DataError, with the place, if it is invalid."""
    if tool == "yolo":
        if not path.is_dir():
            raise DataError(f"{path}: YOLO labels must be a folder")
        return read_yolo(path)
    if tool == "labelme":
        return _labelme(path)
    file = _only(path, ".xml" if tool == "cvat" else ".json") if path.is_dir() else path
    if tool == "cvat":
        return read_cvat(read_bytes(file), file=str(file))
    if tool == "coco":
        return _coco(file)
    if tool == "label_studio":
        tasks = read_bounded_json(file)
        if not isinstance(tasks, list) or (tasks and not is_label_studio(tasks)):
            raise DataError(f"{file}: not a list of Label Studio's tasks", hint="export as JSON")
        made: Corrections = _guarded(partial(read_label_studio, tasks, file=str(file)), file)
        return made
    raise SpecError(f"{tool!r} is not a tool", hint=f"one of {', '.join(_TOOLS)}")


def _only(folder: Path, ending: str) -> Path:
    found = _annotations(folder, ending)
    if len(found) != 1:
        raise DataError(f"{folder}: expected one {ending} file, found {len(found)}", hint="name the file itself")
    return found[0]


def _annotations(folder: Path, ending: str) -> list[Path]:
    """Return the files of a folder that may hold annotations; of COCO's files only those of instances."""
    found = _files(folder, ending)
    return [path for path in found if path.name.startswith("instances_")] or found


def _files(folder: Path, ending: str) -> list[Path]:
    return sorted(path for path in folder.rglob(f"*{ending}") if path.is_file())


def _labelme(path: Path) -> Corrections:
    files = _files(path, ".json") if path.is_dir() else [path]
    images: list[DrawnImage] = []
    others = 0
    for file in files:
        value = read_bounded_json(file)
        if is_labelme(value):
            folder = file.parent.relative_to(path).as_posix() if path.is_dir() else ""
            images.append(_guarded(partial(labelme_image, value, folder="" if folder == "." else folder), file))
        else:
            others += 1
    if not images:
        raise DataError(f"{path}: it contains no LabelMe file")
    notes = [f"{others} JSON file(s) are not LabelMe's"] if others else []
    return Corrections(tool="LabelMe", images=images, notes=notes)


def _coco(file: Path) -> Corrections:
    coco = read_coco(file)
    images: dict[str, DrawnImage] = {}
    for image, found in coco.by_image():
        size = (image.height, image.width) if image.height and image.width else None
        shapes = [
            shape
            for number, one in enumerate(found)
            if not one.iscrowd
            for shape in _coco_shapes(coco.categories[one.category_id], one.bbox, one.segmentation, f"{number}")
        ]
        before = images.get(image.file_name)
        shapes = [*(before.shapes if before else ()), *shapes]
        crowds = sum(bool(one.iscrowd) for one in found) + (before.crowds if before else 0)
        images[image.file_name] = DrawnImage(name=image.file_name, size=size, shapes=shapes, crowds=crowds)
    problems = list(coco.faults.left_out) if coco.faults.skipped or coco.broken else []
    notes = [] if problems else list(coco.notes)
    return Corrections(tool="COCO", images=list(images.values()), notes=notes, problems=problems)


def _coco_shapes(phrase: str, bbox: Any, segmentation: Any, group: str) -> Iterator[Shape]:
    x, y, width, height = bbox
    if width > 0 and height > 0:
        yield Shape(phrase=phrase, kind="box", points=[(x, y), (x + width, y + height)], group=group)
    if segmentation:
        yield Shape(phrase=phrase, kind="mask", mask=partial(_coco_mask, segmentation), group=group)


def _coco_mask(segmentation: Any, size: Size) -> Rle:
    return Rle.from_coco(segmentation, size)


def _guarded(work: Any, file: Path) -> Any:
    try:
        return work()
    except (TypeError, ValueError, KeyError, AttributeError, ArithmeticError) as error:
        raise DataError(f"{file}: its tool writes no such file: {error}") from error
