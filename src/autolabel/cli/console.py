"""Print results on stdout, progress and notices on stderr; a plan is printed by ``printed_plan``."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from autolabel.cli.terminal import LiteralConsole
from autolabel.literal import escape_json

if TYPE_CHECKING:
    from autolabel.plan.model import Plan, Shard
    from autolabel.registry import Registry
    from autolabel.results.slices import Slice
    from autolabel.results.status import SliceStatus, Status
    from autolabel.results.summary import Summary
    from autolabel.run.worker import Watch
    from autolabel.strategies import Finding

_WIDE = 160
_UNBOUNDED = 10_000
"""Width, in characters, of a table that is not printed to a terminal."""
out = LiteralConsole(width=None if sys.stdout.isatty() else _WIDE)
err = LiteralConsole(stderr=True)
_GIVEN = -1


def print_json(value: Any) -> None:
    """Print a value as indented JSON."""
    import msgspec

    out.say(escape_json(msgspec.json.format(msgspec.json.encode(value), indent=2).decode()))


def print_units(units: Sequence[Mapping[str, Any]], *, json: bool) -> None:
    """Print the boxes and images to check."""
    if json:
        print_json(list(units))
        return
    for unit in units:
        place = " ".join(f"{number:g}" for number in unit.get("bbox", ()))
        question = (
            f"{unit['phrase']!r} at {place}, score {unit['score']:g}: right?" if place else "which objects are missing?"
        )
        out.say(f"{unit['id']}  {printable(unit['image'])}: {printable(question)}")
    if not units:
        out.say("everything has been checked")


def notices(lines: Sequence[str]) -> None:
    """Print notices on stderr."""
    for line in lines:
        err.print(f"note: {line}", markup=False, soft_wrap=True)


@contextmanager
def watching(*, quiet: bool) -> Iterator[Watch]:
    """Show progress while the block runs: a bar on a terminal, else lines; only notes if ``quiet``."""
    from autolabel.cli.progress import Bars, Lines, Quiet

    if quiet:
        yield Quiet(err)
    elif err.is_terminal:
        with Bars(err) as bars:
            yield bars
    else:
        yield Lines(err)


def number_table(*columns: str, title: str | None = None, numbers: Sequence[str] = ()) -> Table:
    """Return an empty table; columns in ``numbers`` are aligned right."""
    made = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        made.add_column(column, justify="right" if column in numbers else "left", overflow="fold")
    return made


def print_findings(found: Mapping[str, Sequence[Finding]], *, json: bool) -> None:
    """Print the findings about each labeler's endpoint."""
    if json:
        print_json({name: [asdict(one) for one in findings] for name, findings in found.items()})
        return
    for name, findings in found.items():
        out.say(name)
        for one in findings:
            mark = {True: "right", False: "WRONG", None: ""}[one.right]
            out.say(f"  {mark:5}  {one.subject}: {one.said}")
            if one.hint:
                out.say(f"         {one.hint}")


def print_summary(summary: Summary, plan: Plan) -> None:
    """Print the boxes of each class and round, the failures, and the files that were written."""
    rounds = [_GIVEN] if any(round == _GIVEN for _, round in summary.found) else []
    rounds += [round.index for stage in plan.recipe.stages for round in stage.rounds]
    headings = ["given" if round == _GIVEN else f"round {round}" for round in rounds]
    found = number_table("class", *headings, "all", numbers=(*headings, "all"))
    counts = {name: [summary.found[name, round] for round in rounds] for name in plan.manifest.classes}
    for name, numbers in _shown_classes(counts):
        cells = (f"{count:,}" for count in (*numbers, sum(numbers)))
        found.add_row(Text(name), *cells, style=None if any(numbers) else "yellow")
    show(found)
    out.print()
    states = ", ".join(f"{summary.states[state]:,} {state}" for state in ("labelled", "empty", "failed"))
    captions = "" if summary.rows == summary.images else f" with {count_noun(summary.rows, 'caption')}"
    found_all = f"{count_noun(summary.boxes, 'box', 'boxes')}, {count_noun(summary.masks, 'mask')}"
    out.print(f"{count_noun(summary.images, 'image')}{captions}: {states}; {found_all}")
    for code, count in sorted(summary.reasons.items()):
        out.print(Text(f"  {count:,} x {code}", style="red"))
    for image, message in summary.failures:
        out.print(Text(f"  {printable(image)}: {printable(message)}", style="red"), soft_wrap=True)
    for path in summary.written:
        out.print(f"  {nearby(path)}", markup=False, soft_wrap=True)


def print_too_many_failures(summary: Summary) -> None:
    """Print why a finished run ends with exit code 1."""
    failed, rows, limit = summary.states["failed"], summary.rows, summary.max_failures
    allowed = f"a share of {limit:g}, {int(limit * rows):,} of them" if isinstance(limit, float) else f"{limit:,}"
    what = "images" if rows == summary.images else "captions"
    err.say(f"{failed:,} of {rows:,} {what} failed; run.max_failures allows {allowed}: exit code 1")


def print_slice(part: Slice, shards: Sequence[Shard], plan: Plan, *, json: bool) -> None:
    """Print what a slice has labelled, and the next command."""
    rows = sum(shard.rows for shard in shards)
    if json:
        print_json({"slice": str(part), "shards": len(shards), "rows": rows, "results_dir": plan.outputs.results_dir})
        return
    out.print(f"slice {part}: {count_noun(len(shards), 'shard')} with {count_noun(rows, 'row')} labelled")
    out.say(f"when all {part.count} slices are done: autolabel merge {quote(nearby(plan.outputs.results_dir))}")


def _shown_classes(counts: Mapping[str, Sequence[int]], most: int = 50) -> Iterator[tuple[str, Sequence[int]]]:
    """Yield the classes with boxes, then those without, up to ``most``."""
    ordered = sorted(counts.items(), key=lambda item: not any(item[1]))
    yield from ((printable(name), numbers) for name, numbers in ordered[:most])
    if len(ordered) > most:
        rest = [numbers for _, numbers in ordered[most:]]
        yield f"{len(rest):,} more", [sum(column) for column in zip(*rest, strict=True)]


def count_noun(count: int, one: str, many: str = "") -> str:
    """Return a number with its noun."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def printable(text: str) -> str:
    """Return text with its control characters escaped, so that no name can move the cursor."""
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in text)


def show(made: Table, *, width: int = _WIDE) -> None:
    """Print a table; to a file or pipe, up to ``width`` characters wide and without trailing spaces."""
    if out.is_terminal:
        out.print(made)
        return
    wide = LiteralConsole(width=width)
    with wide.capture() as capture:
        wide.print(made)
    sys.stdout.write("".join(line.rstrip() + "\n" for line in capture.get().splitlines()))


def nearby(path: str) -> str:
    """Return a path relative to the working directory where it lies below that."""
    here = Path.cwd()
    return str(Path(path).relative_to(here)) if Path(path).is_relative_to(here) else path


def print_status(status: Status) -> None:
    """Print the progress of a run."""
    rate, left = status.rows_per_second, status.seconds_left
    missing = [name for name, current in status.outputs.items() if not current]
    print_facts(
        {
            "plan": status.digest[:16],
            **{name: f"{done} rows" for name, done in status.stages.items()},
            "states": ", ".join(f"{count:,} {state}" for state, count in status.states.items())
            or "nothing labelled yet",
            **({"damaged": _damage(status.damaged)} if status.damaged else {}),
            "finished": "yes" if status.finished else "no",
            **({"not written": ", ".join(f"{name}/" for name in missing)} if missing else {}),
            **({"rate": f"{rate:.2f} rows a second"} if rate and not status.finished else {}),
            **({"time left": f"about {left:,.0f} s"} if left else {}),
            **({"running": f"{status.running.name}, since {status.running.since}"} if status.running else {}),
        }
    )
    if status.slices:
        _print_parts(status.slices)


def _damage(files: Sequence[str], most: int = 8) -> str:
    """Return the names of damaged files, and the command that repairs them."""
    more = f"\nand {len(files) - most:,} more" if len(files) > most else ""
    advice = "\n`autolabel generate SPEC` repairs them"
    return "\n".join(map(printable, files[:most])) + more + advice


def _print_parts(parts: Sequence[SliceStatus]) -> None:
    """Print the progress of unfinished slices, and who runs them."""
    names = list(parts[0].stages)
    made = number_table("slice", "rows", *names, "running", numbers=("rows", *names))
    for part in parts:
        if not part.done or part.running:
            who = f"{part.running.name}, since {part.running.since}" if part.running else "no"
            made.add_row(part.slice, f"{part.rows:,}", *(f"{part.stages[name]:,}" for name in names), who)
    out.print()
    if made.row_count:
        show(made)
    done = sum(part.done for part in parts)
    out.print(f"{done:,} of {count_noun(len(parts), 'slice')} done")


def print_facts(facts: Mapping[str, Any]) -> None:
    """Print names with their values, a line each."""
    made = number_table("", "")
    made.show_header = False
    for name, value in facts.items():
        made.add_row(Text(name, style="dim"), Text(str(value)))
    show(made)


def print_plugins(registry: Registry, *, json: bool) -> None:
    """List the strategies with their packages and parameters."""
    entries: list[dict[str, Any]] = [
        {
            "kind": entry.kind,
            "name": entry.name,
            "package": entry.package,
            "version": entry.version,
            "module": entry.strategy.__module__,
            "file": entry.file,
            "parameters": sorted(entry.strategy.Params.model_fields),
        }
        for entry in registry
    ]
    if json:
        print_json(entries)
        return
    made = number_table("kind", "name", "package", "version", "from", "parameters")
    for entry in entries:
        columns = [entry[key] for key in ("kind", "name", "package", "version")]
        columns += [nearby(entry["file"]), ", ".join(entry["parameters"]) or "none"]
        made.add_row(*(Text(str(cell)) for cell in columns))
    show(made, width=_UNBOUNDED)
