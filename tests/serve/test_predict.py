"""Images that are sent come back as the rows of a run."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from autolabel.plan import plan_file
from autolabel.plan.compile import compile_plan
from autolabel.predict import Predictor
from autolabel.registry import Registry
from autolabel.run.generate import generate
from autolabel.spec.load import load_spec


@pytest.fixture
def wanted(registry: Registry, spec: dict[str, Any], predictor: Predictor) -> dict[str, Any]:
    """The rows of a run, by image, with the digest of what is served."""
    compiled = compile_plan(load_spec(spec, registry=registry), registry=registry)
    generate(compiled, registry=registry)
    rows = map(json.loads, (Path(spec["results_dir"]) / "labels.jsonl").read_text().splitlines())
    return {row["image"]: row | {"plan": predictor.plan.digest} for row in rows}


def test_the_bytes_of_an_image_come_back_as_its_row(client: TestClient, photos: Path, wanted: dict[str, Any]) -> None:
    for kind in ("image/png", "application/octet-stream"):
        content = (photos / "3.png").read_bytes()
        answer = client.post("/predict?name=3.png", content=content, headers={"content-type": kind})
        assert answer.status_code == 200 and answer.headers["content-type"] == "application/json"
        assert answer.json() == wanted["3.png"]


def test_several_images_come_back_in_their_order(client: TestClient, photos: Path, wanted: dict[str, Any]) -> None:
    names = ["5.png", "0.png", "3.png"]
    files = [("images", (name, (photos / name).read_bytes(), "image/png")) for name in names]
    assert client.post("/predict", files=files).json() == [wanted[name] for name in names]
    packed = [base64.b64encode((photos / name).read_bytes()).decode() for name in names]
    packed[0] = f"data:image/png;base64,{packed[0]}"
    assert client.post("/predict", json={"images": packed, "names": names}).json() == [wanted[name] for name in names]


def test_classes_of_a_request(client: TestClient, photos: Path) -> None:
    content, kind = (photos / "0.png").read_bytes(), {"content-type": "image/png"}
    row = client.post("/predict?classes=blue&classes=green", content=content, headers=kind).json()
    assert row["phrases"] == ["blue", "green"] and [one["phrase"] for one in row["instances"]] == ["blue"]
    files = {"image": ("0.png", content)}
    assert client.post("/predict", files=files, data={"classes": ["red"]}).json()[0]["phrases"] == ["red"]
    told = client.post("/predict?classes=red&classes=red", content=content, headers=kind)
    assert told.status_code == 422 and "classes[1]: is the same as entry 0" in told.json()["error"]


def test_an_image_that_cannot_be_read_is_a_failed_row(client: TestClient) -> None:
    answer = client.post("/predict?name=a.jpg", content=b"no image", headers={"content-type": "image/jpeg"})
    row = answer.json()
    assert answer.status_code == 200 and (row["image"], row["state"]) == ("a.jpg", "failed")
    assert row["reason"]["code"] == "unsupported_format"


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, b"", "image/png"),
        (400, b"", "application/json"),
        (400, b"[]", "application/json"),
        (400, b"{", "application/json"),
        (400, b"[" * 50_000, "application/json"),
        (400, b'{"images": 3}', "application/json"),
        (400, b'{"images": []}', "application/json"),
        (400, b'{"images": ["!"]}', "application/json"),
        (400, b'{"images": ["data:image/png,x"]}', "application/json"),
        (400, b'{"images": ["aGk="], "names": []}', "application/json"),
        (400, b'{"images": ["aGk="], "path": "/etc/passwd"}', "application/json"),
        (422, b'{"images": ["aGk="], "classes": "red"}', "application/json"),
        (422, b'{"images": ["aGk="], "classes": [1]}', "application/json"),
        (413, b'{"images": ["aGk=", "aGk=", "aGk=", "aGk=", "aGk="]}', "application/json"),
        (413, b"x" * 100_001, "image/png"),
        (415, b"x", "text/plain"),
        (400, b"x", "multipart/form-data"),
        (400, b"x", "multipart/form-data; boundary=y"),
        (
            400,
            b"--y\r\ncontent-disposition: form-data; name=a\r\n\r\nb\r\n--y--\r\n",
            "multipart/form-data; boundary=y",
        ),
    ],
)
def test_what_is_wrong_with_a_request_is_told(client: TestClient, status: int, body: bytes, kind: str) -> None:
    answer = client.post("/predict", content=body, headers={"content-type": kind})
    assert (answer.status_code, set(answer.json())) == (status, {"error", "hint"})
    assert answer.json()["error"]


def test_a_form_of_too_many_files_or_bytes_is_refused(client: TestClient) -> None:
    assert client.post("/predict", files=[("a", ("b", b"c"))] * 5).status_code == 413
    assert client.post("/predict", files=[("a", ("b", b"c" * 100_000))]).status_code == 413

    def stream() -> Any:
        yield b"--y\r\ncontent-disposition: form-data; name=a; filename=b\r\n\r\n"
        for _ in range(30):
            yield b"x" * 5000

    headers = {"content-type": "multipart/form-data; boundary=y"}
    assert client.post("/predict", content=stream(), headers=headers).status_code == 413


def test_names_are_one_line_of_text(client: TestClient, photos: Path) -> None:
    content = (photos / "0.png").read_bytes()
    files = [("a", (name, content)) for name in ("a\nb.png", "../../etc/passwd", "x" * 2000)]
    names = [row["image"] for row in client.post("/predict", files=files).json()]
    assert "\n" not in names[0] and names[1].endswith("passwd") and len(names[2]) == 1000


def test_plan_and_health_are_told(client: TestClient, predictor: Predictor) -> None:
    assert plan_file.decode_plan(client.get("/plan").content, file="plan").digest == predictor.plan.digest
    told = client.get("/health").json()
    assert told["status"] == "UP" and predictor.plan.digest[:16] in told["model_version"]
    assert client.get("/nothing").status_code == 404
    assert client.get("/predict").status_code == 405


def test_metrics_are_those_of_prometheus(client: TestClient, photos: Path) -> None:
    parser = pytest.importorskip("prometheus_client.parser")
    for name in ("0.png", "5.png"):
        client.post("/predict", content=(photos / name).read_bytes(), headers={"content-type": "image/png"})
    client.post("/predict", content=b"x", headers={"content-type": "text/plain"})
    client.get("/no\"such'path")
    answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    found = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in parser.text_string_to_metric_families(answer.text)
        for sample in family.samples
    }
    assert found["autolabel_requests_total", ("path", "/predict"), ("status", "200")] == 2
    assert found["autolabel_requests_total", ("path", "/predict"), ("status", "415")] == 1
    assert found["autolabel_requests_total", ("path", "other"), ("status", "404")] == 1
    assert found["autolabel_images_total", ("state", "labelled")] == 1
    assert found["autolabel_images_total", ("state", "empty")] == 1
    assert found[("autolabel_boxes_total",)] == 2
    assert found[("autolabel_image_seconds_count",)] == 2
    assert found["autolabel_image_seconds_bucket", ("le", "+Inf")] == 2
