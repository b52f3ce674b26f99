"""Checks for all kinds of strategy: name, strict parameters, pickling, light import."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from autolabel.strategies import Strategy

_HEAVY = ("torch", "transformers", "tensorflow", "jax", "sklearn", "scipy", "numba", "pycocotools")
"""Modules that must not be imported when strategies are discovered."""
_IMPORTER = """
import importlib, json, sys
module, sys.path[:], heavy = json.loads(sys.stdin.read())
importlib.import_module(module)
print(json.dumps([name for name in heavy if name in sys.modules]))
"""
_UNKNOWN = "no_such_parameter"
_S = TypeVar("_S", bound=Strategy)


@dataclass(frozen=True, slots=True)
class Subject(Generic[_S]):
    """A strategy class under test, with its parameters as in a spec."""

    strategy: type[_S]
    params: Mapping[str, Any]

    def require(self, holds: object, clause: str) -> None:
        """Raise AssertionError with the strategy's name and ``clause`` unless it holds."""
        if not holds:
            raise AssertionError(self.sentence(clause))

    def sentence(self, clause: str) -> str:
        """Return ``clause`` with the strategy's name before it."""
        return f"{self.strategy.__module__}.{self.strategy.__qualname__}: {clause}"

    def make(self) -> _S:
        """Return a new instance."""
        return self.strategy(self.strategy.Params.model_validate(dict(self.params)))

    def check(self, kind: type[Any]) -> None:
        """Check the common contract."""
        self.require(isinstance(self.strategy, type), "must be a class, not an instance")
        self.require(issubclass(self.strategy, kind), f"must be a subclass of {kind.__name__}")
        name = getattr(self.strategy, "name", None)
        self.require(isinstance(name, str) and name, f"`name` must be a text that is not empty, found {name!r}")
        self.check_params()
        self.check_pickling()
        self.check_import()

    def check_params(self) -> None:
        """Check that parameters are a frozen model that rejects unknown keys, and that the instance stores them."""
        model = self.strategy.Params
        self.require(issubclass(model, BaseModel), "`Params` must be a pydantic model")
        self.require(model.model_config.get("frozen"), "`Params` must be frozen")
        self.require(model.model_config.get("extra") == "forbid", "`Params` must forbid unknown keys (extra='forbid')")
        try:
            params = model.model_validate(dict(self.params))
        except ValidationError as error:
            raise AssertionError(self.sentence(f"`Params` refuses the parameters: {error}")) from error
        self.require(self.strategy(params).params == params, "an instance must keep its parameters as `self.params`")
        self.require(
            model.model_validate(params.model_dump(mode="json")) == params, "`Params` must survive a trip through JSON"
        )
        self.require(not self.accepts_unknown(), "`Params` must refuse a key that it does not know")

    def accepts_unknown(self) -> bool:
        """Return whether a parameter that does not exist passes validation."""
        try:
            self.strategy.Params.model_validate({**self.params, _UNKNOWN: 1})
        except ValidationError:
            return False
        return True

    def check_pickling(self) -> None:
        """Check that class and parameters can be sent to a worker."""
        params = self.strategy.Params.model_validate(dict(self.params))
        try:
            loaded = pickle.loads(pickle.dumps((self.strategy, params)))
        except Exception as error:
            raise AssertionError(self.sentence(f"class and params must pickle: {error}")) from error
        self.require(loaded == (self.strategy, params), "class and params must be equal after pickling")

    def check_import(self) -> None:
        """Check, in a new process, that the strategy's module can be imported without the heavy packages."""
        problem, heavy = _heavy_imports(self.strategy.__module__, tuple(sys.path))
        self.require(not problem, f"its module must be importable by itself:\n{problem}")
        self.require(not heavy, f"importing its module may not import {', '.join(heavy)}: import inside functions")


@cache
def _heavy_imports(module: str, path: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """Import a module in a new process; return the error, if any, and the heavy packages that were imported."""
    order = json.dumps([module, path, _HEAVY])
    done = subprocess.run([sys.executable, "-c", _IMPORTER], input=order, capture_output=True, text=True, check=False)
    if done.returncode:
        return done.stderr or f"exit status {done.returncode}", ()
    return "", tuple(json.loads(done.stdout.splitlines()[-1]))
