"""The reference of the Python API: what ``import autolabel`` offers."""

from __future__ import annotations

import inspect

import autolabel
from autolabel import api
from docs.generate.border import spaced
from docs.generate.markdown import plain

STEPS = ("discover", "load_spec", "compile_plan", "generate", "read_labels")
AT_ONCE = ("open",)
AFTERWARDS = ("evaluate", "calibrate", "export", "report", "apply_review", "improve", "explain")
"""All of them, in the order in which they are called."""


def functions() -> str:
    """Return each function with its signature and what its docstring says."""
    return "\n\n".join(described(name) for name in (*STEPS, *AT_ONCE, *AFTERWARDS))


def described(name: str) -> str:
    """Return one function's entry."""
    function = getattr(api, name, None) or getattr(autolabel, name)
    return f"#### `{name}`\n\n```python\n{name}{spaced(function)}\n```\n\n{plain(inspect.getdoc(function))}"
