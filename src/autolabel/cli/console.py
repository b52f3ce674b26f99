"""What the command line prints: results on stdout, progress and notices on stderr."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from autolabel.plan.model import Plan
    from autolabel.registry import Registry
    from autolabel.run.status import Status
    from autolabel.run.summary import Summary
    from autolabel.run.watch import Watch

WIDE = 160
out = Console(highlight=False, width=None if sys.stdout.isatty() else WIDE)
err = Console(stderr=True, highlight=False)
GIVEN = -1


def print_json(value: Any) -> None:
    """Print a value as indented JSON."""
    out.print(msgspec.json.format(msgspec.json.encode(value), indent=2).decode(), markup=False, soft_wrap=True)


def notices(lines: Sequence[str]) -> None:
    """Print what the user should know once."""
    for line in lines:
        err.print(f"note: {line}", markup=False, soft_wrap=True)


@contextmanager
def watching(plan: Plan, *, quiet: bool) -> Iterator[Watch]:
    """Show progress while the block runs: a bar on a terminal, else a line now and then; nothing where ``quiet``."""
    from autolabel.cli.progress import Bars, Lines
    from autolabel.run.watch import Watch

    if quiet:
        yield Watch()
    elif err.is_terminal:
        with Bars(err) as bars:
            yield bars
    else:
        yield Lines(err)


def table(*columns: str, title: str | None = None, numbers: Sequence[str] = ()) -> Table:
    """Return an empty table; columns in ``numbers`` are aligned right."""
    made = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        made.add_column(column, justify="right" if column in numbers else "left", overflow="fold")
    return made


def print_plan(plan: Plan) -> None:
    """Print a plan for people."""
    print_facts(
        {
            "images": f"{plan.images:,}" + (f" ({plan.unusable:,} unusable)" if plan.unusable else ""),
            "rows": f"{plan.rows:,} in {len(plan.shards):,} shards, batches of {plan.batch_size}",
            "classes": f"{len(plan.classes)}: {shortened(plan.classes)}",
            "devices": ", ".join(plan.execution.workers),
            "executor": f"{plan.execution.executor}, {plan.execution.threads} threads a worker",
            "results": nearby(plan.results_dir),
            "writes": ", ".join(["labels.jsonl", *(f"{choice.type}/" for choice in plan.exports)]),
            "digest": plan.digest[:16],
        }
    )
    for stage in plan.stages:
        out.print()
        out.print(Text(f"stage {stage.index}: {stage.labeler.type} -> {stage.gives}", style="bold"))
        facts = {"licence": stage.weights.licence}
        if stage.weights.files:
            facts["weights"] = ", ".join(f"{file.name} {file.sha256[:12]}" for file in stage.weights.files[:4])
        if stage.aggregator:
            facts |= {"aggregator": stage.aggregator.type, "ask": stage.ask}
        if stage.most_passes is not None:
            facts["forward passes"] = f"at most {stage.most_passes:,}"
        print_facts(facts)
        if stage.rounds:
            rounds = table(
                "round", "conf_threshold", "nms_threshold", numbers=("round", "conf_threshold", "nms_threshold")
            )
            for round in stage.rounds:
                nms = "aggregator's own" if round.nms_threshold is None else f"{round.nms_threshold:g}"
                rounds.add_row(str(round.index), f"{round.conf_threshold:g}", nms)
            out.print(rounds)


def shortened(names: Sequence[str], most: int = 6) -> str:
    """Join the first names."""
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")


def print_summary(summary: Summary, plan: Plan) -> None:
    """Print what was found per class and per round, and where to look."""
    headings = ["given" if round == GIVEN else f"round {round}" for round in summary.rounds]
    found = table("class", *headings, "all", numbers=(*headings, "all"))
    for phrase in sorted({phrase for phrase, _ in summary.found}, key=plan.classes.index):
        counts = [summary.found[phrase, round] for round in summary.rounds]
        found.add_row(Text(phrase), *(f"{count:,}" for count in counts), f"{sum(counts):,}")
    missing = [name for name in plan.classes if not any(summary.found[name, round] for round in summary.rounds)]
    for name in missing[:10]:
        found.add_row(Text(name), *("0" for _ in headings), "0", style="yellow")
    out.print(found)
    out.print()
    states = summary.states
    told = ", ".join(f"{states[state]:,} {state}" for state in ("labelled", "empty", "failed"))
    out.print(
        f"{summary.rows:,} rows of {summary.images:,} images: {told}; {summary.boxes:,} boxes, {summary.masks:,} masks"
    )
    for code, count in sorted(summary.reasons.items()):
        out.print(Text(f"  {count:,} x {code}", style="red"))
    for path in summary.written:
        out.print(f"  {nearby(path)}", markup=False, soft_wrap=True)


def nearby(path: str) -> str:
    """Return a path relative to the working directory where it lies below that."""
    here = Path.cwd()
    return str(Path(path).relative_to(here)) if Path(path).is_relative_to(here) else path


def print_status(status: Status) -> None:
    """Print how far a run is."""
    rate, left = status.rows_per_second, status.seconds_left
    print_facts(
        {
            "plan": status.digest[:16],
            **{name: f"{done} rows" for name, done in status.stages.items()},
            "states": ", ".join(f"{count:,} {state}" for state, count in status.states.items())
            or "nothing labelled yet",
            "finished": "yes" if status.finished else "no",
            **({"rate": f"{rate:.2f} rows a second"} if rate and not status.finished else {}),
            **({"time left": f"about {left:,.0f} s"} if left else {}),
        }
    )


def print_facts(facts: Mapping[str, Any]) -> None:
    """Print names with their values, a line each."""
    made = table("", "")
    made.show_header = False
    for name, value in facts.items():
        made.add_row(Text(name, style="dim"), Text(str(value)))
    out.print(made)


def print_plugins(registry: Registry, *, json: bool) -> None:
    """List strategies with where they come from and what can be set."""
    entries = [
        {
            "kind": entry.kind,
            "name": entry.name,
            "package": entry.package,
            "version": entry.version,
            "module": entry.strategy.__module__,
            "parameters": sorted(entry.strategy.Params.model_fields),
        }
        for entry in registry
    ]
    if json:
        print_json(entries)
        return
    made = table("kind", "name", "package", "version", "parameters")
    for entry in entries:
        made.add_row(
            *(Text(str(entry[key])) for key in ("kind", "name", "package", "version")), ", ".join(entry["parameters"])
        )
    out.print(made)
