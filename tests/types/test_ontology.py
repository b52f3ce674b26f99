"""Several phrases for a class, and phrases against it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from autolabel.types import Instances
from autolabel.types.boxes import iou
from autolabel.types.ontology import ClassPrompts, collapse_to_classes, expand_prompts

PEOPLE = {
    "person": ClassPrompts(phrases=("person", "pedestrian"), negatives=("statue", "poster")),
    "car": ClassPrompts(phrases=("car", "van"), negatives=("poster",)),
}
ASKED = ("person", "pedestrian", "car", "van", "statue", "poster")
HERE, NEAR, FAR = [0, 0, 10, 10], [0, 0, 10, 9], [50, 50, 60, 60]


def answer(*found: tuple[str, list[int], float]) -> Instances:
    phrases, boxes, scores = zip(*found, strict=True)
    return Instances.build(boxes, scores=scores, labels=[ASKED.index(phrase) for phrase in phrases])


def folded(*found: tuple[str, list[int], float]) -> list[tuple[int, float, str | None]]:
    out = collapse_to_classes(answer(*found), ("person", "car"), PEOPLE)
    return list(
        zip(out.labels.tolist(), [round(score, 2) for score in out.scores.tolist()], out.asked or (), strict=True)
    )


def test_classes_are_asked_by_their_phrases_then_by_what_is_against_them() -> None:
    assert expand_prompts(("person", "car"), PEOPLE) == ASKED
    assert expand_prompts(("car", "dog"), PEOPLE) == ("car", "van", "dog", "poster")
    assert expand_prompts((), PEOPLE) == ()


def test_a_box_found_by_two_phrases_of_a_class_keeps_the_better_score() -> None:
    assert folded(("person", HERE, 0.4), ("pedestrian", HERE, 0.6)) == [(0, 0.6, "pedestrian")]
    assert folded(("person", HERE, 0.6), ("pedestrian", HERE, 0.6)) == [(0, 0.6, None)]


def test_equal_boxes_of_two_labelers_or_looks_are_each_kept_since_each_has_a_vote() -> None:
    found = answer(("person", HERE, 0.4), ("pedestrian", HERE, 0.6), ("person", HERE, 0.5), ("pedestrian", HERE, 0.3))
    by_two = replace(found, sources=(("a",), ("a",), ("b",), ("b",)))
    out = collapse_to_classes(by_two, ("person", "car"), PEOPLE)
    assert list(zip(out.sources or (), out.asked or (), strict=True)) == [(("a",), "pedestrian"), (("b",), None)]
    in_two = replace(found, looks=("flip", "whole", "flip", "whole"))
    out = collapse_to_classes(in_two, ("person", "car"), PEOPLE)
    assert list(zip(out.looks or (), out.asked or (), strict=True)) == [("whole", "pedestrian"), ("flip", None)]


def test_boxes_that_are_not_equal_are_left_to_the_aggregator() -> None:
    assert folded(("pedestrian", HERE, 0.6), ("person", NEAR, 0.4)) == [(0, 0.6, "pedestrian"), (0, 0.4, None)]


def test_a_box_that_fits_a_negative_better_is_dropped_and_no_other() -> None:
    assert folded(("person", HERE, 0.5), ("statue", NEAR, 0.6)) == []
    assert folded(("person", HERE, 0.5), ("statue", NEAR, 0.5)) == [(0, 0.5, None)]
    assert folded(("person", HERE, 0.5), ("statue", FAR, 0.6)) == [(0, 0.5, None)]
    assert folded(("person", HERE, 0.5), ("pedestrian", HERE, 0.7), ("statue", HERE, 0.6)) == [(0, 0.7, "pedestrian")]


def test_a_negative_speaks_against_its_own_class_alone() -> None:
    assert folded(("car", HERE, 0.5), ("statue", HERE, 0.6)) == [(1, 0.5, None)]
    assert folded(("van", HERE, 0.5), ("poster", HERE, 0.6)) == []


def test_a_phrase_of_one_class_can_be_against_another() -> None:
    both = {
        "person": ClassPrompts(phrases=("person",), negatives=("statue",)),
        "statue": ClassPrompts(phrases=("statue",)),
    }
    found = Instances.build([HERE, HERE], scores=[0.5, 0.6], labels=[0, 1])
    assert expand_prompts(("person", "statue"), both) == ("person", "statue")
    assert collapse_to_classes(found, ("person", "statue"), both).labels.tolist() == [1]
    assert collapse_to_classes(found, ("person",), both).labels.tolist() == [], (
        "a class that is not asked gets no boxes"
    )


def test_nothing_found_stays_nothing() -> None:
    assert len(collapse_to_classes(Instances.empty(), ("person", "car"), PEOPLE)) == 0


CORNERS = st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(4, 8), st.integers(4, 8))
ONE = st.tuples(CORNERS, st.integers(0, 10), st.integers(0, len(ASKED) - 1), st.sampled_from([("a",), ("b",)]))


@given(st.lists(ONE, min_size=1, max_size=40))
def test_it_does_what_two_loops_over_all_pairs_do(found: list[tuple[tuple[int, ...], int, int, tuple[str]]]) -> None:
    boxes, scores, labels, sources = (list(column) for column in zip(*found, strict=True))
    raw = Instances.build(boxes, scores=np.array(scores) / 10, labels=labels, sources=sources)
    overlap = iou(raw.boxes, raw.boxes)
    expected: list[int] = []
    for i, phrase in enumerate(labels[:]):
        name = {0: "person", 1: "person", 2: "car", 3: "car"}.get(phrase)
        if name is None:
            continue
        against = [ASKED.index(word) for word in PEOPLE[name].negatives]
        if any(labels[j] in against and scores[j] > scores[i] and overlap[i, j] >= 0.5 for j in range(len(labels))):
            continue
        rivals = [
            j
            for j in range(len(labels))
            if boxes[j] == boxes[i] and labels[j] // 2 == phrase // 2 < 2 and sources[j] == sources[i]
        ]
        if i == min(rivals, key=lambda j: (-scores[j], j)):
            expected.append(i)
    out = collapse_to_classes(raw, ("person", "car"), PEOPLE)
    assert out.boxes.tolist() == raw.boxes[expected].tolist()
    assert out.labels.tolist() == [labels[i] // 2 for i in expected]
    assert list(out.sources or ()) == [sources[i] for i in expected]
    names = [("person", "car")[label] for label in out.labels]
    words = [word or name for word, name in zip(out.asked or (), names, strict=True)]
    assert words == [ASKED[labels[i]] for i in expected]
