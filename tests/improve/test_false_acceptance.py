"""How often a round is accepted though nothing is gained: rounds simulated with labels that are equally good."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest

from autolabel.evaluate.paired import measure_gain
from autolabel.improve.improve import verdict
from autolabel.types import Image, Instances, Labels, Prompt

SHARE = 0.025
"""The part of the rounds without gain that may be accepted: one end of a 95 % interval."""
CLASSES = ("a", "b")
SIDE = 400


@dataclass(frozen=True)
class World:
    """How images differ: the same difficulty holds for both runs."""

    objects: float
    """Mean number of objects of an image."""
    spread: float
    """How much the difficulty of images varies: 0, all are alike; 1, most are found wholly or not at all."""
    gain: float = 0.0
    """By how much more often the second run finds an object."""


def simulated(world: World, images: int, seed: int, folder: Path) -> tuple[list[Labels], list[Labels], Path]:
    """Return the labels of two runs and the truth: each finds an object with the probability of its image."""
    rng = np.random.default_rng(seed)
    concentration = 1 / max(world.spread, 1e-3) - 0.99
    truth: list[tuple[int, int, list[float]]] = []
    rows: tuple[list[Labels], list[Labels]] = ([], [])
    for number in range(images):
        chance = rng.beta(0.55 * concentration, 0.45 * concentration)
        count = 1 + rng.poisson(world.objects)
        places = rng.choice(64, count, replace=False)
        boxes = np.array(
            [[50.0 * (at % 8), 50.0 * (at // 8), 50.0 * (at % 8) + 30, 50.0 * (at // 8) + 30] for at in places]
        )
        labels = rng.integers(0, len(CLASSES), count)
        truth += [(number, int(label), box.tolist()) for label, box in zip(labels, boxes, strict=True)]
        image = Image(id=f"{number}.png", path=f"{number}.png", size=(SIDE, SIDE))
        for run, bonus in zip(rows, (0.0, world.gain), strict=True):
            found = rng.random(count) < min(1.0, chance + bonus)
            wrong = rng.poisson(1.0)
            corner = rng.uniform(0, 350, (wrong, 2))
            instances = Instances.build(
                np.concatenate([boxes[found] + rng.normal(0, 2, (found.sum(), 4)), np.hstack([corner, corner + 35])]),
                scores=np.concatenate([rng.beta(4, 2, found.sum()), rng.beta(2, 4, wrong)]),
                labels=np.concatenate([labels[found], rng.integers(0, len(CLASSES), wrong)]),
                rounds=0,
            )
            run.append(Labels(image=image, prompt=Prompt(CLASSES), instances=instances))
    coco = {
        "images": [{"id": n, "file_name": f"{n}.png", "width": SIDE, "height": SIDE} for n in range(images)],
        "categories": [{"id": n, "name": name} for n, name in enumerate(CLASSES)],
        "annotations": [
            {"id": n, "image_id": image, "category_id": label, "bbox": [box[0], box[1], 30, 30], "iscrowd": 0}
            for n, (image, label, box) in enumerate(truth, 1)
        ],
    }
    file = folder / "truth.json"
    file.write_text(json.dumps(coco))
    return *rows, file


def accepted(world: World, images: int, rounds: int, folder: Path) -> int:
    """Return how many of so many rounds are accepted."""
    return sum(
        verdict(measure_gain(*simulated(world, images, seed, folder), group_of=lambda image: image))[0]
        for seed in range(rounds)
    )


def test_rounds_without_gain_are_seldom_accepted_and_those_with_one_often(tmp_path: Path) -> None:
    assert accepted(World(2, 0.4), 8, 24, tmp_path) <= 3
    assert accepted(World(2, 0.4, gain=0.45), 8, 6, tmp_path) >= 4


@pytest.mark.soak
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("images", [6, 12, 30])
@pytest.mark.parametrize("world", [World(4, 0.2), World(1, 0.7), World(8, 0.9)], ids=["alike", "few", "uneven"])
def test_at_most_the_stated_part_of_the_rounds_without_gain_is_accepted(
    tmp_path: Path, world: World, images: int
) -> None:
    rounds = 200
    wrong = accepted(world, images, rounds, tmp_path)
    assert binomtest(wrong, rounds, SHARE, alternative="greater").pvalue > 0.01, f"{wrong} of {rounds}"
