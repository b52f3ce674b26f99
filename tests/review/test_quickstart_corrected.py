"""The quickstart's labels corrected to the truth, on the page and in Label Studio, and measured before and after."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from autolabel.cli.app import app
from autolabel.types.boxes import iou
from tests.review.page_visit import Visit
from tests.review.test_label_studio_server import SERVER, LabelStudio
from tests.web import Server

ROOT = Path(__file__).resolve().parents[2]
TRUTH = ROOT / "examples" / "bccd" / "boxes.json"
Box = tuple[float, ...]


@dataclass(frozen=True)
class Wanted:
    """What a photo is to have: which of its boxes are right, by place, and those that are missing."""

    right: tuple[int, ...]
    missing: tuple[tuple[str, Box], ...]
    renamed: dict[int, str]
    """The class of boxes that only have the wrong one, by place."""
    moved: dict[int, Box]
    """Where boxes of the right class belong that are not quite there, by place."""


def command(*words: object) -> str:
    """Run a command that succeeds, and return what it prints."""
    done = CliRunner().invoke(app, [*map(str, words)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def objects_of(truth: Path) -> dict[str, list[tuple[str, Box]]]:
    """Return the true objects of each image."""
    document = json.loads(truth.read_text(encoding="utf-8"))
    classes = {one["id"]: one["name"] for one in document["categories"]}
    images = {one["id"]: one["file_name"] for one in document["images"]}
    out: dict[str, list[tuple[str, Box]]] = {name: [] for name in images.values()}
    for one in document["annotations"]:
        x, y, width, height = one["bbox"]
        out[images[one["image_id"]]].append((classes[one["category_id"]], (x, y, x + width, y + height)))
    return out


def wanted(found: Sequence[tuple[str, Box]], true: Sequence[tuple[str, Box]]) -> Wanted:
    """Compare what was found with the truth: each true object keeps the box of its class that overlaps it most.

    Of the other boxes, one that overlaps an object by half gets its class, and one of its class that overlaps it less
    is moved; both only where it is large enough for its corners to be dragged.
    """
    overlap = iou(*(np.array([box for _, box in rows], float).reshape(-1, 4) for rows in (found, true)))
    same = np.array([[name == other for other, _ in true] for name, _ in found], bool).reshape(overlap.shape)
    right = matched(overlap, same, 0.5)
    renamed = matched(overlap, ~same, 0.5)
    large = np.array([min(box[2] - box[0], box[3] - box[1]) > 50 for _, box in found], bool)
    moved = matched(overlap, same & large[:, None], 0.2)
    done = {*right.values(), *renamed.values(), *moved.values()}
    return Wanted(
        right=tuple(sorted(right)),
        missing=tuple(one for number, one in enumerate(true) if number not in done),
        renamed={place: true[number][0] for place, number in renamed.items()},
        moved={place: true[number][1] for place, number in moved.items()},
    )


def matched(overlap: np.ndarray, allowed: np.ndarray, least: float) -> dict[int, int]:
    """Pair boxes with objects, the best overlap first; what is paired is taken out of ``overlap``."""
    pairs: dict[int, int] = {}
    while overlap.size and np.where(allowed, overlap, 0).max() >= least:
        best, number = divmod(int(np.where(allowed, overlap, 0).argmax()), overlap.shape[1])
        pairs[best] = number
        overlap[best, :] = 0
        overlap[:, number] = 0
    return pairs


def correct_on_the_page(here: Visit, classes: Sequence[str], truth: dict[str, list[tuple[str, Box]]]) -> None:
    """Go through all images as a person would: keep, reject, draw what is missing, call the image checked."""
    for number in range(len(truth)):
        row = here.page.evaluate(f"fetch('row/{number}').then(answer => answer.json())")
        here.page.locator(".image-name", has_text=Path(row["image"]).name).wait_for()
        here.page.wait_for_selector(".stage:not(.loading)")
        here.size = (row["width"], row["height"])
        found = [(box["phrase"], tuple(box["bbox"])) for box in row["boxes"]]
        todo = wanted(found, truth[row["image"]])
        for place, (_, box) in enumerate(found):
            here.page.locator(".boxes .box").nth(place).click()
            if place in todo.moved:
                to = todo.moved[place]
                here.drag((box[0], box[1]), (to[0], to[1]))
                here.drag((box[2], box[3]), (to[2], to[3]))
            elif place in todo.renamed:
                here.keys(str(classes.index(todo.renamed[place]) + 1))
            else:
                here.keys("y" if place in todo.right else "n")
        for name, box in todo.missing:
            here.keys("Escape", str(classes.index(name) + 1), "b")
            here.drag((box[0], box[1]), (box[2], box[3]))
        here.keys("Escape", "c")
        here.saved()


def measure(run: Path, truth: Path, *words: str) -> dict[str, Any]:
    """Return the totals of ``autolabel evaluate``."""
    total: dict[str, Any] = json.loads(command("evaluate", run, "--gt", truth, "--json", *words))["total"]
    return total


def check_what_is_handed_out(run: Path, truth: Path) -> None:
    """After corrections nearly all is right, and both exports have exactly what was decided."""
    true = objects_of(truth)
    before, after = measure(run, truth, "--raw"), measure(run, truth)
    assert after["precision"] >= 0.98 > before["precision"] and after["recall"] >= 0.98 > before["recall"]
    command("export", run, "yolo")
    command("export", run, "coco", "--checked")
    coco = objects_of(run / "coco" / "annotations.json")
    assert {name: len(found) for name, found in coco.items()} == {name: len(found) for name, found in true.items()}
    files = {path.stem: path for path in (run / "yolo").rglob("*.txt") if path.stem in {Path(n).stem for n in true}}
    lines = {Path(name).name: len(files[Path(name).stem].read_text().splitlines()) for name in true}
    assert lines == {name: len(found) for name, found in true.items()}
    alone = json.loads(command("evaluate", run, "--json"))
    assert alone["images"] == len(true) and "before any decision" in alone["measured"]


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The quickstart's run."""
    run = tmp_path_factory.mktemp("quickstart") / "run"
    spec = ROOT / "specs" / "quickstart.yaml"
    command("generate", "-e", spec, "--quiet", "devices=cpu", f"results_dir={run}", "visualize=false")
    return run


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_on_the_page(
    quickstart: Path, start_server: Callable[..., Server], visit: Callable[..., Visit], tmp_path: Path
) -> None:
    run = Path(shutil.copytree(quickstart, tmp_path / "run"))
    server = start_server("review", str(run), "--no-browser", "--no-model", "--order", "name")
    here = visit(server.address)
    here.page.set_default_timeout(120_000)
    correct_on_the_page(here, ["red blood cell", "white blood cell", "platelet"], objects_of(TRUTH))
    here.context.close()
    server.stop()
    check_what_is_handed_out(run, TRUTH)


def test_made_photos_on_the_page(run: Path, serve: Callable[..., Server], visit: Callable[..., Visit]) -> None:
    """Six drawings: one box is wrong, one is missing, one is of another class."""
    document = json.loads((run / "coco" / "annotations.json").read_text())
    wrong, lost = document["annotations"][0], document["annotations"][3]
    document["annotations"] = [one for one in document["annotations"] if one is not wrong]
    names = {one["id"]: one["name"] for one in document["categories"]}
    green = next(number for number, name in names.items() if name == "green")
    document["annotations"].append({**lost, "id": 999, "category_id": green, "bbox": [4, 40, 16, 18]})
    truth = run.parent / "truth.json"
    truth.write_text(json.dumps(document))
    server = serve("--order", "name")
    here = visit(server.address)
    correct_on_the_page(here, ["red", "blue", "green"], objects_of(truth))
    here.context.close()
    server.stop()
    check_what_is_handed_out(run, truth)


@pytest.fixture(scope="module")
def label_studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabelStudio]:
    """A server of one's own; skipped where it is not installed."""
    if SERVER is None:
        pytest.skip("needs Label Studio")
    started = LabelStudio(tmp_path_factory.mktemp("label_studio"))
    try:
        started.wait()
        yield started
    finally:
        started.stop()


def corrected_task(task: dict[str, Any], true: Sequence[tuple[str, Box]]) -> list[dict[str, Any]]:
    """Return the regions of a task as a person leaves them: right ones, and new ones for what was missing."""
    regions = [{key: value for key, value in one.items() if key != "score"} for one in task["predictions"][0]["result"]]
    boxes = [one for one in regions if one["type"] == "rectanglelabels"]
    width, height = boxes[0]["original_width"], boxes[0]["original_height"]
    found = []
    for one in boxes:
        value = one["value"]
        x, y = value["x"] * width / 100, value["y"] * height / 100
        corner = (x + value["width"] * width / 100, y + value["height"] * height / 100)
        found.append((value["rectanglelabels"][0], (x, y, *corner)))
    todo = wanted(found, true)
    kept = [boxes[place] for place in todo.right]
    renamed = [(name, found[place][1]) for place, name in todo.renamed.items()]
    moved = [(found[place][0], box) for place, box in todo.moved.items()]
    for number, (name, (x1, y1, x2, y2)) in enumerate([*todo.missing, *renamed, *moved]):
        place = {"x": 100 * x1 / width, "y": 100 * y1 / height, "rotation": 0, "rectanglelabels": [name]}
        value = {**place, "width": 100 * (x2 - x1) / width, "height": 100 * (y2 - y1) / height}
        kept.append({**boxes[0], "id": f"new{number}", "value": value})
    return kept


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_in_label_studio(quickstart: Path, label_studio: LabelStudio, tmp_path: Path) -> None:
    run = Path(shutil.copytree(quickstart, tmp_path / "run"))
    command("export", run, "label_studio", "boxes=true")
    folder, true = run / "label_studio", objects_of(TRUTH)
    config, tasks = (folder / "label_config.xml").read_text(), json.loads((folder / "tasks.json").read_text())
    project = label_studio.json("POST", "/api/projects", {"title": "cells", "label_config": config})["id"]
    label_studio.json("POST", f"/api/projects/{project}/import?return_task_ids=true", tasks)
    listed = label_studio.json("GET", f"/api/tasks?project={project}&fields=all&page_size=100")["tasks"]
    for task in listed:
        name = next(image for image in true if Path(image).stem in task["data"]["image"])
        result = corrected_task(task, true[name])
        label_studio.json("POST", f"/api/tasks/{task['id']}/annotations/", {"result": result})
    file = tmp_path / "export.json"
    file.write_bytes(label_studio.ask("GET", f"/api/projects/{project}/export?exportType=JSON"))
    assert f"Label Studio, {len(true)} images" in command("apply-review", run, file)
    check_what_is_handed_out(run, TRUTH)
