"""The failure pictures: what counts as found, wrong and missed, and which pictures are shown."""

from __future__ import annotations

import numpy as np
import pytest

from autolabel_training.metric import Detections
from training.detector.gallery import FOUND, MISSED, SIDE, WRONG, errors, verdict, worst
from training.detector.pictures import Picture

LEFT, RIGHT, LOW = [0.0, 0.0, 0.4, 0.4], [0.5, 0.5, 0.9, 0.9], [0.0, 0.6, 0.3, 0.9]


def answers(boxes: list[list[float]], scores: list[float], truth: list[list[float]]) -> Detections:
    return Detections(np.array(boxes).reshape(-1, 4), np.array(scores), np.array(truth).reshape(-1, 4))


def picture(names: tuple[str, ...]) -> Picture:
    return Picture(np.zeros((30, 40, 3), np.uint8), np.zeros((0, 4), np.float32), names, ["fig"])


def test_hits_mistakes_and_misses() -> None:
    judged = verdict(answers([LEFT, LEFT, LOW, RIGHT], [0.9, 0.8, 0.7, 0.1], [LEFT, RIGHT]), 0.3)
    assert judged.found.tolist() == [LEFT]
    assert judged.wrong.tolist() == [LOW]  # the second LEFT is suppressed, RIGHT scores too low
    assert judged.missed.tolist() == [RIGHT]
    assert errors({"fig": judged}) == pytest.approx(2 / 3)
    nothing = verdict(answers([], [], []), 0.3)
    assert errors({"fig": nothing}) == 0


def test_the_worst_picture_comes_first() -> None:
    good = verdict(answers([LEFT], [0.9], [LEFT]), 0.3)
    bad = verdict(answers([LEFT], [0.9], [RIGHT]), 0.3)
    tiles = worst([(picture(("fig",)), {"fig": good}), (picture(("fig",)), {"fig": bad})], 2)
    edge = int(0.4 * (SIDE - 1))
    assert [tile.getpixel((edge, 100)) for tile in tiles] == [WRONG, FOUND]
    assert tiles[0].getpixel((int(0.5 * (SIDE - 1)) + 1, 250)) == MISSED
