"""Nothing that a user meets is left out, and nothing is claimed that is not there."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

import autolabel
from autolabel import hookspecs
from autolabel.cli.app import app
from autolabel.errors import SpecError
from autolabel.plan.files import check_files
from autolabel.registry import Registry
from autolabel.spec.load import load_spec
from docs.generate import api
from tests.docs.pages import ROOT, pages

DOCS = ROOT / "docs"
SOURCES = [*(ROOT / "src").rglob("*.py"), *(ROOT / "plugins").rglob("*.py")]


def text(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def first_column(page: str, heading: str) -> set[str]:
    """The words in code of the first column of the table below a heading."""
    below = text(page).split(heading, 1)[1].split("\n## ", 1)[0]
    return set(re.findall(r"^\| `([^`]+)` \|", below, re.MULTILINE))


def test_every_hook_is_described() -> None:
    hooks = [name for name in vars(hookspecs) if name.startswith("autolabel_")]
    assert len(hooks) == 5
    assert all(f"`{name}(" in text("plugins.md") for name in hooks)


def test_every_function_of_the_python_api_is_described() -> None:
    assert sorted((*api.STEPS, *api.AT_ONCE, *api.AFTERWARDS)) == sorted(autolabel.__all__)


def test_every_command_and_option_is_described() -> None:
    group = typer.main.get_command(app)
    commands = group.commands  # type: ignore[attr-defined]
    page = text("cli.md")
    assert len(commands) >= 10
    for name, command in commands.items():
        assert f"### `autolabel {name}`" in page
        section = page.split(f"### `autolabel {name}`", 1)[1].split("\n### ", 1)[0]
        for param in command.params:
            if getattr(param, "hidden", False):
                continue
            spellings = param.opts if param.param_type_name == "option" else [param.metavar or param.name]
            assert all(spelling in section for spelling in spellings if spelling != "--help"), (name, spellings)


def test_every_code_of_the_ledger_is_described() -> None:
    assert first_column("errors.md", "## Failed images") == set(ledger_codes())


def ledger_codes() -> Iterator[str]:
    """Every word that the code gives to an image that fails."""
    for path in SOURCES:
        if "testing" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                named = [word.value for word in node.keywords if word.arg == "code"]
                first = node.args[:1] if getattr(node.func, "id", "") == "ImageError" else []
                yield from words([*named, *first])
            if isinstance(node, ast.FunctionDef) and node.name.lstrip("_") == "code_of":
                yield from words([part.value for part in ast.walk(node) if isinstance(part, ast.Return) and part.value])


def words(expressions: list[ast.expr]) -> Iterator[str]:
    for expression in expressions:
        tests = {
            id(part) for node in ast.walk(expression) if isinstance(node, ast.IfExp) for part in ast.walk(node.test)
        }
        for part in ast.walk(expression):
            if isinstance(part, ast.Constant) and isinstance(part.value, str) and part.value and id(part) not in tests:
                yield part.value


def test_every_environment_variable_is_described() -> None:
    found = set()
    for path in SOURCES:
        found |= set(re.findall(r"environ(?:\.get\(|\[)\"(\w+)\"", path.read_text(encoding="utf-8")))
        found |= set(re.findall(r"^(?:\w*_)?VARIABLE = \"(\w+)\"", path.read_text(encoding="utf-8"), re.MULTILINE))
    assert "AUTOLABEL_CHECKPOINTS" in found
    assert found <= first_column("cli.md", "## Environment variables")


def test_every_test_that_is_named_exists() -> None:
    named = [
        found
        for page in pages()
        for found in re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", page.read_text(encoding="utf-8"))
    ]
    assert len(named) >= 20
    for path, function in named:
        assert (ROOT / path).is_file(), path
        assert f"def {function}(" in (ROOT / path).read_text(encoding="utf-8"), f"{path}::{function}"


def test_every_bug_of_a_peer_names_a_test_of_ours() -> None:
    rows = [line for line in text("bugs.md").splitlines() if line.startswith("| ") and not line.startswith("| bug |")]
    assert len(rows) >= 45
    assert all(re.search(r"`tests/[\w/]+\.py::\w+`[^|]*\|$", row) for row in rows)


def test_files_of_the_repository_that_are_named_exist() -> None:
    folders = r"(?:specs|examples|schema|training|checkpoints|benchmarks|src|plugins)"
    for page in (*DOCS.glob("*.md"), ROOT / "README.md"):
        for path in re.findall(rf"`({folders}/[\w./-]+)`", page.read_text(encoding="utf-8")):
            assert (ROOT / path).exists(), f"{page.name}: {path}"


def test_the_spec_in_the_readme_lacks_only_its_files(registry: Registry, tmp_path: Path) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    found = re.search(r"```yaml\n(.*?)```", readme, re.DOTALL)
    assert found is not None
    (tmp_path / "street.yaml").write_text(found[1], encoding="utf-8")
    spec = load_spec(tmp_path / "street.yaml", registry=registry)
    with pytest.raises(SpecError) as caught:
        check_files(spec)
    assert all("no such" in problem.message for problem in caught.value.problems)
    assert len(caught.value.problems) == 2


def test_pages_that_use_the_example_package_say_how_it_is_installed() -> None:
    using = [page for page in pages() if "autolabel_colors import" in page.read_text("utf-8")]
    using = [page for page in using if page.name not in ("plugins.md", "README.md")]
    assert len(using) >= 8
    silent = [page.name for page in using if "`autolabel new-plugin --example`" not in page.read_text("utf-8")]
    assert not silent
