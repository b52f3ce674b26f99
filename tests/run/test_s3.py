"""A run on a real S3-compatible server (moto's, on this machine): killed, resumed, the bytes of a local one."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from autolabel.plan.compile import compile_plan
from autolabel.registry import Registry
from autolabel.run.generate import generate
from autolabel.spec.load import spec_from_mapping
from tests.specs import make_spec

NEEDED = ("moto", "flask", "flask_cors", "s3fs", "boto3")
pytestmark = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in NEEDED), reason=f"needs {', '.join(NEEDED)}"
)
SERVER = """
import sys, time
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
"""
IMAGES = 7
POINTS = (
    "lock.taken",
    "inputs.written",
    "inputs.renamed",
    "plan.written",
    "plan.renamed",
    "row.labelled",
    "shard.written",
    "shard.renamed",
    "ledger.written",
    "ledger.renamed",
    "export.synced",
    "export.swapped",
    "export.renamed",
    "report.synced",
    "report.swapped",
    "report.renamed",
)


@dataclass(frozen=True)
class Bucket:
    """A bucket of the server, with the environment that leads a command to it."""

    client: Any
    environment: dict[str, str]
    name: str = "bucket"

    def put(self, folder: Path, prefix: str) -> None:
        for path in folder.rglob("*"):
            if path.is_file():
                key = f"{prefix}/{path.relative_to(folder)}"
                self.client.put_object(Bucket=self.name, Key=key, Body=path.read_bytes())

    def objects(self, prefix: str) -> dict[str, bytes]:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=f"{prefix}/")
        keys = [one["Key"] for page in pages for one in page.get("Contents", ())]
        return {key[len(prefix) + 1 :]: self.read(key) for key in keys}

    def read(self, key: str) -> bytes:
        return bytes(self.client.get_object(Bucket=self.name, Key=key)["Body"].read())

    def autolabel(self, *words: str, failpoint: str = "") -> subprocess.CompletedProcess[str]:
        environment = {**self.environment, "AUTOLABEL_FAILPOINT": failpoint}
        command = [sys.executable, "-m", "autolabel", *words]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def bucket(example_path: str) -> Iterator[Bucket]:
    import boto3

    server = subprocess.Popen(
        [sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert server.stdin and server.stdout
    try:
        url = f"http://127.0.0.1:{int(server.stdout.readline())}"
        secrets = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1"}
        environment = {**os.environ, **secrets, "AWS_ENDPOINT_URL_S3": url, "PYTHONPATH": example_path}
        client = boto3.client(
            "s3", endpoint_url=url, region_name="us-east-1", aws_access_key_id="key", aws_secret_access_key="secret"
        )
        client.create_bucket(Bucket="bucket")
        yield Bucket(client, environment)
        client.close()
    finally:
        server.stdin.close()
        server.terminate()
        server.wait(10)
        server.stdout.close()


@pytest.fixture(scope="module")
def photos(example_path: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from autolabel_colors import Rectangle, save

    folder = tmp_path_factory.mktemp("data") / "photos"
    for index in range(IMAGES):
        boxes = [Rectangle(index, 3, 20 + index, 20, "red", 0.9)]
        save(folder / "ab"[index % 2] / f"{index} ü+.png", boxes, size=(64, 64 + index // 4))
    (folder / "empty.jpg").write_bytes(b"")
    return folder


def mapping(images: str, out: str, **changes: Any) -> dict[str, Any]:
    return (
        make_spec(
            images,
            out,
            classes=["red", "blue"],
            run={"shard_size": 2, "batch_size": 2, "num_workers": 2, "executor": "inline", "max_failures": 1},
            export=[{"type": "coco"}, {"type": "yolo"}],
            report=True,
        )
        | changes
    )


def kept(found: dict[str, bytes]) -> dict[str, bytes]:
    """Return what does not say where things lie."""
    state = (".lock", "plan.json", ".seal", "outputs.json", "inputs.jsonl")
    return {name: data for name, data in found.items() if name not in state}


@pytest.fixture(scope="module")
def expected(registry: Registry, photos: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Return the files of a local run."""
    out = tmp_path_factory.mktemp("here") / "run"
    loaded = spec_from_mapping(mapping(str(photos), str(out)), root=photos, registry=registry)
    generate(compile_plan(loaded, registry=registry), registry=registry)
    return kept({str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()})


def resumes(
    bucket: Bucket, folder: Path, number: int, failpoint: str, expected: dict[str, bytes], *overrides: str
) -> None:
    """Kill a run at a point; what is there then is whole, and the same command ends with the bytes of a local run."""
    spec = folder / f"{number}.yaml"
    spec.write_text(json.dumps(mapping("s3://bucket/photos", f"s3://bucket/{number}/run")))
    killed = bucket.autolabel("generate", str(spec), "-q", failpoint=failpoint)
    assert killed.returncode == -signal.SIGKILL, (failpoint, killed.stderr)
    assert kept(bucket.objects(f"{number}/run")).items() <= expected.items(), failpoint
    resumed = bucket.autolabel("generate", str(spec), "-q", *overrides)
    assert resumed.returncode == 0, (failpoint, resumed.stderr)
    assert kept(bucket.objects(f"{number}/run")) == expected, failpoint


def test_a_run_that_is_killed_goes_on_to_the_bytes_of_a_local_one(
    bucket: Bucket, photos: Path, tmp_path: Path, expected: dict[str, bytes]
) -> None:
    bucket.put(photos, "photos")
    resumes(bucket, tmp_path, 0, "shard.renamed:kill:2", expected)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_a_run_that_is_killed_anywhere_goes_on(
    bucket: Bucket, photos: Path, tmp_path: Path, expected: dict[str, bytes]
) -> None:
    bucket.put(photos, "photos")
    for number, point in enumerate(POINTS, 1):
        overrides = ("run.executor=processes", "run.workers_per_device=2") if number % 2 else ()
        resumes(bucket, tmp_path, number, f"{point}:kill:1", expected, *overrides)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_every_command_takes_the_url_of_a_run(
    bucket: Bucket, photos: Path, tmp_path: Path, expected: dict[str, bytes]
) -> None:
    bucket.put(photos, "photos")
    run, spec = "s3://bucket/commands/run", tmp_path / "spec.yaml"
    spec.write_text(json.dumps(mapping("s3://bucket/photos", run, report=False)))
    assert bucket.autolabel("validate", str(spec)).returncode == 0
    assert bucket.autolabel("generate", str(spec), "-q").returncode == 0
    truth = tmp_path / "truth.json"
    truth.write_bytes(expected["coco/annotations.json"])
    for words, told in (
        (("status", run, "--json"), '"finished": true'),
        (("export", run, "csv"), f"{run}/csv/labels.csv"),
        (("report", run), f"{run}/report/index.html"),
        (("evaluate", run, "--gt", str(truth)), "red"),
    ):
        done = bucket.autolabel(*words)
        assert (done.returncode, told in done.stdout) == (0, True), (words, done.stdout, done.stderr)
    assert bucket.objects("commands/run")["report/index.html"] == expected["report/index.html"]


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_what_a_store_refuses_is_told(bucket: Bucket, tmp_path: Path) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text(json.dumps(mapping("s3://elsewhere/photos", "s3://bucket/run")))
    failed = bucket.autolabel("generate", str(spec), "-q")
    assert (failed.returncode, "no such folder: s3://elsewhere/photos" in failed.stderr) == (2, True), failed.stderr
