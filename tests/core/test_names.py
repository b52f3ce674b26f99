"""What is private says so, what is public is used, and no two classes have one name."""

from __future__ import annotations

import ast
import json
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("src", "plugins", "docs", "benchmarks", "training", "tests")
DOCUMENTED = {
    f"autolabel{module}"
    for module in ("", ".api", ".strategies", ".hookspecs", ".errors", ".types", ".testing", ".__main__")
}
"""Modules whose names are for everybody, besides those of ``autolabel.integrations``."""
FOR_TESTS = {"autolabel.results.failpoints.arm"}
"""What is shipped for the tests of autolabel and of those who extend it, besides ``autolabel.testing``."""


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    parts = parts[1:] if parts[0] in ("src", "plugins") else parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@pytest.fixture(scope="module")
def used(trees: dict[Path, ast.Module]) -> dict[tuple[str, str], set[Path]]:
    return users(trees)


@pytest.fixture(scope="module")
def trees() -> dict[Path, ast.Module]:
    paths = (path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py")))
    return {path: ast.parse(path.read_text(encoding="utf-8")) for path in paths if "starter" not in path.parts}


def ours(trees: dict[Path, ast.Module]) -> dict[str, tuple[Path, ast.Module]]:
    """Return the modules of the product."""
    return {module_of(path): (path, tree) for path, tree in trees.items() if is_ours(path)}


def is_ours(path: Path) -> bool:
    return path.relative_to(ROOT).parts[0] in ("src", "plugins")


def defined(body: list[ast.stmt]) -> Iterator[tuple[str, ast.stmt]]:
    """Yield the names that a module gives a value itself."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name, node
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = (part for target in targets for part in ast.walk(target) if isinstance(part, ast.Name))
            yield from ((part.id, node) for part in names)
        elif isinstance(node, ast.If | ast.Try):
            yield from defined([*node.body, *node.orelse])


def source_of(node: ast.ImportFrom, path: Path) -> str:
    """Return the module that something is imported from."""
    if not node.level:
        return node.module or ""
    above = module_of(path).split(".")
    above = above[: len(above) - node.level + (path.name == "__init__.py")]
    return ".".join([*above, *([node.module] if node.module else [])])


def mentioned(path: Path, tree: ast.Module, modules: set[str]) -> Iterator[tuple[str, str]]:
    """Yield (module, name) for all that a file takes from modules: by import, attribute, or the text of a patch."""
    alias = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            source = source_of(node, path)
            for part in node.names:
                yield source, part.name
                if f"{source}.{part.name}" in modules:
                    alias[part.asname or part.name] = f"{source}.{part.name}"
        elif isinstance(node, ast.Import):
            alias.update({part.asname or part.name: part.name for part in node.names})
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            owner = dotted(node.value)
            yield alias.get(owner, owner), node.attr
        elif isinstance(node, ast.Call) and len(node.args) > 1 and isinstance(node.args[1], ast.Constant):
            owner = dotted(node.args[0])
            yield alias.get(owner, owner), str(node.args[1].value)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and re.fullmatch(r"[\w.:]+", node.value):
            owner, _, name = node.value.replace(":", ".").rpartition(".")
            yield owner, name


def dotted(node: ast.expr) -> str:
    """Return ``a.b.c`` of such an expression; empty for any other."""
    if isinstance(node, ast.Attribute):
        return f"{owner}.{node.attr}" if (owner := dotted(node.value)) else ""
    return node.id if isinstance(node, ast.Name) else ""


def users(trees: dict[Path, ast.Module]) -> dict[tuple[str, str], set[Path]]:
    """Return which other files use each name of a module."""
    found: dict[tuple[str, str], set[Path]] = defaultdict(set)
    modules = {module_of(path) for path in trees}
    for path, tree in trees.items():
        for module, name in mentioned(path, tree, modules):
            if module in modules and module != module_of(path):
                found[module, name].add(path)
    return found


def is_registered(node: ast.stmt) -> bool:
    """Return whether a decorator hands the function over, as those of pluggy and typer do."""
    decorators = node.decorator_list if isinstance(node, ast.FunctionDef) else []
    return any(re.search(r"hookimpl|hookspec|\.(command|callback)\(", ast.unparse(one)) for one in decorators)


def is_published(node: ast.stmt, published: set[str]) -> bool:
    """Return whether a class stands in a schema, or checks a section of one."""
    if not isinstance(node, ast.ClassDef):
        return False
    return node.name in published or any(
        re.search(r"Model\b|Section\b|Params\b", ast.unparse(one)) for one in node.bases
    )


def published_names() -> set[str]:
    """Return the names of the classes in the published schemas."""
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "schema").glob("*.json")]
    titles = {title for text in texts for title in re.findall(r'"title": "(\w+)"', text)}
    return titles | {name for text in texts for name in json.loads(text).get("$defs", {})}


def public(trees: dict[Path, ast.Module]) -> Iterator[tuple[str, str, ast.Module]]:
    """Yield each public name of a module that is not for everybody."""
    published = published_names()
    for module, (_, tree) in ours(trees).items():
        if module in DOCUMENTED or module.startswith("autolabel.integrations."):
            continue
        listed = {name for key, node in defined(tree.body) if key == "__all__" for name in ast.literal_eval(node.value)}  # type: ignore[attr-defined]
        for name, node in defined(tree.body):
            if not (name.startswith("_") or name in listed or is_registered(node) or is_published(node, published)):
                yield module, name, tree


def test_a_name_that_no_other_module_uses_starts_with_an_underscore(
    trees: dict[Path, ast.Module], used: dict[tuple[str, str], set[Path]]
) -> None:
    assert [f"{module}.{name}" for module, name, _ in public(trees) if not used[module, name]] == []


def test_nothing_is_there_for_tests_alone(
    trees: dict[Path, ast.Module], used: dict[tuple[str, str], set[Path]]
) -> None:
    idle = []
    for module, name, tree in public(trees):
        by_tests = all(path.relative_to(ROOT).parts[0] == "tests" for path in used[module, name])
        if by_tests and not module.startswith("autolabel.testing.") and not is_used_within(tree, name):
            idle.append(f"{module}.{name}")
    assert set(idle) - FOR_TESTS == set()


def test_nothing_private_is_idle(trees: dict[Path, ast.Module]) -> None:
    idle = [
        f"{module}.{name}"
        for module, (_, tree) in ours(trees).items()
        for name, _ in defined(tree.body)
        if name.startswith("_") and not name.startswith("__") and not is_used_within(tree, name)
    ]
    assert idle == []


def is_used_within(tree: ast.Module, name: str) -> bool:
    return name in read_names(tree)


@cache
def read_names(tree: ast.Module) -> frozenset[str]:
    """Return every name that a module reads, in texts such as those of annotations too."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            names.add(node.id)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            names.update(re.findall(r"\w+", node.value))
    return frozenset(names)


def test_no_two_classes_have_one_name(trees: dict[Path, ast.Module]) -> None:
    homes = defaultdict(list)
    for module, (_, tree) in ours(trees).items():
        for name, node in defined(tree.body):
            if isinstance(node, ast.ClassDef):
                homes[name.lstrip("_")].append(module)
    assert {name: modules for name, modules in homes.items() if len(modules) > 1} == {}
