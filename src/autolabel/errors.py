"""The errors that autolabel raises on purpose.

AutolabelError                exit code
├── SpecError                 2   the spec, an override or the command line is wrong
├── PluginError               2   an installed strategy package is broken, or two offer the same name
│   └── UnknownStrategyError  2   no installed package offers a strategy of that name
├── MachineError              3   this machine cannot do it: device, weights, memory, disk
│   ├── WeightsError          3   a checkpoint is missing, refused or does not fit
│   └── EndpointError         3   a model's server is not reached, refuses everybody, or the budget is used up
├── DataError                 4   an input data file is wrong
│   └── ImageError            -   one image cannot be used: recorded in its row, never ends a run
├── BusyError                 5   the results directory is in use, or belongs to another plan
└── WorkerError               70  a worker failed for a reason that is no fault of its input
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from autolabel.redact import hidden


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong in a file a person wrote, with its place.

    ``line`` and ``column`` count from 1; 0 means that the place inside the file is not known.
    ``path`` is the dotted path of the value, or a JSON pointer in JSON data.
    URLs in it are kept without users, passwords and queries.
    """

    file: str
    message: str
    line: int = 0
    column: int = 0
    path: str = ""
    hint: str = ""

    def __post_init__(self) -> None:
        """Remove secrets of URLs."""
        for name in ("file", "message", "path", "hint"):
            object.__setattr__(self, name, hidden(getattr(self, name)))

    def __str__(self) -> str:
        """Return ``file:line:column: path: message``, with the hint on a line of its own."""
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        text = ": ".join(part for part in (place, self.path, self.message) if part)
        return f"{text}\n  hint: {self.hint}" if self.hint else text

    def as_dict(self) -> dict[str, str | int]:
        """Return the fields as plain JSON."""
        return asdict(self)


class AutolabelError(Exception):
    """The base class of every error that autolabel raises on purpose."""

    exit_code: ClassVar[int] = 70

    def __init__(self, message: str, *, hint: str = "") -> None:
        message, hint = hidden(message), hidden(hint)
        super().__init__(f"{message}\n  hint: {hint}" if hint else message)
        self.message = message
        self.hint = hint

    def as_dict(self) -> dict[str, Any]:
        """Return the error's data as plain JSON."""
        return {"error": self.message, "hint": self.hint}


class _ProblemsError(AutolabelError):
    def __init__(self, problems: Sequence[Problem] | Problem | str, *, hint: str = "") -> None:
        if isinstance(problems, str):
            super().__init__(problems, hint=hint)
            self.problems: tuple[Problem, ...] = ()
            return
        self.problems = (problems,) if isinstance(problems, Problem) else tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))

    def as_dict(self) -> dict[str, Any]:
        """Return what a program may want to know, each problem with its place."""
        return super().as_dict() | {"problems": [problem.as_dict() for problem in self.problems]}


class SpecError(_ProblemsError):
    """The spec, an override or the command line is wrong; carries every problem found."""

    exit_code = 2


class PluginError(AutolabelError):
    """An installed strategy package is broken, or two offer the same name."""

    exit_code = 2


class UnknownStrategyError(PluginError):
    """No installed package offers a strategy of that kind and name."""


class MachineError(AutolabelError):
    """This machine cannot do it: no such device, too little memory or disk."""

    exit_code = 3


class WeightsError(MachineError):
    """A checkpoint is missing, refused, or does not fit the network."""


class EndpointError(MachineError):
    """A model's server cannot be reached, refuses all requests, or the budget is used up."""


class DataError(_ProblemsError):
    """An input data file (COCO, JSONL) is wrong; carries every problem found."""

    exit_code = 4


class ImageError(DataError):
    """One image cannot be used; ``code`` is the word for its row in the ledger."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class BusyError(AutolabelError):
    """The results directory is in use by another run, or holds the results of another plan."""

    exit_code = 5

    def __init__(self, message: str, *, hint: str = "", differences: Sequence[str] = ()) -> None:
        super().__init__(message, hint=hint)
        self.differences = tuple(map(hidden, differences))
        """The differences of the two plans, the most important first."""

    def as_dict(self) -> dict[str, Any]:
        """Return what a program may want to know, all differences among it."""
        return super().as_dict() | {"differences": list(self.differences)}


class WorkerError(AutolabelError):
    """A worker raised an error that is no fault of its input; carries its traceback as text."""
