"""Label Studio's ML backend protocol: regions in the project's tags, images from known places alone."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

import autolabel
from autolabel.data.corrections.label_studio import unpack_brush
from autolabel.errors import SpecError
from autolabel.plan.compile import compile_plan
from autolabel.predict import Predictor
from autolabel.registry import Registry
from autolabel.results.journal import read_decisions
from autolabel.results.ledger import Ledger, read_labels
from autolabel.results.review import apply_to_row
from autolabel.results.store import finished
from autolabel.run.generate import generate
from autolabel.serve.app import Service, make_app
from autolabel.serve.label_studio import Decisions, LabelStudioServer
from autolabel.serve.label_studio.server import same_machine
from autolabel.serve.label_studio.tags import read_config
from autolabel.serve.limits import RequestLimits
from autolabel.serve.refusal import Refusal
from autolabel.spec.load import load_spec
from tests.serve.conftest import TOKEN

BOXES = (
    '<View><Image name="pic" value="$image"/><RectangleLabels name="box" toName="pic">'
    '<Label value="Red"/><Label value="Azure" predicted_values="blue, sky"/></RectangleLabels></View>'
)
BOTH = (
    '<View><Image name="pic" value="$image"/>'
    '<RectangleLabels name="box" toName="pic"><Label value="red"/><Label value="blue"/></RectangleLabels>'
    '<{0}Labels name="mask" toName="pic"><Label value="red"/></{0}Labels></View>'
)
APART = (
    '<View><Image name="pic" value="$image"/><Labels name="label" toName="pic"><Label value="red" alias="R"/></Labels>'
    '<Rectangle name="box" toName="pic"/></View>'
)


@pytest.fixture
def hazards(hazards_path: str) -> Registry:
    return autolabel.discover()


@pytest.fixture
def masked(hazards: Registry, spec: dict[str, Any]) -> Iterator[Predictor]:
    stages = [*spec["stages"], {"labeler": {"type": "filled"}}]
    with autolabel.open({**spec, "stages": stages}, registry=hazards) as opened:
        yield opened


def asking(service: Service, peer: str = "127.0.0.1") -> TestClient:
    headers = {"authorization": f"Bearer {TOKEN}"}
    app = make_app(service, token=TOKEN, hosts=None)
    return TestClient(app, headers=headers, client=(peer, 40000), raise_server_exceptions=False)


def predict(client: TestClient, *images: Any, config: Any = BOXES, **more: Any) -> Any:
    tasks = [{"id": number, "data": {"image": image}} for number, image in enumerate(images)]
    params = {"login": None, "password": None, "context": None}
    return client.post(
        "/predict", json={"tasks": tasks, "project": "1.2", "label_config": config, "params": params, **more}
    )


def local(name: str) -> str:
    return f"/data/local-files/?d=photos/{name}"


def test_boxes_come_in_the_tags_of_the_project(client: TestClient, predictor: Predictor, photos: Path) -> None:
    said = predict(client, local("0.png"), local("5.png")).json()
    first, second = said["results"]
    version = said["model_version"]
    assert predictor.plan.digest[:16] in version and first["model_version"] == version
    assert second == {"result": [], "score": 0.0, "model_version": version}
    assert first["score"] == pytest.approx(0.8)
    red, blue = first["result"]
    size = {"original_width": 64, "original_height": 64, "image_rotation": 0}
    assert red == {
        "id": "1", "score": 0.9, "to_name": "pic", **size, "from_name": "box", "type": "rectanglelabels",
        "value": {"x": 3.125, "y": 4.6875, "width": 28.125, "height": 26.5625, "rotation": 0,
                  "rectanglelabels": ["Red"]},
    }  # fmt: skip
    assert blue["value"]["rectanglelabels"] == ["Azure"]


def test_masks_are_brushes_or_polygons_where_the_project_has_them(masked: Predictor, photos: Path) -> None:
    client = asking(Service(masked, RequestLimits()))
    row = masked.predict(photos / "0.png")
    for tag in ("Brush", "Polygon"):
        result = predict(client, local("0.png"), config=BOTH.format(tag)).json()["results"][0]["result"]
        assert [(one["id"], one["type"]) for one in result] == [
            ("1", "rectanglelabels"), ("1-1", f"{tag.lower()}labels"), ("2", "rectanglelabels"),
        ]  # fmt: skip
        value = result[1]["value"]
        if tag == "Brush":
            mask = (row.instances.masks or ())[0]
            assert mask is not None and np.array_equal(unpack_brush(value["rle"], (64, 64)).decode(), mask.decode())
        else:
            assert sorted(map(tuple, value["points"])) == sorted(
                (100 * x / 64, 100 * y / 64) for x in (2, 20) for y in (3, 20)
            )


def test_labels_apart_from_shapes_and_aliases(client: TestClient) -> None:
    result = predict(client, local("0.png"), config=APART).json()["results"][0]["result"]
    assert [(one["id"], one["from_name"], one["type"]) for one in result] == [
        ("1", "box", "rectangle"), ("1", "label", "labels"),
    ]  # fmt: skip
    assert result[1]["value"]["labels"] == ["R"] and "labels" not in result[0]["value"]


def test_labels_that_the_spec_does_not_know_are_asked_by_their_names(client: TestClient) -> None:
    config = BOXES.replace("Red", "green thing").replace("Azure", "red thing").replace("blue, sky", "")
    [one] = predict(client, local("0.png"), config=config).json()["results"][0]["result"]
    assert one["value"]["rectanglelabels"] == ["red thing"]


@pytest.mark.parametrize(
    "config",
    [None, 7, "", "<View>", "<View/>", "<!DOCTYPE x><View/>", "<View><Image name='a' value='$image'/></View>",
     '<View><Text name="t" value="$text"/><Labels name="l" toName="t"><Label value="red"/></Labels></View>',
     BOXES.replace("$image", "image"),
     "<View>" * 100_000, "x" * 2_000_000],
)  # fmt: skip
def test_configs_in_which_nothing_can_be_drawn_are_told(config: Any) -> None:
    with pytest.raises(Refusal, match="label_config"):
        read_config(config)


def test_setup_health_and_versions(client: TestClient, predictor: Predictor) -> None:
    body = {
        "project": "1.2",
        "schema": BOXES,
        "hostname": "http://localhost:8080",
        "access_token": "x",
        "extra_params": None,
    }
    version = client.post("/setup", json=body).json()["model_version"]
    assert predictor.plan.digest[:16] in version
    assert client.get("/health").json()["status"] == "UP"
    assert client.get("/versions").json() == {"versions": [version]}
    assert client.post("/setup", json={**body, "schema": "<View/>"}).status_code == 422
    assert client.post("/setup", json=[1]).status_code == 400


def outside(photos: Path) -> list[str]:
    secret = photos.parent / "secret.png"
    secret.write_bytes((photos / "0.png").read_bytes())
    (photos / "link.png").symlink_to(secret)
    (photos.parent / "photos-beside").mkdir()
    (photos.parent / "photos-beside" / "a.png").write_bytes(secret.read_bytes())
    names = [
        "../secret.png",
        "secret.png",
        str(secret),
        "photos/../secret.png",
        "photos/link.png",
        "photos",
        "photos/..",
    ]
    names += [
        "photos-beside/a.png",
        "photos/%00",
        "photos\\0.png",
        "",
        "~/x",
        "photos/none.png",
        "/etc/passwd",
        "C:\\x",
    ]
    return [f"/data/local-files/?d={name}" for name in names] + [
        str(photos / "0.png"), f"file://{photos}/0.png", "photos/0.png", "/etc/passwd", "../0.png",
        "http://127.0.0.1:1/0.png", "http://169.254.169.254/latest/meta-data/", "https://example.org/a.png",
        "http://localhost:9090/data/upload/a.png", "//example.org/data/upload/a.png", "http://[::1]/data/a.png",
        "ftp://example.org/a.png", "s3://bucket/a.png", "gopher://x/data/y", "data:image/png,abc", "data:;base64,!",
        "/data/local-files/?d=photos/0.png&d=photos/1.png", "http://[", "/data/../etc/passwd", "\0", "x" * 50_000,
    ]  # fmt: skip


def test_no_path_outside_and_no_address_is_read(
    client: TestClient, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import socket

    def connected(*arguments: Any, **options: Any) -> Any:
        raise AssertionError("something was connected to")

    monkeypatch.setattr(socket, "create_connection", connected)
    for image in [*outside(photos), None, 7, [], {}]:
        answer = predict(client, image)
        assert answer.status_code in (400, 422), image
        assert answer.json()["error"]
    assert predict(client, local("0.png")).status_code == 200


def test_a_task_without_an_image_costs_no_other(client: TestClient, photos: Path) -> None:
    (photos / "broken.png").write_bytes(b"no image")
    answer = predict(client, local("none.png"), local("0.png"), local("broken.png"), 7)
    kinds = [len(one["result"]) if isinstance(one, dict) else one for one in answer.json()["results"]]
    assert answer.status_code == 200 and kinds == [[], 2, [], []], "no prediction, rather than an empty one"


def test_data_uris_and_further_folders(predictor: Predictor, photos: Path, tmp_path: Path) -> None:
    image = (photos / "1.png").read_bytes()
    (tmp_path / "uploads").mkdir()
    (tmp_path / "uploads" / "u.png").write_bytes(image)
    client = asking(Service(predictor, RequestLimits(), folders=[str(tmp_path / "uploads")]))
    said = f"data:image/png;base64,{base64.b64encode(image).decode()}"
    found = [
        predict(client, one).json()["results"][0]["result"]
        for one in (said, "/data/local-files/?d=uploads/u.png", local("1.png"))
    ]
    assert found[0] == found[1] == found[2] and len(found[0]) == 2


@pytest.mark.parametrize("tasks", [None, [], {}, [1], "x", [[]], [{}] * 9])
def test_tasks_that_are_none_are_refused(client: TestClient, tasks: Any) -> None:
    answer = predict(client, tasks=tasks)
    assert answer.status_code == (413 if isinstance(tasks, list) and len(tasks) == 9 else 400)


class Studio(ThreadingHTTPServer):
    """Stands for a Label Studio server that has one upload."""

    def __init__(self, image: bytes) -> None:
        self.asked: list[tuple[str, str]] = []
        studio = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                studio.asked.append((self.path, self.headers["authorization"]))
                status = 302 if "moved" in self.path else 200 if "upload" in self.path else 404
                self.send_response(status)
                self.send_header("location", "/data/upload/1/a.png")
                self.end_headers()
                self.wfile.write(image if "large" not in self.path else b"x" * 200_000)

            def do_POST(self) -> None:
                length = int(self.headers["content-length"])
                studio.asked.append((self.path, self.rfile.read(length).decode()))
                self.send_response(200)
                self.end_headers()
                self.wfile.write(json.dumps({"access": "short-lived"}).encode())

            def log_message(self, *arguments: Any) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"


@pytest.fixture
def studio(photos: Path) -> Iterator[Studio]:
    server = Studio((photos / "0.png").read_bytes())
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def introduce(client: TestClient, hostname: Any) -> None:
    body = {"project": "1.2", "schema": BOXES, "hostname": hostname, "access_token": "its-token", "extra_params": None}
    assert client.post("/setup", json=body).status_code == 200


def test_uploads_are_fetched_from_the_server_that_has_introduced_itself(
    predictor: Predictor, limits: RequestLimits, studio: Studio
) -> None:
    client = asking(Service(predictor, limits))
    assert "is not known" in predict(client, "/data/upload/1/a.png").json()["error"]
    introduce(client, studio.url)
    for address in (
        "/data/upload/1/a.png",
        f"{studio.url}/data/upload/1/a.png",
        f"{studio.url}/data/upload/1/a.png?x=1",
    ):
        assert len(predict(client, address).json()["results"][0]["result"]) == 2
    assert studio.asked[-1] == ("/data/upload/1/a.png?x=1", "Token its-token")
    count = len(studio.asked)
    for address in (
        "/api/users",
        f"{studio.url}/api/users",
        f"{studio.url}x/data/a.png",
        f"http://u:p@127.0.0.1:{studio.server_port}/data/upload/a",
    ):
        assert predict(client, address).status_code == 422
    assert len(studio.asked) == count, "nothing else of it is asked"
    for address in ("/data/none.png", "/data/moved.png", "/data/upload/large.png"):
        assert predict(client, address).status_code == 422
    assert [path for path, _ in studio.asked[count:]] == ["/data/none.png", "/data/moved.png", "/data/upload/large.png"]


def test_nobody_introduces_another_machine(predictor: Predictor, limits: RequestLimits, studio: Studio) -> None:
    client = asking(Service(predictor, limits), peer="198.51.100.7")
    for hostname in (studio.url, "http://169.254.169.254", "http://localhost", "file:///etc", 7, None, "http://[", "x"):
        introduce(client, hostname)
        assert "is not known" in predict(client, "/data/upload/1/a.png").json()["error"]
    assert not studio.asked


def test_a_server_that_was_named_stays_the_one(predictor: Predictor, limits: RequestLimits, studio: Studio) -> None:
    client = asking(
        Service(predictor, limits, server=LabelStudioServer(studio.url, "a.refresh.token")), peer="198.51.100.7"
    )
    introduce(client, "http://198.51.100.7:80")
    assert len(predict(client, "/data/upload/1/a.png").json()["results"][0]["result"]) == 2
    assert studio.asked == [
        ("/api/token/refresh", '{"refresh":"a.refresh.token"}'),
        ("/data/upload/1/a.png", "Bearer short-lived"),
    ]
    for url in ("localhost:8080", "ftp://x", "http://u:p@x", "http://\u24d4xample.org"):
        with pytest.raises(SpecError, match="not the address of a server"):
            LabelStudioServer(url)


def test_machines_are_told_apart_by_their_addresses() -> None:
    assert same_machine("127.0.0.1", "::1") and same_machine("::ffff:10.0.0.1", "10.0.0.1")
    assert not same_machine("10.0.0.1", "127.0.0.1") and not same_machine("10.0.0.1", "testclient")


@pytest.fixture
def run(registry: Registry, spec: dict[str, Any]) -> Path:
    compiled = compile_plan(load_spec({**spec, "export": [{"type": "coco"}]}, registry=registry), registry=registry)
    generate(compiled, registry=registry)
    return Path(spec["results_dir"])


def submitted(name: str, result: Any, **more: Any) -> dict[str, Any]:
    annotation = {"id": 3, "task": 8, "result": result, "was_cancelled": False, **more}
    task = {"id": 8, "data": {"image": local(name)}}
    return {"action": "ANNOTATION_CREATED", "annotation": annotation, "task": task, "project": {"label_config": BOXES}}


def handed_out(run: Path, image: str) -> list[tuple[str, list[float]]]:
    store, plan = finished(run)
    review = read_decisions(store)
    [row] = [row for row in Ledger(store.labels) if row.image.id == image]
    row = row if review is None else apply_to_row(row, review, classes=plan.manifest.classes)
    names = [row.prompt.phrases[label] for label in row.instances.labels]
    return sorted(zip(names, row.instances.boxes.round(2).tolist(), strict=True))


def test_submitted_annotations_become_decisions_of_the_run(
    registry: Registry, run: Path, photos: Path, limits: RequestLimits
) -> None:
    decisions = Decisions(run, registry=registry)
    coco = (run / "coco" / "annotations.json").read_bytes()
    with autolabel.open(run, registry=registry) as predictor:
        client = asking(Service(predictor, limits, decisions=decisions))
        result = predict(client, local("0.png")).json()["results"][0]["result"]
        result[0]["value"] |= {"x": 50.0}
        assert client.post("/webhook", json=submitted("0.png", result)).json()["taken"] > 0
        assert client.post("/webhook", json=submitted("0.png", result)).json()["taken"] == 0, "twice is once"
        told = client.post("/webhook", json=submitted("nowhere.png", result)).json()
        assert told["taken"] == 0 and "is not an image of this run" in told["problems"][0]
    assert handed_out(run, "0.png") == [("blue", [30, 30, 50, 60]), ("red", [32, 3, 50, 20])]
    assert (run / "coco" / "annotations.json").read_bytes() == coco
    assert decisions.close() > 0
    assert (run / "coco" / "annotations.json").read_bytes() != coco, "what the run has handed out follows"
    assert [len(row.instances) for row in read_labels(run)][:1] == [2], "the ledger stays what the models said"


@pytest.mark.parametrize(
    "change",
    [
        {"action": "ANNOTATIONS_DELETED"},
        {"action": "START_TRAINING"},
        {"action": None},
        {"annotation": None},
        {"annotation": 7},
    ],
)
def test_other_news_change_nothing(registry: Registry, run: Path, predictor: Predictor, change: dict[str, Any]) -> None:
    client = asking(Service(predictor, RequestLimits(), decisions=Decisions(run, registry=registry)))
    answer = client.post("/webhook", json=submitted("0.png", []) | change)
    assert answer.status_code == 200 and answer.json()["taken"] == 0
    assert read_decisions(finished(run)[0]) is None


def test_annotations_that_are_none_are_told(registry: Registry, run: Path, predictor: Predictor) -> None:
    client = asking(Service(predictor, RequestLimits(), decisions=Decisions(run, registry=registry)))
    assert client.post("/webhook", json=submitted("0.png", []) | {"task": None}).status_code == 422
    cancelled = submitted("0.png", [], was_cancelled=True)
    assert client.post("/webhook", json=cancelled).json()["taken"] == 0
    for result in ([7], [{"value": 3}], [{"value": {"x": "a"}}], "x", {"a": 1}):
        answer = client.post("/webhook", json=submitted("0.png", result))
        assert answer.status_code in (200, 422)
    assert read_decisions(finished(run)[0]) is None, "what cannot be read removes nothing"


def test_without_a_run_annotations_are_left_alone(client: TestClient) -> None:
    assert client.post("/webhook", json=submitted("0.png", [])).json() == {"taken": 0, "problems": []}
