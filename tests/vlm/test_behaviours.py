"""How servers behave, one after the other: the whole rows that come of it, and how often the server was asked."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from autolabel.registry import Registry
from autolabel.testing.endpoint import Scripted, ScriptedEndpoint
from tests.vlm.test_labeler import CAT, DOG, GOOD, REPORTED, SYSTEMS, photos, rows, says, spec

pytest.importorskip("httpx")
CAT_FOUND = {"bbox": [15.0, 20.0, 30.0, 40.0], "phrase": "cat", "label": 0, "score": 0.75, "round": 0}
DOG_FOUND = {"bbox": [0.0, 0.0, 60.0, 10.0], "phrase": "dog", "label": 1, "score": 0.5, "round": 0}
BOTH = [CAT_FOUND, DOG_FOUND]
APOLOGY = "I'm sorry, I can't help with that."
UNREAD = "no box could be read in two answers, the first: "


@dataclass(frozen=True)
class Case:
    """What a server says, in order, and what becomes of it."""

    answers: list[Scripted | str]
    found: list[dict[str, Any]] = field(default_factory=lambda: BOTH)
    notes: list[str] = field(default_factory=lambda: [REPORTED])
    reason: dict[str, str] | None = None
    requests: int = 1
    settings: dict[str, str] = field(default_factory=dict)


def cat_in(box: list[float]) -> str:
    """Return an answer with one cat."""
    return json.dumps([{"bbox_2d": box, "label": "cat", "score": 0.75}])


def failed(code: str, message: str, requests: int, *answers: Scripted | str, **words: str) -> Case:
    """Return a case in which the image fails."""
    return Case(list(answers), [], [], {"code": code, "message": message}, requests, words)


CUT = Scripted(text=GOOD[:-12], finish="length")
BUSY = Scripted(status=429, headers={"Retry-After": "0"})
SLOW = Scripted(silent=True)
CASES = {
    **{
        f"boxes in {name}": Case([cat_in(box)], [CAT_FOUND], settings={"coordinates": name, "resize": "none"})
        for name, (box, _) in SYSTEMS.items()
    },
    "boxes in another system": failed(
        "wrong_coordinates",
        "a box [250, 500, 500, 1000] is none of coordinates: unit_1; see `autolabel doctor --endpoint`",
        1,
        GOOD,
        coordinates="unit_1",
    ),
    "code fences": Case([f"```json\n{GOOD}\n```"]),
    "code fences in code fences": Case([f"````\n```json\n{GOOD}\n```\n````"]),
    "prose around the answer": Case([f"Sure! I see:\n{GOOD}\nAnything else {{}}?"]),
    "cut, the rest comes": Case(
        [CUT, json.dumps([DOG])],
        notes=["vlm: the answer was cut after 1 objects; asked again: 1 more", REPORTED],
        requests=2,
    ),
    "cut twice": Case(
        [CUT],
        [CAT_FOUND],
        [
            "vlm: the answer was cut after 1 objects; asked again: 0 more",
            "vlm: the second answer was cut as well: objects are missing",
            REPORTED,
        ],
        requests=2,
    ),
    "refusal of the protocol": failed("refused", "the model refuses: I cannot.", 1, Scripted(refusal="I cannot.")),
    "filter": failed("refused", "the model refuses: its answer was withheld", 1, Scripted(finish="content_filter")),
    "refusal in words": failed("unreadable_answer", f'{UNREAD}"{APOLOGY}"', 2, APOLOGY),
    "refusal, then an answer": Case(
        [APOLOGY, GOOD],
        notes=["vlm: the answer could not be read after 0 objects; asked again: 2 more", REPORTED],
        requests=2,
    ),
    "busy": Case([BUSY, BUSY, GOOD], requests=3),
    "fails, then works": Case([Scripted(status=500), Scripted(status=503), GOOD], requests=3),
    "slow, then works": Case([SLOW, GOOD], requests=2, settings={"timeout": "0.3"}),
    "another form": Case([json.dumps({"objects": [CAT, DOG]})]),
    "box of three numbers": Case(
        [json.dumps([CAT, {"bbox_2d": [1, 2, 3], "label": "dog"}]), json.dumps([DOG])],
        notes=["vlm: the answer had 1 unreadable objects after 1 objects; asked again: 1 more", REPORTED],
        requests=2,
    ),
    "label that was not asked for": Case(
        [json.dumps([CAT, {**DOG, "label": "<b>horse</b>"}])],
        [CAT_FOUND],
        ["vlm: left out labels that were not asked for: '<b>horse</b>'", REPORTED],
    ),
    "no schema at all": failed("unreadable_answer", f'{UNREAD}"{{}} {{cat}}"', 2, "{} {cat}"),
}


@pytest.mark.parametrize("name", CASES)
def test_row(tmp_path: Path, registry: Registry, name: str) -> None:
    case = CASES[name]
    photos(tmp_path, 1)
    with ScriptedEndpoint(says(*case.answers)) as server:
        path = spec(tmp_path, server.url, more="run: {max_failures: 1}", **case.settings)
        [row] = rows(path, registry)
        assert len(server.requests) == case.requests
    del row["plan"]
    state = "failed" if case.reason else "labelled"
    row["notes"], case_notes = sorted(row["notes"]), sorted(case.notes)
    assert row == {
        "image": "0.png",
        "caption_index": 0,
        "width": 60,
        "height": 40,
        "state": state,
        "reason": case.reason,
        "phrases": ["cat", "dog"],
        "caption": None,
        "instances": case.found,
        "notes": case_notes,
    }
