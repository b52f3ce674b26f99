"""Packages whose name is also that of a function of the API: ``autolabel.report`` holds modules, and can be called."""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import Any


class _CallablePackage(ModuleType):
    """A package that passes calls on to the API's function of its name."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return getattr(import_module("autolabel.api"), self.__name__.rpartition(".")[2])(*arguments, **options)


def make_callable(package: str) -> None:
    """Let an imported package be called."""
    sys.modules[package].__class__ = _CallablePackage
