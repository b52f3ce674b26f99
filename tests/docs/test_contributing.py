"""What contributors are told, and what runs at GitHub, is what the Makefile does."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.docs.pages import ROOT

GITHUB = ROOT / ".github"
FORMS = sorted((GITHUB / "ISSUE_TEMPLATE").glob("[!c]*.yml"))


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def targets() -> dict[str, str]:
    """Each target of the Makefile with its recipe."""
    found = re.findall(r"^([\w-]+):(.*)\n((?:\t.*\n)*)", read("Makefile"), re.MULTILINE)
    return {name: f"{needs}\n{recipe}" for name, needs, recipe in found}


def runs(workflow: str) -> list[str]:
    jobs: dict[str, Any] = yaml.safe_load((GITHUB / "workflows" / workflow).read_text())["jobs"]
    return [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]


def test_one_command_is_all_that_is_checked() -> None:
    made = targets()
    assert "lint" in made["test"].splitlines()[0].split()
    assert "pytest" in made["test"]
    assert all(tool in made["lint"] for tool in ("ruff check", "ruff format --check", "mypy", "lint-imports"))
    assert read(".ci/run").rstrip().endswith("make test")
    assert runs("test.yml")[0] == "bash .ci/run"


def test_commands_that_are_named_are_targets() -> None:
    named = re.findall(r"`make ([\w-]+)`", read("CONTRIBUTING.md"))
    called = [
        run.split()[1]
        for name in ("test.yml", "soak.yml", "release.yml")
        for run in runs(name)
        if run.startswith("make ")
    ]
    hooks = [
        hook["entry"] for repo in yaml.safe_load(read(".pre-commit-config.yaml"))["repos"] for hook in repo["hooks"]
    ]
    called += [entry.split()[1] for entry in hooks if entry.startswith("make ")]
    versions = yaml.safe_load((GITHUB / "workflows" / "test.yml").read_text())["jobs"]["versions"]
    matrix = [one["target"] for one in versions["strategy"]["matrix"]["include"]]
    called = [name for name in called if name != '"$TARGET"'] + matrix
    assert {"test", "lint", "soak", "bench", "docs", "dist"} <= {*named, *called} <= set(targets())


def test_targets_that_are_no_files_are_phony() -> None:
    [phony] = re.findall(r"^\.PHONY: (.*)$", read("Makefile"), re.MULTILINE)
    assert set(phony.split()) == set(targets())


@pytest.mark.parametrize("form", FORMS, ids=lambda path: path.stem)
def test_issue_forms_are_whole(form: Any) -> None:
    asked = yaml.safe_load(form.read_text(encoding="utf-8"))
    assert {"name", "description", "body"} <= asked.keys()
    kinds = {"markdown": "value", "textarea": "label", "checkboxes": "label"}
    assert all(kinds[field["type"]] in field["attributes"] for field in asked["body"])
    ids = [field["id"] for field in asked["body"] if field["type"] != "markdown"]
    assert len(ids) == len(set(ids))


def test_there_are_forms() -> None:
    assert [form.stem for form in FORMS] == ["bug", "idea"]


def test_nothing_that_is_generated_is_committed() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a clone")
    assert not [
        name for name in listed.stdout.splitlines() if re.search(r"__pycache__|\.egg-info|^(site|runs|dist)/", name)
    ]


@pytest.mark.skipif(sys.platform != "linux", reason="runs a step that is written for Linux")
def test_a_release_names_the_repository_that_it_is_built_in(tmp_path: Path) -> None:
    (step,) = (run for run in runs("release.yml") if "project.urls" in run)
    packages = ("pyproject.toml", "checkpoints/pyproject.toml")
    for name in packages:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(read(name), encoding="utf-8")
    place = {"GITHUB_SERVER_URL": "https://example.org", "GITHUB_REPOSITORY": "a/b", "GITHUB_REF_NAME": "v1"}
    subprocess.run(["bash", "-euc", step], cwd=tmp_path, env={**os.environ, **place}, check=True)
    for name in packages:
        urls = tomllib.loads((tmp_path / name).read_text(encoding="utf-8"))["project"]["urls"]
        assert set(urls) == {"Homepage", "Source", "Issues", "Changelog"}
        assert (urls["Source"], urls["Issues"]) == ("https://example.org/a/b", "https://example.org/a/b/issues")
        assert urls["Changelog"] == "https://example.org/a/b/blob/v1/CHANGELOG.md"
