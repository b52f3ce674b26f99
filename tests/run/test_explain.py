"""Explanations: of searches made by hand, of whole runs, and of everything that is no box."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow
from typer.testing import CliRunner

from autolabel.cli.app import app
from autolabel.cli.explain import lines
from autolabel.errors import DataError, ImageError
from autolabel.explain.explain import Retrace, explain_rows, explain_run, load_searcher
from autolabel.explain.explanation import Explanation
from autolabel.plan.compile import compile_plan
from autolabel.plan.model import ResolvedStrategy, Stage, WeightFile, Weights
from autolabel.registry import Registry
from autolabel.results import record
from autolabel.results.ledger import read_labels
from autolabel.results.store import finished
from autolabel.run.anneal import Annealing, Search
from autolabel.run.generate import generate
from autolabel.spec.load import spec_from_mapping
from autolabel.strategies import Aggregator
from autolabel.testing.aggregator import PHRASES, SIZE, crowd
from autolabel.types import Image, Instances, Labels, Prompt, Rle, Round
from autolabel.types.boxes import clip
from autolabel.types.ontology import ClassPrompts
from autolabel_aggregators.dbscan import Dbscan
from autolabel_aggregators.nms import Nms
from autolabel_aggregators.soft_nms import SoftNms
from autolabel_aggregators.wbf import Wbf
from tests.specs import make_spec

ROOT = Path(__file__).resolve().parents[2]
ROUNDS = tuple(Round(index=i, conf_threshold=t) for i, t in enumerate((0.75, 0.5, 0.25)))
AGGREGATORS: list[Any] = [
    Nms(Nms.Params(threshold=0.5)),
    Dbscan(Dbscan.Params(eps=0.5)),
    SoftNms(SoftNms.Params()),
    Wbf(Wbf.Params()),
]


CHOICE = ResolvedStrategy(type="any", package="tests", version="0", params={})
WEIGHTS = Weights(files=(), licence="", commercial=None)
STAGE = Stage(index=0, name="0-any", labeler=CHOICE, weights=WEIGHTS, gives="boxes", rounds=ROUNDS, aggregator=CHOICE)
PLANNED: Any = SimpleNamespace(recipe=SimpleNamespace(stages=(STAGE,)))
"""The part of a plan that an explanation reads."""


def rederived(told: Explanation, aggregator: Aggregator, rounds: Sequence[Round]) -> list[Any]:
    """Return each box as its aggregator makes it of the candidates that the explanation names, and of nothing else."""
    out = []
    for box in told.boxes:
        sources = Instances.build(
            [one.bbox for one in box.sources],
            scores=[one.score for one in box.sources],
            labels=[told.phrases.index(one.phrase) for one in box.sources],
            rounds=[one.round or 0 for one in box.sources],
        )
        assert told.last_round is not None
        made = aggregator.aggregate(sources, rounds[told.last_round])
        boxes = clip(made.boxes, (told.height, told.width))
        nearest = int(np.abs(boxes - np.array(box.bbox)).max(axis=1).argmin())
        assert told.phrases[made.labels[nearest]] == box.phrase and made.rounds[nearest] == box.round
        out.append((boxes[nearest].tolist(), float(made.scores[nearest])))
    return out


def searched_by_hand(aggregator: Aggregator, seed: int) -> tuple[Search, Labels]:
    """A finished search among random candidates, with the labels that a run writes of it."""
    prompt = Prompt((*PHRASES, "faint", "absent"))
    search = Search(prompt, SIZE, Annealing(ROUNDS, aggregator, "all"))
    faint = Instances.build([[5, 5, 20, 20], [6, 6, 9, 9]], scores=[0.2, 0.1], labels=[3, 3])
    found = replace(crowd(40, seed), masks=None, given=None)
    search.record_answer(prompt, Instances.concatenate([found, faint]))
    assert search.next_query() is None
    row = Labels(image=Image(id="a.jpg", path="", size=SIZE), prompt=prompt, instances=search.result())
    return search, record.decode_labels(record.encode_labels(row, "digest"))


@pytest.mark.parametrize("aggregator", AGGREGATORS, ids=lambda one: one.name)
@pytest.mark.parametrize("seed", [0, 1])
def test_every_box_is_derived_again_from_its_lineage(aggregator: Aggregator, seed: int) -> None:
    search, row = searched_by_hand(aggregator, seed)
    told = Retrace(plan=PLANNED, row=row, search=search, verdicts=[None] * len(row.instances)).explanation()
    lowers = aggregator.name == "soft_nms"  # its boxes stay where they are, and a box has a say in others' scores
    assert told.off <= 1e-3 and len(told.boxes) == len(row.instances) > 10
    for box, (corners, score) in zip(told.boxes, rederived(told, aggregator, ROUNDS), strict=True):
        assert corners == pytest.approx(box.bbox, abs=1e-3) and score == pytest.approx(box.score, abs=1e-6)
        assert box.threshold == ROUNDS[box.round].conf_threshold
        assert lowers or box.score > box.threshold
        own = [one.round for one in box.sources if one.phrase == box.phrase and one.score >= box.score - 1e-6]
        assert box.round in own
        said = "\n".join(lines(told, box.index))
        assert ("as the detector gave it\n" in said + "\n") == (len(box.sources) == 1)
        assert ("merged by" in said) == (len(box.sources) > 1 and not lowers)
    told_of = [one for box in told.boxes for one in (*box.sources, *box.displaced)]
    assert len(set(told_of)) == len(search.union) and (lowers or len(told_of) == len(search.union))


def test_a_phrase_without_a_box_has_its_best_candidate_and_the_lowest_threshold() -> None:
    search, row = searched_by_hand(AGGREGATORS[0], 0)
    told = Retrace(plan=PLANNED, row=row, search=search, verdicts=[None] * len(row.instances)).explanation()
    faint, absent = told.unfound
    assert (faint.phrase, faint.threshold, faint.displaced_by) == ("faint", 0.25, None)
    assert faint.best is not None and faint.best.round is None
    assert faint.best.bbox == (5, 5, 20, 20) and faint.best.score == pytest.approx(0.2)
    assert (absent.phrase, absent.best) == ("absent", None)


def test_the_words_that_found_a_box_are_told() -> None:
    ontology = {"car": ClassPrompts(phrases=("car", "lorry"))}
    search = Search(Prompt(("car",)), SIZE, Annealing(ROUNDS, AGGREGATORS[0], "all", ontology))
    found = Instances.build([[0, 0, 9, 9], [30, 30, 50, 50]], scores=[0.9, 0.8], labels=[1, 0])
    search.record_answer(Prompt(("car",)), found)
    assert search.next_query() is None
    row = Labels(image=Image(id="a.jpg", path="", size=SIZE), prompt=search.prompt, instances=search.result())
    told = Retrace(
        plan=PLANNED, row=record.decode_labels(record.encode_labels(row, "")), search=search, verdicts=[None] * 2
    ).explanation()
    assert [box.asked for box in told.boxes] == [box.sources[0].asked for box in told.boxes] == ["lorry", None]
    assert "box 0: car (asked as lorry) 0.900 at 0.0 0.0 9.0 9.0" in list(lines(told, None))


def test_a_phrase_that_another_label_displaced_names_the_box() -> None:
    aggregator = Nms(Nms.Params(threshold=0.5, across_labels=True))
    search = Search(Prompt(("cat", "dog")), SIZE, Annealing(ROUNDS, aggregator, "all"))
    search.record_answer(
        Prompt(("cat", "dog")), Instances.build([[0, 0, 9, 9], [0, 0, 9, 8]], scores=[0.9, 0.6], labels=[1, 0])
    )
    assert search.next_query() is None
    row = Labels(image=Image(id="a.jpg", path="", size=SIZE), prompt=search.prompt, instances=search.result())
    told = Retrace(plan=PLANNED, row=row, search=search, verdicts=["keep"]).explanation()
    (cat,) = told.unfound
    assert cat.best is not None and (cat.best.round, cat.displaced_by) == (1, 0)
    assert [one.phrase for one in told.boxes[0].displaced] == ["cat"] and told.boxes[0].verdict == "keep"


def made_run(tmp_path: Path, registry: Registry, **changes: Any) -> Path:
    from autolabel_colors import Rectangle, save

    folder = tmp_path / "photos" / "in"
    folder.mkdir(parents=True)
    save(folder / "a.png", [Rectangle(2, 3, 20, 20, "red", 0.9), Rectangle(30, 30, 50, 60, "blue", 0.45)])
    save(folder / "b.png", [Rectangle(2, 3, 20, 20, "red", 0.15)])
    (folder / "c.png").write_bytes(b"no picture")
    spec = (
        make_spec(
            tmp_path / "photos",
            tmp_path / "run",
            classes=["red", "blue"],
            stages=[
                {"labeler": {"type": "colors"}, "scheduler": {"type": "step", "rounds": 3, "start": 0.6, "end": 0.2}}
            ],
        )
        | changes
    )
    generate(
        compile_plan(spec_from_mapping(spec, root=tmp_path, registry=registry), registry=registry), registry=registry
    )
    return tmp_path / "run"


def test_the_command_tells_rounds_thresholds_and_what_is_missing(tmp_path: Path, registry: Registry) -> None:
    run = made_run(tmp_path, registry)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    first = CliRunner().invoke(app, ["explain", str(run), "in/a.png"])
    assert first.exit_code == 0, first.output
    assert "searched once more with colors: every box is reproduced" in first.output
    assert "box 0: red 0.900 at 2.0 3.0 20.0 20.0\n  round 0, where a score had to be above 0.6\n" in first.output
    assert "box 1: blue 0.450 at 30.0 30.0 50.0 60.0\n  round 1, where a score had to be above 0.4\n" in first.output
    second = json.loads(CliRunner().invoke(app, ["explain", str(run), "b.png", "--json"]).stdout)
    red, blue = second[0]["unfound"]
    assert (red["phrase"], red["best"]["score"], red["threshold"]) == ("red", pytest.approx(0.15, abs=0.01), 0.2)
    assert (blue["phrase"], blue["best"]) == ("blue", None)
    third = CliRunner().invoke(app, ["explain", str(run), "in/c.png"])
    assert "failed: " in third.output and "box" not in third.output.replace("0 boxes", "")
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_one_box_or_a_clear_error(tmp_path: Path, registry: Registry) -> None:
    run = made_run(tmp_path, registry)
    told = json.loads(CliRunner().invoke(app, ["explain", str(run), "a.png", "--box", "1", "--json"]).stdout)
    assert [box["phrase"] for box in told[0]["boxes"]] == ["blue"]
    for words, message in (
        (["a.png", "--box", "2"], "in/a.png has no box 2"),
        (["a.png", "--caption", "1"], "in/a.png has no caption 1"),
        (["x.png"], "'x.png' is not an image of this run"),
    ):
        failed = CliRunner().invoke(app, ["explain", str(run), *words])
        assert isinstance(failed.exception, DataError) and message in str(failed.exception)


def test_an_image_that_is_gone_is_told_by_name(tmp_path: Path, registry: Registry) -> None:
    run = made_run(tmp_path, registry)
    (tmp_path / "photos/in/a.png").unlink()
    with pytest.raises(ImageError, match=r"a\.png|no such file"):
        explain_run(run, "in/a.png", registry=registry)


def test_labels_that_do_not_come_out_again_are_told(tmp_path: Path, registry: Registry) -> None:
    run = made_run(tmp_path, registry)
    Pillow.new("RGB", (64, 64), (128, 128, 128)).save(tmp_path / "photos/in/a.png")
    output = CliRunner().invoke(app, ["explain", str(run), "in/a.png"]).output
    assert "2 of 2 boxes are not reproduced: have weights, versions or the image changed?" in output
    assert output.count("  not reproduced") == 2


def test_given_boxes_are_told_as_given_with_the_weights_of_their_masks() -> None:
    weights = Weights(
        files=(WeightFile(name="mal.safetensors", bytes=1, sha256="ab" * 32),), licence="", commercial=None
    )
    stage = Stage(index=0, name="0-mal", labeler=CHOICE, weights=weights, gives="masks")
    given = [{"id": 70, "category_id": 1}, {}]
    masks = [Rle.encode(np.ones((9, 9), bool)), None]
    found = Instances.build(
        [[0, 0, 9, 9], [1, 1, 2, 2]], scores=[1, 1], labels=[0, 0], rounds=-1, given=given, masks=masks
    )
    row = Labels(image=Image(id="a.jpg", path="", size=(9, 9)), prompt=Prompt(("red",)), instances=found)
    plan: Any = SimpleNamespace(recipe=SimpleNamespace(stages=(stage,)))
    told = Retrace(plan=plan, row=row, search=None, verdicts=[None, None]).explanation()
    assert list(lines(told, 0)) == [
        "a.jpg: 9x9, labelled, 2 boxes",
        "  asked for: red",
        "",
        "box 0: red 1.000 at 0.0 0.0 9.0 9.0",
        "  given by the input: annotation 70",
        "  mask by any with mal.safetensors abababababab",
    ]
    assert told.boxes[0].off == 0 and told.boxes[1].mask is None and told.unfound == ()


@pytest.mark.soak
@pytest.mark.parametrize("aggregator", [{"type": "nms", "threshold": 0.5}, {"type": "dbscan", "eps": 0.5}])
def test_every_box_of_a_run_of_the_shipped_model_is_derived_again(
    aggregator: dict[str, Any], tmp_path: Path, registry: Registry
) -> None:
    schedule = {"type": "cosine", "rounds": 3, "start": 0.5, "end": 0.15}
    labeler = {"type": "grounding_dino", "checkpoint": "tiny"}
    mapping = make_spec(
        ROOT / "examples/bccd/images",
        tmp_path / "run",
        classes=["red blood cell", "white blood cell", "platelet"],
        stages=[{"labeler": labeler, "scheduler": schedule, "aggregator": aggregator, "ask": "all"}],
        run={"threads": 1},
    )
    compiled = compile_plan(spec_from_mapping(mapping, root=tmp_path, registry=registry), registry=registry)
    generate(compiled, registry=registry)
    store, plan = finished(tmp_path / "run")
    searcher = load_searcher(plan, device="cpu", registry=registry)
    assert plan.recipe.stages[0].aggregator is not None
    choice = plan.recipe.stages[0].aggregator
    made = registry.make("aggregator", choice.type, choice.params)
    assert isinstance(made, Aggregator)
    boxes = merged = 0
    for row in read_labels(tmp_path / "run"):
        (told,) = explain_rows([row], store=store, plan=plan, searcher=searcher)
        assert told.off <= 1e-3, told.image
        for box, (corners, score) in zip(told.boxes, rederived(told, made, plan.recipe.stages[0].rounds), strict=True):
            assert corners == pytest.approx(box.bbox, abs=1e-3) and score == pytest.approx(box.score, abs=1e-5)
        boxes += len(told.boxes)
        merged += sum(len(box.sources) + len(box.displaced) > 1 for box in told.boxes)
    assert boxes > 100 and merged > 20
