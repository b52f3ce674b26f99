"""Pieces of the example package, as they stand in its source."""

from __future__ import annotations

import ast
from functools import partial
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / "examples" / "autolabel-colors"
MODULE = FOLDER / "src" / "autolabel_colors" / "__init__.py"
HOOKS = ("autolabel_labelers", "autolabel_schedulers", "autolabel_exporters")


def source(*names: str) -> str:
    """Return classes and functions of the module, as they are written."""
    text = MODULE.read_text(encoding="utf-8")
    lines = text.splitlines()
    found = {}
    for node in ast.parse(text).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            start = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            found[node.name] = "\n".join(lines[start - 1 : node.end_lineno])
    return "```python\n" + "\n\n\n".join(found[name] for name in names) + "\n```"


def project() -> str:
    """Return the package's ``pyproject.toml``."""
    return f"```toml\n{(FOLDER / 'pyproject.toml').read_text(encoding='utf-8').strip()}\n```"


scheduler = partial(source, "Halving")
detector = partial(source, "Colors")
exporter = partial(source, "Csv", "rows")
hooks = partial(source, *HOOKS)
