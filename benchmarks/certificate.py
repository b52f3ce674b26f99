"""Certificates of labels of real photos, with their true boxes as the person who checks.

Of each set two runs are measured: the shipped detector's labels, and labels that are good enough to certify: the true
boxes with mistakes planted at known rates. The detector finds next to nothing on photos that are unlike those it has
seen, so that its labels alone would prove little. The planted run repeats the photos up to ``--images`` times, each
time with other mistakes; they come in clumps, as real ones do.

For each run: how often a bound was ever too high, looked at after every batch, in ``--reps`` random orders; the
minutes until precision and recall are certified a margin below the truth; and beside them the minutes that wholly
checked random images cost where ``calibrate``'s test promises the same (their number chosen knowing the truth, for a
power of 80 %, at one look). Without options the twelve photos of the repository are used.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from autolabel import compile_plan, generate, read_labels
from autolabel.certify.audit import BOX_SHARE, Audit, default_cap
from autolabel.certify.goals import BOX_SECONDS, IMAGE_SECONDS, MISSED_SECONDS, CertificateProgress, next_draws
from autolabel.certify.ledger import exceeds, wealth
from autolabel.data.coco.read import read_coco
from autolabel.evaluate.matching import IGNORED, match_boxes
from autolabel.evaluate.precision_bound import chances, tally
from autolabel.evaluate.scenes import gather_scenes
from autolabel.registry import discover
from autolabel.spec.load import spec_from_mapping

HERE = Path(__file__).resolve().parent
SETS = ("bccd", "cards", "aquarium", "vegetables")
RISK = 0.05
MARGINS = (0.05, 0.1)
"""How far below the truth precision and recall are wanted."""
THRESHOLD = 0.35
MISSED, WRONG = 0.08, 0.06
"""The rates of planted mistakes: objects without a box, and wrong boxes."""
HARDNESS = 0.7
"""How even images are: the shape of the gamma distribution of their mistakes."""
Int64 = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Truth:
    """A run and what is true of it: right by box (F,), the image of each, found and missed by image (N,)."""

    right: Int64
    image: Int64
    found: Int64
    missed: Int64

    @property
    def precision(self) -> float:
        """The share of right boxes."""
        return float(self.right.mean())

    def recall(self, cap: int) -> float:
        """The share of objects with a right box, up to ``cap`` missed ones an image."""
        right = int(self.right.sum())
        return right / (right + int(np.minimum(self.missed, cap).sum()))


def judged(photos: Path, truth: Path, folder: Path) -> Truth:
    """Label photos with the shipped detector, unless that was done, and compare with the true boxes."""
    coco = read_coco(truth)
    chosen = folder.with_name(f"{folder.name}-photos")
    chosen.mkdir(parents=True, exist_ok=True)
    for image in coco.images:  # those of this split alone
        link = chosen / Path(image.file_name).name
        if not link.is_symlink():
            link.symlink_to((photos / image.file_name).resolve())
    spec = {
        "version": 1,
        "data": {"images": [str(chosen)], "classes": list(coco.categories.values()), "follow_symlinks": True},
        "stages": [
            {
                "labeler": {"type": "grounding_dino", "checkpoint": "tiny"},
                "scheduler": {"type": "fixed", "rounds": [{"conf_threshold": THRESHOLD}]},
            }
        ],
        "devices": "cpu",
        "export": [],
        "report": False,
        "results_dir": str(folder),
    }
    registry = discover()
    if not (folder / "labels.jsonl").exists():
        plan = compile_plan(spec_from_mapping(spec, root=HERE, registry=registry), registry=registry)
        generate(plan, registry=registry)
    scenes = gather_scenes(read_labels(folder), truth).scenes
    matches = [match_boxes(scene, 0.5) for scene in scenes]
    kept = [matched[matched != IGNORED] >= 0 for matched in matches]
    objects = [int((~scene.crowds).sum()) - int(one.sum()) for scene, one in zip(scenes, kept, strict=True)]
    found = np.array([len(one) for one in kept], np.int64)
    right = np.concatenate(kept).astype(np.int64)
    return Truth(right, np.repeat(np.arange(len(kept)), found), found, np.array(objects))


def planted(truth: Path, images: int, seed: int = 7) -> Truth:
    """Return labels made of the true boxes of some photos, taken again and again until there are ``images``.

    About MISSED of the objects have no box, WRONG of the boxes are wrong. Half of those stand for an object that has no
    right box then, the others where nothing is. Images differ in how many mistakes they have.
    """
    coco, g = read_coco(truth), np.random.default_rng(seed)
    counts = np.array([sum(not one.iscrowd for one in objects) for _, objects in coco.by_image()], np.int64)
    true = np.resize(counts, images)
    hard = g.gamma(HARDNESS, 1 / HARDNESS, images)
    without = g.binomial(true, np.minimum(1, MISSED * hard))
    misread = g.binomial(true - without, np.minimum(1, WRONG / 2 * hard))
    extra = g.poisson(WRONG / 2 * hard * true)
    right = true - without - misread
    values = [[1] * int(one) + [0] * int(other) for one, other in zip(right, misread + extra, strict=True)]
    found = right + misread + extra
    return Truth(
        np.concatenate([np.asarray(one, np.int64) for one in values]),
        np.repeat(np.arange(images), found),
        found,
        without + misread,
    )


def certified(truth: Truth, seed: int) -> tuple[float, bool, bool, Audit]:
    """Check in random order until both are certified; then the rest. Return minutes, false claims, and the audit."""
    g, cap = np.random.default_rng((seed, 1)), default_cap(truth.found)
    queues = {"box": g.permutation(len(truth.right)), "image": g.permutation(len(truth.found))}
    audit = Audit(len(truth.right), len(truth.found), cap=cap)
    seconds, done, minutes = {"box": 0.0, "image": 0.0}, [False, False], 0.0
    wanted = truth.precision - MARGINS[0], truth.recall(cap) - MARGINS[1]
    while len(queues["box"]) or len(queues["image"]):
        stage = CertificateProgress(
            box_seconds=seconds["box"],
            image_seconds=seconds["image"],
            seconds_an_image=IMAGE_SECONDS,
            recall_settled=done[1],
        )
        left = {"boxes": len(queues["box"]), "images": len(queues["image"])}
        kind = next(kind for kind, _ in next_draws(stage, **left, count=1))
        size = 20 if kind == "box" else 10
        units, queues[kind] = queues[kind][:size], queues[kind][size:]
        if kind == "box":
            audit.enter_boxes(truth.right[units].astype(bool).tolist(), drawn=True)
            seconds["box"] += BOX_SECONDS * len(units)
        else:
            audit.enter_images(truth.missed[units].tolist(), drawn=True)
            seconds["image"] += IMAGE_SECONDS * len(units) + MISSED_SECONDS * float(truth.missed[units].sum())
        if not all(done):
            done[0] = done[0] or exceeds(audit.right, audit.needed_right(wanted[0]), RISK)
            spare = audit.needed_spare(wanted[1], audit.least_right)
            done[1] = done[1] or exceeds(audit.spare, spare, RISK * (1 - BOX_SHARE))
            minutes = sum(seconds.values()) / 60
    return minutes, *claimed(audit, truth, cap), audit


def claimed(audit: Audit, truth: Truth, cap: int) -> tuple[bool, bool]:
    """Tell whether too much precision, or too few missed objects, was claimed at any look."""
    right, spare = int(truth.right.sum()), cap * len(truth.found) - int(np.minimum(truth.missed, cap).sum())
    bar = -math.log(RISK)
    return bool(wealth(audit.right, right).max() >= bar), bool(wealth(audit.spare, spare).max() >= bar)


def whole_images(truth: Truth, draws: int = 100) -> float | None:
    """Return the minutes of wholly checked images with which `calibrate`'s test promises both in 80 % of draws."""
    right = np.bincount(truth.image, truth.right, len(truth.found)).astype(np.int64)
    cost = IMAGE_SECONDS + BOX_SECONDS * truth.found + MISSED_SECONDS * truth.missed
    shares = ((truth.found, truth.precision - MARGINS[0]), (right + truth.missed, truth.recall(10**6) - MARGINS[1]))
    images = len(truth.found)
    for count in np.unique(np.geomspace(4, images, 25).astype(int)).tolist():
        passed, spent = 0, 0.0
        for seed in range(draws):
            some = np.random.default_rng((seed, 2)).permutation(images)[:count]
            passed += all(promised(right[some], whole[some], share, count / images) for whole, share in shares)
            spent += float(cost[some].sum()) / 60 / draws
        if passed >= 0.8 * draws:
            return spent
    return None


def promised(right: Int64, whole: Int64, share: float, part: float) -> bool:
    """Tell whether `calibrate`'s test promises a share, at the full risk."""
    counts = tally(right[None], whole[None], precision=share, part=np.array([part]))
    return bool(chances(counts, precision=share, risk=RISK)[0] <= RISK)


def report(name: str, truth: Truth, reps: int) -> None:
    """Print a line for a set."""
    if not len(truth.right):
        print(f"{name:20} {len(truth.found):6} {0:6} nothing was found: there is no precision to certify", flush=True)
        return
    rows = [certified(truth, seed) for seed in range(reps)]
    wrong = np.mean([row[1:3] for row in rows], axis=0)
    cap = default_cap(truth.found)
    images = whole_images(truth)
    everything = (
        len(truth.right) * BOX_SECONDS + len(truth.found) * IMAGE_SECONDS + int(truth.missed.sum()) * MISSED_SECONDS
    ) / 60
    beside = "never" if images is None else f"{images:.0f}"
    print(
        f"{name:20} {len(truth.found):6} {len(truth.right):6} {truth.precision:9.3f} {truth.recall(cap):7.3f} {cap:3}"
        f" {wrong[0]:9.3f} {wrong[1]:9.3f} {np.mean([row[0] for row in rows]):9.1f} {beside:>9} {everything:9.0f}",
        flush=True,
    )


def main(words: list[str]) -> int:
    """Measure the sets below ``--data``, or the repository's own photos."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="a folder with bccd, cards, aquarium, vegetables")
    parser.add_argument("--sets", nargs="*", default=SETS)
    parser.add_argument("--reps", type=int, default=200)
    parser.add_argument("--images", type=int, default=1000, help="how many images a run with planted mistakes has")
    parser.add_argument("--runs", type=Path, help="keep the labels here")
    options = parser.parse_args(words)
    head = "run                  images  boxes precision  recall   K   false P   false R    by lot    images       all"
    print(f"minutes to certify precision - {MARGINS[0]} and recall - {MARGINS[1]}: by lot, by whole images, everything")
    print(head)
    with tempfile.TemporaryDirectory() as temporary:
        runs: Any = options.runs or Path(temporary)
        if options.data is None:
            examples = HERE.parent / "examples" / "bccd"
            sets = [("examples", examples / "images", examples / "boxes.json")]
        else:
            folders = [(name, options.data / name) for name in options.sets]
            sets = [(name, folder / "images", folder / "dev.json") for name, folder in folders]
        for name, photos, truth in sets:
            report(f"{name} detector", judged(photos, truth, runs / name), options.reps)
            report(f"{name} planted", planted(truth, options.images), options.reps)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
