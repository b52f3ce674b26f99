"""Make packages callable whose name is also a function of the API, such as ``autolabel.report``."""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import Any


class _CallablePackage(ModuleType):
    """A package that forwards calls to the API function of its name."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return getattr(import_module("autolabel.api"), self.__name__.rpartition(".")[2])(*arguments, **options)


def make_callable(package: str) -> None:
    """Make an imported package callable."""
    sys.modules[package].__class__ = _CallablePackage
