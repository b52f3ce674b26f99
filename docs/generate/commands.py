"""The reference of the command line."""

from __future__ import annotations

from typing import Any

import typer

from autolabel.cli.app import app
from docs.generate.markdown import code, plain, table

GENERAL = "autolabel"


def commands() -> str:
    """Return a section for the options of all commands, then one for each command."""
    group: Any = typer.main.get_command(app)
    parts = [described(GENERAL, group, usage=f"{GENERAL} [OPTIONS] COMMAND ...")]
    for name, command in sorted(group.commands.items()):
        parts.append(described(f"{GENERAL} {name}", command, usage=usage(name, command)))
    return "\n\n".join(parts)


def described(title: str, command: Any, *, usage: str) -> str:
    """Return the section of a command."""
    context = typer.Context(command, info_name=title)
    records = [record for param in command.params if (record := param.get_help_record(context))]
    rows = [(code(name.replace(" <bool>", "")), plain(text)) for name, text in records]
    parts = [f"### `{title}`", plain(command.help), f"```text\n{usage}\n```"]
    return "\n\n".join([*parts, *([table(("argument or option", "meaning"), rows)] if rows else [])])


def usage(name: str, command: Any) -> str:
    """Return a line that shows how a command is called."""
    words = [GENERAL, name]
    for param in command.params:
        if param.param_type_name == "argument":
            word = param.metavar or param.name.upper()
            words.append(word if param.required or word.startswith("[") else f"[{word}]")
    return " ".join([*words, "[OPTIONS]"])
