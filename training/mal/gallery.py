"""Draw crops with the masks that a checkpoint gives them, worst and middling and best."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from autolabel_mal.labeler import Mal
from autolabel_mal.learning.mask_probes import Mask, MaskProbe, NetworkMasks, mask_probes, overlaps
from autolabel_mal.load import load_networks
from autolabel_mal.refine import Field
from autolabel_training.recipe import read

from .config import Recipe
from .pictures import load_split
from .validate import LEAST_SIDE, MASKED_SETS, SCENES, dev_exams

CELLS = "bccd"
SIDE = 128
TINT = np.array([255, 0, 80], np.float32)
THRESHOLD = 0.1


def tile(exam: MaskProbe, mask: Mask) -> NDArray[np.uint8]:
    """Return the crop (SIDE, 2 * SIDE, 3) beside itself with the mask tinted."""
    plain = exam.cut(exam.picture.pixels()).astype(np.float32)
    tinted = np.where((mask & exam.reach)[:, :, None], plain * 0.5 + TINT * 0.5, plain)
    return np.concatenate([_squared(plain), _squared(tinted)], axis=1)


def _squared(pixels: NDArray[np.float32]) -> NDArray[np.uint8]:
    return np.asarray(Image.fromarray(pixels.astype(np.uint8)).resize((SIDE, SIDE), Image.Resampling.BILINEAR))


def spread(asked: Sequence[MaskProbe], masks: Sequence[Mask], count: int) -> list[int]:
    """Return the indices of `count` exams in even steps from the lowest IoU to the highest; in order without truths."""
    judged = all(exam.picture.masks for exam in asked)
    order = np.argsort(overlaps(asked, masks), kind="stable") if judged else np.arange(len(asked))
    return [int(order[place]) for place in np.linspace(0, len(asked) - 1, min(count, len(asked))).astype(int)]


def draw(sets: dict[str, list[MaskProbe]], make: NetworkMasks, columns: int, rows: int) -> NDArray[np.uint8]:
    """Return a sheet: `rows` lines of `columns` tiles a set."""
    lines = []
    for asked in sets.values():
        masks = make(asked)
        tiles = [tile(asked[index], masks[index]) for index in spread(asked, masks, columns * rows)]
        blank = np.full_like(tiles[0], 255)
        tiles += [blank] * (-len(tiles) % columns)
        lines += [np.concatenate(tiles[start : start + columns], axis=1) for start in range(0, len(tiles), columns)]
    return np.concatenate(lines)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, default=Path("checkpoints/tiny-mal"))
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--recipe", type=Path, default=Path("training/mal-second.yaml"), help="its sets and scenes")
    parser.add_argument("--sets", nargs="+", default=[*MASKED_SETS, SCENES, CELLS])
    parser.add_argument("--refine", action="store_true", help="refine the masks by the colours of their crops")
    parser.add_argument("--cells", type=int, default=40, help="blood cells among which some are shown")
    parser.add_argument("--columns", type=int, default=6)
    parser.add_argument("--rows", type=int, default=2, help="of each set")
    parser.add_argument("--out", type=Path, required=True, help="PNG file to write")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    checkpoint = options.checkpoint.resolve()
    network = load_networks(checkpoint, Mal.Params(checkpoint=str(checkpoint)))[0]
    found = dev_exams(read(Recipe, options.recipe), options.data)
    found[CELLS] = mask_probes(load_split(options.data, CELLS, "dev"), smallest_side=LEAST_SIDE)[: options.cells]
    sets = {name: asked for name, asked in found.items() if name in options.sets}
    make = NetworkMasks(network, threshold=THRESHOLD, field=Field() if options.refine else None)
    Image.fromarray(draw(sets, make, options.columns, options.rows)).save(options.out)


if __name__ == "__main__":
    main()
