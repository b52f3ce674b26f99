"""Run what the documentation shows.

A comment on the line above a fenced block says what is done with it. All blocks of a page share one folder, in order.

``<!-- run -->``             a console block: commands after ``$``, then what they print. A python block: is executed.
``<!-- run: exits 2 -->``    the block's last command ends with that exit code; without this it is 0.
``<!-- run: numbers vary -->``  only the words are compared, neither numbers nor hashes.
``<!-- run: needs pandas -->``  the block is left out where that library is not installed; its warnings are its own.
``<!-- file: NAME -->``      the block is written to NAME.
``<!-- soak ... -->``        as ``run``, but only in the long form of the tests.

``...`` stands for any text; a command that shows no output may print anything. The folder is called /home/me.
"""

from __future__ import annotations

import io
import logging
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from unittest.mock import patch
from warnings import catch_warnings

from autolabel.cli import app

ROOT = Path(__file__).resolve().parents[2]
HOME = "/home/me"
REWRITE = "AUTOLABEL_REWRITE"
BLOCK = re.compile(
    r"^<!-- (?P<verb>run|file|soak)(?:: (?P<about>.*?))? -->\n+```(?P<language>\w+)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
NUMBER = re.compile(r"\b[0-9a-f]{12,}\b|[\d,.]*\d")


@dataclass(frozen=True)
class Block:
    """A fenced block with what its comment says."""

    verb: str
    about: str
    language: str
    text: str
    line: int
    span: tuple[int, int]


@dataclass(frozen=True)
class Step:
    """A command and what is shown of its output."""

    command: str
    shown: str
    typed: str = field(default="", compare=False)
    """The command as the page has it, which may go over several lines."""


def pages() -> list[Path]:
    """Return every page that people read."""
    found = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    return sorted(path for path in found if not any(part.startswith(".") for part in path.relative_to(ROOT).parts))


def blocks(page: Path) -> list[Block]:
    """Return a page's marked blocks."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(
            found["verb"],
            found["about"] or "",
            found["language"],
            found["text"],
            text.count("\n", 0, found.start()) + 1,
            found.span("text"),
        )
        for found in BLOCK.finditer(text)
    ]


def steps(text: str) -> list[Step]:
    """Cut a console block into its commands."""
    found: list[list[str]] = []
    for line in text.splitlines():
        continued = bool(found) and len(found[-1]) == 1 and found[-1][0].endswith("\\")
        if line.startswith("$ "):
            found.append([line[2:]])
        elif continued:
            found[-1][0] += f"\n{line}"
        else:
            assert found, f"a console block begins with a command, found {line!r}"
            found[-1].append(line)
    return [Step(re.sub(r"\\\n\s*", " ", typed), "\n".join(rest), typed) for typed, *rest in found]


def same(shown: str, printed: str, *, numbers: bool) -> bool:
    """Return whether a page shows what was printed, but for space at the ends of lines."""
    shown, printed = tidy(shown), tidy(printed)
    if not numbers:
        shown, printed = (" ".join(NUMBER.sub("#", text).split()) for text in (shown, printed))
    pattern = ".*?".join(re.escape(part) for part in shown.split("..."))
    return re.fullmatch(pattern, printed, re.DOTALL) is not None


def tidy(text: str) -> str:
    """Drop empty lines at the end, and spaces at the ends of lines."""
    return "\n".join(line.rstrip() for line in text.rstrip().splitlines())


def play(page: Path, folder: Path, *, path: str, soak: bool = False) -> None:
    """Do what a page says in ``folder``, which looks like the root of a clone; raise where it shows something else."""
    for name in ("examples", "specs", "docs", "checkpoints", "training"):
        (folder / name).symlink_to(ROOT / name)
    names: dict[str, Any] = {"__name__": "__main__"}
    chosen = [block for block in blocks(page) if soak or block.verb != "soak"]
    played = [play_block(block, page, folder, names, path=path) for block in chosen]
    written = page.read_text(encoding="utf-8")
    for block in reversed(played):
        written = written[: block.span[0]] + block.text + written[block.span[1] :]
    if os.environ.get(REWRITE):
        page.write_text(written, encoding="utf-8")


def play_block(block: Block, page: Path, folder: Path, names: dict[str, Any], *, path: str) -> Block:
    """Do what a block says and return it as it should be; python blocks share ``names``."""
    place = f"{page.relative_to(ROOT)}:{block.line}"
    if block.verb == "file":
        target = folder / block.about
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(block.text, encoding="utf-8")
    elif block.language == "python":
        needed = re.search(r"needs (\w+)", block.about)
        if needed and find_spec(needed[1]) is None:
            return block
        with inside(folder), catch_warnings(action="ignore" if needed else None):
            exec(compile(block.text, place, "exec"), names)
    else:
        return play_console(block, place, folder, path=path)
    return block


def play_console(block: Block, place: str, folder: Path, *, path: str) -> Block:
    """Run the commands of a block; return it with what they printed."""
    shown, exits = steps(block.text), re.search(r"exits (\d+)", block.about)
    out = []
    for number, step in enumerate(shown, 1):
        status, printed = run(step.command, folder, path=path)
        wanted = int(exits[1]) if exits and number == len(shown) else 0
        assert status == wanted, f"{place}: {step.command}: exit code {status}, wanted {wanted}\n{printed}"
        right = not step.shown.strip() or same(step.shown, printed, numbers="numbers vary" not in block.about)
        if not right and not os.environ.get(REWRITE):
            hint = f"{REWRITE}=1 python -m pytest tests/docs writes the pages anew, to be read"
            raise AssertionError(
                f"{place}: {step.command} printed\n{printed}\nand the page shows\n{step.shown}\n{hint}"
            )
        kept = not step.shown.strip() or same(step.shown, printed, numbers=True)
        out += [f"$ {step.typed}", *(step.shown.splitlines() if kept else anew(step.shown, printed))]
    return Block(**{**vars(block), "text": "\n".join(out) + "\n"})


def anew(shown: str, printed: str) -> list[str]:
    """Return what was printed, as far as the page shows it: a line of dots keeps standing for what it stood for."""
    before, dots, after = shown.partition("\n...\n")
    lines = tidy(printed).splitlines()
    if not dots:
        return lines
    return [*lines[: before.count("\n") + 1], "...", *lines[len(lines) - after.rstrip().count("\n") - 1 :]]


def run(command: str, folder: Path, *, path: str) -> tuple[int, str]:
    """Run a command in ``folder`` and return its exit code with what it printed, stdout and stderr together."""
    words = shlex.split(command, comments=True)
    if words[0] == "autolabel" and not {"|", ">", "&&"} & set(words):
        status, printed = autolabel(words[1:], folder)
    else:
        tools = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=folder,
            env={**os.environ, "PATH": tools, "PYTHONPATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        status, printed = done.returncode, done.stdout
    return status, printed.replace(str(folder), HOME)


def autolabel(words: list[str], folder: Path) -> tuple[int, str]:
    """Run the command line in this process, which saves starting another one."""
    printed = io.StringIO()
    arguments = patch.object(sys, "argv", ["autolabel", *words])
    with inside(folder), arguments, redirect_stdout(printed), redirect_stderr(printed):
        try:
            app.main()
            status = 0
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else int(end.code is not None)
    return status, printed.getvalue()


@contextmanager
def inside(folder: Path) -> Iterator[None]:
    """Work in ``folder``; afterwards this process is as it was."""
    here = Path.cwd()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    logs, logging.root.handlers = logging.root.handlers, []
    try:
        with patch.dict(os.environ, {"CUDA_VISIBLE_DEVICES": ""}), patch.object(sys, "path", [str(folder), *sys.path]):
            os.chdir(folder)
            yield
    finally:
        os.chdir(here)
        logging.root.handlers = logs
        for number, handler in handlers.items():
            signal.signal(number, handler)
