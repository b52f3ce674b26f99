"""The Python API: what ``import autolabel`` offers, and that it costs nothing until it is used."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import autolabel
from autolabel import compile_plan, generate, load_spec, read_labels
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
