"""Kept candidates: another threshold, schedule or aggregator gives the labels of a fresh run, and asks nothing."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autolabel.cli.app import app
from autolabel.plan.compile import Compiled, compile_plan
from autolabel.registry import Registry
from autolabel.results import failpoints
from autolabel.results.store import TEMPORARY
from autolabel.run import stage
from autolabel.run.anneal import Annealing, Search
from autolabel.run.candidates import HEAD, CandidateStore, ImageMemory, pack_candidates, unpack_candidates
from autolabel.run.forecast import foretold
from autolabel.run.generate import generate
from autolabel.spec.load import spec_from_mapping
from autolabel.strategies import Aggregator
from autolabel.types import Instances, Prompt, Rle, Round
from tests.specs import make_spec

IMAGES = 7
Spec = dict[str, Any]


class Work:
    """Counts what a run does: images read, images seen by the labeler, answers it gave, times it was loaded."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        from autolabel_colors import Colors

        self.counts = dict.fromkeys(("decoded", "prepared", "asked", "loaded"), 0)
        self.watch(patch, stage, "read_pixels", "decoded", lambda *_, **__: 1)
        self.watch(patch, Colors, "prepare", "prepared", lambda _, batch: len(batch))
        self.watch(patch, Colors, "detect", "asked", lambda _, prepared, *__: len(prepared))
        self.watch(patch, Colors, "load", "loaded", lambda *_: 1)

    def watch(self, patch: pytest.MonkeyPatch, owner: Any, name: str, count: str, size: Callable[..., int]) -> None:
        original = getattr(owner, name)

        def counting(*arguments: Any, **options: Any) -> Any:
            self.counts[count] += size(*arguments, **options)
            return original(*arguments, **options)

        patch.setattr(owner, name, counting)

    def since(self) -> dict[str, int]:
        counts = dict(self.counts)
        self.counts = dict.fromkeys(counts, 0)
        return counts


NOTHING = {"decoded": 0, "prepared": 0, "asked": 0, "loaded": 0}


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch, example_path: str) -> Work:
    return Work(monkeypatch)


@pytest.fixture(autouse=True)
def disarm() -> Iterator[None]:
    yield
    failpoints.arm("")


@pytest.fixture
def photos(tmp_path: Path, example_path: str) -> Path:
    from autolabel_colors import Rectangle, save

    for index in range(IMAGES):
        rectangles = [Rectangle(2 + index, 3, 20, 20, "red", 0.9), Rectangle(30, 5, 50, 20, "red", 0.5 - index / 50)]
        rectangles += [Rectangle(31, 6, 50, 20, "red", 0.4), Rectangle(30, 30, 50, 60, "blue", 0.35 + index / 50)]
        save(tmp_path / "photos" / f"{index}.png", rectangles)
    return tmp_path / "photos"


def compiled(registry: Registry, photos: Path, out: str, **changes: Any) -> Compiled:
    """Compile a spec that keeps candidates beside the photos; ``changes`` are of the stage, or ``run``, or ``data``."""
    stage = {
        "labeler": {"type": "colors"},
        "scheduler": {"type": "step", "rounds": 3, "start": 0.6, "end": 0.2},
        "aggregator": {"type": "nms", "threshold": 0.5},
        "ask": "all",
    }
    run = {"shard_size": 3, "batch_size": 2, "num_workers": 2, "candidates": str(photos.parent / "kept")}
    spec: Spec = make_spec(
        photos,
        photos.parent / out,
        data={"classes": ["red", "blue", "green"], **changes.pop("data", {})},
        run={**run, **changes.pop("run", {})},
        stages=[{**stage, **changes}],
        export=[],
    )
    return compile_plan(spec_from_mapping(spec, root=photos, registry=registry), registry=registry)


def labels(registry: Registry, plan: Compiled, **options: Any) -> bytes:
    generate(plan, registry=registry, **options)
    return (Path(plan.plan.outputs.results_dir) / "labels.jsonl").read_bytes()


def fresh(registry: Registry, photos: Path, **changes: Any) -> bytes:
    """Return the labels of a run that keeps nothing."""
    run = {**changes.pop("run", {}), "candidates": None}
    return labels(registry, compiled(registry, photos, "fresh", run=run, **changes), mode="fresh")


STEP = {"type": "step", "rounds": 3, "start": 0.6, "end": 0.2}
CHANGES: list[Spec] = [
    {"scheduler": {**STEP, "start": 0.45, "end": 0.25}},
    {"scheduler": {"type": "cosine", "rounds": 5, "start": 0.7, "end": 0.2}},
    {"scheduler": {"type": "fixed", "rounds": [{"conf_threshold": 0.4}]}},
    {"aggregator": {"type": "dbscan", "eps": 0.4}},
    {"aggregator": {"type": "nms", "threshold": 0.9}},
]


@pytest.mark.parametrize("change", CHANGES)
def test_another_threshold_schedule_or_aggregator_gives_a_fresh_runs_bytes_and_asks_nothing(
    registry: Registry, photos: Path, work: Work, change: Spec
) -> None:
    first = labels(registry, compiled(registry, photos, "first"))
    assert work.since() == {"decoded": IMAGES, "prepared": IMAGES, "asked": IMAGES, "loaded": 1}
    assert first == fresh(registry, photos), "keeping candidates changes no label"
    work.since()
    plan = compiled(registry, photos, "second", **change)
    forecast = foretold(plan, registry=registry).forecast
    assert forecast is not None
    assert (forecast.rows, forecast.answered, forecast.passes, forecast.bytes) == (IMAGES, IMAGES, 0, 0)
    again = labels(registry, plan)
    assert work.since() == NOTHING
    assert again == fresh(registry, photos, **change) != first


def test_ask_missing_asks_only_the_sets_of_phrases_that_were_not_asked_before(
    registry: Registry, photos: Path, work: Work
) -> None:
    labels(registry, compiled(registry, photos, "first"))
    work.since()
    change = {"ask": "missing", "scheduler": {**STEP, "start": 0.55}}
    plan = compiled(registry, photos, "second", **change)
    forecast = foretold(plan, registry=registry).forecast
    again = labels(registry, plan)
    done = work.since()
    assert again == fresh(registry, photos, **change)
    sets = work.since()["asked"] - IMAGES
    assert done["asked"] == sets > 0, "what all images are asked first is known from the run before"
    assert forecast is not None and forecast.answered == IMAGES - done["decoded"] and forecast.passes >= sets
    assert labels(registry, compiled(registry, photos, "third", **change)) == again
    assert work.since() == NOTHING


@pytest.mark.parametrize("executor", ["inline", pytest.param("processes", marks=pytest.mark.soak)])
def test_workers_share_the_folder(registry: Registry, photos: Path, work: Work, executor: str) -> None:
    run = {"executor": executor, "workers_per_device": 2}
    labels(registry, compiled(registry, photos, "first", run=run))
    files = list((photos.parent / "kept").glob("*/*"))
    assert len(files) == 3, "a file a shard, not one an image"
    work.since()
    change = CHANGES[0]
    assert labels(registry, compiled(registry, photos, "second", **change)) == fresh(registry, photos, **change)
    assert sorted((photos.parent / "kept").glob("*/*")) == sorted(files)


def test_what_an_answer_rests_on_is_in_its_key(registry: Registry, photos: Path, work: Work) -> None:
    from autolabel_colors import Rectangle, save

    labels(registry, compiled(registry, photos, "run"))
    work.since()

    def asked(out: str, **changes: Any) -> int:
        labels(registry, compiled(registry, photos, out, **changes), mode="fresh")
        return work.since()["asked"]

    assert asked("a", labeler={"type": "colors", "min_side": 4}) == IMAGES
    assert asked("b", data={"classes": ["red", "blue"]}) == IMAGES
    assert asked("c", data={"classes": ["blue", "red", "green"]}) == IMAGES
    save(photos / "3.png", [Rectangle(1, 1, 30, 30, "green", 0.9)])
    assert asked("d") == 1
    (photos / "3.png").rename(photos / "renamed.png")
    assert asked("e") == 0, "the name of an image is not what it shows"
    assert asked("f", scheduler={**STEP, "end": 0.1}) == IMAGES, "nobody has asked so low"
    assert asked("g", scheduler={**STEP, "end": 0.15}) == 0


def test_an_image_that_changed_its_size_since_it_was_planned_fails_as_ever(
    registry: Registry, photos: Path, work: Work
) -> None:
    from autolabel_colors import save

    labels(registry, compiled(registry, photos, "first"))
    plan = compiled(registry, photos, "second")
    save(photos / "0.png", [], size=(32, 32))
    rows = [json.loads(line) for line in labels(registry, plan).splitlines()]
    assert rows[0]["reason"]["code"] == "changed_image"
    (photos / "1.png").unlink()
    rows = [json.loads(line) for line in labels(registry, plan, mode="fresh").splitlines()]
    assert [row["state"] for row in rows] == ["failed", "failed", *["labelled"] * 5]
    assert rows[1]["reason"]["code"] == "missing"


def damage(path: Path, how: str) -> None:
    text = path.read_bytes()
    if how == "count":
        path.write_bytes(text[: HEAD.size - 5] + b"\xff" + text[HEAD.size - 4 :])
    elif how == "entry":
        path.write_bytes(text[:-1] + bytes([text[-1] ^ 1]))
    elif how == "index":
        path.write_bytes(text[: HEAD.size + 3] + bytes([text[HEAD.size + 3] ^ 1]) + text[HEAD.size + 4 :])
    elif how == "cut":
        path.write_bytes(text[:-20])
    elif how == "empty":
        path.write_bytes(b"")
    else:
        path.write_bytes(b"not a file of candidates, whatever its name says")


@pytest.mark.parametrize("how", ["entry", "index", "count", "cut", "empty", "foreign"])
def test_what_is_damaged_is_asked_again_and_said(
    registry: Registry, photos: Path, work: Work, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    first = labels(registry, compiled(registry, photos, "first"))
    damage(max((photos.parent / "kept").glob("*/*"), key=lambda path: path.stat().st_size), how)
    work.since()
    with caplog.at_level(logging.WARNING):
        assert labels(registry, compiled(registry, photos, "second")) == first
    assert work.since()["asked"] == (1 if how in ("entry", "cut") else 3)
    assert any("cannot be used" in message for message in caplog.messages)
    assert labels(registry, compiled(registry, photos, "third")) == first
    assert work.since()["asked"] == 0, "the answer is whole again"


@pytest.mark.parametrize("name", ["candidates.written", "candidates.synced", "candidates.renamed", "row.labelled"])
def test_a_kill_while_candidates_are_written_is_resumed_to_the_same_bytes(
    registry: Registry, photos: Path, work: Work, name: str
) -> None:
    expected = fresh(registry, photos)
    plan = compiled(registry, photos, "first")
    child = os.fork()
    if child == 0:
        failpoints.arm(f"{name}:kill:2")
        generate(plan, registry=registry)
        os._exit(0)
    assert os.WIFSIGNALED(os.waitpid(child, 0)[1])
    assert labels(registry, plan) == expected
    work.since()
    assert labels(registry, compiled(registry, photos, "second")) == expected
    assert work.since() == NOTHING


def test_a_full_disk_is_told_and_the_run_resumed(registry: Registry, photos: Path, work: Work) -> None:
    from autolabel.errors import MachineError

    plan = compiled(registry, photos, "first")
    failpoints.arm("candidates.written:full:2")
    with pytest.raises(MachineError, match="cannot be written"):
        generate(plan, registry=registry)
    failpoints.arm("")
    assert not list((photos.parent / "kept").rglob(f"*{TEMPORARY}"))
    assert labels(registry, plan) == fresh(registry, photos)


def test_the_folder_may_be_a_url(registry: Registry, photos: Path, work: Work) -> None:
    system = fsspec.filesystem("memory")
    run = {"candidates": "memory://bucket/kept"}
    try:
        first = labels(registry, compiled(registry, photos, "first", run=run))
        assert len(system.find("/bucket/kept")) == 3
        work.since()
        assert labels(registry, compiled(registry, photos, "second", run=run)) == first
        assert work.since() == NOTHING
    finally:
        system.store.clear()


def test_what_was_left_half_written_long_ago_goes(tmp_path: Path) -> None:
    new, old = (tmp_path / f"{name}.candidates.1{TEMPORARY}" for name in ("new", "old"))
    for path in (new, old):
        path.write_bytes(b"")
    os.utime(old, (0, 0))
    assert CandidateStore.open(tmp_path).count == 0
    assert new.exists() and not old.exists()


def test_plan_foretells_in_words_and_as_json(
    registry: Registry, photos: Path, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    from typer.testing import CliRunner

    def told(*words: str) -> str:
        return CliRunner().invoke(app, ["plan", "spec.json", *words]).output

    monkeypatch.chdir(photos.parent)
    spec = {
        "version": 1,
        "data": {"images": ["photos"], "classes": ["red"]},
        "stages": [{"labeler": {"type": "colors"}}],
    }
    Path("spec.json").write_text(json.dumps({**spec, "devices": "cpu", "results_dir": "run"}))
    assert "candidates" not in told()
    assert "0 of 7 rows cached, at most 7 forward passes, up to 0.0 MB to cache" in told("run.candidates=kept")
    assert CliRunner().invoke(app, ["generate", "-q", "spec.json", "run.candidates=kept"]).exit_code == 0
    assert work.since()["asked"] == 7
    again = CliRunner().invoke(app, ["generate", "spec.json", "run.candidates=kept", "results_dir=again"])
    assert "boxes, 7 rows from cached candidates" in again.stderr
    assert "7 of 7 rows cached, 0 forward passes" in told("run.candidates=kept", "stages[0].aggregator.type=nms")
    forecast = json.loads(told("run.candidates=kept", "--json"))["forecast"]
    assert forecast == {"rows": 7, "answered": 7, "passes": 0, "bytes": 0}
    digests = [json.loads(told(*words, "--json"))["digest"] for words in ([], ["run.candidates=kept"])]
    assert digests[0] == digests[1], "where answers are kept changes no label"
    assert work.since() == NOTHING


def test_answers_come_back_bit_by_bit() -> None:
    draw = np.random.default_rng(0)
    boxes = draw.normal(size=(50, 4)).astype(np.float32)
    boxes[3] = np.nan
    masks = [None if n % 3 else Rle.encode(draw.uniform(size=(7, 9)) < 0.5) for n in range(50)]
    found = Instances.build(boxes, scores=draw.uniform(size=50), labels=draw.integers(0, 9, 50), masks=masks)
    back = unpack_candidates(pack_candidates(found))
    assert back.boxes.tobytes() == found.boxes.tobytes() and back.scores.tobytes() == found.scores.tobytes()
    assert back.labels.tolist() == found.labels.tolist() and back.masks == found.masks
    empty = unpack_candidates(pack_candidates(Instances.empty()))
    assert len(empty) == 0 and empty.masks is None
    for bad in (b"", b"junk", pack_candidates(found)[:-5]):
        with pytest.raises(ValueError, match="not an answer"):
            unpack_candidates(bad)


class Everything(Aggregator):
    """Keeps everything."""

    name = "everything"

    def aggregate(self, instances: Instances, round: Round) -> Instances:
        return instances


def play(search: Search, scores: dict[str, list[float]]) -> tuple[Search, int]:
    """Answer a search from written scores; return it with the number of times it had to be answered."""
    times = 0
    while (question := search.next_query()) is not None:
        rows = [(label, n, s) for label, name in enumerate(question.phrases) for n, s in enumerate(scores[name])]
        boxes = [[10 * n, 0, 10 * n + 5, 5] for _, n, _ in rows]
        found = Instances.build(boxes, scores=[s for *_, s in rows], labels=[label for label, *_ in rows])
        search.record_answer(question, found.take(found.scores > search.annealing.floor))
        times += 1
    return search, times


Scores = st.lists(st.sampled_from([0.15, 0.25, 0.35, 0.45, 0.6, 0.8]), max_size=4)
Falling = st.lists(st.sampled_from([0.1, 0.2, 0.3, 0.4, 0.5, 0.7]), min_size=1, max_size=5).map(
    lambda values: sorted(values, reverse=True)
)


@settings(max_examples=20)
@given(scores=st.fixed_dictionaries({"a": Scores, "b": Scores, "c": Scores}), runs=st.lists(Falling, max_size=4))
def test_whatever_was_asked_before_the_labels_are_those_of_a_search_without_memory(
    scores: dict[str, list[float]], runs: list[list[float]]
) -> None:
    store, known = CandidateStore(Path("/nowhere")), {}
    for number, thresholds in enumerate(runs):
        rounds = [Round(index=index, conf_threshold=value) for index, value in enumerate(thresholds)]
        annealing = Annealing(rounds, Everything(Everything.Params()), "all" if number % 2 else "missing")
        memory = ImageMemory(Remembering(store, known), "hash", (100, 400), annealing.floor)  # type: ignore[arg-type]
        prompt = Prompt(("a", "b", "c"))
        plain, times = play(Search(prompt, (100, 400), annealing), scores)
        again, less = play(Search(prompt, (100, 400), annealing, memory=memory), scores)
        assert less <= times
        for column in ("boxes", "scores", "labels", "rounds"):
            assert getattr(plain.result(), column).tolist() == getattr(again.result(), column).tolist()
        _, none = play(Search(prompt, (100, 400), annealing, memory=memory), scores)
        assert none == 0


class Remembering:
    """A store without files."""

    def __init__(self, store: CandidateStore, known: dict[bytes, list[tuple[float, Instances]]]) -> None:
        self.known = known

    def recall(self, key: bytes, floor: float) -> Instances | None:
        fitting = [found for least, found in self.known.get(key, []) if least <= floor]
        return fitting[0].take(fitting[0].scores > floor) if fitting else None

    def keep(self, key: bytes, found: Instances, floor: float) -> None:
        self.known.setdefault(key, []).append((floor, found))


def test_an_answer_that_no_detector_gives_is_asked_again() -> None:
    import zlib

    import msgspec

    def packed(scores: list[float], labels: list[int], masks: Any = None) -> bytes:
        columns = (
            np.zeros((len(scores), 4), "<f4").tobytes(),
            np.asarray(scores, "<f4").tobytes(),
            np.asarray(labels, "<i4").tobytes(),
        )
        return zlib.compress(msgspec.msgpack.encode([*columns, masks, None]))

    assert len(unpack_candidates(packed([0.5], [0]))) == 1
    bomb = zlib.compress(bytes(1 << 28))
    huge = [((1 << 30, 1 << 30), "oooooooooo0")]
    for wrong in (packed([9.0], [0]), packed([float("nan")], [0]), packed([0.5], [-1]), packed([0.5], [0], huge), bomb):
        with pytest.raises(ValueError, match="an answer"):
            unpack_candidates(wrong)
