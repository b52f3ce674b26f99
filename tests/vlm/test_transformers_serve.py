"""`transformers serve` asked by the labeler, the verifier and the doctor: it ignores what it does not know."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from autolabel.registry import Registry
from tests.vlm.commands import doctor, run
from tests.vlm.llava_model import write_llava
from tests.vlm.test_labeler import photos

pytest.importorskip("httpx")
PYTHON = os.environ.get("TRANSFORMERS_SERVE", "")
pytestmark = [
    pytest.mark.soak,
    pytest.mark.skipif(not PYTHON, reason="TRANSFORMERS_SERVE names no Python with transformers[serving]"),
    pytest.mark.filterwarnings("ignore"),
]
FOUND = '[{"bbox_2d": [250, 500, 500, 1000], "label": "cat", "score": 0.75}]'
_RUNNING = re.compile(r"running on (http://[\d.]+:\d+)")


@contextmanager
def serving(folder: Path, after: Mapping[str, str]) -> Iterator[str]:
    """Serve a model while the block lasts; yields the labeler's address and model, as a spec writes them."""
    model = folder / "model"
    write_llava(model, [*after.values()], after)
    words = [PYTHON, "-m", "transformers.cli.transformers", "serve", str(model), "--port", "0", "--device", "cpu"]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        [*words, "--host", "127.0.0.1"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as running:
        try:
            assert running.stdout is not None
            found = next((match for line in running.stdout if (match := _RUNNING.search(line))), None)
            assert found is not None, "the server does not start"
            yield f"endpoint: '{found[1]}/v1', model: '{model}', retries: 0"
        finally:
            running.kill()


def write_spec(root: Path, stages: str) -> Path:
    """Write a spec for two photos."""
    photos(root, 2)
    path = root / "spec.yaml"
    path.write_text(
        f"version: 1\ndata: {{images: [./images], classes: [cat, dog]}}\nstages: [{stages}]\ndevices: cpu\nexport: []\n"
        "results_dir: out\n"
    )
    return path


def test_boxes_with_the_scores_that_the_model_writes(tmp_path: Path, registry: Registry) -> None:
    with serving(tmp_path, {"\n": FOUND}) as server:
        path = write_spec(tmp_path, f"{{labeler: {{type: vlm, {server}, coordinates: unit_1000}}}}")
        rows = run(path, registry)
        told = doctor(path)
    for row in rows:
        assert [(one["phrase"], one["bbox"], one["score"]) for one in row["instances"]] == [
            ("cat", [15.0, 20.0, 30.0, 40.0], 0.75)
        ]
        assert row["notes"] == ["vlm: scores are what the model says of itself"]
    assert "6 of 6 can be read: 6 JSON of the form asked for" in told
    assert "no token probabilities come; scores are what the model says of itself" in told


def test_verdicts_without_probabilities_are_yes_or_no(tmp_path: Path, registry: Registry) -> None:
    with serving(tmp_path, {"\n": "yes"}) as server:
        (tmp_path / "labels").mkdir()
        (tmp_path / "labels" / "0.txt").write_text("cat 0 0 0 15 20 30 40 0 0 0 0 0 0 0\n")
        path = write_spec(tmp_path, f"{{labeler: {{type: verify, {server}}}}}")
        path.write_text(path.read_text().replace("classes: [cat, dog]", "boxes: ./labels"))
        [row] = run(path, registry)
    assert [one["verdict"] for one in row["instances"]] == [1.0]
