"""A real Label Studio server asks for predictions and sends annotations; skipped where it is not installed."""

from __future__ import annotations

import json
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from autolabel.plan.compile import compile_plan
from autolabel.registry import Registry
from autolabel.results.journal import read_decisions
from autolabel.results.ledger import read_labels
from autolabel.results.store import finished
from autolabel.run.generate import generate
from autolabel.spec.load import load_spec
from autolabel.types import Labels
from tests.review.test_label_studio_server import SERVER, TOKEN, LabelStudio
from tests.serve.processes import Process

pytestmark = [pytest.mark.soak, pytest.mark.skipif(SERVER is None, reason="needs Label Studio")]
ROOT = Path(__file__).resolve().parents[2]
SECRET = "a-token-of-this-test"
CLASSES = ("red blood cell", "white blood cell", "platelet")
LABELS = "".join(f'<Label value="{name}"/>' for name in CLASSES)
CONFIG = (
    '<View><Image name="image" value="$image"/>'
    f'<RectangleLabels name="box" toName="image">{LABELS}</RectangleLabels>'
    f'<BrushLabels name="brush" toName="image">{LABELS}</BrushLabels></View>'
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabelStudio]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("ML_BLOCK_LOCAL_IP", "SSRF_PROTECTION_ENABLED"):
            patch.setenv(name, "false")
        for name in ("ML_CONNECTION_TIMEOUT", "ML_TIMEOUT_HEALTH", "ML_TIMEOUT_SETUP", "ML_TIMEOUT_PREDICT"):
            patch.setenv(name, "200")  # a busy machine is no failure
        patch.setenv("WEBHOOK_TIMEOUT", "200")
        started = LabelStudio(tmp_path_factory.mktemp("label_studio"))
    try:
        started.wait()
        yield started
    finally:
        started.stop()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, registry: Registry) -> Path:
    """A run of the shipped models on three photos."""
    folder = tmp_path_factory.mktemp("run")
    photos = sorted((ROOT / "examples" / "bccd" / "images").iterdir())[:3]
    (folder / "photos").mkdir()
    for photo in photos:
        shutil.copy(photo, folder / "photos")
    words = [f"data.images={folder / 'photos'}", f"results_dir={folder / 'run'}", "devices=cpu", "run.threads=1"]
    words += ["report=false", "visualize=false"]
    spec = load_spec(ROOT / "specs" / "quickstart.yaml", overrides=words, registry=registry)
    generate(compile_plan(spec, registry=registry), registry=registry)
    return folder / "run"


def until(done: Callable[[], Any], *, seconds: int = 300) -> Any:
    for _ in range(seconds):
        if found := done():
            return found
        time.sleep(1)
    raise AssertionError("it never came to that")


def predictions(server: LabelStudio, project: int) -> dict[int, Any]:
    found = server.json("GET", f"/api/predictions?project={project}")
    return {one["task"]: one for one in found}


def ask_for_predictions(server: LabelStudio, project: int, count: int) -> dict[int, Any]:
    path = f"/api/dm/actions?id=retrieve_tasks_predictions&project={project}"
    server.json("POST", path, {"selectedItems": {"all": True, "excluded": []}, "ordering": []})
    return dict(until(lambda: (found := predictions(server, project)) and len(found) == count and found))


def same_boxes(prediction: Any, row: Labels) -> None:
    """Compare stored rectangles, which are in percent, with a run's boxes."""
    height, width = row.image.size
    boxes = [one["value"] for one in prediction["result"] if one["type"] == "rectanglelabels"]
    assert len(boxes) == len(row.instances) > 5
    for value, box, label in zip(boxes, row.instances.boxes.tolist(), row.instances.labels.tolist(), strict=True):
        assert value["rectanglelabels"] == [row.prompt.phrases[label]]
        x, y = value["x"] * width / 100, value["y"] * height / 100
        found = [x, y, x + value["width"] * width / 100, y + value["height"] * height / 100]
        assert found == pytest.approx(box, abs=0.03)
    assert sum(one["type"] == "brushlabels" for one in prediction["result"]) == len(row.instances)


def upload(server: LabelStudio, project: int, photo: Path) -> None:
    body = b'--y\r\ncontent-disposition: form-data; name="file"; filename="' + photo.name.encode() + b'"\r\n'
    body += b"content-type: image/jpeg\r\n\r\n" + photo.read_bytes() + b"\r\n--y--\r\n"
    headers = {"authorization": f"Token {TOKEN}", "content-type": "multipart/form-data; boundary=y"}
    with urlopen(Request(f"{server.url}/api/projects/{project}/import", body, headers), timeout=120) as answer:
        assert answer.status == 201


def image_of(task: Any, rows: dict[str, Labels]) -> Labels:
    return next(row for name, row in rows.items() if task["data"]["image"].endswith(name))


@pytest.mark.timeout(1800)
def test_label_studio_is_served_and_what_is_submitted_arrives(run: Path, server: LabelStudio, tmp_path: Path) -> None:
    rows = {row.image.id: row for row in read_labels(run)}
    names = sorted(rows)
    words = [str(run), "--run", str(run), "--token", SECRET]
    words += ["--timeout", "200"]
    with Process(*words, log=tmp_path / "first.log") as backend:
        project = server.json("POST", "/api/projects", {"title": "cells", "label_config": CONFIG})["id"]
        local = [{"data": {"image": f"/data/local-files/?d=photos/{name}"}} for name in names[:2]]
        server.json("POST", f"/api/projects/{project}/import", local)
        upload(server, project, run.parent / "photos" / names[2])
        basic = {"auth_method": "BASIC_AUTH", "basic_auth_user": "autolabel", "basic_auth_pass": SECRET}
        connected = server.json(
            "POST", "/api/ml", {"project": project, "url": backend.url, "title": "autolabel", **basic}
        )
        assert connected["state"] == "CO", connected
        digest = finished(run)[1].digest
        assert digest[:16] in connected["model_version"]
        tasks = {task["id"]: task for task in server.json("GET", f"/api/tasks?project={project}&fields=all")["tasks"]}
        stored = ask_for_predictions(server, project, 3)
        for task, prediction in stored.items():
            same_boxes(prediction, image_of(tasks[task], rows))
            assert digest[:16] in prediction["model_version"] and prediction["score"] > 0.2
        hook = {"project": project, "url": f"{backend.url}/webhook", "send_payload": True, "send_for_all_actions": True}
        server.json("POST", "/api/webhooks/", {**hook, "headers": {"Authorization": f"Bearer {SECRET}"}})
        task = next(one for one in tasks if names[0] in tasks[one]["data"]["image"])
        result = [one for one in stored[task]["result"] if one["type"] == "rectanglelabels"]
        moved, removed = result[0], result.pop()
        moved["value"]["x"] = max(0.0, moved["value"]["x"] - 1)
        server.json("POST", f"/api/tasks/{task}/annotations/", {"result": result})
        review = until(lambda: read_decisions(finished(run)[0]))
        assert {one.image for one in review.decisions} == {names[0]}
        said = [one.verdict for one in review.decisions if getattr(one, "verdict", None)]
        assert "rejected" in said or removed, review.decisions
        port = backend.port
        backend.end(signal.SIGKILL)
    server.json(
        "POST",
        f"/api/dm/actions?id=delete_tasks_predictions&project={project}",
        {"selectedItems": {"all": True, "excluded": []}, "ordering": []},
    )
    until(lambda: not predictions(server, project))
    with Process(*words, log=tmp_path / "second.log", port=port) as backend:
        again = ask_for_predictions(server, project, 3)
        for task, prediction in again.items():
            same_boxes(prediction, image_of(tasks[task], rows))
        assert json.dumps([one["result"] for _, one in sorted(again.items())])
        assert backend.end() == 0, backend.said()
