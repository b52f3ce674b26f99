"""The ``autolabel`` command."""

from __future__ import annotations

import logging
import os
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, NoReturn

import typer
import typer.core

import autolabel
from autolabel import os_errors
from autolabel.cli import (
    certify,
    console,
    diff,
    doubts,
    duplicates,
    explain,
    improve,
    installed,
    label,
    phrases,
    results,
    review,
    serve,
    train,
)
from autolabel.cli.pipe import ending_quietly
from autolabel.errors import AutolabelError, MachineError
from autolabel.literal import LiteralFormatter, escape
from autolabel.redact import hidden

_USAGE: Any = typer.BadParameter.__base__
"""Exceptions that typer raises for a wrong command line."""


class _PlainUsage(typer.core.TyperGroup):
    """Reports a wrong command line without secrets of URLs and without control characters."""

    def make_context(self, *values: Any, **words: Any) -> Any:
        """Parse the options before the command."""
        with _showing_little():
            return super().make_context(*values, **words)

    def invoke(self, ctx: Any) -> Any:
        """Parse the arguments of the command, and run it."""
        with _showing_little():
            return super().invoke(ctx)


@contextmanager
def _showing_little() -> Iterator[None]:
    """Remove secrets and control characters from usage errors."""
    try:
        yield
    except _USAGE as error:
        error.message = escape(hidden(error.message))
        raise


app = typer.Typer(
    name="autolabel",
    cls=_PlainUsage,
    help="Label image data sets from a short spec.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


class _Stopped(BaseException):
    """SIGINT or SIGTERM arrived."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.exit_code = 128 + number


def _show_version(wanted: bool) -> None:
    """Print the version and exit."""
    if wanted:
        typer.echo(f"autolabel {autolabel.__version__}")
        raise typer.Exit


def is_ours_or_warns(record: logging.LogRecord) -> bool:
    """Return whether to show a log record; records of other libraries below WARNING may contain credentials."""
    return record.levelno >= logging.WARNING or record.name.startswith("autolabel")


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Log details to stderr.")] = False,
) -> None:
    """Label image data sets from a short spec."""
    handler = logging.StreamHandler()
    handler.setFormatter(LiteralFormatter("%(levelname)s %(name)s: %(message)s"))
    handler.addFilter(is_ours_or_warns)
    logging.basicConfig(level=logging.DEBUG if verbose else logging.WARNING, handlers=[handler])


for command in (
    label.validate,
    label.plan,
    label.generate,
    label.merge,
    results.status,
    results.export,
    results.evaluate,
    results.calibrate,
    certify.certify,
    results.report,
    diff.diff,
    duplicates.duplicates,
    doubts.doubts,
    phrases.phrases,
    review.review,
    results.apply_review,
    explain.explain,
    serve.serve,
    train.train,
    improve.improve,
    installed.plugins,
    installed.new_plugin,
    installed.init,
    installed.schema,
    installed.doctor,
):
    app.command()(command)


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    """Raise on a signal, so that workers stop and files stay whole; a second signal quits at once."""
    signal.signal(number, signal.SIG_DFL)
    raise _Stopped(number)


def obey_tao_visible_devices() -> None:
    """Set CUDA_VISIBLE_DEVICES from TAO_VISIBLE_DEVICES, unless it is set."""
    visible = os.environ.get("TAO_VISIBLE_DEVICES")
    if visible is not None:
        os.environ.setdefault("CUDA_VISIBLE_DEVICES", visible)


def main() -> None:
    """Run the command line; every expected error becomes a message and an exit code."""
    obey_tao_visible_devices()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)
    with ending_quietly():
        _run()


def _run() -> None:
    """Run the command, and turn exceptions into messages and exit codes."""
    try:
        try:
            app()
        finally:
            sys.stdout.flush()  # a failed write is reported here, not when Python exits
    except AutolabelError as error:
        _fail(error)
    except _Stopped as stopped:
        console.err.print("interrupted; the same command resumes")
        sys.exit(stopped.exit_code)
    except BrokenPipeError:
        raise
    except MemoryError:
        console.err.print("this machine has too little memory; the same command resumes")
        sys.exit(MachineError.exit_code)
    except OSError as error:
        _fail(os_errors.expected(error, named=_named()) or _bug())
    except Exception:
        _bug()


def _fail(error: AutolabelError) -> NoReturn:
    """Print an expected error, and exit."""
    try:
        if "--json" in sys.argv[1:]:
            console.print_json(error.as_dict())
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # otherwise Python would try to write the rest when it exits
    console.err.say(str(error))
    sys.exit(error.exit_code)


def _named() -> set[Path]:
    """Return the files that the command line names, as given and as they are found."""
    words = {word for argument in sys.argv[1:] for word in (argument, argument.partition("=")[2]) if word}
    return {Path(word) for word in words} | {Path.cwd() / word for word in words}


def _bug() -> NoReturn:
    """Report an unexpected exception, and exit."""
    console.err.say(traceback.format_exc())
    console.err.print("this is a bug in autolabel; please report it with the lines above and `autolabel doctor`")
    sys.exit(70)
