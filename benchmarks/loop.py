"""Measure what `autolabel improve` brings: label zero-shot, check some photos, improve, judge on photos kept apart.

``python -m benchmarks.loop SET... [--checkpoint NAME] [--python PYTHON]``: folders with ``images/``, ``train.json`` and
``dev.json`` (COCO). A run labels ``--checked`` photos of the train split and ``--apart`` of the dev split; the truth of
the former is applied as a review, so they count as checked; the latter judge both runs and are never checked. With
``--kill`` one more round of the first set is killed after so many seconds, again and again, resumed, and compared with
the undisturbed one.
``--known`` names a set that the checkpoint knows: its dev photos are labelled with the weights before and after.
``--shares 0,0.2,0.35,0.5`` mixes such shares of the weights before into those after the training, and prints for each
mix what it finds of the new set and of the known one. `improve` is then run with ``start_share=0``.
``--python`` runs another installation of autolabel, such as a wheel's, in an empty folder.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks._shares import HEAD, Shares

_THRESHOLD = 0.2
_SEED = 7


@dataclass(frozen=True)
class Loop:
    """An installed autolabel at work in a folder."""

    python: str
    folder: Path

    def run(self, *words: str, codes: Sequence[int] = (0,)) -> str:
        """Run a command there and return what it prints; stop at another exit code."""
        done = subprocess.run(
            [self.python, "-m", "autolabel", *words], cwd=self.folder, capture_output=True, text=True, check=False
        )
        if done.returncode not in codes:
            raise SystemExit(f"autolabel {' '.join(words)}: exit code {done.returncode}\n{done.stderr}")
        return done.stdout

    def killed(self, seconds: float, *words: str) -> bool:
        """Kill a command after so many seconds; tell whether it still ran."""
        process = subprocess.Popen(
            [self.python, "-m", "autolabel", *words],
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return True
        return False


def part(coco: dict[str, Any], count: int) -> dict[str, Any]:
    """Return ``count`` images of a COCO file, drawn by lot, with what is in them."""
    images = sorted(coco["images"], key=lambda one: str(one["file_name"]))
    chosen = random.Random(_SEED).sample(images, min(count, len(images)))
    numbers = {one["id"] for one in chosen}
    boxes = [one for one in coco["annotations"] if one["image_id"] in numbers]
    return {"images": chosen, "annotations": boxes, "categories": coco["categories"]}


def prepare(source: Path, place: Path, checkpoint: str, *, checked: int, apart: int) -> None:
    """Lay out a folder: photos, the truth of those that are checked and of those that are kept apart, and a spec."""
    place.mkdir(parents=True)
    classes: list[str] = []
    for split, count, name in (("train", checked, "checked"), ("dev", apart, "apart")):
        chosen = part(json.loads((source / f"{split}.json").read_text()), count)
        classes = classes or [one["name"] for one in chosen["categories"]]
        (place / f"{name}.json").write_text(json.dumps(chosen))
        (place / "photos").mkdir(exist_ok=True)
        for image in chosen["images"]:
            shutil.copyfile(source / "images" / image["file_name"], place / "photos" / Path(image["file_name"]).name)
    rounds = {"type": "fixed", "rounds": [{"conf_threshold": _THRESHOLD}]}
    labeler = {"type": "grounding_dino", "checkpoint": checkpoint}
    spec = {
        "version": 1,
        "data": {"images": ["photos"], "classes": classes},
        "stages": [{"labeler": labeler, "scheduler": rounds}],
        "devices": "cpu",
        "export": [],
        "results_dir": "zero",
    }
    (place / "spec.yaml").write_text(json.dumps(spec, indent=1))


def figures(loop: Loop, run: str) -> dict[str, Any]:
    """Measure a run on the photos kept apart."""
    found: dict[str, Any] = json.loads(loop.run("evaluate", run, "--gt", "apart.json", "--json"))
    return found


def told(before: dict[str, Any], after: dict[str, Any], last: dict[str, Any]) -> list[str]:
    """Return the cells of a table row: AP at IoU 0.5, precision and recall before and after, what improve said."""
    cells = []
    for one in (before, after):
        low, high = one["boxes"]["ap50_interval"]
        cells.append(f"{one['boxes']['ap50']:.3f} [{low:.3f}, {high:.3f}]")
    pairs = [[one["total"][name] for one in (before, after)] for name in ("precision", "recall")]
    cells += [" → ".join("-" if value is None else f"{value:.2f}" for value in pair) for pair in pairs]
    gain = last["gain"]["ap50"]["gain"]
    low, high = gain["interval"]
    cells.append(f"{gain['value']:+.3f} [{low:+.3f}, {high:+.3f}] on {last['gain']['images']}")
    return [*cells, "accepted" if last["accepted"] else "**not accepted**"]


def measure(loop: Loop, steps: int, settings: Sequence[str]) -> list[str]:
    """Label, check, improve and judge; return the cells of a row with the wall times."""
    started = time.monotonic()
    loop.run("generate", "spec.yaml", "--quiet", codes=(0, 1))
    labelled = time.monotonic()
    loop.run("apply-review", "zero", "checked.json")
    began, spent = time.monotonic(), cpu()
    said = json.loads(loop.run(*improving(steps, settings), codes=(0, 1)))
    ended = time.monotonic()
    before, after = figures(loop, "zero"), figures(loop, "zero-2")
    counts = f"{len(said['rounds'][-1]['trained_on'])} + {len(said['rounds'][-1]['held_out'])}"
    seconds = f"{ended - began:.0f} s ({cpu(spent):.0f} s CPU)"
    return [counts, *told(before, after, said["rounds"][-1]), f"{labelled - started:.0f} s", seconds]


def cpu(since: float = 0.0) -> float:
    """Return the processor seconds of the commands so far."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime - since


def lay_out_known(loop: Loop, source: Path, count: int) -> Path:
    """Lay out a folder with dev photos of a set that the checkpoint knows."""
    place = loop.folder / "known"
    prepare(source, place, spec_of(loop)["stages"][0]["labeler"]["checkpoint"], checked=1, apart=count)
    return place


def check_known(loop: Loop, place: Path, name: str) -> str:
    """Label photos of a set that the checkpoint knows with the weights before and after; say how good either is."""
    known, values = Loop(loop.python, place), []
    new = json.loads((loop.folder / "zero-2/improve/history.json").read_text())["rounds"][-1]["checkpoint"]
    for run, words in (("zero", []), ("new", [f"stages[0].labeler.checkpoint={new}", "results_dir=new"])):
        known.run("generate", "spec.yaml", "--quiet", *words)
        one = figures(known, run)["boxes"]
        values.append(f"{one['ap50']:.3f} [{one['ap50_interval'][0]:.3f}, {one['ap50_interval'][1]:.3f}]")
    return f"what it knew: {name}, AP50 {values[0]} with the weights before, {values[1]} after"


def check_shares(loop: Loop, known: Path, shares: Sequence[float]) -> Iterator[list[str]]:
    """Mix the weights before into those after the training; yield the cells of a row for each share."""

    def generate(place: Path, checkpoint: str, run: str, lowest: float) -> None:
        changes = (
            f"stages[0].labeler.checkpoint={checkpoint}",
            f"stages[0].scheduler.rounds[0].conf_threshold={lowest}",
            f"results_dir={run}",
        )
        Loop(loop.python, place).run("generate", "spec.yaml", "--quiet", *changes, codes=(0, 1))

    before = Path(spec_of(loop)["stages"][0]["labeler"]["checkpoint"])
    return Shares(loop.folder, before, known, _THRESHOLD, generate).rows(shares)


def spec_of(loop: Loop) -> dict[str, Any]:
    """Return the spec of a folder."""
    spec: dict[str, Any] = json.loads((loop.folder / "spec.yaml").read_text())
    return spec


def improving(steps: int, settings: Sequence[str], *more: str) -> list[str]:
    """Return the words of the command."""
    return ["improve", "zero", f"steps={steps}", *settings, "--device", "cpu", "--json", *more]


def check_killed(loop: Loop, steps: int, settings: Sequence[str], seconds: Sequence[float]) -> str:
    """Kill a round again and again, resume it, and compare it with the undisturbed one; say what was found."""
    words = improving(steps, settings, "--out", "killed")
    kills = sum(loop.killed(after, *words) for after in seconds)
    loop.run(*words, codes=(0, 1))
    whole, resumed = (
        json.loads((loop.folder / run / "improve" / "history.json").read_text()) for run in ("zero-2", "killed")
    )
    same = (loop.folder / "zero-2/labels.jsonl").read_bytes() == (loop.folder / "killed/labels.jsonl").read_bytes()
    gains = whole["rounds"][-1]["gain"] == resumed["rounds"][-1]["gain"]
    labels, measured = ("equal byte for byte" if same else "DIFFER"), ("equal" if gains else "DIFFER")
    return f"killed {kills} times and resumed: labels {labels}, figures {measured}"


def headed(names: Sequence[str]) -> tuple[str, str]:
    """Return the first two lines of a table."""
    return f"| {' | '.join(names)} |", "|---" * len(names) + "|"


def _numbers(text: str) -> tuple[float, ...]:
    return tuple(float(part) for part in text.split(","))


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="+", type=Path)
    parser.add_argument("--checkpoint", default="tiny", help="the weights to begin with: a name or a folder")
    parser.add_argument("--python", default=sys.executable, help="whose autolabel is measured")
    parser.add_argument("--checked", type=int, default=20)
    parser.add_argument("--apart", type=int, default=40)
    parser.add_argument("--steps", type=int, default=120)
    parser.add_argument("--set", dest="settings", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--known", type=Path, help="a set that the checkpoint knows")
    parser.add_argument("--shares", type=_numbers, default=(), help="such as 0,0.2; needs --known")
    parser.add_argument("--keep", type=Path, help="work in this folder, and leave it there")
    parser.add_argument("--kill", type=float, nargs="*", default=[], metavar="SECONDS")
    words = parser.parse_args()
    if words.shares and not (words.known and Path(words.checkpoint).is_dir()):
        parser.error("--shares needs --known, and a folder as --checkpoint")
    settings = [*words.settings, *(["start_share=0"] if words.shares else [])]
    checkpoint = str(Path(words.checkpoint).resolve()) if Path(words.checkpoint).is_dir() else words.checkpoint
    head = ("set", "trained on + held out", "AP50 before", "after", "precision", "recall", "gain by `improve`", "")
    print(*headed((*head, "label", "improve")), sep="\n")
    with nullcontext(words.keep.resolve()) if words.keep else tempfile.TemporaryDirectory() as folder:
        for source in words.sets:
            loop = Loop(words.python, Path(folder) / source.name)
            prepare(source, loop.folder, checkpoint, checked=words.checked, apart=words.apart)
            row = measure(loop, words.steps, settings)
            print(f"| {source.name} | {' | '.join(row)} |", flush=True)
            if words.known is not None:
                known = lay_out_known(loop, words.known, words.apart)
                if words.shares:
                    print(*headed(HEAD), sep="\n")
                    for cells in check_shares(loop, known, words.shares):
                        print(f"| {source.name} | {' | '.join(cells)} |", flush=True)
                else:
                    print(f"{source.name}, {check_known(loop, known, words.known.name)}", flush=True)
            if words.kill and source == words.sets[0]:
                print(f"{source.name} {check_killed(loop, words.steps, settings, words.kill)}", flush=True)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"\nthe command that took most memory: {peak:,.0f} MiB")


if __name__ == "__main__":
    main()
