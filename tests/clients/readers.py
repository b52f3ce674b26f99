"""What other people's tools read in our exports; needs numpy, Pillow and whatever tools there are, not autolabel."""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import io
import json
import re
import sys
import warnings
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image as Pillow

Mask = npt.NDArray[np.bool_]
SIZE = (60, 80)


@dataclass
class Found:
    """An object as a tool reads it."""

    name: str
    box: Any = None
    mask: Mask | None = None


Read = list[list[Found]]
"""The objects of each image."""


@dataclass(frozen=True)
class Check:
    """A reading of one export by one tool."""

    export: str
    tool: str
    module: str
    """What has to be importable."""
    read: Callable[[Path], Read]
    boxes: float | None = 0.01
    """How far a box may be off, in pixels; None where the tool has none."""
    masks: float | None = None
    """The least IoU of a mask with the true one; None where the tool has none, or has them for some objects only."""
    empties: bool = True
    """Whether the tool lists images without objects."""


CHECKS: list[Check] = []


def check(export: str, tool: str, module: str = "", **limits: Any) -> Callable[[Callable[[Path], Read]], Any]:
    """Register a reader; several exports are separated by ``;``."""

    def register(read: Callable[[Path], Read]) -> Callable[[Path], Read]:
        CHECKS.extend(Check(name.strip(), tool, module or tool, read, **limits) for name in export.split(";"))
        return read

    return register


def corners(x: float, y: float, width: float, height: float) -> list[float]:
    return [x, y, x + width, y + height]


@check("coco; coco polygons; coco roboflow; coco roboflow, split; coco datumaro, split", "pycocotools", masks=1.0)
def by_pycocotools(folder: Path) -> Read:
    from pycocotools.coco import COCO

    read: Read = []
    for path in sorted(folder.rglob("*.json")):
        coco = COCO(str(path))
        for image in coco.dataset["images"]:
            annotations = coco.loadAnns(coco.getAnnIds(image["id"]))
            names = [coco.cats[one["category_id"]]["name"] for one in annotations]
            masks = [coco.annToMask(one).astype(bool) for one in annotations]
            boxes = [corners(*one["bbox"]) for one in annotations]
            read.append([Found(*each) for each in zip(names, boxes, masks, strict=True)])
    return read


@check("coco_results", "pycocotools", masks=1.0, empties=False)
def results_by_pycocotools(folder: Path) -> Read:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    truth = COCO(str(folder.with_name("coco") / "annotations.json"))
    results = truth.loadRes(str(folder / "results.json"))
    for kind in ("bbox", "segm"):
        evaluation = COCOeval(truth, results, kind)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
        if evaluation.stats[0] < 0.999:
            raise AssertionError(f"{kind} AP of the labels against themselves is {evaluation.stats[0]:.3f}")
    read = []
    for image in results.getImgIds():
        annotations = results.loadAnns(results.getAnnIds(image))
        read.append(
            [
                Found(
                    truth.cats[one["category_id"]]["name"], corners(*one["bbox"]), results.annToMask(one).astype(bool)
                )
                for one in annotations
            ]
        )
    return [objects for objects in read if objects]


def of_supervision(dataset: Any) -> Read:
    read: Read = []
    for path in dataset.image_paths:
        found = dataset.annotations[path]
        masks = [None] * len(found) if found.mask is None else [np.asarray(one) > 0 for one in found.mask]
        names = [dataset.classes[label] for label in found.class_id]
        read.append([Found(*each) for each in zip(names, found.xyxy.tolist(), masks, strict=True)])
    return read


@check("coco", "supervision")
def coco_by_supervision(folder: Path) -> Read:
    import supervision

    dataset = supervision.DetectionDataset.from_coco(str(folder / "images"), str(folder / "annotations.json"))
    return of_supervision(dataset)


@check("coco roboflow, split", "supervision")
def roboflow_by_supervision(folder: Path) -> Read:
    import supervision

    read: Read = []
    for part in ("train", "valid", "test"):
        path = str(folder / part)
        read += of_supervision(supervision.DetectionDataset.from_coco(path, f"{path}/_annotations.coco.json"))
    return read


@check("yolo upright", "supervision")
def yolo_by_supervision(folder: Path) -> Read:
    import supervision

    return of_supervision(
        supervision.DetectionDataset.from_yolo(
            str(folder / "images"), str(folder / "labels"), str(folder / "data.yaml")
        )
    )


def of_labelformat(reader: Any) -> Read:
    from labelformat.model.bounding_box import BoundingBoxFormat

    return [
        [Found(item.category.name, item.box.to_format(BoundingBoxFormat.XYXY)) for item in one.objects]
        for one in reader.get_labels()
    ]


@check("coco; coco roboflow; coco datumaro", "labelformat")
def coco_by_labelformat(folder: Path) -> Read:
    from labelformat import formats

    [path] = folder.rglob("*.json")
    return of_labelformat(formats.COCOObjectDetectionInput(input_file=path))


@check("coco polygons", "labelformat", masks=1.0)
def polygons_by_labelformat(folder: Path) -> Read:
    from labelformat import formats
    from labelformat.model.bounding_box import BoundingBoxFormat
    from pycocotools import mask as coco

    read: Read = []
    for one in formats.COCOInstanceSegmentationInput(input_file=folder / "annotations.json").get_labels():
        found = []
        for item in one.objects:
            outline: Any = item.segmentation
            rings = [[number for point in ring for number in point] for ring in outline.polygons]
            drawn = coco.decode(coco.merge(coco.frPyObjects(rings, *SIZE))) > 0
            box = outline.bounding_box().to_format(BoundingBoxFormat.XYXY)
            found.append(Found(item.category.name, box, drawn))
        read.append(found)
    return read


@check("yolo upright", "labelformat")
def yolo_by_labelformat(folder: Path) -> Read:
    from labelformat import formats

    return of_labelformat(formats.YOLOv8ObjectDetectionInput(input_file=folder / "data.yaml", input_split="train"))


@check("cvat boxes", "labelformat")
def cvat_by_labelformat(folder: Path) -> Read:
    from labelformat import formats

    path = folder / "annotations.xml"
    copy = folder / "without-declaration.xml"  # where lxml is installed, labelformat stops at one, CVAT's own too
    copy.write_text(path.read_text("utf-8").partition("\n")[2], "utf-8")
    return of_labelformat(formats.CVATObjectDetectionInput(input_file=copy))


@check("voc", "labelformat", boxes=0.01)
def voc_by_labelformat(folder: Path) -> Read:
    from labelformat import formats

    names = [line.partition(":")[0] for line in (folder / "labelmap.txt").read_text("utf-8").splitlines()]
    read: Read = []
    for place in sorted({path.parent for path in (folder / "Annotations").rglob("*.xml")}):
        read += of_labelformat(
            formats.PascalVOCObjectDetectionInput(input_folder=place, category_names=",".join(names))
        )
    return read


@check("kitti", "labelformat", empties=True)
def kitti_by_labelformat(folder: Path) -> Read:
    from labelformat import formats

    names = json.loads((folder / "labelmap.json").read_text("utf-8"))
    read = of_labelformat(
        formats.KittiObjectDetectionInput(
            input_folder=folder / "label_2", category_names=",".join(names), images_rel_path="../image_2"
        )
    )
    return [[Found(names[one.name], one.box) for one in objects] for objects in read]


def of_datumaro(dataset: Any) -> Read:
    """Return the objects of a data set: what datumaro groups is one object."""
    categories = dataset.categories()
    classes = [label.name for label in categories[next(iter(categories))].items]
    read: Read = []
    for item in dataset:
        objects: dict[Any, Found] = {}
        for index, one in enumerate(item.annotations):
            found = objects.setdefault(one.group or f"alone {index}", Found(classes[one.label]))
            if one.type.name == "bbox":
                found.box = [float(value) for value in one.points]
            elif one.type.name == "mask":
                found.mask = np.asarray(one.image) > 0
        read.append(list(objects.values()))
    return read


@check("coco datumaro; coco datumaro, split", "datumaro", boxes=0.01)
def coco_by_datumaro(folder: Path) -> Read:
    import datumaro

    return of_datumaro(datumaro.Dataset.import_from(str(folder), "coco_instances"))


@check("voc", "datumaro")
def voc_by_datumaro(folder: Path) -> Read:
    import datumaro

    return of_datumaro(datumaro.Dataset.import_from(str(folder), "voc_detection"))


@check("cvat, distinct stems", "datumaro", boxes=None)
def cvat_by_datumaro(folder: Path) -> Read:
    import datumaro

    return of_datumaro(datumaro.Dataset.import_from(str(folder / "annotations.xml"), "cvat"))


@check("yolo upright", "datumaro")
def yolo_by_datumaro(folder: Path) -> Read:
    import datumaro

    return of_datumaro(datumaro.Dataset.import_from(str(folder), "yolo"))


def of_ultralytics(folder: Path, *, segments: bool = False) -> Read:
    """Read every image of every part, through ``data.yaml``, as training does."""
    from ultralytics.data.utils import IMG_FORMATS, check_det_dataset, img2label_paths, verify_image_label

    data = check_det_dataset(str(folder / "data.yaml"), autodownload=False)
    places = dict.fromkeys(str(data[part]) for part in ("train", "val", "test") if data.get(part))
    read: Read = []
    for place in places:
        files = sorted(str(path) for path in Path(place).rglob("*") if path.suffix[1:].lower() in IMG_FORMATS)
        for image, label in zip(files, img2label_paths(files), strict=True):
            result = verify_image_label((image, label, "", False, len(data["names"]), 0, 0, False))
            _, boxes, shape, rings, _, missing, _, _, corrupt, message = result
            if missing or corrupt:
                raise AssertionError(f"{Path(image).name}: {'label not found' if missing else message}")
            read.append(list(yolo_objects(data["names"], boxes, shape, rings if segments else [])))
    return read


def yolo_objects(names: Any, rows: Any, shape: Any, rings: Any) -> Iterator[Found]:
    from PIL import ImageDraw

    height, width = shape
    for index, (label, x, y, w, h) in enumerate(rows.tolist()):
        box = [(x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height]
        drawn = None
        if len(rings):
            canvas = Pillow.new("1", (10 * width, 10 * height))
            ring = [(10 * x * width, 10 * y * height) for x, y in rings[index].tolist()]
            ImageDraw.Draw(canvas).polygon(ring, fill=1)
            drawn = np.asarray(canvas)[5::10, 5::10]
        yield Found(names[int(label)], box, drawn)


@check("yolo; yolo upright; yolo, split", "ultralytics")
def yolo_by_ultralytics(folder: Path) -> Read:
    return of_ultralytics(folder)


@check("yolo segments", "ultralytics", masks=0.99)
def segments_by_ultralytics(folder: Path) -> Read:
    return of_ultralytics(folder, segments=True)


@check("coco roboflow, split", "rfdetr", "rfdetr", masks=1.0)
def by_rfdetr(folder: Path) -> Read:
    from rfdetr.datasets.coco import CocoDetection, convert_coco_poly_to_mask

    read: Read = []
    for part in ("train", "valid", "test"):
        data = CocoDetection(folder / part, folder / part / "_annotations.coco.json", None, True)
        for index, image in enumerate(data.ids):
            data._decode_image(image)
            found = data._load_target(image)
            masks = convert_coco_poly_to_mask([one.get("segmentation") for one in found], *SIZE).numpy() > 0
            names = [data.coco.cats[one["category_id"]]["name"] for one in found]
            boxes = [corners(*one["bbox"]) for one in found]
            read.append([Found(*each) for each in zip(names, boxes, masks, strict=True)])
            assert index < len(data)
    return read


def without_torchvision_operators() -> None:
    """Stand in for torchvision's compiled operators where its build does not fit torch's: no reader calls them."""
    import torch

    library = torch.library.Library("torchvision", "DEF")
    for _ in range(20):
        try:
            importlib.import_module("torchvision")
            return
        except RuntimeError as error:
            missing = re.search(r"operator torchvision::(\w+) does not exist", str(error))
            if missing is None:
                raise
            library.define(f"{missing[1]}(Tensor a) -> Tensor")
            for name in [name for name in sys.modules if name.startswith("torchvision")]:
                del sys.modules[name]


@check("cvat", "cvat-sdk", "cvat_sdk.masks", boxes=None)
def cvat_by_its_sdk(folder: Path) -> Read:
    from cvat_sdk import masks

    read: Read = []
    for image in ElementTree.parse(folder / "annotations.xml").getroot().findall("image"):
        found = []
        for shape in image:
            if shape.tag == "mask":
                left, top, width, height = (int(shape.get(key) or "") for key in ("left", "top", "width", "height"))
                runs = [int(run) for run in (shape.get("rle") or "").split(",")]
                code = [*runs, left, top, left + width - 1, top + height - 1]
                drawn = masks.decode_mask(code, image_width=SIZE[1], image_height=SIZE[0])
                found.append(Found(shape.get("label") or "", None, np.asarray(drawn) > 0))
            else:
                found.append(Found(shape.get("label") or ""))
        read.append(found)
    return read


@check("label_studio; label_studio polygons", "label-studio-sdk", "label_studio_sdk.label_interface", boxes=None)
def by_label_studio(folder: Path) -> Read:
    from label_studio_sdk.converter.brush import decode_rle
    from label_studio_sdk.label_interface import LabelInterface

    interface = LabelInterface((folder / "label_config.xml").read_text("utf-8"))
    interface.validate()
    read: Read = []
    for task in json.loads((folder / "tasks.json").read_text("utf-8")):
        [prediction] = task["predictions"]
        faults = interface.validate_prediction(prediction, return_errors=True)
        if faults or not interface.validate_task({"data": task["data"]}):
            raise AssertionError(f"{task['data']['image']}: {faults}")
        found: dict[str, Found] = {}
        for one in prediction["result"]:
            number = one["id"].partition("-")[0]
            item = found.setdefault(number, Found(next(iter(one["value"][one["type"]]))))
            if one["type"] == "brushlabels":
                item.mask = decode_rle(one["value"]["rle"]).reshape(*SIZE, 4)[:, :, 3] > 0
        read.append(list(found.values()))
    return read


@check("labelme; labelme polygons", "labelme", "labelme._label_file", boxes=None)
def by_labelme(folder: Path) -> Read:
    from labelme._label_file import LabelFile

    read: Read = []
    for path in sorted((folder / "labels").rglob("*.json")):
        file = LabelFile(str(path))
        if file.image_data is None if hasattr(file, "image_data") else file.imageData is None:
            raise AssertionError(f"{path.name}: its image was not found")
        groups: dict[Any, Found] = {}
        for index, shape in enumerate(file.shapes):
            key = shape["group_id"] if shape["group_id"] is not None else f"alone {index}"
            item = groups.setdefault(key, Found(shape["label"]))
            if shape["mask"] is not None:
                (x1, y1), _ = shape["points"]
                item.mask = np.zeros(SIZE, bool)
                height, width = shape["mask"].shape
                item.mask[int(y1) : int(y1) + height, int(x1) : int(x1) + width] = shape["mask"]
        read.append(list(groups.values()))
    return read


def of_rows(rows: Any) -> Read:
    from pycocotools import mask as coco

    def one(item: Any) -> Found:
        drawn = None
        if item["segmentation"] is not None:
            size = [int(side) for side in item["segmentation"]["size"]]
            drawn = coco.decode({"size": size, "counts": item["segmentation"]["counts"]}) > 0
        return Found(item["phrase"], [float(value) for value in item["bbox"]], drawn)

    return [[one(item) for item in row] for row in rows]


@check("parquet", "pandas")
def by_pandas(folder: Path) -> Read:
    import pandas

    return of_rows(pandas.read_parquet(folder / "labels.parquet")["instances"])


@check("parquet", "polars")
def by_polars(folder: Path) -> Read:
    import polars

    return of_rows(polars.read_parquet(folder / "labels.parquet")["instances"].to_list())


@check("parquet", "duckdb")
def by_duckdb(folder: Path) -> Read:
    import duckdb

    path = str(folder / "labels.parquet").replace("'", "''")
    return of_rows(row[0] for row in duckdb.sql(f"SELECT instances FROM '{path}'").fetchall())


@check("odvg", "mmdet's rules, restated here", "json")
def by_the_rules_of_mmdet(folder: Path) -> Read:
    """``ODVGDataset`` reads ``filename``, sizes, boxes and labels; its images lie below a prefix."""
    names = json.loads((folder / "labelmap.json").read_text("utf-8"))
    read: Read = []
    for line in (folder / "annotations.jsonl").read_text("utf-8").splitlines():
        one = json.loads(line)
        with Pillow.open(folder / "images" / one["filename"]) as picture:
            assert sorted(picture.size) == sorted((one["height"], one["width"]))
        instances = one["detection"]["instances"]
        read.append([Found(names[str(item["label"])], item["bbox"]) for item in instances])
    return read


def difference(found: Read, folder: Path, limits: Check) -> str:
    """Say how what was read differs from the truth; nothing where it does not."""
    truth: dict[str, Any] = json.loads((folder / "truth.json").read_text("utf-8"))
    if limits.export.endswith("distinct stems"):
        del truth["a.png"]
    with np.load(folder / "masks.npz") as stored:
        masks = dict(stored)
    waiting = [*found]
    for name, objects in truth.items():
        if not objects and not limits.empties:
            continue
        wanted = [Found(one["class"], one["box"], masks.get(f"{name}/{i}")) for i, one in enumerate(objects)]
        place = next((i for i, one in enumerate(waiting) if alike(one, wanted, limits)), None)
        if place is None:
            return f"{name}: {len(objects)} object(s) not read as they are"
        waiting.pop(place)
    return f"{len(waiting)} image(s) too many" if waiting else ""


def alike(found: list[Found], wanted: list[Found], limits: Check) -> bool:
    """Tell whether two lists hold the same objects, in any order."""
    if len(found) != len(wanted):
        return False
    left = [*found]
    for one in wanted:
        place = next((i for i, other in enumerate(left) if same(other, one, limits)), None)
        if place is None:
            return False
        left.pop(place)
    return True


def same(found: Found, wanted: Found, limits: Check) -> bool:
    """Tell whether two objects agree in all that the tool reads."""
    if found.name != wanted.name:
        return False
    if limits.boxes is not None and (
        found.box is None or np.abs(np.subtract(found.box, wanted.box)).max() > limits.boxes
    ):
        return False
    if found.mask is None or wanted.mask is None:
        return not (limits.masks is not None and wanted.mask is not None)
    together = (found.mask & wanted.mask).sum() / (found.mask | wanted.mask).sum()
    return bool(together >= (limits.masks or 0.999))


def installed(one: Check) -> bool:
    """Tell whether a tool can be imported."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        try:
            if one.tool == "rfdetr":
                without_torchvision_operators()
            importlib.import_module(one.module)
        except Exception:  # a tool may be broken in any way; then it judges nothing
            return False
    return True


def outcome(one: Check, folder: Path) -> str:
    """Return ``right``, or what is wrong."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        try:
            return difference(one.read(folder / one.export), folder, one) or "right"
        except Exception as error:  # whatever a tool raises is its verdict
            return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"


def version(tool: str) -> str:
    """Return a tool's version."""
    try:
        return importlib.metadata.version(tool)
    except importlib.metadata.PackageNotFoundError:
        return ""


if __name__ == "__main__":
    scene = Path(sys.argv[1])
    for each in CHECKS:
        said = outcome(each, scene) if installed(each) else "not installed"
        sys.stdout.write(json.dumps([each.export, f"{each.tool} {version(each.tool)}".strip(), said]) + "\n")
        sys.stdout.flush()
