"""The errors that autolabel raises on purpose."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator

import autolabel
from autolabel.errors import AutolabelError
from docs.generate.markdown import code, plain, table

OTHER_CODES = {
    0: "Done.",
    1: "Done, but more images failed than `run.max_failures` allows, `calibrate` found no guaranteed"
    " threshold for some class, or `improve` could not show that the new labels are better. Everything is written.",
    70: "A bug. The traceback is printed; please report it with the output of `autolabel doctor`.",
    130: "Stopped by SIGINT (Ctrl-C). The same command resumes.",
    143: "Stopped by SIGTERM. The same command resumes.",
}


def exit_codes() -> str:
    """Return the table of exit codes; several errors may share one."""
    told = dict(OTHER_CODES)
    for error in errors():
        if error.exit_code not in OTHER_CODES and len(ancestors(error)) == 2:
            told[error.exit_code] = " Or: ".join(filter(None, [told.get(error.exit_code), summary(error)]))
    return table(("exit code", "meaning"), ((str(number), told[number]) for number in sorted(told)))


def tree() -> str:
    """Return every public error, each below what it derives from."""
    rows = ((indented(error), str(error.exit_code), code(error.__module__), summary(error)) for error in errors())
    return table(("error", "exit code", "module", "meaning"), rows)


def indented(error: type[AutolabelError]) -> str:
    """Return an error's name, set in by how deep it lies."""
    return "&emsp;" * (len(ancestors(error)) - 1) + code(error.__name__)


def ancestors(error: type[AutolabelError]) -> list[type[AutolabelError]]:
    """Return the public errors that an error is, itself included."""
    return [base for base in error.__mro__ if issubclass(base, AutolabelError) and not base.__name__.startswith("_")]


def summary(error: type[AutolabelError]) -> str:
    """Return the first line of an error's docstring."""
    return plain(error.__doc__).splitlines()[0]


def errors() -> list[type[AutolabelError]]:
    """Return all public errors of the core, each after its parents."""
    for module in pkgutil.walk_packages(autolabel.__path__, "autolabel."):
        if not module.name.endswith("__main__") and not module.name.startswith("autolabel.integrations."):
            importlib.import_module(module.name)
    found = [error for error in below(AutolabelError) if error.__module__.startswith("autolabel.")]
    return sorted(found, key=lambda error: [base.__name__ for base in reversed(ancestors(error))])


def below(error: type[AutolabelError]) -> Iterator[type[AutolabelError]]:
    """Yield a class with all that derive from it, but for private ones."""
    if not error.__name__.startswith("_"):
        yield error
    for child in error.__subclasses__():
        yield from below(child)
