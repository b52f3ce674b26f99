"""The annealing loop, with a detector whose answers are written down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from autolabel.run.anneal import Annealing, ImageToSearch, Search, anneal, out_of_memory
from autolabel.strategies import Aggregator, Detector
from autolabel.testing.aggregator import crowd
from autolabel.types import Instances, Prompt, Round
from autolabel.types.ontology import ClassPrompts, Ontology
from autolabel_aggregators.dbscan import Dbscan
from autolabel_aggregators.nms import Nms


class Union(Aggregator):
    """Keeps everything."""

    name = "union"

    def aggregate(self, instances: Instances, round: Round) -> Instances:
        return instances


class Best(Aggregator):
    """Keeps the best box of each label."""

    name = "best"

    def aggregate(self, instances: Instances, round: Round) -> Instances:
        order = np.argsort(-instances.scores, kind="stable")
        _, first = np.unique(instances.labels[order], return_index=True)
        return instances.take(np.sort(order[first]))


class Scripted(Detector):
    """Answers each item, a mapping of phrase to scores, by one box a score; notes every call."""

    name = "scripted"

    def __init__(self) -> None:
        super().__init__(self.Params())
        self.asked: list[list[tuple[str, ...]]] = []
        self.prepared: list[int] = []

    def load(self, device: str) -> None:
        pass

    def prepare(self, batch: Sequence[Any]) -> Sequence[Any]:
        self.prepared.append(len(batch))
        return batch

    def detect(self, prepared: Sequence[Any], prompts: Sequence[Prompt], floor: float) -> Sequence[Instances]:
        self.asked.append([prompt.phrases for prompt in prompts])
        return [self.answer(item, prompt, floor) for item, prompt in zip(prepared, prompts, strict=True)]

    def answer(self, item: dict[str, list[float]], prompt: Prompt, floor: float) -> Instances:
        if "explode" in item:
            raise ValueError("boom")
        pairs = [(label, s) for label, phrase in enumerate(prompt.phrases) for s in item.get(phrase, []) if s > floor]
        boxes = [[10 * i, 0, 10 * i + 5, 5] for i in range(len(pairs))]
        return Instances.build(boxes, scores=[s for _, s in pairs], labels=[label for label, _ in pairs])


def rounds(*thresholds: float) -> list[Round]:
    return [Round(index=i, conf_threshold=t) for i, t in enumerate(thresholds)]


def run(
    items: list[dict[str, list[float]]],
    phrases: tuple[str, ...],
    thresholds: Sequence[float],
    *,
    ask: Any = "all",
    aggregator: Aggregator | None = None,
    batch_size: int = 2,
    ontology: Ontology | None = None,
) -> tuple[list[Any], Scripted]:
    detector = Scripted()
    annealing = Annealing(rounds(*thresholds), aggregator or Union(Union.Params()), ask, ontology or {})
    numbered = [ImageToSearch(i, Prompt(phrases), (100, 300), item) for i, item in enumerate(items)]
    batches = [numbered[i : i + batch_size] for i in range(0, len(numbered), batch_size)]
    outcomes = dict(anneal(detector, batches, annealing, batch_size=batch_size))
    return [outcomes[i] for i in range(len(items))], detector


def test_a_candidate_enters_in_the_round_whose_threshold_it_first_passes() -> None:
    [found], _ = run([{"a": [0.9, 0.45, 0.35, 0.2]}], ("a",), [0.5, 0.4, 0.3])
    assert [round(score, 2) for score in found.scores.tolist()] == [0.9, 0.45, 0.35]
    assert found.rounds.tolist() == [0, 1, 2]


def test_asking_the_same_phrases_again_costs_no_forward_pass() -> None:
    _, detector = run([{"a": [0.9, 0.45, 0.35]}], ("a", "b"), [0.5, 0.4, 0.3])
    assert detector.asked == [[("a", "b")]]


def test_missing_asks_only_for_phrases_without_a_label() -> None:
    [found], detector = run([{"a": [0.9, 0.45], "b": [0.42]}], ("a", "b"), [0.5, 0.4, 0.3], ask="missing")
    assert detector.asked == [[("a", "b")], [("b",)]]
    assert sorted(zip(found.labels.tolist(), found.rounds.tolist(), strict=True)) == [(0, 0), (1, 1)]


def test_all_keeps_looking_for_a_phrase_that_is_found() -> None:
    cars = [0.8] + [0.35] * 19
    [found_all], _ = run([{"car": cars}], ("car",), [0.5, 0.3], ask="all")
    [found_missing], _ = run([{"car": cars}], ("car",), [0.5, 0.3], ask="missing")
    assert (len(found_all), len(found_missing)) == (20, 1)


def test_all_goes_on_beyond_a_round_that_added_nothing() -> None:
    [found], _ = run([{"a": [0.9, 0.15]}], ("a",), [0.5, 0.4, 0.1])
    assert found.rounds.tolist() == [0, 2]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("aggregator", [Nms, Dbscan])
def test_all_in_rounds_keeps_what_one_round_at_the_last_threshold_keeps(
    seed: int, aggregator: type[Aggregator]
) -> None:
    phrases = ("one", "two", "three")
    candidates = replace(crowd(60, seed), masks=None, given=None)

    def kept(*thresholds: float) -> list[Any]:
        search = Search(
            Prompt(phrases), (300, 400), Annealing(rounds(*thresholds), aggregator(aggregator.Params()), "all")
        )
        assert search.next_query() == Prompt(phrases)
        search.record_answer(Prompt(phrases), candidates)
        assert search.next_query() is None
        found = search.result()
        columns = np.column_stack([found.labels, found.scores, found.boxes]).round(3)
        return sorted(columns.tolist())

    assert kept(0.8, 0.6, 0.55, 0.2) == kept(0.2)
    assert 0 < len(kept(0.2)) < 60


def test_missing_ends_when_every_phrase_is_found() -> None:
    [found], detector = run([{"a": [0.9, 0.15]}], ("a",), [0.5, 0.4, 0.1], ask="missing")
    assert found.rounds.tolist() == [0]
    assert detector.asked == [[("a",)]]


def test_goes_on_while_a_phrase_is_missing() -> None:
    [found], _ = run([{"a": [0.9], "b": [0.15]}], ("a", "b"), [0.5, 0.4, 0.1])
    assert sorted(zip(found.labels.tolist(), found.rounds.tolist(), strict=True)) == [(0, 0), (1, 2)]


def test_an_image_in_which_round_0_finds_nothing_is_tried_again() -> None:
    [found], _ = run([{"a": [0.31]}], ("a",), [0.5, 0.4, 0.3], ask="missing")
    assert found.rounds.tolist() == [2]


def test_the_threshold_itself_does_not_pass() -> None:
    [found], _ = run([{"a": [0.5]}], ("a",), [0.5])
    assert len(found) == 0


def test_the_aggregator_sees_the_raw_union_and_keeps_rounds() -> None:
    [found], _ = run([{"a": [0.45, 0.9, 0.41]}], ("a",), [0.5, 0.4], aggregator=Best(Best.Params()))
    assert found.scores.tolist() == pytest.approx([0.9])
    assert found.rounds.tolist() == [0]


def test_images_with_different_outstanding_phrases_share_a_pass() -> None:
    items = [{"a": [0.9]}, {"b": [0.9]}, {"a": [0.9], "b": [0.9]}]
    outcomes, detector = run(items, ("a", "b"), [0.5, 0.4], ask="missing", batch_size=2)
    assert [len(found) for found in outcomes] == [1, 1, 2]
    assert detector.prepared == [2, 1]
    assert detector.asked == [[("a", "b")] * 2, [("b",), ("a",)], [("a", "b")]]


def test_what_shares_a_pass_does_not_depend_on_how_batches_arrive() -> None:
    items = [{"a": [0.9]} if i % 3 else {} for i in range(7)]
    first, one = run(items, ("a", "b"), [0.5, 0.4], ask="missing", batch_size=3)
    again, two = run(items, ("a", "b"), [0.5, 0.4], ask="missing", batch_size=3)
    assert one.asked == two.asked
    assert [f.scores.tolist() for f in first] == [f.scores.tolist() for f in again]


def test_one_image_that_raises_costs_only_itself() -> None:
    items: list[dict[str, list[float]]] = [{"a": [0.9]}, {"explode": []}, {"a": [0.8]}, {"a": [0.7]}]
    outcomes, _ = run(items, ("a",), [0.5], batch_size=4)
    assert [isinstance(outcome, ValueError) for outcome in outcomes] == [False, True, False, False]
    assert [len(outcome) for outcome in outcomes if isinstance(outcome, Instances)] == [1, 1, 1]


def test_boxes_are_cut_at_the_edges_after_aggregation_and_unusable_ones_dropped() -> None:
    class Wild(Scripted):
        def answer(self, item: dict[str, list[float]], prompt: Prompt, floor: float) -> Instances:
            wild: list[list[float]] = [
                [-50, -5, 20, 10],
                [290, 90, 400, 200],
                [300, 0, 310, 9],
                [np.nan, 0, 1, 1],
                [0, 0, np.inf, 1],
            ]
            return Instances.build(wild, scores=[0.9] * 5, labels=[0] * 5)

    annealing = Annealing(rounds(0.5), Union(Union.Params()), "all")
    [(_, found)] = anneal(Wild(), [[ImageToSearch(0, Prompt(("a",)), (100, 300), {})]], annealing, batch_size=1)
    assert isinstance(found, Instances)
    assert found.boxes.tolist() == [[0, 0, 20, 10], [290, 90, 300, 100]]


WORDS = {"a": ClassPrompts(phrases=("a", "alpha")), "b": ClassPrompts(phrases=("beta",), negatives=("n",))}


def test_a_class_is_found_when_any_of_its_phrases_has_a_box() -> None:
    item = {"alpha": [0.9], "beta": [0.42]}
    [found], detector = run([item], ("a", "b"), [0.5, 0.4, 0.3], ask="missing", ontology=WORDS)
    assert detector.asked == [[("a", "alpha", "beta", "n")], [("beta", "n")]]
    assert sorted(zip(found.labels.tolist(), found.rounds.tolist(), found.asked or (), strict=True)) == [
        (0, 0, "alpha"),
        (1, 1, "beta"),
    ]


def test_a_negative_drops_boxes_whatever_the_round() -> None:
    class Rival(Scripted):
        def answer(self, item: dict[str, list[float]], prompt: Prompt, floor: float) -> Instances:
            labels = [prompt.phrases.index(phrase) for phrase in ("beta", "n")]
            return Instances.build([[0, 0, 9, 9]] * 2, scores=[0.6, 0.8], labels=labels)

    annealing = Annealing(rounds(0.7, 0.5), Union(Union.Params()), "all", WORDS)
    [(_, found)] = anneal(Rival(), [[ImageToSearch(0, Prompt(("b",)), (100, 300), {})]], annealing, batch_size=1)
    assert isinstance(found, Instances)
    assert len(found) == 0


def test_no_phrases_means_no_forward_pass() -> None:
    [found], detector = run([{"a": [0.9]}], (), [0.5])
    assert len(found) == 0
    assert detector.asked == []


def test_what_torch_says_without_memory_is_out_of_memory() -> None:
    import torch

    with pytest.raises(RuntimeError) as raised:
        torch.empty(1 << 60, dtype=torch.uint8)
    assert out_of_memory(raised.value)
    assert out_of_memory(MemoryError()) and out_of_memory(RuntimeError("HIP out of memory. Tried to allocate 2 GiB"))
    assert not out_of_memory(RuntimeError("no kernel image is available"))
