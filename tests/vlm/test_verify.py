"""Verifiers: what they are shown and asked, what their verdicts become, and whom they reach."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from autolabel import compile_plan, generate, load_spec
from autolabel.errors import EndpointError, SpecError
from autolabel.registry import Registry
from autolabel.testing import check_verifier
from autolabel.testing.endpoint import Script, Scripted, ScriptedEndpoint, picture_of, words_of
from autolabel_vlm.contrast import Contrast
from autolabel_vlm.verify import Verify, outline, plain

pytest.importorskip("httpx")


def photos(root: Path, registry: Registry, count: int = 2) -> Path:
    """Fill a folder with photos of a red and a blue rectangle; the first finds both."""
    from autolabel_colors import Rectangle, save

    for index in range(count):
        rectangles = [Rectangle(4, 4, 24, 24, "red", 0.9), Rectangle(30, 30 - index, 56, 56, "blue", 0.4)]
        save(root / "photos" / f"{index}.png", rectangles)
    return root


def spec(root: Path, verifier: str, more: str = "") -> Path:
    """Write a spec with a verifier behind the example package's detector."""
    path = root / "spec.yaml"
    path.write_text(f"""version: 1
data: {{images: [./photos], classes: [red, blue]}}
stages:
  - labeler: {{type: colors}}
    scheduler: {{type: fixed, rounds: [{{conf_threshold: 0.3}}]}}
  - labeler: {{{verifier}}}
export: []
devices: cpu
results_dir: out
{more}
""")
    return path


def rows(path: Path, registry: Registry, mode: str = "resume") -> list[dict[str, Any]]:
    """Run a spec and return its rows."""
    generate(compile_plan(load_spec(path, registry=registry), registry=registry), registry=registry, mode=mode)
    return [json.loads(line) for line in (path.parent / "out" / "labels.jsonl").read_text().splitlines()]


def verdicts(row: dict[str, Any]) -> dict[str, float | None]:
    """Return the verdict on each class."""
    return {one["phrase"]: one.get("verdict") for one in row["instances"]}


def by_phrase(chances: dict[str, tuple[float, float]]) -> Script:
    """Return a script that says yes and no of a phrase with these chances."""

    def script(request: dict[str, Any], before: int) -> Scripted:
        yes, no = next(chance for phrase, chance in chances.items() if f" a {phrase}?" in words_of(request))
        top = [("Yes", yes / 2), (" yes", yes / 2), ("no", no), ("maybe", 0.01)]
        logs = [(text, float(np.log(chance))) for text, chance in top if chance]
        return Scripted(text="Yes", tokens=logs[:1], top=logs)

    return script


def vlm(url: str, more: str = "") -> str:
    """Return the labeler `verify` of a server, as a spec writes it."""
    return f"type: verify, endpoint: '{url}', model: m, image_format: png, retry_wait: 0{', ' if more else ''}{more}"


def test_verdict_stands_beside_the_score(tmp_path: Path, registry: Registry) -> None:
    with ScriptedEndpoint(by_phrase({"red": (0.6, 0.2), "blue": (0.1, 0.4)})) as server:
        found = rows(spec(photos(tmp_path, registry), vlm(server.url)), registry)
        request = server.requests[0]
    assert [verdicts(row) for row in found] == [{"red": 0.75, "blue": 0.2}] * 2
    assert [one["score"] for one in found[0]["instances"]] == pytest.approx([0.9, 0.4], abs=0.01)
    fields = {name: request[name] for name in ("max_tokens", "temperature", "logprobs", "top_logprobs")}
    assert fields == {"max_tokens": 1, "temperature": 0.0, "logprobs": True, "top_logprobs": 20}


def test_whole_image_is_shown_with_one_box_drawn(tmp_path: Path, registry: Registry) -> None:
    with ScriptedEndpoint(by_phrase({"red": (0.6, 0.2), "blue": (0.1, 0.4)})) as server:
        [row] = rows(spec(photos(tmp_path, registry, 1), vlm(server.url, "colour: lime")), registry)
        assert len(server.requests) == 2
        for request in server.requests:
            with Image.open(io.BytesIO(picture_of(request))) as opened:
                shown = np.asarray(opened.convert("RGB"))
            with Image.open(tmp_path / "photos" / "0.png") as opened:
                photo = np.asarray(opened.convert("RGB"))
            assert shown.shape == photo.shape
            changed = (shown != photo).any(axis=2)
            assert (shown[changed] == (0, 255, 0)).all()
            phrase = "red" if " a red?" in words_of(request) else "blue"
            box = next(one["bbox"] for one in row["instances"] if one["phrase"] == phrase)
            x1, y1, x2, y2 = map(round, box)
            rows_, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
            assert (columns[0], rows_[0], columns[-1], rows_[-1]) == (x1 - 2, y1 - 2, x2 + 1, y2 + 1)
            assert not changed[y1:y2, x1:x2].any()


def test_only_boxes_in_doubt_are_asked_about(tmp_path: Path, registry: Registry) -> None:
    with ScriptedEndpoint(by_phrase({"blue": (0.1, 0.4)})) as server:
        found = rows(spec(photos(tmp_path, registry), vlm(server.url, "between: [0.3, 0.6]")), registry)
        assert len(server.requests) == 2
    assert [verdicts(row) for row in found] == [{"red": None, "blue": 0.2}] * 2
    assert all("verdict" not in one for row in found for one in row["instances"] if one["phrase"] == "red")


def test_denied_boxes_are_left_out_where_that_is_chosen(tmp_path: Path, registry: Registry) -> None:
    with ScriptedEndpoint(by_phrase({"red": (0.6, 0.2), "blue": (0.1, 0.4)})) as server:
        found = rows(spec(photos(tmp_path, registry), vlm(server.url, "drop_below: 0.5")), registry)
    assert [verdicts(row) for row in found] == [{"red": 0.75}] * 2
    assert found[0]["notes"] == ["verify: left out 1 of 2 boxes, whose verdict is below 0.5"]


def test_answers_without_probabilities_are_yes_or_no(tmp_path: Path, registry: Registry) -> None:
    def script(request: dict[str, Any], before: int) -> Scripted:
        return Scripted(text="Yes." if " a red?" in words_of(request) else "no")

    with ScriptedEndpoint(script) as server:
        found = rows(spec(photos(tmp_path, registry), vlm(server.url)), registry)
    assert [verdicts(row) for row in found] == [{"red": 1.0, "blue": 0.0}] * 2


NEITHER = [Scripted(text="perhaps"), Scripted(text="x", tokens=[("x", 0.0)]), Scripted(text="")]


@pytest.mark.parametrize("answer", NEITHER)
def test_answer_that_is_neither_gives_no_verdict(tmp_path: Path, registry: Registry, answer: Scripted) -> None:
    with ScriptedEndpoint(lambda request, before: answer) as server:
        found = rows(spec(photos(tmp_path, registry), vlm(server.url, "drop_below: 0.5")), registry)
    assert [verdicts(row) for row in found] == [{"red": None, "blue": None}] * 2


def test_image_that_cannot_be_verified_keeps_its_boxes(tmp_path: Path, registry: Registry) -> None:
    def script(request: dict[str, Any], before: int) -> Scripted:
        if "Say: yes" in words_of(request) or before == 0:
            return Scripted(text="yes")
        return Scripted(status=400, text="no such picture")

    with ScriptedEndpoint(script) as server:
        [row] = rows(spec(photos(tmp_path, registry, 1), vlm(server.url, "concurrency: 1")), registry)
        assert sorted(str(one) for one in verdicts(row).values()) == ["1.0", "None"]

    with ScriptedEndpoint(script) as server:
        server.note({}, {})
        [row] = rows(spec(tmp_path, vlm(server.url, "concurrency: 1")), registry, mode="fresh")
        assert verdicts(row) == {"red": None, "blue": None}
        assert row["notes"] == [
            f"verify: no verdict: {server.url} refuses this question: 400: no such picture",
        ]


def test_outage_ends_the_run_and_nothing_is_asked_twice(tmp_path: Path, registry: Registry) -> None:
    down = True

    def script(request: dict[str, Any], before: int) -> Scripted:
        return Scripted(status=500) if before >= 3 and down else Scripted(text="yes")

    with ScriptedEndpoint(script) as server:
        path = spec(photos(tmp_path, registry, 3), vlm(server.url, "retries: 0, concurrency: 1"))
        with pytest.raises(EndpointError):
            rows(path, registry)
        down, before = False, len(server.requests)
        assert [verdicts(row) for row in rows(path, registry)] == [{"red": 1.0, "blue": 1.0}] * 3
        assert len(server.requests) - before == 6 - 3


def test_local_verifier_needs_no_endpoint(tmp_path: Path, registry: Registry) -> None:
    found = rows(spec(photos(tmp_path, registry), "type: contrast", "local_only: true"), registry)
    assert all(0.9 < verdict <= 1 for row in found for verdict in verdicts(row).values() if verdict is not None)
    assert [len(verdicts(row)) for row in found] == [2, 2]


def test_local_verifier_denies_what_is_not_there() -> None:
    from autolabel.testing.verifier import boxed
    from autolabel.types import Image as Photo
    from autolabel.types import Instances, Prompt, Sample

    pixels = np.full((40, 60, 3), 100, np.uint8)
    pixels[10:20, 10:30] = 200
    found = Instances.build([(10, 10, 30, 20), (35, 22, 50, 36), (0, 0, 60, 40)], scores=[0.5] * 3, labels=[0] * 3)
    sample = Sample(
        image=Photo(id="a", path="", size=(40, 60)), pixels=pixels, prompt=Prompt(("thing",)), instances=found
    )
    [answer] = Contrast(Contrast.Params()).verify([sample])
    assert answer[0] == 1 and answer[1] == 0 and np.isnan(answer[2])
    assert boxed(sample).instances.boxes.shape == (2, 4)


def test_contract_of_verifiers() -> None:
    check_verifier(Contrast, {})
    with ScriptedEndpoint(lambda request, before: Scripted(text="yes")) as server:
        check_verifier(Verify, {"endpoint": server.url, "model": "m"})


def test_given_boxes_are_verified(tmp_path: Path, registry: Registry) -> None:
    photos(tmp_path, registry, 1)
    coco = {
        "images": [{"id": 1, "file_name": "0.png", "width": 64, "height": 64}],
        "annotations": [{"id": 7, "image_id": 1, "category_id": 1, "bbox": [4, 4, 20, 20]}],
        "categories": [{"id": 1, "name": "red"}],
    }
    (tmp_path / "boxes.json").write_text(json.dumps(coco))
    path = tmp_path / "spec.yaml"
    path.write_text(
        "version: 1\ndata: {images: [./photos], boxes: boxes.json}\nstages: [{labeler: {type: contrast}}]\n"
        "export: []\ndevices: cpu\nresults_dir: out\n"
    )
    [row] = rows(path, registry)
    assert row["instances"][0]["verdict"] > 0.9
    assert row["instances"][0]["given"]["id"] == 7


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("between: [0.6, 0.2]", "0.6 is more than 0.2"),
        ("between: [0.2, 1.2]", "between"),
        ("drop_below: 2", "drop_below"),
    ],
)
def test_wrong_settings(tmp_path: Path, registry: Registry, words: str, said: str) -> None:
    with pytest.raises(SpecError, match=said):
        load_spec(spec(photos(tmp_path, registry, 1), f"type: contrast, {words}"), registry=registry)


def test_verifier_comes_after_what_finds_boxes(tmp_path: Path, registry: Registry) -> None:
    path = spec(photos(tmp_path, registry, 1), "type: contrast")
    text = path.read_text()
    start, end = text.index("  - labeler: {type: colors}"), text.index("  - labeler: {type: contrast}")
    path.write_text(text[:start] + text[end:])
    with pytest.raises(SpecError, match="needs boxes, and no earlier stage finds any"):
        compile_plan(load_spec(path, registry=registry), registry=registry)


@pytest.mark.parametrize("token", ["yes", " Yes", "YES", "▁yes", "Ġyes", "yes.", '"Yes"', "**yes**", "\nyes"])
def test_spellings_of_yes(token: str) -> None:
    assert plain(token) == "yes"


@pytest.mark.parametrize("box", [(0, 0, 60, 40), (0, 0, 10, 10), (50, 30, 60, 40), (20, 10, 21, 11), (-5, -5, 70, 50)])
def test_outline_is_always_seen(box: tuple[float, ...]) -> None:
    pixels = np.zeros((40, 60, 3), np.uint8)
    drawn = outline(pixels, np.array(box, np.float32), (40, 60), (255, 0, 0))
    assert (drawn == (255, 0, 0)).all(axis=2).sum() >= 16
    assert drawn.shape == pixels.shape and not pixels.any()


def test_chances_learn_from_verdicts() -> None:
    from autolabel.evaluate.probability import JudgedBoxes, chance, fit

    rng = np.random.default_rng(0)
    right = rng.random(400) < 0.5
    verdicts = np.clip(np.where(right, 0.8, 0.2) + rng.normal(0, 0.05, 400), 0, 1)
    verdicts[::4] = np.nan
    boxes = JudgedBoxes(
        images=np.arange(400),
        scores=np.full(400, 0.5),
        share=np.ones(400),
        classes=("a",) * 400,
        right=right,
        verdicts=verdicts,
    )
    found = chance(fit(boxes, method="logistic"), boxes)
    asked = np.isfinite(verdicts)
    assert found[asked & right].mean() > 0.9 and found[asked & ~right].mean() < 0.1
    assert abs(found[~asked].mean() - right[~asked].mean()) < 0.15
    without = fit(replace(boxes, verdicts=np.full(400, np.nan)), method="logistic")
    assert (without.verdict, without.verified) == (0.0, 0.0)


def test_review_shows_denied_boxes_first(tmp_path: Path, registry: Registry) -> None:
    from autolabel.doubts.known import read_known
    from autolabel.results.store import RunStore
    from autolabel.review.row_index import RowIndex

    def script(request: dict[str, Any], before: int) -> Scripted:
        with Image.open(io.BytesIO(picture_of(request))) as opened:
            second = np.asarray(opened.convert("RGB"))[29, 40, 2] > 100
        return Scripted(text="no" if second and " a blue?" in words_of(request) else "yes")

    with ScriptedEndpoint(script) as server:
        found = rows(spec(photos(tmp_path, registry), vlm(server.url, "colour: lime")), registry)
    assert [verdicts(row)["blue"] for row in found] == [1.0, 0.0]
    index = RowIndex(tmp_path / "out" / "labels.jsonl", ("red", "blue"), rows=2)
    index.build()
    least = index.least()
    index.close()
    assert least.tolist() == pytest.approx([found[0]["instances"][1]["score"], 0.0])
    run = tmp_path / "out"
    plan = RunStore(run).read_plan()
    assert plan is not None
    known = read_known(RunStore(run), plan)
    chances = dict(zip(known.units.verdicts, known.chance_of_wrong().tolist(), strict=True))
    assert max(chances, key=lambda verdict: chances[verdict]) == 0.0


def test_plan_says_that_images_are_sent(tmp_path: Path, registry: Registry) -> None:
    path = spec(photos(tmp_path, registry, 1), vlm("https://api.example.com/v1"))
    plan = compile_plan(load_spec(path, registry=registry), registry=registry).plan
    assert plan.recipe.stages[1].sends_to == ("https://api.example.com/v1",)
    path.write_text(path.read_text() + "local_only: true\n")
    with pytest.raises(SpecError, match="local_only"):
        compile_plan(load_spec(path, registry=registry), registry=registry)


def test_verdict_is_shown_wherever_people_look_at_a_box(tmp_path: Path, registry: Registry) -> None:
    from autolabel.api import explain, report
    from autolabel.results.store import finished
    from autolabel.review.session import ReviewSession

    with ScriptedEndpoint(by_phrase({"red": (0.6, 0.2), "blue": (0.1, 0.4)})) as server:
        path = spec(photos(tmp_path, registry, 1), vlm(server.url, "between: [0.3, 0.6]"), "report: true")
        rows(path, registry)
    run = tmp_path / "out"
    session = ReviewSession(*finished(run))
    session.index.build()
    told = session.row_json(0)["boxes"]
    assert {box["name"]: box["verified"] for box in told} == {"red": None, "blue": 0.2}
    session.index.close()
    assert '"verified":[0.2,null]' in Path(str(report(str(run)))).read_text().replace(" ", "")
    [explanation] = explain(str(run), "0.png", registry=registry)
    assert {box.phrase: box.verified for box in explanation.boxes} == {"red": None, "blue": 0.2}
