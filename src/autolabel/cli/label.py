"""Commands from a spec to labels: ``validate``, ``plan``, ``generate``, ``merge``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from autolabel.cli import console
from autolabel.cli.options import AsJson, Extend, Quiet, Run, SpecOption, Words
from autolabel.cli.printed_plan import print_plan
from autolabel.cli.quick_start import quick_start
from autolabel.errors import SpecError, WeightsError
from autolabel.literal import escape_json
from autolabel.storage import at

if TYPE_CHECKING:
    from autolabel.plan.model import Plan
    from autolabel.results.summary import Summary
    from autolabel.run.prepare import Mode


def _spec_and_overrides(words: list[str] | None, option: str | None) -> tuple[str, list[str]]:
    """Separate the spec from the overrides; raises SpecError if no spec was given."""
    words = list(words or [])
    if option is None and (not words or ("=" in words[0] and not Path(words[0]).exists())):
        raise SpecError("no spec was given", hint="autolabel generate -e spec.yaml; `autolabel init` writes one")
    return (option, words) if option is not None else (words[0], words[1:])


def _load(words: list[str] | None, option: str | None) -> Any:
    """Load the spec of a command line with its overrides; return it with the registry."""
    from autolabel import discover, load_spec

    path, overrides = _spec_and_overrides(words, option)
    registry = discover()
    return load_spec(path, overrides=overrides, registry=registry), registry


def validate(words: Words = None, spec: SpecOption = None, json: AsJson = False) -> None:
    """Check a spec and report every problem with its line."""
    with quick_start("numpy"):
        from autolabel.plan.files import check_files, check_fit
        from autolabel.plan.names import check_names

        path, _ = _spec_and_overrides(words, spec)
        try:
            loaded, _ = _load(words, spec)
            check_files(loaded)
            check_fit(loaded)
            notices = [*loaded.notices, *check_names(loaded, fetch=False)]
        except (SpecError, WeightsError) as error:
            if not json:
                raise
            problems = [problem.as_dict() for problem in getattr(error, "problems", ())]
            console.print_json({"valid": False, "problems": problems, "message": str(error)})
            raise typer.Exit(error.exit_code) from None
        if json:
            console.print_json({"valid": True, "problems": [], "notices": notices})
            return
        console.notices(notices)
        console.out.say(f"{path}: valid")


def plan(
    words: Words = None,
    spec: SpecOption = None,
    json: AsJson = False,
    out: Annotated[Path | None, typer.Option("--out", help="Write the plan to a file as well.")] = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Only the first N images.")] = None,
    write: Annotated[
        bool, typer.Option("--write", help="Write the plan into results_dir, for `generate --planned`.")
    ] = False,
    extend: Extend = False,
    advice: Annotated[
        bool,
        typer.Option(
            "--advise", help="Compare looks, aggregators and thresholds on cached candidates, and recommend a setting."
        ),
    ] = False,
    gt: Annotated[
        str | None,
        typer.Option(
            "--gt", metavar="FILE|RUN", help="For --advise: a COCO file of true boxes, or a run with checked images."
        ),
    ] = None,
    precision: Annotated[
        float, typer.Option("--precision", min=0, max=1, help="For --advise: the wanted precision.")
    ] = 0.9,
) -> None:
    """Show what a spec would do: rounds, devices, batches, forward passes, files."""
    from autolabel import compile_plan
    from autolabel.plan import plan_file
    from autolabel.run.forecast import foretold
    from autolabel.run.generate import write_plan
    from autolabel.run.kept_answers import with_unanswered
    from autolabel.run.prepare import Mode

    if extend and not write:
        raise SpecError("--extend needs --write: it updates a plan that was written before")
    if advice != (gt is not None):
        raise SpecError("--advise and --gt go together", hint="autolabel plan SPEC --advise --gt FILE")
    loaded, registry = _load(words, spec)
    compiled = compile_plan(loaded, registry=registry, limit=limit)
    if gt is not None:
        from autolabel.cli.advice import print_advice
        from autolabel.run.advise import advise

        print_advice(advise(compiled, gt, precision=precision, registry=registry), json=json)
        return
    made = (
        write_plan(compiled, mode=Mode.EXTEND if extend else Mode.RESUME)
        if write
        else with_unanswered(foretold(compiled, registry=registry), compiled, registry=registry)
    )
    if out is not None:
        out.write_bytes(plan_file.encode_plan(made))
    if json:
        console.out.say(escape_json(plan_file.encode_plan(made).decode().rstrip()))
    else:
        console.notices(made.notices)
        print_plan(made)


def generate(
    words: Words = None,
    spec: SpecOption = None,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="Only the first N images, into results_dir/first-N.")
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Start over: discard the results of earlier runs in results_dir.")
    ] = False,
    extend: Extend = False,
    planned: Annotated[
        bool,
        typer.Option("--planned", help="Use the plan that `plan --write` wrote, without listing the images again."),
    ] = False,
    part_of_run: Annotated[
        str | None,
        typer.Option(
            "--slice", metavar="I/N", help="Label only the I-th of N slices; `autolabel merge` then writes the exports."
        ),
    ] = None,
    shard: Annotated[str | None, typer.Option("--shard", hidden=True, help="The former name of --slice.")] = None,
    quiet: Quiet = False,
    json: AsJson = False,
) -> None:
    """Label the images of a spec; the same command resumes after an interruption."""
    from autolabel import compile_plan
    from autolabel import generate as run
    from autolabel.executors.tuning import tune_process
    from autolabel.results.slices import Slice
    from autolabel.results.store import RunStore
    from autolabel.run import prepare
    from autolabel.run.generate import generate_slice

    chosen = part_of_run or shard
    part = None if chosen is None else Slice.parse(chosen)
    if part is not None and fresh:
        raise SpecError(
            "--fresh with --slice would remove what other slices have labelled", hint="empty results_dir first"
        )
    mode = _mode_of(fresh=fresh, extend=extend, planned=planned)
    loaded, registry = _load(words, spec)
    compiling = prepare.planned_run if mode is prepare.Mode.PLANNED else compile_plan
    compiled = compiling(loaded, registry=registry, limit=limit)
    console.notices(compiled.plan.notices)
    execution = compiled.plan.execution
    if execution.executor == "inline":
        tune_process(execution.threads)
    with console.watching(quiet=quiet) as watch:
        if part is None:
            summary = run(compiled, registry=registry, watch=watch, mode=mode)
        else:
            shards = generate_slice(compiled, part, watch=watch, mode=mode)
    if part is None:
        final = RunStore.at(compiled.plan).read_plan() if compiled.describing else None
        _conclude(summary, final or compiled.plan, json=json)
    else:
        console.print_slice(part, shards, compiled.plan, json=json)


def _mode_of(*, fresh: bool, extend: bool, planned: bool) -> Mode:
    """Return the mode that the options ask for; raises SpecError for options that contradict each other."""
    from autolabel.run.prepare import Mode

    if planned and (fresh or extend):
        raise SpecError(
            f"--planned and --{'fresh' if fresh else 'extend'} exclude each other: only --planned lists no images"
        )
    return Mode.FRESH if fresh else Mode.EXTEND if extend else Mode.PLANNED if planned else Mode.RESUME


def _conclude(summary: Summary, plan: Plan, *, json: bool) -> None:
    """Print the summary of a run; exit with 1 if too many images failed."""
    if json:
        console.print_json(summary.as_dict())
    else:
        console.print_summary(summary, plan)
    if summary.too_many_failures:
        console.print_too_many_failures(summary)
        raise typer.Exit(1)


def merge(run: Run, quiet: Quiet = False, json: AsJson = False) -> None:
    """Write labels, exports and report of a run that was labelled in slices."""
    from autolabel.registry import discover
    from autolabel.run.generate import merge as finish

    with console.watching(quiet=quiet) as watch:
        summary, plan = finish(at(run), registry=discover(), watch=watch)
    _conclude(summary, plan, json=json)
