"""Print results on stdout, progress and notices on stderr."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from autolabel.cli.terminal import LiteralConsole
from autolabel.literal import escape_json
from autolabel.urls import without_secrets

if TYPE_CHECKING:
    from autolabel.plan.model import Forecast, Plan, Shard, Stage
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
_WEIGHTS = (".safetensors", ".pth", ".pt", ".ckpt", ".bin")


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


def print_plan(plan: Plan) -> None:
    """Print a plan for people."""
    manifest = plan.manifest
    shards = count_noun(len(manifest.shards), "shard")
    print_facts(
        {
            "images": f"{manifest.images:,}" + (f" ({manifest.unusable:,} unusable)" if manifest.unusable else ""),
            **({"passed over": print_skipped(plan)} if manifest.passed_over else {}),
            "rows": f"{manifest.rows:,} in {shards}, batches of {plan.recipe.batch_size}",
            "classes": _classes(plan),
            **({"asked by": _asked_by(plan)} if plan.recipe.ontology else {}),
            "devices": plan.execution.places,
            "executor": f"{plan.execution.executor}, {plan.execution.threads} threads a worker",
            "results": nearby(plan.outputs.results_dir),
            "writes": ", ".join(_outputs(plan)),
            **_captions(plan),
            **({"candidates": _saved(plan.forecast)} if plan.forecast else {}),
            "digest": plan.digest[:16],
        }
    )
    for stage, passes in zip(plan.recipe.stages, plan.manifest.most_passes, strict=True):
        out.print()
        out.print(Text(f"stage {stage.index}: {stage.labeler.type} -> {stage.gives}", style="bold"))
        facts = _composition(stage)
        if stage.weights.files:
            heavy = [file for file in stage.weights.files if file.name.endswith(_WEIGHTS)] or list(stage.weights.files)
            facts["licence"] = stage.weights.licence
            facts["weights"] = _shortened([f"{file.name} {file.sha256[:12]}" for file in heavy])
        if stage.aggregator:
            facts |= {"aggregator": stage.aggregator.type, "ask": stage.ask}
        if passes is not None:
            facts["forward passes"] = f"at most {passes:,}"
        facts |= _asked_of_endpoints(plan, stage)
        print_facts(facts)
        if stage.rounds:
            rounds = number_table(
                "round", "conf_threshold", "nms_threshold", numbers=("round", "conf_threshold", "nms_threshold")
            )
            for round in stage.rounds:
                nms = "aggregator's own" if round.nms_threshold is None else f"{round.nms_threshold:g}"
                rounds.add_row(str(round.index), f"{round.conf_threshold:g}", nms)
            show(rounds)


def print_skipped(plan: Plan) -> str:
    """Return how many files are not labelled, and why."""
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in plan.manifest.passed_over.items() if count)
    return f"{count_noun(sum(plan.manifest.passed_over.values()), 'file')}: {reasons}"


def _saved(forecast: Forecast) -> str:
    """Return what cached candidates save."""
    passes = count_noun(forecast.passes, "forward pass", "forward passes")
    left = f"at most {passes}, up to {forecast.bytes / 1e6:,.1f} MB to cache" if forecast.passes else passes
    return f"{forecast.answered:,} of {count_noun(forecast.rows, 'row')} cached, {left}"


def _composition(stage: Stage) -> dict[str, str]:
    """Return the labelers, votes, tiles and looks of a stage; empty for one labeler on whole images."""
    facts = {}
    if stage.members and stage.vote:
        facts["labelers"] = ", ".join(member.type for member in stage.members)
        facts["votes"] = f"{stage.vote.votes} of {len(stage.members)}, at an IoU of {stage.vote.iou:g}"
    if stage.tiles:
        besides = ", and the whole image" if stage.tiles.whole else ""
        facts["tiles"] = f"{stage.tiles.size}x{stage.tiles.size}, overlap {stage.tiles.overlap:g}{besides}"
    if stage.looks:
        spent = "in every round" if stage.looks.doubt is None else "one more each round, for images in doubt"
        facts["looks"] = f"{', '.join(stage.looks.names)}: {spent}, score by {stage.looks.agreement.score}"
    return facts


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


def _classes(plan: Plan) -> str:
    """Say how many classes there are, and the first of them."""
    names = plan.manifest.classes
    if not names and plan.captions is not None:
        return "known once the images have captions"
    return f"{len(names):,}: {_shortened([printable(name) for name in names])}"


def _captions(plan: Plan) -> dict[str, str]:
    """Say what describes images without a caption, how many are left, and what that takes."""
    made = plan.captions
    if made is None:
        return {}
    facts = {"captions": f"by {made.labeler.type} {printable(str(made.labeler.params.get('model', '')))}".rstrip()}
    if made.wanting:
        facts["captions"] += f", {count_noun(made.wanting, 'image')} to describe"
        if made.asked.requests:
            asked = made.asked
            facts["captions"] += f": at most {count_noun(asked.requests, 'request')}, about {asked.tokens:,} tokens"
    if made.sends_to:
        facts["captions go to"] = ", ".join(map(_place, made.sends_to))
    return facts


def _place(url: str) -> str:
    """Return the address of an endpoint, and whether images leave this machine for it."""
    from autolabel.endpoint.address import is_here

    return f"{without_secrets(url)} ({'this machine' if is_here(url) else 'another machine'})"


def _asked_of_endpoints(plan: Plan, stage: Stage) -> dict[str, str]:
    """Return where a stage sends images, and how many requests and tokens it takes."""
    if not stage.sends_to:
        return {}
    facts = {}
    asked = plan.manifest.requests[stage.index] if plan.manifest.requests else None
    if "between" in stage.labeler.params:
        low, high = stage.labeler.params["between"]
        facts["requests"] = f"one, with an image, for each box of a score between {low:g} and {high:g}"
    if asked is not None:
        images = count_noun(asked.images, "image")
        facts["requests"] = f"at most {asked.requests:,}, with {images} and about {asked.tokens:,} tokens"
    if plan.unanswered is not None and stage.index == 0:
        left = plan.unanswered
        facts["left to ask"] = f"at most {left.requests:,}, about {left.tokens:,} tokens; the other answers are kept"
    facts["images go to"] = ", ".join(map(_place, stage.sends_to))
    if limit := plan.execution.budget:
        most = [f"{value:,} {name}" for name in ("requests", "tokens") if (value := getattr(limit, name)) is not None]
        facts["budget"] = ", ".join(most) or "none"
    return facts


def _asked_by(plan: Plan) -> str:
    """Return the number of phrases and of negative phrases of a plan."""
    for_them = {phrase for terms in plan.recipe.ontology.values() for phrase in terms.phrases}
    against = {phrase for terms in plan.recipe.ontology.values() for phrase in terms.negatives}
    return count_noun(len(for_them), "phrase") + (f", {len(against):,} negative" if against else "")


def _outputs(plan: Plan) -> Iterator[str]:
    """Yield the files that a run writes for its user, relative to the results directory."""
    yield "labels.jsonl"
    yield from (f"{choice.type}/" for choice in plan.outputs.exports)
    if plan.outputs.visualize:
        yield "images_annotated/"
    if plan.outputs.report:
        yield "report/"


def _shortened(names: Sequence[str], most: int = 6) -> str:
    """Join the first names."""
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")


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
    out.say(f"when all {part.count} slices are done: autolabel merge {nearby(plan.outputs.results_dir)}")


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
