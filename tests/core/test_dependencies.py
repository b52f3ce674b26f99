"""What the code imports is declared in pyproject.toml: always, or as an extra where it is imported in a function."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
DISTRIBUTIONS = {
    "PIL": "pillow",
    "ruamel": "ruamel-yaml",
    "yaml": "pyyaml",
    "cv2": "opencv-python",
    "sklearn": "scikit-learn",
}
"""Distributions whose name is not that of the module."""
INSTALLED = packages_distributions()
OURS = {"autolabel", "autolabel_colors", "benchmarks", "docs", "tests", "training"}
WITH_TORCH = {"triton"}
"""Comes with the builds of torch that can use it."""
FOR_OTHER_TOOLS = "src/autolabel/integrations/"
"""Its modules are imported by the tools that they are for."""
COMPILED = "/compiled.py"
"""Modules of compiled loops: they are imported only where numba is installed."""
OTHER_TOOLS = {
    "autodistill",
    "cleanlab",
    "datumaro",
    "duckdb",
    "imagededup",
    "label-studio-sdk",
    "labelme",
    "opencv-python",
    "polars",
    "rfdetr",
    "sahi",
    "supervision",
    "ultralytics",
}
"""Tools that tests and training compare with where they are installed: their pins fit neither ours nor each other's."""


def imported(folder: str) -> Iterator[tuple[str, bool, str]]:
    """Yield each foreign distribution that is imported, whether when its module is, and the place."""
    for path in sorted((ROOT / folder).rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        lazy = {
            id(node)
            for function in ast.walk(tree)
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
            for node in ast.walk(function)
        }
        lazy |= {
            id(node) for block in ast.walk(tree) if isinstance(block, ast.Try | ast.If) for node in ast.walk(block)
        }
        for node in ast.walk(tree):
            for module in modules(node):
                if module not in sys.stdlib_module_names and module not in OURS and not module.startswith("autolabel_"):
                    name = bare(DISTRIBUTIONS.get(module) or INSTALLED.get(module, [module])[0])
                    yield name, id(node) not in lazy, f"{path.relative_to(ROOT)}:{line_of(node)}"


def line_of(node: ast.AST) -> int:
    return getattr(node, "lineno", 0)


def modules(node: ast.AST) -> list[str]:
    """Return the top-level modules that a statement imports."""
    if isinstance(node, ast.Import):
        return [alias.name.partition(".")[0] for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
        return [node.module.partition(".")[0]]
    return []


def bare(requirement: str) -> str:
    """Return the normalized name of a requirement."""
    return re.sub(r"[._]+", "-", re.split(r"[\[<>=!~; ]", requirement)[0]).lower()


ALWAYS = {bare(one) for one in PROJECT["dependencies"]}
SOMETIMES = {bare(one) for name, extra in EXTRAS.items() if name not in ("dev", "docs") for one in extra}
FOR_DEVELOPERS = {bare(one) for name in ("dev", "docs", "browser") for one in EXTRAS[name]}


@pytest.mark.parametrize("folder", ["src", "plugins"])
def test_what_the_package_imports_is_declared(folder: str) -> None:
    found = list(imported(folder))
    assert len(found) > 100
    assert [
        f"{place} imports {name}"
        for name, at_once, place in found
        if at_once and name not in ALWAYS | WITH_TORCH and not place.startswith(FOR_OTHER_TOOLS)
        if not (name == "numba" and COMPILED in place)
    ] == []
    allowed = ALWAYS | SOMETIMES | WITH_TORCH
    assert [f"{place} imports {name}" for name, _, place in found if name not in allowed] == []


@pytest.mark.parametrize("folder", ["tests", "benchmarks", "training", "docs"])
def test_what_the_repository_imports_is_declared(folder: str) -> None:
    allowed = ALWAYS | SOMETIMES | FOR_DEVELOPERS | OTHER_TOOLS
    assert [one for one in imported(folder) if one[0] not in allowed] == []


def test_nothing_is_declared_that_nobody_imports() -> None:
    used = {name for folder in ("src", "plugins") for name, _, _ in imported(folder)}
    for_others = {"ruamel-yaml-clib", "python-multipart"}
    """Without them ruamel.yaml is slow, and starlette reads no form."""
    assert ALWAYS - used - for_others == set()


def test_every_requirement_has_a_lower_bound_and_a_pin() -> None:
    pins = {bare(line) for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line}
    typed_stubs, unpinned = {"types-jsonschema"}, {"autolabel-vision", "autolabel-vision-checkpoints"}
    for group, requirements in {"dependencies": PROJECT["dependencies"], **EXTRAS}.items():
        for one in requirements:
            assert ">=" in one or bare(one) in typed_stubs | unpinned, f"{group}: {one}"
            if group in ("dependencies", "fast", "train", "dev"):
                assert bare(one) in pins, f"constraints.txt lacks {one}"
