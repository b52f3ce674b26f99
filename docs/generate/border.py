"""The reference of the border: hooks, the methods of each kind of strategy, the checks for authors."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

from autolabel import hookspecs, testing
from autolabel.strategies import (
    Aggregator,
    Captioner,
    Detector,
    Exporter,
    Labeler,
    Look,
    Referrer,
    Scheduler,
    Segmenter,
    Strategy,
    Verifier,
)
from docs.generate.markdown import code, plain, table

STRATEGIES: tuple[type[Strategy], ...] = (
    Scheduler,
    Aggregator,
    Labeler,
    Detector,
    Segmenter,
    Verifier,
    Referrer,
    Captioner,
    Look,
    Exporter,
)


def hooks() -> str:
    """Return the table of hooks."""
    found = {name: member for name, member in vars(hookspecs).items() if name.startswith("autolabel_")}
    rows = ((code(f"{name}{spaced(hook)}"), plain(hook.__doc__)) for name, hook in found.items())
    return table(("hook", "what it does"), rows)


def methods() -> str:
    """Return a section for each kind of strategy, with its methods."""
    return "\n\n".join(
        f"#### `{kind.__name__}`\n\n{plain(kind.__doc__)}\n\n{table(('method', '', 'contract'), contracts(kind))}"
        for kind in STRATEGIES
    )


def contracts(kind: type[Strategy]) -> Iterator[tuple[str, str, str]]:
    """Yield the methods that a kind adds."""
    for name, method in vars(kind).items():
        if inspect.isfunction(method) and not name.startswith("_"):
            needed = "required" if getattr(method, "__isabstractmethod__", False) else "optional"
            yield code(f"{name}{spaced(method)}"), needed, plain(method.__doc__)


def spaced(function: object) -> str:
    """Return a function's signature without `self` and without the modules of its types."""
    signature = inspect.signature(function)  # type: ignore[arg-type]
    parameters = [param for param in signature.parameters.values() if param.name != "self"]
    return str(signature.replace(parameters=parameters)).replace("'", "")


def checks() -> str:
    """Return the table of the checks for authors."""
    found = {name: getattr(testing, name) for name in testing.__all__}
    rows = ((code(f"{name}({', '.join(names(function))})"), first(function)) for name, function in found.items())
    return table(("function", "what it does"), rows)


def names(function: object) -> Iterator[str]:
    """Yield a function's parameters as they are given in a call."""
    for name, param in inspect.signature(function).parameters.items():  # type: ignore[arg-type]
        yield f"{name}=..." if param.kind is param.KEYWORD_ONLY else name


def first(function: object) -> str:
    """Return the first paragraph of a docstring."""
    return plain(inspect.getdoc(function)).split("\n\n")[0]
