"""Answers as models write them: what is read, what is cut, what is not readable."""

from __future__ import annotations

import json

import pytest

from autolabel_vlm.answer import Read, read

CAT = '{"bbox_2d": [1, 2, 3, 4], "label": "cat"}'
DOG = '{"bbox_2d": [5, 6, 7, 8], "label": "dog", "score": 0.5}'
BOTH = [((1, 2, 3, 4), "cat", None), ((5, 6, 7, 8), "dog", 0.5)]


def objects(answer: Read) -> list[tuple[tuple[float, ...], str, float | None]]:
    """Return what was read, without where it stands."""
    return [(one.box, one.label, one.score) for one in answer.objects]


@pytest.mark.parametrize(
    "text",
    [
        f"[{CAT}, {DOG}]",
        f"```json\n[{CAT}, {DOG}]\n```",
        f"```\n[{CAT},\n{DOG}]```",
        f"Here they are:\n[{CAT}, {DOG}]\nI hope this helps! {{}}",
        f"{CAT}\n{DOG}",
        f'{{"objects": [{CAT}, {DOG}]}}',
        f'{{"result": {{"detections": [{CAT}, {DOG}], "count": 2}}}}',
        f"<think>[{CAT}] or {{none}}?</think>[{CAT}, {DOG}]",
        f"[{CAT}, {DOG},]",
        f"[{CAT}, {DOG}".replace('"', "'") + "]",
        f"[{CAT}, {DOG}]".replace("bbox_2d", "bbox").replace("label", "category").replace("score", "confidence"),
        f"[{CAT}, {DOG}]".replace(",", ",\r\n\t"),
    ],
)
def test_wrappings(text: str) -> None:
    answer = read(text)
    assert objects(answer) == BOTH
    assert answer.whole


@pytest.mark.parametrize(
    "text", ["[]", "```json\n[]\n```", "There is none: [ ]", '{"objects": []}', '{"objects": [ ], "note": ""}']
)
def test_nothing(text: str) -> None:
    answer = read(text)
    assert (answer.objects, answer.nothing, answer.whole) == ([], True, True)


@pytest.mark.parametrize("length", range(len(f"[{CAT}, {DOG}]")))
def test_answer_cut_anywhere_keeps_what_is_whole(length: int) -> None:
    answer = read(f"[{CAT}, {DOG}]"[:length], cut=True)
    whole = sum(f"[{CAT}, {DOG}]".index(one) + len(one) <= length for one in (CAT, DOG))
    assert objects(answer) == BOTH[:whole]
    assert answer.cut and not answer.whole and answer.unreadable == 0


def test_cut_is_seen_without_the_server_saying_so() -> None:
    assert read(f"[{CAT}, {DOG[:20]}").cut
    assert read(f'{{"objects": [{CAT}, {DOG[:20]}').cut


@pytest.mark.parametrize(
    "box",
    [
        "[1, 2, 3]",
        "[1, 2, 3, 4, 5]",
        '"1 2 3 4"',
        "null",
        "[1, 2, 3, null]",
        "[1, 2, 3, true]",
        '[1, 2, 3, "4"]',
        "[1, 2, 3, NaN]",
        "[1, 2, 3, Infinity]",
        "[1, 2, 3, 1e999]",
        f"[1, 2, 3, 1{'0' * 400}]",
        "{}",
        "[[1, 2], [3, 4]]",
    ],
)
def test_boxes_that_are_none(box: str) -> None:
    answer = read(f'[{CAT}, {{"bbox_2d": {box}, "label": "dog"}}]')
    assert objects(answer) == BOTH[:1]
    assert (answer.unreadable, answer.whole) == (1, False)


@pytest.mark.parametrize(
    "text",
    [
        "I am sorry, I cannot help with that.",
        "",
        "null",
        "cat at 1, 2, 3, 4",
        '{"label": "cat", "x": 1}',
        '[{"where": {"left": 1}}]',
        "{cat}",
    ],
)
def test_texts_without_an_object(text: str) -> None:
    answer = read(text)
    assert answer.objects == [] and not answer.nothing and not answer.whole


@pytest.mark.parametrize("score", ["1.5", "-0.1", '"high"', "null", "true", "NaN"])
def test_scores_that_are_none_are_not_said(score: str) -> None:
    [found] = read(f'[{{"bbox_2d": [1, 2, 3, 4], "label": "cat", "score": {score}}}]').objects
    assert found.score is None


def test_label_that_is_no_text_is_not_readable() -> None:
    assert read('[{"bbox_2d": [1, 2, 3, 4], "label": 3}]').unreadable == 1


@pytest.mark.parametrize("text", ["{" * 50_000, '{"a":' * 50_000, "[" * 100_000, "{'a':" * 20_000, "}" * 100_000])
def test_hostile_texts_end(text: str) -> None:
    assert read(text).objects == []


def test_spans_are_those_of_the_text() -> None:
    text = f"say: [{CAT}, {DOG}]"
    assert [json.loads(text[one.start : one.end]) for one in read(text).objects] == [json.loads(CAT), json.loads(DOG)]
