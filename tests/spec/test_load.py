"""From a file to a Spec: quickly, completely, without the heavy libraries."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from autolabel.errors import SpecError
from autolabel.registry import Registry
from autolabel.spec.load import load_spec, spec_from_mapping

GOOD = Path(__file__).with_name("good")

START = "version: 1\ndata: {images: i, classes: [a]}\nstages: [{labeler: {type: grounding_dino, checkpoint: tiny}}]\n"
SLOW = {
    "unknown_keys": START + "".join(f"keys_{i}: 1\n" for i in range(24_000)),
    "unknown_params": START.replace("checkpoint: tiny", ", ".join(f"checkpoint{i}: tiny" for i in range(24_000))),
    "numbers_as_classes": START.replace("[a]", f"[{', '.join(map(str, range(49_000)))}]"),
    "doubled_classes": START.replace("[a]", f"[{'a, ' * 49_000}]"),
    "wrong_stages": START + "devices: [" + "x, " * 49_000 + "]\n",
    "long_name": START + f"{'a' * 900_000}: 1\n",
    "long_value": START + f"report: {'a' * 900_000}\n",
    "aliases": "a: &a [x, x, x, x, x, x, x, x, x]\n"
    + "".join(f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in zip("abc", "bcd", strict=True)),
    "tao_unknown_keys": "autolabel_type: mal\n" + "".join(f"keys_{i}: 1\n" for i in range(24_000)),
}


@pytest.mark.parametrize("name", SLOW)
def test_large_nonsense_is_refused_soon(name: str, tmp_path: Path, builtins: Registry, calls: Any) -> None:
    """The work is counted, not timed: some 35 calls for each of the 50,000 values that a text may have."""
    path = tmp_path / "spec.yaml"
    path.write_text(SLOW[name], encoding="utf-8")
    with pytest.raises(SpecError) as caught, calls:
        load_spec(path, registry=builtins)
    assert calls.made < 2_500_000
    assert len(caught.value.problems) <= 110
    assert len(str(caught.value)) < 60_000


def test_the_rest_of_many_problems_is_counted(tmp_path: Path, builtins: Registry) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text(START + "results_dir: r\n" + "".join(f"key_{i}: 1\n" for i in range(150)), encoding="utf-8")
    with pytest.raises(SpecError) as caught:
        load_spec(path, registry=builtins)
    assert len(caught.value.problems) == 101
    assert caught.value.problems[-1].message == "and 50 more problems"


def test_loading_imports_nothing_heavy() -> None:
    """In a process of its own: the import of the spec package, that of the strategies' packages, a validation."""
    code = """
import json, sys
from autolabel.spec.load import load_spec
from autolabel.registry import discover
load_spec(sys.argv[1], registry=discover())
heavy = ["torch", "transformers", "sklearn", "scipy", "jsonschema", "numba", "pycocotools", "ray"]
print(json.dumps([name for name in heavy if name in sys.modules]))
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(GOOD / "whole.yaml")], capture_output=True, text=True, check=True, timeout=60
    )
    assert json.loads(done.stdout) == []


def test_a_usual_spec_takes_little_work(builtins: Registry, calls: Any) -> None:
    load_spec(GOOD / "whole.yaml", registry=builtins)  # what is made once is made
    with calls:
        load_spec(GOOD / "whole.yaml", registry=builtins)
    assert calls.made < 15_000


def test_paths_start_from_the_spec_and_those_of_overrides_from_here(
    tmp_path: Path, builtins: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    spec = load_spec(GOOD / "least.yaml", overrides=["data.images=[here, ./there]"], registry=builtins)
    assert spec.data.images == (str(tmp_path / "here"), str(tmp_path / "there"))
    assert spec.results_dir == str(GOOD / "runs/least")


def test_defaults(builtins: Registry) -> None:
    spec = load_spec(GOOD / "least.yaml", registry=builtins)
    assert (spec.devices, spec.report, spec.visualize, spec.commercial) == ("auto", False, False, False)
    assert [choice.name for choice in spec.export] == ["coco", "odvg"]
    assert spec.run.model_dump() == {
        "executor": "auto",
        "batch_size": 4,
        "num_workers": 8,
        "shard_size": 64,
        "threads": None,
        "workers_per_device": None,
        "max_failures": 0.01,
        "max_pixels": 100_000_000,
        "candidates": None,
        "answers": None,
        "budget": None,
        "ray": {"address": "auto", "workers": None, "num_cpus": None, "num_gpus": None},
    }
    assert spec.stages[0].ask == "missing"
    assert spec.stages[0].scheduler is None
    assert spec.notices == ()


def test_a_share_keeps_its_point_and_a_count_has_none(builtins: Registry) -> None:
    shares = load_spec(GOOD / "fixed.yaml", registry=builtins).run.max_failures
    counts = load_spec(GOOD / "captions.yaml", registry=builtins).run.max_failures
    assert (type(shares), shares) == (float, 1.0)
    assert (type(counts), counts) == (int, 3)


def test_a_choice_makes_its_strategy(builtins: Registry) -> None:
    choice = load_spec(GOOD / "whole.yaml", registry=builtins).stages[0].scheduler
    assert choice is not None
    scheduler = choice.make()
    assert [round.index for round in scheduler.rounds()] == [0, 1, 2, 3, 4]
    assert scheduler.params is choice.params
    entry = builtins.get("scheduler", "cosine")
    assert (choice.kind, choice.package, choice.version) == ("scheduler", entry.package, entry.version)


def test_a_spec_never_changes(builtins: Registry) -> None:
    spec = load_spec(GOOD / "least.yaml", registry=builtins)
    with pytest.raises(ValidationError):
        spec.report = True  # type: ignore[misc]
    with pytest.raises(ValidationError):
        spec.run.threads = 3  # type: ignore[misc]


def test_problems_found_later_have_the_places_of_the_file(builtins: Registry) -> None:
    spec = load_spec(GOOD / "whole.yaml", overrides=["run.threads=3"], registry=builtins)
    problem = spec.problem(("stages", 0, "scheduler", "start"), "is high", hint="lower it")
    assert str(problem) == f"{GOOD / 'whole.yaml'}:10:42: stages[0].scheduler.start: is high\n  hint: lower it"
    assert str(spec.problem(("run", "threads"), "is odd")) == "<command line> run.threads=3: run.threads: is odd"
    nearest = spec.problem(("stages", 0, "labeler", "checkpoint", "none"), "is gone")
    assert (nearest.line, nearest.path) == (9, "stages[0].labeler.checkpoint")


def test_a_mapping_is_a_spec_too(tmp_path: Path, builtins: Registry) -> None:
    mapping = {
        "version": 1,
        "data": {"images": tmp_path / "images", "classes": ("a", "b")},
        "stages": [{"labeler": {"type": "grounding_dino", "checkpoint": "tiny"}}],
        "results_dir": "out",
    }
    spec = spec_from_mapping(mapping, root=tmp_path, registry=builtins)
    assert (spec.data.classes, spec.results_dir) == (("a", "b"), str(tmp_path / "out"))
    with pytest.raises(SpecError) as caught:
        spec_from_mapping({**mapping, "reprot": 1}, root=tmp_path, registry=builtins)
    assert str(caught.value) == "<mapping>: reprot: unknown key 'reprot'\n  hint: did you mean 'report'?"


def test_problems_travel_between_processes(builtins: Registry) -> None:
    with pytest.raises(SpecError) as caught:
        spec_from_mapping({}, root=".", registry=builtins)
    again = pickle.loads(pickle.dumps(caught.value.problems))
    assert again == caught.value.problems


def test_a_ready_choice_is_taken_where_its_kind_belongs(builtins: Registry) -> None:
    stage = load_spec(GOOD / "whole.yaml", registry=builtins).stages[0]
    mapping = {
        "version": 1,
        "data": {"images": "i", "classes": ["a"]},
        "stages": [{"labeler": stage.labeler, "scheduler": stage.scheduler}],
        "results_dir": "out",
    }
    assert spec_from_mapping(mapping, root=".", registry=builtins).stages[0].scheduler is stage.scheduler
    mapping["stages"] = [{"labeler": stage.scheduler}]
    with pytest.raises(SpecError, match=r"<mapping>: stages\[0\]\.labeler: found .*, wanted a mapping"):
        spec_from_mapping(mapping, root=".", registry=builtins)


def test_classes_times_negatives_are_bounded(registry: Registry) -> None:
    words = [f"w{number}" for number in range(20_000)]
    spec = {
        "version": 1,
        "data": {"images": ["x"], "classes": words, "negatives": [f"not {word}" for word in words]},
        "stages": [{"labeler": {"type": "colors"}}],
        "results_dir": "r",
    }
    with pytest.raises(SpecError, match="20,000 classes with their negatives are 400,000,000 pairs, wanted at most"):
        spec_from_mapping(spec, root=Path(), registry=registry)
