"""The Python API: what ``import autolabel`` offers, and that it costs nothing until it is used."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import autolabel
from autolabel import compile_plan, generate, load_spec, read_labels
from autolabel.errors import SpecError
from autolabel.registry import Registry


def test_everything_that_is_promised_is_there() -> None:
    assert all(callable(getattr(autolabel, name)) for name in autolabel.__all__)
    assert set(autolabel.__all__) == set(autolabel._HOMES)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = autolabel.nonsense


def test_importing_imports_nothing() -> None:
    script = "import sys, autolabel; print(sorted({'numpy', 'pydantic', 'torch', 'rich'} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_four_steps_from_a_file_to_labels(registry: Registry, tmp_path: Path) -> None:
    from autolabel_colors import Rectangle, save

    save(tmp_path / "photos" / "a.png", [Rectangle(1, 2, 20, 30, "red")])
    (tmp_path / "spec.yaml").write_text(
        "version: 1\ndata: {images: photos, classes: [red]}\nstages: [{labeler: {type: colors}}]\n"
        "devices: cpu\nresults_dir: run\n"
    )
    spec = load_spec(tmp_path / "spec.yaml", registry=registry)
    summary = generate(compile_plan(spec, registry=registry), registry=registry)
    [labels] = read_labels(summary.results_dir)
    assert labels.instances.boxes.tolist() == [[1, 2, 20, 30]]


def test_a_mapping_is_a_spec_too(registry: Registry, tmp_path: Path) -> None:
    mapping = {
        "version": 1,
        "data": {"images": ["photos"], "classes": ["red"]},
        "stages": [{"labeler": {"type": "colors"}}],
        "results_dir": "run",
    }
    spec = load_spec(mapping, overrides=["run.batch_size=3"], root=tmp_path, registry=registry)
    assert (spec.run.batch_size, spec.results_dir) == (3, str(tmp_path / "run"))
    with pytest.raises(SpecError, match="<mapping>: version"):
        load_spec({**mapping, "version": 2}, registry=registry)


def test_what_there_is_can_be_listed() -> None:
    assert set(autolabel.__all__) <= set(dir(autolabel))
    assert {"evaluate", "calibrate", "export", "report", "apply_review", "explain"} <= set(dir(autolabel))


GLOBALS = """
import ctypes, os, signal, sys, logging
import PIL.Image, torch
import sklearn  # sets variables of OpenMP itself; some versions of transformers import it with a model
torch.set_num_threads(2)
real = ctypes.CDLL
class Watched:
    def __init__(self, *names, **options): self.own = real(*names, **options)
    def __getattr__(self, name):
        assert name != "mallopt", "the host's malloc was set"
        return getattr(self.own, name)
ctypes.CDLL = Watched

def held():
    return {
        # torch sets variables of TorchInductor when parts of it are imported
        "environment": {n: v for n, v in os.environ.items() if "TORCHINDUCTOR" not in n},
        "pixels": PIL.Image.MAX_IMAGE_PIXELS, "threads": torch.get_num_threads(),
        "interop": torch.get_num_interop_threads(), "argv": sys.argv[:],
        "signals": [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)], "path": sys.path[:],
        "handlers": logging.getLogger().handlers[:], "level": logging.getLogger().level, "cwd": os.getcwd(),
        "stdout": sys.stdout, "excepthook": sys.excepthook, "recursion": sys.getrecursionlimit(),
        "grad": torch.is_grad_enabled(), "dtype": torch.get_default_dtype(),
    }

before = held()
import autolabel
names = [getattr(autolabel, name) for name in autolabel.__all__]
registry = autolabel.discover()
spec = autolabel.load_spec("spec.yaml", registry=registry)
summary = autolabel.generate(autolabel.compile_plan(spec, registry=registry), registry=registry)
assert summary.states["labelled"] == 2, summary
assert autolabel.export("run", "yolo", registry=registry)
assert autolabel.report("run").exists()
autolabel.evaluate("run", "run/coco/annotations.json")
autolabel.calibrate("run", "run/coco/annotations.json", precision=0.5, out="thresholds.yaml")
[told] = autolabel.explain("run", "a.png", registry=registry)
import json
json.dump({"plan": "x", "decisions": []}, open("review.json", "w"))
autolabel.apply_review("run", "review.json", registry=registry)
after = held()
changed = {name: (before[name], after[name]) for name in before if before[name] != after[name]}
if "environment" in changed:
    changed["environment"] = set(before["environment"].items()) ^ set(after["environment"].items())
assert not changed, changed
print("unchanged")
"""


@pytest.mark.parametrize("labeler", ["colors", "grounding_dino"])
def test_the_host_keeps_its_globals(example_path: str, tmp_path: Path, labeler: str) -> None:
    from autolabel_colors import Rectangle, save

    for name in ("a", "b"):
        save(tmp_path / "photos" / f"{name}.png", [Rectangle(1, 2, 20, 30, "red")])
    chosen = "{type: grounding_dino, checkpoint: tiny}" if labeler == "grounding_dino" else "{type: colors}"
    low = "scheduler: {type: fixed, rounds: [{conf_threshold: 0.001}]}" if labeler == "grounding_dino" else "ask: all"
    (tmp_path / "spec.yaml").write_text(
        f"version: 1\ndata: {{images: photos, classes: [red]}}\nstages: [{{labeler: {chosen}, {low}}}]\n"
        "devices: cpu\nresults_dir: run\nrun: {executor: inline, threads: 1}\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", GLOBALS],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": example_path},
    )
    assert done.stdout.endswith("unchanged\n"), done.stderr


def test_a_package_with_the_name_of_a_function_is_both() -> None:
    import autolabel.evaluate.table
    from autolabel import evaluate

    assert autolabel.evaluate.table.render_evaluation is not None  # type: ignore[attr-defined]
    assert callable(evaluate)
    assert callable(autolabel.evaluate)
