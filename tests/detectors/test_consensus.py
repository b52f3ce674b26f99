"""Several detectors asked the same: what they find together, and who supports a box."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autolabel.detectors import Consensus, Vote, Voting
from autolabel.strategies import Aggregator, Detector
from autolabel.testing import example_sample
from autolabel.types import Instances, Prompt, Round, Size
from autolabel.types.boxes import iou
from autolabel.weights import Licence
from autolabel_aggregators.nms import Nms

ROUND = Round(index=0, conf_threshold=0.1)
A, B, FAR = [0, 0, 20, 20], [0, 0, 20, 18], [40, 40, 60, 60]


class Says(Detector):
    """Answers every image with the same candidates; an item is what was asked, to show that it comes back."""

    name = "says"

    def __init__(self, *found: tuple[list[int], float, int], licence: Licence | None = None) -> None:
        super().__init__(self.Params())
        self.found = found
        self.device = ""
        self._licence = licence or Licence("mit", True)

    def load(self, device: str) -> None:
        self.device = device

    def batch_key(self, size: Size) -> tuple[int, ...]:
        return (len(self.found), size[0])

    def files(self) -> Sequence[Any]:
        return [__file__]

    def licence(self) -> Licence:
        return self._licence

    def prepare(self, batch: Sequence[Any]) -> Sequence[Any]:
        return [(self, item) for item in batch]

    def detect(self, prepared: Sequence[Any], prompts: Sequence[Prompt], floor: float) -> Sequence[Instances]:
        assert all(owner is self for owner, _ in prepared), "each member gets back its own items"
        boxes, scores, labels = zip(
            *[one for one in self.found if one[1] > floor] or [([0, 0, 1, 1], 0, 0)], strict=True
        )
        answer = Instances.build(boxes, scores=scores, labels=labels)
        return [answer.take(answer.scores > floor) for _ in prepared]

    def passes(self, prompt: Prompt) -> int:
        return len(self.found)

    def counters(self) -> dict[str, int]:
        return {"passes": len(self.found)}


def union(*members: Says, floor: float = 0.1) -> Instances:
    consensus = Consensus(members)
    items = consensus.prepare([consensus.preprocess(example_sample(index)) for index in range(2)])
    first, second = consensus.detect(items, [Prompt(("a", "b"))] * 2, floor)
    assert isinstance(first, Instances) and isinstance(second, Instances)
    assert first.boxes.tolist() == second.boxes.tolist()
    return first


def test_all_candidates_come_with_the_name_of_their_labeler() -> None:
    found = union(Says((A, 0.9, 0)), Says((B, 0.5, 0), (FAR, 0.05, 1)))
    assert found.boxes.tolist() == [A, B]
    assert found.sources == (("says",), ("says-2",))


def test_it_is_what_its_members_are_together() -> None:
    consensus = Consensus([Says((A, 0.9, 0)), Says((B, 0.5, 0), (FAR, 0.2, 1))])
    consensus.load("cpu")
    assert [member.device for member in consensus.members if isinstance(member, Says)] == ["cpu", "cpu"]
    assert consensus.batch_key((48, 64)) == (1, 48, 2, 48)
    assert consensus.passes(Prompt(("a",))) == 3
    assert consensus.counters() == {"passes": 3}
    assert len(consensus.files()) == 2
    assert list(consensus.prepare([])) == []
    assert list(consensus.detect([], [], 0.1)) == []


@pytest.mark.parametrize(
    ("licences", "together"),
    [
        ([("mit", True), ("mit", True)], Licence("mit", True)),
        ([("mit", True), ("unknown", None)], Licence("mit + unknown", None)),
        ([("unknown", None), ("cc-by-nc-4.0", False)], Licence("unknown + cc-by-nc-4.0", False)),
    ],
)
def test_the_strictest_licence_rules(licences: list[tuple[str, bool | None]], together: Licence) -> None:
    assert Consensus([Says((A, 1, 0), licence=Licence(*one)) for one in licences]).licence() == together


def voted(found: Instances, votes: int, least: float = 0.5) -> list[tuple[list[float], tuple[str, ...]]]:
    kept = Voting(Nms(Nms.Params(threshold=0.5)), Vote(iou=least, votes=votes)).aggregate(found, ROUND)
    return list(zip(kept.boxes.tolist(), kept.sources or (), strict=True))


def test_a_vote_keeps_what_enough_labelers_support() -> None:
    found = union(Says((A, 0.9, 0), (FAR, 0.8, 0)), Says((B, 0.5, 0)), Says((FAR, 0.7, 1)))
    assert voted(found, 1) == [
        (A, ("says", "says-2")),
        (FAR, ("says",)),
        (FAR, ("says-3",)),
    ], "another label is no support"
    assert voted(found, 2) == [(A, ("says", "says-2"))]
    assert voted(found, 2, least=0.95) == []
    assert voted(found, 3) == []


def test_two_candidates_of_one_labeler_are_one_vote() -> None:
    assert voted(union(Says((A, 0.9, 0), (B, 0.8, 0)), Says((FAR, 0.5, 0))), 2) == []


def test_nothing_found_stays_nothing() -> None:
    assert voted(Instances.empty(), 2) == []


class Everything(Aggregator):
    """Keeps all."""

    name = "everything"

    def aggregate(self, instances: Instances, round: Round) -> Instances:
        return instances


@given(seed=st.integers(0, 10**6), n=st.integers(1, 30), votes=st.integers(1, 3), least=st.sampled_from([0.3, 0.6]))
def test_it_counts_as_a_loop_over_all_pairs_does(seed: int, n: int, votes: int, least: float) -> None:
    random = np.random.default_rng(seed)
    low = random.integers(0, 10, (n, 2))
    boxes = np.concatenate([low, low + random.integers(5, 15, (n, 2))], axis=1)
    names = [("x",), ("y",), ("z",)]
    found = Instances.build(
        boxes,
        scores=random.random(n),
        labels=random.integers(0, 2, n),
        sources=[names[i] for i in random.integers(0, 3, n)],
    )
    out = Voting(Everything(Everything.Params()), Vote(iou=least, votes=votes)).aggregate(found, ROUND)
    ratio = iou(found.boxes, found.boxes)
    expected = []
    for i in range(n):
        same = [j for j in range(n) if found.labels[j] == found.labels[i] and (ratio[i, j] >= least or i == j)]
        support = {(found.sources or ())[j][0] for j in same}
        if len(support) >= votes:
            expected.append((found.boxes[i].tolist(), tuple(sorted(support))))
    assert list(zip(out.boxes.tolist(), out.sources or (), strict=True)) == expected
