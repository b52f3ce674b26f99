"""Evaluate a mask checkpoint on the dev sets beside masks that need no learning."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from autolabel_mal.labeler import Mal
from autolabel_mal.learning.mask_probes import MaskMaker, MaskProbe, NetworkMasks, filled, iou, mask_probes, overlaps
from autolabel_mal.load import load_networks
from autolabel_mal.refine import Field
from autolabel_training.recipe import read

from .baselines import ellipses, full_boxes, grabcuts, has_grabcut
from .config import Recipe
from .pictures import load_split
from .validate import LEAST_SIDE, dev_exams

CELLS = "bccd"
DRAWS = 1000
GOOD = 0.75
HEADER = f"{'set':<10} {'masks':<12} {'boxes':>5}  {'mean IoU [95 % interval]':<26} {'IoU > 0.75':>10} {'filled':>7}"


@dataclass(frozen=True)
class Row:
    """Figures of one method on one set; `filled` is the mean part of the box that is mask."""

    dataset: str
    method: str
    boxes: int
    mean: float
    interval: tuple[float, float]
    good: float
    filled: float

    def __str__(self) -> str:
        low, high = self.interval
        figures = f"{self.mean:.3f} [{low:.3f}, {high:.3f}]"
        start = f"{self.dataset:<10} {self.method:<12} {self.boxes:>5}"
        return f"{start}  {figures:<26} {self.good:>10.2f} {self.filled:>7.2f}"


def judge(dataset: str, method: str, asked: Sequence[MaskProbe], make: MaskMaker) -> Row:
    """Ask a method for the masks of a set and compare them with the true ones."""
    masks = make(asked)
    values = overlaps(asked, masks)
    return Row(
        dataset=dataset,
        method=method,
        boxes=len(asked),
        mean=float(values.mean()),
        interval=interval(values, numbered(asked)),
        good=float((values > GOOD).mean()),
        filled=float(filled(asked, masks).mean()),
    )


def numbered(asked: Sequence[MaskProbe]) -> list[int]:
    """Return the number of each exam's picture, counted as they come."""
    numbers: dict[int, int] = {}
    return [numbers.setdefault(id(exam.picture), len(numbers)) for exam in asked]


def interval(values: NDArray[np.float64], pictures: Sequence[int]) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of the mean when whole pictures, not boxes, are drawn again."""
    _, owner = np.unique(pictures, return_inverse=True)
    sums, counts = np.bincount(owner, values), np.bincount(owner)
    drawn = np.random.default_rng(0).integers(len(sums), size=(DRAWS, len(sums)))
    low, high = np.percentile(sums[drawn].sum(1) / counts[drawn].sum(1), [2.5, 97.5])
    return float(low), float(high)


def roundness(method: str, asked: Sequence[MaskProbe], make: MaskMaker) -> str:
    """Describe masks of blood cells, which have no true masks: how much of the box they fill, how near an ellipse."""
    masks = make(asked)
    near = [iou(mask, ellipse) for mask, ellipse in zip(masks, ellipses(asked), strict=True)]
    share = filled(asked, masks).mean()
    figures = f"filled {share:.2f}, mean IoU with the inscribed ellipse {np.mean(near):.3f}"
    return f"{CELLS}, {method}: {len(asked)} boxes, {figures}"


def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    options = _parser().parse_args(arguments)
    torch.set_num_threads(options.threads)
    checkpoint = options.checkpoint.resolve()
    network = load_networks(checkpoint, Mal.Params(checkpoint=str(checkpoint)))[0]
    makers: dict[str, MaskMaker] = {"full box": full_boxes, "ellipse": ellipses}
    if has_grabcut():
        makers["GrabCut"] = grabcuts
    makers["MAL"] = NetworkMasks(network, threshold=options.threshold)
    makers["MAL, refined"] = NetworkMasks(network, threshold=options.threshold, field=Field())
    print(HEADER)
    rows = []
    for dataset, asked in dev_exams(read(Recipe, options.recipe), options.data).items():
        for method, make in makers.items():
            rows.append(judge(dataset, method, asked, make))
            print(rows[-1], flush=True)
    cells = mask_probes(load_split(options.data, CELLS, "dev"), smallest_side=LEAST_SIDE)[: options.cells]
    for method in ("MAL", "MAL, refined"):
        print(roundness(method, cells, makers[method]), flush=True)
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, default=Path("checkpoints/tiny-mal"))
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--recipe", type=Path, default=Path("training/mal-second.yaml"), help="its sets and scenes")
    parser.add_argument("--threshold", type=float, default=Mal.Params.model_fields["mask_thres"].default[0])
    parser.add_argument("--cells", type=int, default=300, help="blood cells that are looked at")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    return parser


if __name__ == "__main__":
    main()
