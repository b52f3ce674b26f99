"""Runs in which images are seen in several looks."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from autolabel.cli.app import app
from autolabel.detectors import Agreement, Doubt, Looks
from autolabel.errors import MachineError, SpecError
from autolabel.plan.compile import Compiled, compile_plan
from autolabel.registry import Registry
from autolabel.results.slices import Slice
from autolabel.run.anneal import Annealing, Search
from autolabel.run.forecast import foretold
from autolabel.run.generate import generate, generate_slice, merge
from autolabel.spec.load import spec_from_mapping
from autolabel.types import Instances, Prompt, Round
from autolabel_aggregators.nms import Nms
from tests.specs import make_spec

IMAGES = 6
STEP = {"type": "step", "rounds": 3, "start": 0.6, "end": 0.1}
DIM: dict[str, Any] = {"darker": 0.8}
"""What a dim look shows of a shade is another shade: it scores lower, and pale ones are lost."""
Asked = Counter[str]


@pytest.fixture
def photos(tmp_path: Path, example_path: str) -> Path:
    """Photos of which the even ones are easy, and the odd ones hold shades that a dim look does not see."""
    from autolabel_colors import Rectangle, save

    folder = tmp_path / "photos"
    for number in range(IMAGES):
        white, blue = (0.95, 0.95) if number % 2 == 0 else (0.3, 0.2)
        rectangles = [Rectangle(2, 3, 20, 20, "white", white), Rectangle(30, 30, 50, 60, "blue", blue)]
        save(folder / f"{number}.png", rectangles)
    return folder


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, example_path: str) -> Asked:
    """Counts how often each image is shown to the labeler."""
    from autolabel_colors import Colors

    counts: Asked = Counter()
    prepare = Colors.prepare

    def counting(self: Any, batch: Sequence[Any]) -> Any:
        counts.update(sample.image.id for sample in batch)
        return prepare(self, batch)

    monkeypatch.setattr(Colors, "prepare", counting)
    return counts


def compiled(registry: Registry, photos: Path, out: str, looks: Any, **changes: Any) -> Compiled:
    run = {"shard_size": 4, "batch_size": 2, "num_workers": 2, **changes.pop("run", {})}
    stage = {"labeler": {"type": "colors"}, "scheduler": STEP, "ask": "all", "looks": looks, **changes}
    spec = make_spec(photos, photos.parent / out, classes=["white", "blue"], run=run, stages=[stage], export=[])
    return compile_plan(spec_from_mapping(spec, root=photos, registry=registry), registry=registry)


def labels(registry: Registry, plan: Compiled) -> list[dict[str, Any]]:
    generate(plan, registry=registry)
    text = (Path(plan.plan.outputs.results_dir) / "labels.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def support(row: dict[str, Any]) -> list[tuple[int, int]]:
    return [(box["support"]["looks"], box["support"]["asked"]) for box in row["instances"]]


BY_ROUND = {"which": ["plain", "mirror", DIM], "spend": "by_round", "doubt": {"score": 0.2, "sure": 0.4, "boxes": 0}}


def test_every_round_sees_all_looks(registry: Registry, photos: Path, asked: Asked) -> None:
    easy, hard, *_ = labels(registry, compiled(registry, photos, "run", ["plain", "mirror", DIM]))
    assert set(asked.values()) == {3}
    assert support(easy) == [(3, 3)] * 2, "a dim look sees bright things"
    assert [box["bbox"] for box in easy["instances"]] == [[2, 3, 20, 20], [30, 30, 50, 60]]
    assert support(hard) == [(2, 3)] * 2
    plain = labels(registry, compiled(registry, photos, "plain", None))[1]
    assert "support" not in plain["instances"][0]
    scores = [
        (with_looks["score"], alone["score"])
        for with_looks, alone in zip(hard["instances"], plain["instances"], strict=True)
    ]
    assert all(voted == pytest.approx(alone * 2 / 3, abs=1e-5) for voted, alone in scores)


def test_looks_by_round_are_asked_while_there_is_doubt(registry: Registry, photos: Path, asked: Asked) -> None:
    rows = labels(registry, compiled(registry, photos, "run", BY_ROUND))
    assert [asked[row["image"]] for row in rows] == [1, 2] * (IMAGES // 2)
    assert [set(support(row)) for row in rows] == [{(1, 1)}, {(2, 2)}] * (IMAGES // 2)
    strict = {**BY_ROUND, "doubt": {"score": 0.31, "sure": 0.62, "boxes": 0}}
    labels(registry, compiled(registry, photos, "strict", strict))
    assert sum(asked.values()) == 3 * IMAGES // 2 + IMAGES, "what scores too little is not in doubt"


def test_an_image_in_doubt_gets_a_third_look(registry: Registry, photos: Path, asked: Asked) -> None:
    looks = {**BY_ROUND, "which": ["plain", DIM, "mirror"]}
    rows = labels(
        registry, compiled(registry, photos, "run", {**looks, "doubt": {"score": 0.12, "sure": 0.24, "boxes": 0}})
    )
    assert [asked[row["image"]] for row in rows] == [1, 3] * (IMAGES // 2)
    assert [set(support(row)) for row in rows] == [{(1, 1)}, {(2, 3)}] * (IMAGES // 2)
    again = labels(
        registry, compiled(registry, photos, "run2", {**looks, "doubt": {"score": 0.12, "sure": 0.24, "boxes": 1}})
    )
    assert [set(support(row)) for row in again] == [{(1, 1)}] * IMAGES, "one box in doubt is few enough"


def test_passes_are_counted_and_looks_are_part_of_the_digest(registry: Registry, photos: Path) -> None:
    def plan(looks: Any, **changes: Any) -> Any:
        return compiled(registry, photos, "run", looks, **changes).plan

    three = ["plain", "mirror", "flip"]
    assert [plan(looks).manifest.most_passes[0] for looks in (None, three, BY_ROUND)] == [
        IMAGES,
        3 * IMAGES,
        3 * IMAGES,
    ]
    assert plan(three, ask="missing").manifest.most_passes[0] == 6 * IMAGES
    assert plan(BY_ROUND, ask="missing").manifest.most_passes[0] == (2 + 3) * IMAGES
    assert plan(three, tiles={}).manifest.most_passes[0] is None
    different = [
        plan(looks)
        for looks in (
            None,
            three,
            three[:2],
            three[::-1],
            [*three[:2], {"rotate": 90}],
            [*three[:2], {"rotate": 180}],
            {"which": three, "score": "mean"},
            {"which": three, "iou": 0.6},
            {"which": three, "spend": "by_round"},
            {"which": three, "spend": "by_round", "doubt": {"boxes": 2}},
        )
    ]
    assert len({one.digest for one in different}) == len(different)
    assert plan({"which": three}).digest == plan(three).digest, "a list is short for the mapping"


def test_more_looks_than_rounds_cannot_be_spent_by_round(registry: Registry, photos: Path) -> None:
    with pytest.raises(SpecError, match=r"looks\.spend: 3 looks are to be spent by round, and there are 2"):
        compiled(registry, photos, "run", BY_ROUND, scheduler={**STEP, "rounds": 2})
    with pytest.raises(SpecError, match="and there is 1"):
        compiled(registry, photos, "run", BY_ROUND, scheduler=None)


def test_a_segmenter_has_no_looks(registry: Registry, photos: Path) -> None:
    with pytest.raises(SpecError, match="'mal' takes boxes, so the stage can have neither tiles nor looks"):
        compiled(registry, photos, "run", ["plain"], labeler={"type": "mal", "checkpoint": "tiny-mal"}, scheduler=None)


@pytest.mark.parametrize("looks", [["plain", "mirror", DIM], BY_ROUND])
def test_kept_candidates_are_those_of_each_look(registry: Registry, photos: Path, asked: Asked, looks: Any) -> None:
    run = {"candidates": str(photos.parent / "kept")}
    labels(registry, compiled(registry, photos, "plain", None, run=run))
    assert set(asked.values()) == {1}
    plan = compiled(registry, photos, "looks", looks, run=run)
    forecast = foretold(plan, registry=registry).forecast
    first = labels(registry, plan)
    spent = sum(asked.values()) - IMAGES
    assert forecast is not None and forecast.passes >= spent, "what was seen plainly is not asked again"
    assert first == [
        {**row, "plan": plan.plan.digest} for row in labels(registry, compiled(registry, photos, "fresh", looks))
    ]
    asked.clear()
    again = compiled(registry, photos, "again", looks, run=run, scheduler={**STEP, "start": 0.5})
    told = foretold(again, registry=registry).forecast
    labels(registry, again)
    assert told is not None and told.passes == 0 and not asked
    other = compiled(registry, photos, "other", ["plain", {"darker": 0.9}], run=run)
    labels(registry, other)
    assert set(asked.values()) == {1}, "another light is another look"


@pytest.mark.parametrize(
    "run", [{"executor": "processes", "workers_per_device": 2}, {"batch_size": 3}, {"shard_size": 1}]
)
def test_workers_and_batches_change_no_label(registry: Registry, photos: Path, run: dict[str, Any]) -> None:
    def kept(plan: Compiled) -> list[Any]:
        return [row["instances"] for row in labels(registry, plan)]

    assert kept(compiled(registry, photos, "one", BY_ROUND)) == kept(
        compiled(registry, photos, "two", BY_ROUND, run=run)
    )


def test_slices_change_no_label(registry: Registry, photos: Path) -> None:
    expected = labels(registry, compiled(registry, photos, "one", BY_ROUND))
    for part in (Slice(2, 2), Slice(1, 2)):
        generate_slice(compiled(registry, photos, "sliced", BY_ROUND), part)
    merge(photos.parent / "sliced", registry=registry)
    lines = (photos.parent / "sliced" / "labels.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == expected


def test_what_is_missing_is_labelled_again_to_the_same_bytes(registry: Registry, photos: Path, asked: Asked) -> None:
    plan = compiled(registry, photos, "run", BY_ROUND)
    generate(plan, registry=registry)
    path = Path(plan.plan.outputs.results_dir) / "labels.jsonl"
    before = path.read_bytes()
    asked.clear()
    next(Path(plan.plan.outputs.results_dir).glob("stages/0-colors/shard-000001*")).unlink()
    generate(plan, registry=registry)
    assert path.read_bytes() == before and len(asked) == IMAGES - 4


def test_a_look_of_a_tile_and_a_vote_of_labelers_over_looks(registry: Registry, photos: Path) -> None:
    members = {"labeler": None, "labelers": [{"type": "colors"}, {"type": "colors", "min_side": 19}]}
    plan = compiled(
        registry,
        photos,
        "run",
        ["plain", "flip"],
        tiles={"size": 48, "overlap": 0.5},
        combine={"type": "vote"},
        **members,
    )
    [box] = labels(registry, plan)[0]["instances"]
    assert box["bbox"] == [30, 30, 50, 60], "the white one is too small for one of the two"
    assert box["sources"] == ["colors", "colors-2"] and box["support"] == {"looks": 4, "labelers": 2, "asked": 4}


@pytest.mark.parametrize("looks", [["plain", "mirror", DIM], BY_ROUND, {"which": ["plain", DIM], "score": "noisy_or"}])
@pytest.mark.parametrize("aggregator", ["nms", "dbscan", "wbf", "soft_nms"])
def test_every_box_is_explained(registry: Registry, photos: Path, looks: Any, aggregator: str) -> None:
    plan = compiled(registry, photos, "run", looks, aggregator={"type": aggregator})
    rows = labels(registry, plan)
    for row in rows[:2]:
        told = CliRunner().invoke(app, ["explain", plan.plan.outputs.results_dir, row["image"]])
        assert told.exit_code == 0, told.output
        count = row["instances"][0]["support"]
        assert "every box is reproduced" in told.output
        asked = count["asked"]
        assert f"  seen in {asked} look{'s' * (asked > 1)}: plain" in told.output
        assert f"  seen in {count['looks']} of {asked} look" in told.output


@pytest.mark.parametrize(
    ("device", "error", "message"),
    [("cuda:99", MachineError, "asked for GPU 99"), ("gpu", SpecError, "'gpu' is not a device")],
)
def test_a_device_that_is_not_there_is_no_bug(
    registry: Registry, photos: Path, device: str, error: type[Exception], message: str
) -> None:
    plan = compiled(registry, photos, "run", None)
    rows = labels(registry, plan)
    done = CliRunner().invoke(app, ["explain", plan.plan.outputs.results_dir, rows[0]["image"], "--device", device])
    assert isinstance(done.exception, error) and message in str(done.exception)


def anneal_by_hand(
    scores: Mapping[str | None, dict[str, float]], ask: Any, thresholds: Sequence[float]
) -> tuple[Search, list[Prompt]]:
    """Play a search in which each look answers one box a phrase, with a written score."""
    rounds = [Round(index=index, conf_threshold=level) for index, level in enumerate(thresholds)]
    agreement = Agreement(score="vote", iou=0.5, labelers=1)
    looks = Looks(("plain", "mirror"), agreement, Doubt(score=0.2, sure=0.4, boxes=0))
    search = Search(Prompt(("a", "b")), (50, 100), Annealing(rounds, Nms(Nms.Params()), ask, looks=looks))
    questions = []
    while (question := search.next_query()) is not None:
        questions.append(question)
        found = [(label, scores[question.look][name]) for label, name in enumerate(question.phrases)]
        boxes = [[10 * (name == "b"), 0, 10 * (name == "b") + 8, 8] for name in question.phrases]
        answer = Instances.build(boxes, scores=[score for _, score in found], labels=[label for label, _ in found])
        search.record_answer(question, answer.take(answer.scores > search.annealing.floor))
    return search, questions


def test_a_phrase_that_was_found_is_weighed_by_the_looks_it_was_asked_in() -> None:
    scores: dict[str | None, dict[str, float]] = {"plain": {"a": 0.9, "b": 0.3}, "mirror": {"a": 0.9, "b": 0.25}}
    search, questions = anneal_by_hand(scores, "missing", [0.5, 0.2])
    assert questions == [Prompt(("a", "b"), look="plain"), Prompt(("b",), look="plain"), Prompt(("b",), look="mirror")]
    kept = dict(zip(search.kept.labels.tolist(), search.kept.scores.tolist(), strict=True))
    assert kept == pytest.approx({0: 0.9, 1: 0.3})
    assert [(one.looks, one.asked) for one in search.kept.support or ()] == [(1, 1), (2, 2)]


def test_what_a_later_look_denies_is_dropped_again() -> None:
    scores: dict[str | None, dict[str, float]] = {"plain": {"a": 0.38, "b": 0.9}, "mirror": {"a": 0.0, "b": 0.9}}
    search, questions = anneal_by_hand(scores, "all", [0.35, 0.3])
    assert [question.look for question in questions] == ["plain", "mirror"]
    assert search.kept.labels.tolist() == [1] and np.allclose(search.kept.scores, 0.9)
