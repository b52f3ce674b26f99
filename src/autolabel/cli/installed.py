"""Commands about what is installed: ``plugins``, ``new-plugin``, ``init``, ``schema``, ``doctor``."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from autolabel.cli import console
from autolabel.cli.options import AsJson
from autolabel.errors import SpecError


def plugins(json: AsJson = False) -> None:
    """List every strategy that installed packages offer."""
    from autolabel import discover

    console.print_plugins(discover(), json=json)


def new_plugin(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="The name of the strategies in a spec.")] = None,
    kind: Annotated[
        list[str] | None,
        typer.Option(
            "--kind", help="scheduler, aggregator, labeler or exporter; may be repeated. Default: one of each."
        ),
    ] = None,
    into: Annotated[Path, typer.Option("--into", help="The folder that the package is written into.")] = Path(),
    example: Annotated[
        bool, typer.Option("--example", help="Write autolabel-colors instead, the example of the documentation.")
    ] = False,
) -> None:
    """Write a package with strategies to start from, ready to install and test."""
    from autolabel import discover
    from autolabel.cli import new_plugin as writer
    from autolabel.registry import KINDS

    if (name is None) != example or (example and kind):
        said = "no name is given" if name is None else "--example writes one package, which has a name and its kinds"
        raise SpecError(said, hint="autolabel new-plugin birds, or autolabel new-plugin --example")
    if name is None:
        folder, written = writer.write_example(into)
    else:
        folder, written = writer.new_plugin(name, into, kinds=kind or KINDS, registry=discover())
    for path in written:
        console.out.say(str(path))
    if example:
        console.err.say(f"next: pip install {folder if folder.is_absolute() else f'./{folder}'}")
    else:
        console.err.say(f"next: pip install -e '{folder}[test]' && pytest {folder}")


def init(
    path: Annotated[Path, typer.Argument(help="The file to write.")] = Path("spec.yaml"),
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")] = False,
) -> None:
    """Write a commented spec to start from."""
    from autolabel.cli import template

    console.out.say(f"{template.write(path, replace=force)}: edit it, then run `autolabel validate {quote(str(path))}`")


def schema(
    write: Annotated[Path | None, typer.Option("--write", help="Write all schemas into this folder.")] = None,
    check: Annotated[
        Path | None, typer.Option("--check", metavar="FILE", help="Check a document against its schema.")
    ] = None,
    name: Annotated[
        str | None, typer.Argument(help="spec, tao, plan, labels, certificate, review, phrases, doubts or improvement.")
    ] = None,
) -> None:
    """Print a JSON Schema, write all of them, or check a document against its schema."""
    from autolabel.cli.schemas import schema_text, write_all

    if check is not None:
        from autolabel.cli.schema_check import check_document

        console.out.say(f"{check}: fits the schema {check_document(check, name)!r}")
    elif write is not None:
        for path in write_all(write):
            typer.echo(path)
    else:
        typer.echo(schema_text(name or "spec"), nl=False)


def doctor(
    json: AsJson = False,
    endpoint: Annotated[
        str | None,
        typer.Option(
            "--endpoint",
            metavar="SPEC",
            help="Test the endpoints of a spec with generated images: coordinates, form of the answers, cost.",
        ),
    ] = None,
) -> None:
    """Show versions, devices and checkpoints, to send with a question."""
    from autolabel.cli.doctor import examine, examine_endpoints

    if endpoint is not None:
        found_there = examine_endpoints(endpoint)
        console.print_findings(found_there, json=json)
        if any(one.right is False for findings in found_there.values() for one in findings):
            raise typer.Exit(1)
        return

    found = examine()
    if json:
        console.print_json(found)
    else:
        console.print_facts(found)
