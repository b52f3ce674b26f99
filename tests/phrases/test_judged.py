"""A set of phrases is played as a run would play it, on answers to more phrases than it asks."""

from __future__ import annotations

import numpy as np
import pytest

from autolabel.detectors import Agreement, Looks
from autolabel.evaluate.scene import Objects, Scene
from autolabel.phrases.answers import ImageAnswers
from autolabel.phrases.judged import ClassJudge
from autolabel.run.anneal import Annealing
from autolabel.types import Image, Instances, Labels, Prompt, Round
from autolabel_aggregators.nms import Nms

ASKED = ("cell", "dot", "dirt", "disc")
HERE, THERE, WRONG = [0, 0, 10, 10], [20, 0, 30, 10], [50, 50, 60, 60]


def answers(**found: list[tuple[list[int], float]]) -> Instances:
    pairs = [(box, score, ASKED.index(phrase)) for phrase, listed in found.items() for box, score in listed]
    return Instances.build(
        [box for box, _, _ in pairs], scores=[score for _, score, _ in pairs], labels=[label for _, _, label in pairs]
    )


def judge(*, negatives: tuple[str, ...] = (), looks: Looks | None = None, **by_look: Instances) -> ClassJudge:
    true = np.array([HERE, THERE], float)
    objects = Objects(boxes=true, classes=np.array([1, 1]), masks=(None, None), ids=(1, 2))
    none = Objects(boxes=np.zeros((0, 4)), classes=np.zeros(0, np.int64), masks=(), ids=())
    scene = Scene(
        size=(100, 100),
        true=objects,
        crowds=np.zeros(2, bool),
        areas=np.full(2, 100.0),
        broken=np.zeros(2, bool),
        found=none,
        scores=np.zeros(0),
        rounds=np.zeros(0, np.int64),
        shares=np.zeros(0),
        verdicts=np.zeros(0),
    )
    row = Labels(image=Image(id="a", path="", size=(100, 100)), prompt=Prompt(("cell",)), instances=Instances.empty())
    seen = {None if name == "plain" and looks is None else name: found for name, found in by_look.items()}
    annealing = Annealing([Round(index=0, conf_threshold=0.05)], Nms(Nms.Params()), "all", looks=looks or Looks())
    return ClassJudge(
        name="cell",
        number=1,
        negatives=negatives,
        annealing=annealing,
        rows=[row],
        scenes=[scene],
        answers=[ImageAnswers(ASKED, seen)],
        iou=0.5,
    )


def test_only_the_phrases_of_the_set_are_heard() -> None:
    made = judge(plain=answers(cell=[(HERE, 0.9)], disc=[(HERE, 0.95), (THERE, 0.6)], dot=[(WRONG, 0.7)]))
    for phrases, scores, right in (
        (("cell",), [0.9], [True]),
        (("disc",), [0.95, 0.6], [True, True]),
        (("cell", "dot"), [0.9, 0.7], [True, False]),
        (("cell", "disc"), [0.95, 0.6], [True, True]),
    ):
        found = made.found(phrases)
        assert found.scores.tolist() == pytest.approx(scores) and found.right.tolist() == right
        assert made.found(phrases[::-1]) is found, "the order does not matter, and nothing is played twice"
    assert made.true.tolist() == [2]


def test_a_negative_takes_the_boxes_that_it_fits_better() -> None:
    heard = answers(cell=[(HERE, 0.9), (WRONG, 0.5)], dirt=[(WRONG, 0.6), (HERE, 0.3)], disc=[(WRONG, 0.7)])
    assert judge(plain=heard).found(("cell",)).right.tolist() == [True, False]
    assert judge(plain=heard, negatives=("dirt",)).found(("cell",)).right.tolist() == [True]
    assert judge(plain=heard, negatives=("dirt",)).found(("disc",)).scores.tolist() == pytest.approx([0.7])
    assert judge(plain=heard, negatives=("dirt",)).found(("dirt",)).scores.tolist() == pytest.approx([0.6, 0.3])


def test_looks_vote() -> None:
    looks = Looks(("plain", "mirror"), Agreement(score="vote", iou=0.5, labelers=1))
    made = judge(
        looks=looks,
        plain=answers(cell=[(HERE, 0.9), (WRONG, 0.8)]),
        mirror=answers(cell=[(HERE, 0.7)], disc=[(WRONG, 0.9)]),
    )
    assert made.found(("cell",)).scores.tolist() == pytest.approx([0.9, 0.4])
