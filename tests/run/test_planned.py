"""Runs that take the plan which lies in their results directory, and list no images again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from autolabel.errors import BusyError, DataError
from autolabel.plan import compile as compiling
from autolabel.plan.compile import Compiled, compile_plan
from autolabel.registry import Registry
from autolabel.results.ledger import read_labels
from autolabel.results.slices import Slice
from autolabel.run.generate import generate, generate_slice, merge, write_plan
from autolabel.run.prepare import planned_run
from autolabel.spec.load import spec_from_mapping
from autolabel.spec.model import Spec
from tests.specs import make_spec

IMAGES = 7


@pytest.fixture
def photos(registry: Registry, tmp_path: Path) -> Path:
    from autolabel_colors import Rectangle, save

    for index in range(IMAGES):
        save(tmp_path / "photos" / f"{index}.png", [Rectangle(index, 3, 20 + index, 20, "red", 0.9)])
    return tmp_path / "photos"


def spec_of(registry: Registry, photos: Path, out: Path, **changes: Any) -> Spec:
    mapping = (
        make_spec(
            photos, out, classes=["red", "blue"], run={"shard_size": 2, "num_workers": 1}, export=[{"type": "coco"}]
        )
        | changes
    )
    return spec_from_mapping(mapping, root=photos.parent, registry=registry)


def compiled(registry: Registry, photos: Path, out: Path, **changes: Any) -> Compiled:
    return compile_plan(spec_of(registry, photos, out, **changes), registry=registry)


def published(out: Path) -> dict[str, bytes]:
    paths = [out / "labels.jsonl", out / "coco" / "annotations.json", *out.glob("stages/*/*")]
    return {str(path.relative_to(out)): path.read_bytes() for path in paths}


def refuse(*_: Any, **__: Any) -> None:
    raise AssertionError("images were listed")


def test_slices_and_a_whole_run_label_what_was_planned_and_list_nothing(
    registry: Registry, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generate(compiled(registry, photos, tmp_path / "whole"), registry=registry)
    for name in ("slices", "run"):
        write_plan(compiled(registry, photos, tmp_path / name))
        assert not (tmp_path / name / "stages").exists()
    monkeypatch.setattr(compiling, "collect", refuse)
    for part in (Slice(2, 2), Slice(1, 2)):
        generate_slice(
            planned_run(spec_of(registry, photos, tmp_path / "slices"), registry=registry), part, mode="planned"
        )
    merge(tmp_path / "slices", registry=registry)
    summary = generate(
        planned_run(spec_of(registry, photos, tmp_path / "run"), registry=registry), registry=registry, mode="planned"
    )
    assert summary.rows == IMAGES
    assert published(tmp_path / "slices") == published(tmp_path / "run") == published(tmp_path / "whole")


def test_what_may_change_is_taken_from_the_spec(registry: Registry, photos: Path, tmp_path: Path) -> None:
    write_plan(compiled(registry, photos, tmp_path / "run"))
    run = {"shard_size": 2, "num_workers": 1, "executor": "processes", "max_failures": 3}
    now = planned_run(spec_of(registry, photos, tmp_path / "run", run=run, export=[{"type": "csv"}]), registry=registry)
    made = now.plan
    assert (made.execution.executor, made.execution.max_failures) == ("processes", 3)
    first = compiled(registry, photos, tmp_path / "run").plan
    assert (made.digest, made.manifest.rows) == (first.digest, IMAGES)
    assert (made.manifest.shards, made.recipe) == (first.manifest.shards, first.recipe)
    generate(now, registry=registry, mode="planned")
    assert (tmp_path / "run" / "csv" / "labels.csv").exists()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"run": {"shard_size": 3}}, "shard_size was 2, now 3"),
        (
            {"stages": [{"labeler": {"type": "colors"}}, {"labeler": {"type": "filled"}}]},
            "colors, now colors -> filled",
        ),
        ({"data": {"images": ["elsewhere"], "classes": ["red", "blue"]}}, "planned for other images: .*elsewhere"),
    ],
)
def test_another_spec_is_refused_with_the_difference(
    registry: Registry, hazards_path: str, photos: Path, tmp_path: Path, changes: dict[str, Any], told: str
) -> None:
    from autolabel.registry import discover

    (tmp_path / "elsewhere").mkdir()
    write_plan(compiled(registry, photos, tmp_path / "run"))
    now = planned_run(spec_of(discover(), photos, tmp_path / "run", **changes), registry=discover())
    with pytest.raises(BusyError, match=told):
        generate(now, registry=registry, mode="planned")
    if "other images" not in told:  # rows of a data set that has moved may be resumed
        with pytest.raises(BusyError, match=told):
            generate(now, registry=registry)
    with pytest.raises(ValueError, match="cannot start that directory over"):
        generate(now, registry=registry, mode="fresh")
    with pytest.raises(BusyError, match=told):
        generate_slice(now, Slice(1, 2), mode="planned")


def test_without_a_plan_the_command_that_writes_it_is_named(registry: Registry, photos: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no plan\.json here\n.*autolabel plan SPEC --write"):
        planned_run(spec_of(registry, photos, tmp_path / "run"), registry=registry)


def test_a_plan_that_was_replaced_meanwhile_is_noticed(registry: Registry, photos: Path, tmp_path: Path) -> None:
    from autolabel_colors import save

    write_plan(compiled(registry, photos, tmp_path / "run"))
    now = planned_run(spec_of(registry, photos, tmp_path / "run"), registry=registry)
    save(photos / "more.png", [])
    write_plan(compiled(registry, photos, tmp_path / "run"), mode="extend")
    with pytest.raises(BusyError, match="was planned again in the meantime"):
        generate(now, registry=registry, mode="planned")
    again = planned_run(spec_of(registry, photos, tmp_path / "run"), registry=registry)
    assert generate(again, registry=registry, mode="planned").rows == IMAGES + 1


def test_a_changed_data_set_is_noticed(registry: Registry, photos: Path, tmp_path: Path) -> None:
    from autolabel_colors import save

    write_plan(compiled(registry, photos, tmp_path / "run"))
    save(photos / "1.png", [], size=(30, 30))
    (photos / "2.png").unlink()
    save(photos / "more.png", [])
    generate(
        planned_run(spec_of(registry, photos, tmp_path / "run"), registry=registry), registry=registry, mode="planned"
    )
    failed = {row.image.id: row.reason.code for row in read_labels(tmp_path / "run") if row.reason}
    assert failed == {"1.png": "changed_image", "2.png": "missing"}
    with pytest.raises(BusyError, match=r"1 added \(more.png\), 1 removed \(2.png\), 1 changed \(1.png\)"):
        write_plan(compiled(registry, photos, tmp_path / "run"))


def test_captions_are_those_that_were_planned(registry: Registry, photos: Path, tmp_path: Path) -> None:
    captions = tmp_path / "captions.jsonl"
    captions.write_text(json.dumps({"file_name": "1.png", "caption": "red", "noun_chunks": ["red"]}) + "\n")
    data = {"images": [str(photos)], "captions": str(captions)}
    write_plan(compiled(registry, photos, tmp_path / "run", data=data))
    now = planned_run(spec_of(registry, photos, tmp_path / "run", data=data), registry=registry)
    assert (now.plan.manifest.classes, generate(now, registry=registry, mode="planned").rows) == (("red",), 1)
