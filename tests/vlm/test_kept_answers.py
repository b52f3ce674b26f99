"""`autolabel plan` after a run that was stopped: what is still to ask, without asking; `phrases` asks nothing twice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from autolabel import compile_plan, load_spec
from autolabel.cli.printed_plan import print_plan
from autolabel.errors import EndpointError
from autolabel.phrases.compare import PhrasesToCompare, compare_phrases
from autolabel.plan.model import Asked, Plan
from autolabel.registry import Registry
from autolabel.run.kept_answers import with_unanswered
from autolabel.testing.endpoint import Scripted, ScriptedEndpoint
from tests.vlm.test_labeler import GOOD, photos, rows, says, spec
from tests.vlm.test_refer import ONE, TWO
from tests.vlm.test_refer import spec as referring

pytest.importorskip("httpx")
NOTHING = Asked(requests=0, images=0, tokens=0)


def planned(path: Path, registry: Registry) -> Plan:
    """Return the plan that `autolabel plan` prints."""
    compiled = compile_plan(load_spec(path, registry=registry), registry=registry)
    return with_unanswered(compiled.plan, compiled, registry=registry)


def test_plan_counts_what_is_left(tmp_path: Path, registry: Registry, capsys: pytest.CaptureFixture[str]) -> None:
    photos(tmp_path, 6)
    with ScriptedEndpoint(says(GOOD)) as server:
        path = spec(tmp_path, server.url, more="run: {budget: {requests: 4}, batch_size: 1}")
        assert planned(path, registry).unanswered is None, "nothing is kept yet"
        with pytest.raises(EndpointError, match="4 of 4 are spent"):
            rows(path, registry)
        plan = planned(path, registry)
        [whole] = plan.manifest.requests
        assert whole is not None and plan.unanswered is not None
        assert (plan.unanswered.requests, plan.unanswered.images, whole.requests) == (2, 2, 6)
        assert plan.unanswered.tokens == whole.tokens // 3
        print_plan(plan)
        assert "left to ask at most 2, about" in " ".join(capsys.readouterr().out.split())
        assert len(server.requests) == 4, "a plan asks nothing"
        path.write_text(path.read_text().replace("requests: 4", "requests: 6"))
        rows(path, registry)
        assert planned(path, registry).unanswered == NOTHING
        path.write_text(path.read_text().replace("classes: [cat, dog]", "classes: [cat, horse]"))
        changed = planned(path, registry)
        assert changed.unanswered == changed.manifest.requests[0]
        assert len(server.requests) == 6


def test_plan_of_expressions_counts_what_is_left(tmp_path: Path, registry: Registry) -> None:
    with ScriptedEndpoint(lambda request, before: Scripted(text=json.dumps([ONE, TWO]))) as server:
        path = referring(tmp_path, server.url)
        rows(path, registry)
        assert planned(path, registry).unanswered == NOTHING
        assert len(server.requests) == 1


def test_plan_needs_no_key(tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    photos(tmp_path, 1)
    monkeypatch.setenv("MY_VLM_KEY", "sk-1")
    with ScriptedEndpoint(says(GOOD)) as server:
        path = spec(tmp_path, server.url, api_key_env="MY_VLM_KEY")
        rows(path, registry)
        monkeypatch.delenv("MY_VLM_KEY")
        assert planned(path, registry).unanswered == NOTHING


def test_phrases_are_compared_by_answers_that_are_kept(tmp_path: Path, registry: Registry) -> None:
    photos(tmp_path, 2)
    images: list[dict[str, Any]] = [
        {"id": index, "file_name": f"{index}.png", "width": 60, "height": 40} for index in range(2)
    ]
    boxes = [{"id": index + 1, "image_id": index, "category_id": 1, "bbox": [15, 20, 15, 20]} for index in range(2)]
    truth = {"images": images, "annotations": boxes, "categories": [{"id": 1, "name": "cat"}]}
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    with ScriptedEndpoint(says(GOOD)) as server:
        loaded = load_spec(spec(tmp_path, server.url), registry=registry)
        compiled = compile_plan(loaded, registry=registry)
        wanted = PhrasesToCompare(classes=("cat",), tried={"cat": ("kitten",)}, built_in=False)
        told = []
        asked = []
        for _ in range(2):
            place = str(tmp_path / "truth.json")
            told.append(compare_phrases(loaded, compiled, place, wanted=wanted, registry=registry).classes)
            asked.append(len(server.requests))
    assert told[0] == told[1]
    assert asked[0] == asked[1] > 0
