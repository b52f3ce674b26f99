"""The ``autolabel`` command."""

from __future__ import annotations

import logging
import signal
import sys
import traceback
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

import autolabel
from autolabel.cli import console, explain
from autolabel.cli.options import AsJson, Quiet, Run, SpecOption, Thresholds, Words
from autolabel.cli.terminal import LiteralFormatter, escape_json
from autolabel.errors import AutolabelError, SpecError
from autolabel.storage import at

if TYPE_CHECKING:
    from autolabel.plan.model import Plan
    from autolabel.run.summary import Summary

app = typer.Typer(
    name="autolabel",
    help="Label image data sets from a short spec.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


class Stopped(BaseException):
    """SIGINT or SIGTERM arrived."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.exit_code = 128 + number


def show_version(wanted: bool) -> None:
    """Print the version and leave."""
    if wanted:
        typer.echo(f"autolabel {autolabel.__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Print the version.")
    ] = False,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Log what happens.")] = False,
) -> None:
    """Label image data sets from a short spec."""
    handler = logging.StreamHandler()
    handler.setFormatter(LiteralFormatter("%(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.DEBUG if verbose else logging.WARNING, handlers=[handler])
    if verbose:
        for noisy in ("numba", "PIL", "urllib3", "httpx", "matplotlib"):
            logging.getLogger(noisy).setLevel(logging.WARNING)


def spec_and_overrides(words: list[str] | None, option: str | None) -> tuple[str, list[str]]:
    """Tell the spec from the overrides; raises SpecError where no spec is named."""
    words = list(words or [])
    if option is None and (not words or ("=" in words[0] and not Path(words[0]).exists())):
        raise SpecError("no spec is named", hint="autolabel generate -e spec.yaml; `autolabel init` writes one")
    return (option, words) if option is not None else (words[0], words[1:])


def load(words: list[str] | None, option: str | None) -> Any:
    """Read the spec that a command line names, with its overrides; return it with the registry."""
    from autolabel import discover, load_spec

    path, overrides = spec_and_overrides(words, option)
    registry = discover()
    return load_spec(path, overrides=overrides, registry=registry), registry


@app.command()
def validate(words: Words = None, spec: SpecOption = None, json: AsJson = False) -> None:
    """Check a spec: every problem with its place."""
    from autolabel.plan.files import check_files

    path, _ = spec_and_overrides(words, spec)
    try:
        loaded, _ = load(words, spec)
        check_files(loaded)
    except SpecError as error:
        if not json:
            raise
        console.print_json(
            {"valid": False, "problems": [problem.as_dict() for problem in error.problems], "message": str(error)}
        )
        raise typer.Exit(error.exit_code) from None
    if json:
        console.print_json({"valid": True, "problems": [], "notices": list(loaded.notices)})
        return
    console.notices(loaded.notices)
    console.out.say(f"{path}: valid")


@app.command()
def plan(
    words: Words = None,
    spec: SpecOption = None,
    json: AsJson = False,
    out: Annotated[Path | None, typer.Option("--out", help="Write the plan to a file as well.")] = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Only the first N images.")] = None,
) -> None:
    """Show what a spec would do: rounds, devices, batches, forward passes, files."""
    from autolabel import compile_plan
    from autolabel.plan import model
    from autolabel.run.forecast import foretold

    loaded, registry = load(words, spec)
    made = foretold(compile_plan(loaded, registry=registry, limit=limit), registry=registry)
    if out is not None:
        out.write_bytes(model.encode(made))
    if json:
        console.out.say(escape_json(model.encode(made).decode().rstrip()))
    else:
        console.notices(made.notices)
        console.print_plan(made)


@app.command()
def generate(
    words: Words = None,
    spec: SpecOption = None,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="Only the first N images, into results_dir/first-N.")
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Start over: forget what earlier runs left here.")] = False,
    extend: Annotated[
        bool, typer.Option("--extend", help="Take in images added since; keep what is labelled.")
    ] = False,
    shard: Annotated[
        str | None,
        typer.Option("--shard", metavar="I/N", help="Label the I-th of N slices only; `merge` writes the rest."),
    ] = None,
    quiet: Quiet = False,
    json: AsJson = False,
) -> None:
    """Label the images of a spec; the same command resumes after an interruption."""
    from autolabel import compile_plan
    from autolabel import generate as run
    from autolabel.run.generate import generate_slice
    from autolabel.run.slices import Slice

    part = None if shard is None else Slice.parse(shard)
    if part is not None and fresh:
        raise SpecError(
            "--fresh with --shard would remove what other slices have labelled", hint="empty results_dir first"
        )
    loaded, registry = load(words, spec)
    compiled = compile_plan(loaded, registry=registry, limit=limit)
    console.notices(compiled.plan.notices)
    with console.watching(quiet=quiet) as watch:
        if part is None:
            summary = run(compiled, registry=registry, watch=watch, fresh=fresh, extend=extend)
        else:
            shards = generate_slice(compiled, part, watch=watch, extend=extend)
    if part is None:
        conclude(summary, compiled.plan, json=json)
    else:
        console.print_slice(part, shards, compiled.plan, json=json)


def conclude(summary: Summary, plan: Plan, *, json: bool) -> None:
    """Print what a run came to; leave with 1 where too many images failed."""
    if json:
        console.print_json(summary.as_dict())
    else:
        console.print_summary(summary, plan)
    if summary.too_many_failures:
        raise typer.Exit(1)


@app.command()
def merge(run: Run, quiet: Quiet = False, json: AsJson = False) -> None:
    """Write labels, exports and report of a run that was labelled in slices."""
    from autolabel.registry import discover
    from autolabel.run.generate import merge as finish

    with console.watching(quiet=quiet) as watch:
        summary, plan = finish(at(run), registry=discover(), watch=watch)
    conclude(summary, plan, json=json)


@app.command()
def status(run: Run, json: AsJson = False) -> None:
    """Tell how far a run is, while it runs or after."""
    from autolabel.run.status import read_status

    found = read_status(at(run))
    if json:
        console.print_json(found.as_dict())
    else:
        console.print_status(found)


@app.command()
def export(
    run: Run,
    words: Annotated[
        list[str] | None, typer.Argument(metavar="FORMAT KEY=VALUE", help="The exporter's name, then its parameters.")
    ] = None,
    format: Annotated[str | None, typer.Option("-f", "--format", help="The exporter's name.")] = None,
    thresholds: Thresholds = None,
) -> None:
    """Write a finished run's labels in another format."""
    from autolabel import discover
    from autolabel.run.export import export_run

    words = list(words or [])
    if format is None:
        if not words or "=" in words[0]:
            raise SpecError("no format is named", hint="autolabel export RUN coco; `autolabel plugins` lists exporters")
        format = words.pop(0)
    registry = discover()
    for path in export_run(at(run), format, words, registry=registry, thresholds=thresholds):
        console.out.say(console.nearby(str(path)))
    if loses := getattr(registry.get("exporter", format).strategy, "loses", ()):
        console.notices([f"{format} does not carry: {', '.join(loses)}"])


@app.command()
def evaluate(
    run: Run,
    gt: Annotated[str, typer.Option("--gt", metavar="FILE", help="A COCO file with the true boxes or masks.")],
    iou: Annotated[float, typer.Option("--iou", min=0.05, max=0.95, help="The overlap that counts as found.")] = 0.5,
    thresholds: Thresholds = None,
    plots: Annotated[Path | None, typer.Option("--plots", metavar="DIR", help="Write plots as PNG files too.")] = None,
    json: AsJson = False,
) -> None:
    """Measure a run's labels against the truth."""
    from autolabel import read_labels
    from autolabel.evaluate import evaluate as measure
    from autolabel.evaluate.plots import check_plots, write_plots
    from autolabel.evaluate.table import render
    from autolabel.run.select import sure_labels

    if plots is not None:
        check_plots()
    labels = read_labels(run) if thresholds is None else sure_labels(at(run), thresholds)
    result = measure(labels, at(gt), iou=iou)
    if json:
        console.print_json(result.as_dict())
    else:
        console.out.print(render(result))
    for path in write_plots(result, plots) if plots is not None else ():
        console.err.say(f"wrote {console.nearby(str(path))}")


@app.command()
def calibrate(
    run: Run,
    gt: Annotated[
        str,
        typer.Option("--gt", metavar="FILE", help="A COCO file with every true box of some images, drawn at random."),
    ],
    precision: Annotated[
        float, typer.Option("--precision", min=0, max=1, help="The share of right boxes to promise.")
    ] = 0.9,
    confidence: Annotated[
        float, typer.Option("--confidence", min=0, max=1, help="How sure the promise of each class shall be.")
    ] = 0.95,
    iou: Annotated[float, typer.Option("--iou", min=0.05, max=0.95, help="The overlap that counts as right.")] = 0.5,
    out: Annotated[Path, typer.Option("--out", help="The file to write; it is replaced.")] = Path("thresholds.yaml"),
    json: AsJson = False,
) -> None:
    """Choose score thresholds that promise a precision, from images that a person has checked."""
    from autolabel.evaluate.table import render_calibration
    from autolabel.run.calibrate import calibrate_run

    result = calibrate_run(at(run), at(gt), precision=precision, confidence=confidence, iou=iou, out=out)
    if json:
        console.print_json({**result.as_dict(), "written": str(out)})
    else:
        console.out.print(render_calibration(result))
        console.out.say(console.nearby(str(out)))
    if not result.complete:
        raise typer.Exit(1)


@app.command()
def report(
    run: Run,
    gt: Annotated[
        str | None, typer.Option("--gt", metavar="FILE", help="A COCO file with the true boxes, to compare with.")
    ] = None,
) -> None:
    """Write a finished run's report: one HTML file to look at, and to keep or reject boxes in."""
    from autolabel.run.outputs import report_run

    console.out.say(console.nearby(str(report_run(at(run), truth=None if gt is None else at(gt)))))


@app.command(name="apply-review")
def apply_review(
    run: Run,
    review: Annotated[str, typer.Argument(metavar="REVIEW", help="The review.json that the report's page saved.")],
) -> None:
    """Take a person's decisions in; this and later exports never overwrite them."""
    from autolabel import discover
    from autolabel.run.outputs import review_run

    merged = review_run(at(run), at(review), registry=discover())
    console.out.say(f"{len(merged.decisions)} decisions about {run}; its exports are written again")


app.command()(explain.explain)


@app.command()
def plugins(json: AsJson = False) -> None:
    """List every strategy that installed packages offer."""
    from autolabel import discover

    console.print_plugins(discover(), json=json)


@app.command(name="new-plugin")
def new_plugin_command(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the strategies are called in a spec.")],
    kind: Annotated[
        list[str] | None,
        typer.Option(
            "--kind", help="scheduler, aggregator, labeler or exporter; may be repeated. Default: one of each."
        ),
    ] = None,
    into: Annotated[Path, typer.Option("--into", help="The folder that the package is written into.")] = Path(),
) -> None:
    """Write a package of strategies to start from, ready to install and test."""
    from autolabel import discover
    from autolabel.cli.new_plugin import new_plugin
    from autolabel.registry import KINDS

    folder, written = new_plugin(name, into, kinds=kind or KINDS, registry=discover())
    for path in written:
        console.out.say(str(path))
    console.err.say(f"next: pip install -e '{folder}[test]' && pytest {folder}")


@app.command()
def init(
    path: Annotated[Path, typer.Argument(help="The file to write.")] = Path("spec.yaml"),
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")] = False,
) -> None:
    """Write a commented spec to start from."""
    from autolabel.cli import template

    console.out.say(f"{template.write(path, replace=force)}: edit it, then run `autolabel validate {path}`")


@app.command()
def schema(
    write: Annotated[Path | None, typer.Option("--write", help="Write all schemas into this folder.")] = None,
    name: Annotated[str, typer.Argument(help="spec, tao, plan or labels.")] = "spec",
) -> None:
    """Print a JSON Schema, or write all of them."""
    from autolabel.cli.schemas import render, write_all

    if write is not None:
        for path in write_all(write):
            typer.echo(path)
    else:
        typer.echo(render(name), nl=False)


@app.command(name="doctor")
def doctor_command(json: AsJson = False) -> None:
    """Show versions, devices and checkpoints: what to send with a question."""
    from autolabel.cli import doctor

    found = doctor.examine()
    if json:
        console.print_json(found)
    else:
        console.print_facts(found)


def stop(number: int, frame: FrameType | None) -> NoReturn:
    """Turn a signal into an exception, so that workers are stopped and files left whole; a second one quits at once."""
    signal.signal(number, signal.SIG_DFL)
    raise Stopped(number)


def main() -> None:
    """Run the command line; every expected error ends as a message and an exit code."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    try:
        app()
    except AutolabelError as error:
        console.err.say(str(error))
        sys.exit(error.exit_code)
    except Stopped as stopped:
        console.err.print("interrupted; the same command resumes")
        sys.exit(stopped.exit_code)
    except Exception:
        console.err.say(traceback.format_exc())
        console.err.print("this is a bug in autolabel; please report it with the lines above and `autolabel doctor`")
        sys.exit(70)
