"""Start a short command quickly: libraries that it may not need wait, and garbage is not collected."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec, module_from_spec
from types import ModuleType
from typing import Any


@contextmanager
def quick_start(*libraries: str) -> Iterator[None]:
    """Run a block that ends within a second and starts no threads.

    ``import`` of the libraries waits until something of them is used, now or after the block. Garbage collection is
    paused: with many imports it takes a tenth of the time and finds nothing.
    """
    for name in libraries:
        _defer(name)
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


class _Deferred(ModuleType):
    """A module that is executed when anything but its name and spec is looked up.

    ``importlib.util.LazyLoader`` is no help: in Python 3.11 a second ``import`` statement executes its module.
    """

    def __getattr__(self, name: str) -> Any:
        """Execute the module in place, once, and return its attribute."""
        self.__class__ = ModuleType  # type: ignore[assignment]
        spec = self.__spec__
        assert spec is not None and spec.loader is not None
        vars(self).update(vars(module_from_spec(spec)))
        spec.loader.exec_module(self)
        return getattr(self, name)


def _defer(name: str) -> None:
    """Put a deferred module in place of a library, unless it is imported, or not installed."""
    if name in sys.modules or (spec := find_spec(name)) is None:
        return
    module = _Deferred(name)
    module.__spec__ = spec
    sys.modules[name] = module
