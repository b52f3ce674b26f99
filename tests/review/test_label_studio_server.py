"""Corrections made in a real Label Studio server come home; skipped where the server is not installed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

import pytest

from autolabel.registry import discover
from autolabel.run.export import export_run
from tests.review.test_other_tools import ADDED, BLUE, DRAWN, MOVED, RED, brush, objects, take

SERVER = os.environ.get("AUTOLABEL_LABEL_STUDIO") or shutil.which("label-studio")
pytestmark = [pytest.mark.soak, pytest.mark.skipif(SERVER is None, reason="needs Label Studio")]
TOKEN = "0123456789abcdef0123456789abcdef01234567"
STARTS_WITHIN = 400


class LabelStudio:
    """A server of one's own, with its database in a folder."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        user = ["--username", "a@example.org", "--password", "pass-word-1", "--user-token", TOKEN]
        place = ["--data-dir", str(folder / "data"), "--port", str(port), "--internal-host", "127.0.0.1"]
        environment = {**os.environ, "COLLECT_ANALYTICS": "False", "HOME": str(folder), "DEBUG": "False"}
        self.log = (folder / "log.txt").open("w")
        self.process = subprocess.Popen(
            [str(SERVER), "start", "--no-browser", *user, *place, "--enable-legacy-api-token"],
            env=environment,
            stdout=self.log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def wait(self) -> None:
        for _ in range(STARTS_WITHIN):
            assert self.process.poll() is None, "the server has ended"
            try:
                self.ask("GET", "/health")
                return
            except (URLError, OSError):
                time.sleep(1)
        raise AssertionError("the server does not start")

    def ask(self, method: str, path: str, body: Any = None) -> bytes:
        headers = {"authorization": f"Token {TOKEN}", "content-type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        with urlopen(Request(self.url + path, data, headers, method=method), timeout=120) as answer:
            return bytes(answer.read())

    def json(self, method: str, path: str, body: Any = None) -> Any:
        return json.loads(self.ask(method, path, body))

    def stop(self) -> None:
        os.killpg(self.process.pid, signal.SIGTERM)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.log.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabelStudio]:
    started = LabelStudio(tmp_path_factory.mktemp("label_studio"))
    try:
        started.wait()
        yield started
    finally:
        started.stop()


@pytest.mark.timeout(900)
def test_corrections_made_in_label_studio_come_home(masked_run: Path, server: LabelStudio, tmp_path: Path) -> None:
    export_run(masked_run, "label_studio", ["boxes=true"], registry=discover())
    folder = masked_run / "label_studio"
    config, tasks = (folder / "label_config.xml").read_text(), json.loads((folder / "tasks.json").read_text())
    project = server.json("POST", "/api/projects", {"title": "cells", "label_config": config})["id"]
    server.json("POST", f"/api/projects/{project}/import?return_task_ids=true", tasks)
    listed = server.json("GET", f"/api/tasks?project={project}&fields=all&page_size=100")["tasks"]
    assert len(listed) == len(tasks)
    for task in listed:
        edited = edit(task["data"]["image"], task["predictions"][0]["result"])
        server.json("POST", f"/api/tasks/{task['id']}/annotations/", {"result": edited})
    file = tmp_path / "export.json"
    file.write_bytes(server.ask("GET", f"/api/projects/{project}/export?exportType=JSON"))
    done = take(masked_run, file)
    wanted = {"kept": 4, "moved": 1, "added": 1, "removed": 1, "reclassified": 1, "masks changed": 2}
    assert done.tool == "Label Studio" and done.images == 4 and dict(done.counts) == wanted
    moved = tuple(int(value) for value in MOVED)
    red, blue = (2, 3, 22, 23), (30, 30, 50, 60)
    assert objects(masked_run, "a b.png") == [("blue", BLUE, blue), ("green", ADDED, None), ("red", MOVED, moved)]
    assert objects(masked_run, "ü/c.png") == [("green", RED, red)]
    assert sorted(objects(masked_run, "d.png"))[0] == ("blue", BLUE, DRAWN)
    for kind, images in (("COCO", 4), ("JSON_MIN", 4)):
        again = tmp_path / f"{kind}.file"
        again.write_bytes(server.ask("GET", f"/api/projects/{project}/export?exportType={kind}"))
        told = take(
            masked_run, again, dry_run=True, tool="label_studio" if kind == "JSON_MIN" else "coco", partial=True
        )
        assert told.images == images and told.unknown_images == () and told.unknown_classes == ()


def edit(image: str, result: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Do in a task what a person would: move, add, remove, reclassify, draw a mask anew."""
    regions = [{key: value for key, value in one.items() if key != "score"} for one in result]
    of = lambda one: next(one["value"][key] for key in one["value"] if key.endswith("labels"))[0]  # noqa: E731
    if "a%20b" in image:
        for one in regions:
            if of(one) == "red" and "x" in one["value"]:
                one["value"] |= {"x": 100 * 6 / 64}
            elif of(one) == "red":
                one["value"]["rle"] = brush(filled(6, 3, 26, 23))
        box = {"x": 0, "y": 62.5, "width": 15.625, "height": 15.625, "rotation": 0, "rectanglelabels": ["green"]}
        size = {"original_width": 64, "original_height": 64, "image_rotation": 0}
        regions.append(
            {"id": "x8Kd", "from_name": "box", "to_name": "image", "type": "rectanglelabels", "value": box, **size}
        )
    if "c.png" in image:
        regions = [one for one in regions if of(one) != "blue"]
        for one in regions:
            one["value"][next(key for key in one["value"] if key.endswith("labels"))] = ["green"]
    if "d.png" in image:
        for one in regions:
            if of(one) == "blue" and "rle" in one["value"]:
                one["value"]["rle"] = brush(filled(*DRAWN))
    return regions


def filled(left: int, top: int, right: int, bottom: int) -> Any:
    import numpy as np

    mask = np.zeros((64, 64), bool)
    mask[top:bottom, left:right] = True
    return mask
