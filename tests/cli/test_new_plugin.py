"""``autolabel new-plugin`` writes a package that installs, is listed, passes its own tests and labels."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from autolabel.cli.new_plugin import EXAMPLE, STARTER, new_plugin, write_example
from autolabel.errors import SpecError
from autolabel.registry import KINDS, Kind, Registry, register

SPEC = """version: 1
data: {images: photos, classes: [red, blue]}
stages:
  - labeler: {type: snow_owls}
    scheduler: {type: snow_owls, start: 0.8}
    aggregator: {type: snow_owls, most: 1}
export: [{type: snow_owls}]
devices: cpu
results_dir: run
"""


def python(*words: str, folder: Path, path: Path) -> str:
    """Run Python in ``folder`` with ``path`` in reach; return what it printed, stderr after stdout."""
    done = subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def entries(listed: str) -> list[dict[str, Any]]:
    """Our own among what ``autolabel plugins --json`` printed."""
    return [entry for entry in json.loads(listed) if entry["package"] == "autolabel-snow-owls"]


def test_its_own_tests_pass_and_its_entry_point_is_found(registry: Registry, tmp_path: Path) -> None:
    folder, _ = new_plugin("Snow_Owls", tmp_path, kinds=["labeler"], registry=registry)
    assert "2 passed" in python("-m", "pytest", "-p", "no:cacheprovider", folder=folder, path=tmp_path)
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    info = folder / "src" / "autolabel_snow_owls-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    points = [f"{name} = {module}\n" for name, module in project["entry-points"]["autolabel"].items()]
    (info / "entry_points.txt").write_text("[autolabel]\n" + "".join(points))
    [entry] = entries(python("-m", "autolabel", "plugins", "--json", folder=tmp_path, path=folder / "src"))
    assert (entry["kind"], entry["name"], entry["version"]) == ("labeler", "snow_owls", "0.1.0")
    assert entry["file"] == str(folder / "src" / "autolabel_snow_owls" / "labeler.py")
    assert entry["parameters"] == ["contrast"]


@pytest.mark.soak
def test_it_installs_is_listed_passes_its_tests_and_labels(registry: Registry, tmp_path: Path) -> None:
    from autolabel_colors import save

    folder, _ = new_plugin("Snow_Owls", tmp_path, registry=registry)
    site = tmp_path / "site"
    quietly = ("--quiet", "--disable-pip-version-check", "--no-deps", "--no-build-isolation", "--target", str(site))
    python("-m", "pip", "install", *quietly, str(folder), folder=tmp_path, path=tmp_path)
    assert (site / "autolabel_snow_owls" / "py.typed").exists()

    listed = entries(python("-m", "autolabel", "plugins", "--json", folder=tmp_path, path=site))
    assert [entry["kind"] for entry in listed] == list(KINDS)
    assert all(Path(entry["file"]).is_relative_to(site) for entry in listed)

    assert "10 passed" in python("-m", "pytest", "-p", "no:cacheprovider", folder=folder, path=site)

    save(tmp_path / "photos" / "a.png", [(1, 2, 20, 30, "red")])
    (tmp_path / "spec.yaml").write_text(SPEC)
    python("-m", "autolabel", "generate", "spec.yaml", folder=tmp_path, path=site)
    counts = json.loads((tmp_path / "run" / "snow_owls" / "counts.jsonl").read_text())
    assert counts == {"image": "a.png", "state": "labelled", "counts": {"red": 1}}


@pytest.mark.parametrize("kind", KINDS)
def test_the_hooks_of_the_starter_offer_what_its_files_hold(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(STARTER / "src"))
    offered = Registry()
    register(offered, import_module(f"autolabel_starter.{kind}"), package="autolabel-starter", version="0.1.0")
    assert [(entry.kind, entry.name) for entry in offered] == [(kind, "starter")]


def test_nothing_of_the_starter_is_left(registry: Registry, tmp_path: Path) -> None:
    folder, written = new_plugin("birds", tmp_path, registry=registry)
    for path in written:
        assert "starter" not in (str(path.relative_to(tmp_path)) + path.read_text()).lower(), path
    assert "class BirdsLabeler(Detector)" in (folder / "src" / "autolabel_birds" / "labeler.py").read_text()


@pytest.mark.parametrize("kind", KINDS)
def test_one_kind_alone(registry: Registry, tmp_path: Path, kind: str) -> None:
    folder, written = new_plugin("autolabel-birds", tmp_path, kinds=[kind], registry=registry)
    names = {str(path.relative_to(folder)) for path in written}
    assert names == {
        "README.md",
        "pyproject.toml",
        "src/autolabel_birds/__init__.py",
        "src/autolabel_birds/py.typed",
        f"src/autolabel_birds/{kind}.py",
        f"tests/test_{kind}.py",
    }
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["autolabel"] == {f"birds-{kind}": f"autolabel_birds.{kind}"}
    assert re.findall(r"^\| (\w+) \|", (folder / "README.md").read_text(), re.MULTILINE) == ["kind", kind]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("coco", "exporter 'coco' (package 'autolabel-vision') is installed already"),
        ("exporters", "module 'autolabel_exporters' is installed already"),
        ("vision", "package 'autolabel-vision' is installed already"),
        ("../birds", "'../birds' cannot name a package"),
        ("2birds", "cannot name a package"),
        ("birds-", "cannot name a package"),
        ("vögel", "cannot name a package"),
        ("", "cannot name a package"),
        ("starter", "cannot name a package"),
        ("there", "autolabel-there: exists already"),
    ],
)
def test_names_that_cannot_be(registry: Registry, tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "autolabel-there").mkdir()
    with pytest.raises(SpecError, match=re.escape(message)):
        new_plugin(name, tmp_path, registry=registry)
    assert [path.name for path in tmp_path.iterdir()] == ["autolabel-there"]


def test_an_unknown_kind_is_told(registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(
        SpecError, match="'detector'\n  hint: the kinds are scheduler, aggregator, labeler, look, exporter"
    ):
        new_plugin("birds", tmp_path, kinds=["detector"], registry=registry)


def test_what_is_written_is_linted_as_it_stands(registry: Registry, tmp_path: Path) -> None:
    new_plugin("snow-owls-of-the-far-north", tmp_path, registry=registry)
    for command in (["check"], ["format", "--check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--no-cache", "."], cwd=tmp_path, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_documentation_s_package_is_written_as_it_is(tmp_path: Path) -> None:
    example = STARTER.parents[2] / "docs" / "examples" / EXAMPLE
    folder, written = write_example(tmp_path)
    assert folder == tmp_path / EXAMPLE
    for path in written:
        assert path.read_bytes() == (example / path.relative_to(folder)).read_bytes()
    assert {"pyproject.toml", "src/autolabel_colors/__init__.py"} <= {str(p.relative_to(folder)) for p in written}
    assert not list(folder.rglob("__pycache__"))
    with pytest.raises(SpecError, match="exists already"):
        write_example(tmp_path)
    with (STARTER.parents[2] / "pyproject.toml").open("rb") as stream:
        included = tomllib.load(stream)["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    assert included[f"docs/examples/{EXAMPLE}"] == f"autolabel/examples/{EXAMPLE}"


@pytest.mark.parametrize("words", [[], ["birds", "--example"], ["--example", "--kind", "exporter"]])
def test_a_name_or_the_example(tmp_path: Path, words: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "autolabel", "new-plugin", *words, "--into", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2 and "hint: autolabel new-plugin birds, or autolabel new-plugin --example" in done.stderr
    assert not list(tmp_path.iterdir())
