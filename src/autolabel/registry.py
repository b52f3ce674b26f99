"""The strategies that installed packages offer, by kind and name."""

from __future__ import annotations

import difflib
import logging
import re
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.metadata import Distribution, EntryPoint, entry_points
from itertools import chain
from typing import Any, Literal, get_args, overload

import pluggy
from pydantic import ValidationError

from autolabel import hookspecs
from autolabel.errors import DataError, PluginError, UnknownStrategyError
from autolabel.strategies import Aggregator, Exporter, Labeler, Look, Scheduler, Strategy

_log = logging.getLogger(__name__)

_SHOWN = 5
_TAKES = "`autolabel plugins` lists what it takes; a plan says what it took when it was made"
_NAME = re.compile(r"\w[\w .+-]*")
"""Valid names of strategies; they become folder names."""
PATIENCE = 10.0
"""Seconds after which a package that is still being imported is named."""
Kind = Literal["scheduler", "aggregator", "labeler", "look", "exporter"]
KINDS: tuple[Kind, ...] = get_args(Kind)
_BASES: dict[Kind, type[Strategy]] = {
    "scheduler": Scheduler,
    "aggregator": Aggregator,
    "labeler": Labeler,
    "look": Look,
    "exporter": Exporter,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A strategy class and the package that offers it."""

    kind: Kind
    name: str
    strategy: type[Strategy]
    package: str
    version: str

    @property
    def file(self) -> str:
        """The file that holds the class; empty if it was not imported from one."""
        return getattr(sys.modules.get(self.strategy.__module__), "__file__", None) or ""


@dataclass(frozen=True, slots=True)
class Registry:
    """Strategies by kind and name."""

    entries: dict[tuple[Kind, str], Entry] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Entry]:
        return iter(sorted(self.entries.values(), key=lambda entry: (KINDS.index(entry.kind), entry.name)))

    def names(self, kind: Kind) -> list[str]:
        """Return the installed names of a kind, sorted."""
        return sorted(name for k, name in self.entries if k == kind)

    def get(self, kind: Kind, name: str) -> Entry:
        """Return a strategy's entry.

        Raises UnknownStrategyError, whose hint lists the installed names, the nearest first.
        """
        try:
            return self.entries[kind, name]
        except KeyError:
            known = self.names(kind)
            near = difflib.get_close_matches(name, known, n=1)
            hint = (f"did you mean {near[0]!r}? " if near else "") + f"installed: {', '.join(known) or 'none'}"
            raise UnknownStrategyError(f"no {kind} is called {name!r}", hint=hint) from None

    @overload
    def make(self, kind: Literal["scheduler"], name: str, params: Mapping[str, Any]) -> Scheduler: ...
    @overload
    def make(self, kind: Literal["aggregator"], name: str, params: Mapping[str, Any]) -> Aggregator: ...
    @overload
    def make(self, kind: Literal["labeler"], name: str, params: Mapping[str, Any]) -> Labeler: ...
    @overload
    def make(self, kind: Literal["look"], name: str, params: Mapping[str, Any]) -> Look: ...
    @overload
    def make(self, kind: Literal["exporter"], name: str, params: Mapping[str, Any]) -> Exporter: ...
    def make(self, kind: Kind, name: str, params: Mapping[str, Any]) -> Strategy:
        """Return a new strategy of a name with these parameters.

        Raises UnknownStrategyError for an unknown name, DataError for wrong parameters.
        """
        strategy = self.get(kind, name).strategy
        try:
            return strategy(strategy.Params.model_validate(params))
        except ValidationError as error:
            faults = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()[:_SHOWN])
            raise DataError(f"{kind} {name!r}: {faults.replace('Value error, ', '')}", hint=_TAKES) from None

    def add(self, kind: Kind, strategy: type[Strategy], *, package: str, version: str) -> None:
        """Add a class; raises PluginError if it has no name, is of the wrong kind, or its name is taken."""
        if not (isinstance(strategy, type) and issubclass(strategy, _BASES[kind])):
            raise PluginError(f"package {package!r}: {strategy!r} is not a subclass of {_BASES[kind].__name__}")
        name = getattr(strategy, "name", None)
        if not isinstance(name, str) or not name:
            raise PluginError(f"package {package!r}: {kind} {strategy.__qualname__} has no name")
        if not _NAME.fullmatch(name):
            hint = "letters, digits, _, -, ., + and spaces"
            raise PluginError(f"package {package!r}: {kind} {strategy.__qualname__} is called {name!r}", hint=hint)
        if taken := self.entries.get((kind, name)):
            raise PluginError(
                f"{kind} {name!r} is offered by two packages: {taken.package!r} and {package!r}",
                hint="uninstall one of them",
            )
        self.entries[kind, name] = Entry(kind=kind, name=name, strategy=strategy, package=package, version=version)


def discover() -> Registry:
    """Load every package of the entry-point group ``autolabel`` and return their strategies.

    Raises PluginError, naming every package that cannot be imported, misspells a hook, or repeats a name.
    """
    registry, broken = Registry(), list[PluginError]()
    for point in sorted(entry_points(group=hookspecs.GROUP), key=lambda point: (point.value, point.name)):
        try:
            register(registry, _load(point), package=_distribution(point), version=_version(point))
        except PluginError as error:
            broken.append(error)
    if len(broken) > 1:
        listed = "\n".join(map(str, broken))
        raise PluginError(f"{len(broken)} installed packages of strategies are broken:\n{listed}") from broken[0]
    if broken:
        raise broken[0]
    return registry


def _load(point: EntryPoint) -> Any:
    """Import an entry point's module; raises PluginError if that fails in any way, including SystemExit."""
    try:
        with _watched(_distribution(point)):
            return point.load()
    except (Exception, SystemExit) as error:
        message = f"package {_distribution(point)!r} cannot be imported: {type(error).__name__}: {error}"
        raise PluginError(message, hint=f"repair or uninstall it (entry point {point.value!r})") from error


@contextmanager
def _watched(package: str) -> Iterator[None]:
    """Run a package's code with its output sent to stderr; warn, naming the package, if it takes long."""
    message = "package %r is still being imported after %g s"
    timer = threading.Timer(PATIENCE, _log.warning, (message, package, PATIENCE))
    timer.daemon = True
    timer.start()
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        timer.cancel()


def register(registry: Registry, plugin: Any, *, package: str, version: str) -> None:
    """Call a plugin's hooks and add the classes they return."""
    manager = pluggy.PluginManager(hookspecs.GROUP)
    manager.add_hookspecs(hookspecs)
    try:
        manager.register(plugin, name=package)
        manager.check_pending()
        with _watched(package):
            offered = {kind: [*chain(*getattr(manager.hook, f"autolabel_{kind}s")())] for kind in KINDS}
    except (Exception, SystemExit) as error:
        known = ", ".join(f"autolabel_{kind}s" for kind in KINDS)
        said = str(error) if isinstance(error, pluggy.PluginValidationError) else f"{type(error).__name__}: {error}"
        raise PluginError(f"package {package!r}: {said}", hint=f"the hooks are {known}") from error
    for kind in KINDS:
        for strategy in offered[kind]:
            registry.add(kind, strategy, package=package, version=version)


def _distribution(point: EntryPoint) -> str:
    """Return the name of the distribution that declares an entry point."""
    return _name_and_version(point.dist)[0] if point.dist else point.value


def _version(point: EntryPoint) -> str:
    """Return the version of the distribution that declares an entry point."""
    return _name_and_version(point.dist)[1] if point.dist else "0"


@lru_cache(64)
def _name_and_version(distribution: Distribution) -> tuple[str, str]:
    """Return the name and version of a distribution; its metadata is parsed once."""
    told = distribution.metadata
    return told["Name"], told["Version"]
