"""Compiling: literal rounds, shards, digests, refusals."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autolabel.cli.app import obey_tao_visible_devices
from autolabel.data.inputs import Input, decode_input
from autolabel.errors import DataError, MachineError, SpecError
from autolabel.plan import plan_file
from autolabel.plan.compile import Compiled, compile_plan
from autolabel.plan.devices import resolve_devices, threads_per_worker
from autolabel.plan.identity import Fingerprint, without_folders
from autolabel.plan.model import Plan
from autolabel.plan.shards import shard_rows
from autolabel.registry import Registry
from autolabel.spec.load import spec_from_mapping
from autolabel.types.ontology import ClassPrompts
from tests.specs import make_spec

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def photos(tmp_path: Path, example_path: str) -> Path:
    from autolabel_colors import save

    for index in range(5):
        save(tmp_path / "photos" / f"{index}.png", [], size=(32, 32 + index % 2))
    return tmp_path / "photos"


def compiled(registry: Registry, photos: Path, **changes: Any) -> Compiled:
    mapping = (
        make_spec(
            photos,
            photos.parent / "run",
            classes=["red", "blue"],
            stages=[
                {"labeler": {"type": "colors"}, "scheduler": {"type": "cosine", "rounds": 3, "start": 0.5, "end": 0.3}}
            ],
            run={"shard_size": 2},
        )
        | changes
    )
    return compile_plan(spec_from_mapping(mapping, root=photos, registry=registry), registry=registry)


def test_rounds_are_literal_and_defaults_written_out(registry: Registry, photos: Path) -> None:
    [stage] = compiled(registry, photos).plan.recipe.stages
    assert [round.conf_threshold for round in stage.rounds] == [0.5, 0.4, 0.3]
    assert stage.aggregator is not None
    assert (stage.aggregator.type, stage.aggregator.params["threshold"]) == ("nms", 0.7)
    [bare] = compiled(registry, photos, stages=[{"labeler": {"type": "colors"}}]).plan.recipe.stages
    assert [(round.index, round.conf_threshold) for round in bare.rounds] == [(0, 0.5)]


def test_rows_are_sorted_by_key_so_that_batches_are_full(registry: Registry, photos: Path) -> None:
    out = compiled(registry, photos)
    rows = [decode_input(line) for line in out.rows]
    assert [row.image for row in rows] == ["0.png", "2.png", "4.png", "1.png", "3.png"]
    assert [shard.rows for shard in out.plan.manifest.shards] == [2, 2, 1]
    text = b"".join(line + b"\n" for line in out.rows)
    for shard in out.plan.manifest.shards:
        lines = text[shard.offset : shard.offset + shard.bytes].splitlines()
        assert len(lines) == shard.rows


def test_the_digest_covers_results_and_nothing_else(registry: Registry, photos: Path) -> None:
    base = compiled(registry, photos).plan.digest
    same: list[dict[str, Any]] = [
        {"results_dir": str(photos.parent / "elsewhere")},
        {
            "run": {
                "shard_size": 2,
                "executor": "processes",
                "workers_per_device": 3,
                "num_workers": 1,
                "max_failures": 5,
            }
        },
        {"export": [{"type": "coco"}]},
        {"visualize": True},
        {"output": {"filter": {"min_size": 5}}},
    ]
    for change in same:
        assert compiled(registry, photos, **change).plan.digest == base, change
    stages = [{"labeler": {"type": "colors"}, "scheduler": {"type": "cosine", "rounds": 3, "start": 0.5, "end": 0.2}}]
    different: list[dict[str, Any]] = [
        {"stages": stages},
        {"stages": [{"labeler": {"type": "colors", "min_side": 4}}]},
        {"data": {"images": [str(photos)], "classes": ["red"]}},
        {"data": {"images": [str(photos)], "classes": ["blue", "red"]}},
        {"run": {"shard_size": 3}},
        {"run": {"shard_size": 2, "batch_size": 2}},
        {"run": {"shard_size": 2, "threads": 1}},
    ]
    digests = {compiled(registry, photos, **change).plan.digest for change in different}
    assert len(digests) == len(different)
    assert base not in digests


def test_an_ontology_is_part_of_the_plan_where_it_says_more_than_names(registry: Registry, photos: Path) -> None:
    def of(**data: Any) -> Plan:
        return compiled(registry, photos, data={"images": [str(photos)], **data}).plan

    base = of(classes=["red", "blue"])
    same = of(classes={"red": "red", "blue": {}})
    assert (same.digest, same.recipe.ontology, same.manifest.classes) == (base.digest, {}, ("red", "blue"))
    plans = [
        of(classes={"red": ["red", "pink"], "blue": "blue"}),
        of(classes={"red": ["pink", "red"], "blue": "blue"}),
        of(classes=["red", "blue"], negatives=["pink"]),
        of(classes={"red": {"negatives": ["pink"]}, "blue": {}}),
    ]
    assert len({base.digest, *(plan.digest for plan in plans)}) == 5
    assert plans[0].recipe.ontology["red"] == ClassPrompts(phrases=("red", "pink"))
    assert plans[2].recipe.ontology["blue"] == ClassPrompts(phrases=("blue",), negatives=("pink",))
    assert plan_file.decode_plan(plan_file.encode_plan(plans[3]), file="plan.json") == plan_file.summed(plans[3])


def test_phrases_count_towards_the_text_of_the_model(registry: Registry, photos: Path) -> None:
    """A caption of the checkpoint holds 256 tokens; a phrase takes at least two of them."""

    def of(count: int) -> Plan:
        classes = {"cell": [f"cell {index}" for index in range(count)], "dog": "dog"}
        stage = {"labeler": {"type": "grounding_dino", "checkpoint": "tiny"}, "ask": "all"}
        return compiled(registry, photos, data={"images": [str(photos)], "classes": classes}, stages=[stage]).plan

    few, many = of(2), of(200)
    assert few.manifest.most_passes[0] == 5
    assert (many.manifest.most_passes[0] or 0) >= 10
    with pytest.raises(SpecError, match=r"data\.classes\.dog.*tokens"):
        classes = {"cell": "cell", "dog": ["dog", "very " * 300]}
        stage = {"labeler": {"type": "grounding_dino", "checkpoint": "tiny"}}
        compiled(registry, photos, data={"images": [str(photos)], "classes": classes}, stages=[stage])


def test_members_and_tiles_are_part_of_the_plan(registry: Registry, photos: Path) -> None:
    def of(**stage: Any) -> Plan:
        return compiled(registry, photos, stages=[stage]).plan

    several = {"labelers": [{"type": "colors"}, {"type": "colors", "min_side": 9}]}
    one, two = of(labeler={"type": "colors"}), of(**several)
    plans = [
        one,
        two,
        of(**several, combine={"type": "vote"}),
        of(**several, combine={"iou": 0.6}),
        of(labeler={"type": "colors"}, tiles={}),
        of(labeler={"type": "colors"}, tiles={"size": 100}),
    ]
    assert len({plan.digest for plan in plans}) == len(plans)
    assert [member.params["min_side"] for member in two.recipe.stages[0].members] == [3, 9]
    assert (one.manifest.most_passes[0], two.manifest.most_passes[0], plans[4].manifest.most_passes[0]) == (5, 10, None)
    assert plan_file.decode_plan(plan_file.encode_plan(plans[2]), file="plan.json") == plan_file.summed(plans[2])
    assert plan_file.decode_plan(plan_file.encode_plan(plans[4]), file="plan.json") == plan_file.summed(plans[4])
    mal = {"type": "mal", "checkpoint": "tiny-mal"}
    with pytest.raises(SpecError, match=r"stages\[0\]\.labelers\[1\]: 'mal' takes boxes"):
        of(labelers=[{"type": "colors"}, mal])
    with pytest.raises(SpecError, match=r"stages\[1\]\.tiles: 'mal' takes boxes"):
        compiled(registry, photos, stages=[{"labeler": {"type": "colors"}}, {"labeler": mal, "tiles": {}}])


def test_a_moved_data_set_keeps_its_digest(registry: Registry, photos: Path) -> None:
    before = compiled(registry, photos).plan.digest
    moved = photos.rename(photos.parent / "moved")
    assert compiled(registry, moved).plan.digest == before
    (moved / "4.png").unlink()
    assert compiled(registry, moved).plan.digest != before


def test_folders_are_no_part_of_a_digest_however_deep_they_stand() -> None:
    params = {"files": ["/data/a.pth", {"vocab": "/data/vocab.txt", "size": 3}], "word": "a/b", "url": "s3://b/c"}
    moved = {"files": ["/mnt/x/a.pth", {"vocab": "/mnt/vocab.txt", "size": 3}], "word": "a/b", "url": "s3://b/c"}
    assert without_folders(params) == without_folders(moved)
    assert without_folders(params) == {
        "files": ["a.pth", {"vocab": "vocab.txt", "size": 3}],
        "word": "a/b",
        "url": "s3://b/c",
    }


def test_the_plan_survives_its_file_and_its_schema(registry: Registry, photos: Path, tmp_path: Path) -> None:
    plan = compiled(registry, photos).plan
    text = plan_file.encode_plan(plan)
    assert plan_file.decode_plan(text, file="plan.json") == plan_file.summed(plan)
    jsonschema.validate(json.loads(text), json.loads((ROOT / "schema" / "plan.schema.json").read_text()))
    with pytest.raises(DataError, match="not a plan"):
        plan_file.decode_plan(text[:-40], file="plan.json")


def test_most_passes_counts_phrase_sets(registry: Registry, photos: Path) -> None:
    stage = {"labeler": {"type": "colors"}, "scheduler": {"type": "step", "rounds": 3, "start": 0.5, "end": 0.3}}
    of = lambda ask: compiled(registry, photos, stages=[{**stage, "ask": ask}]).plan.manifest.most_passes[0]  # noqa: E731
    assert (of("all"), of("missing")) == (5, 10)


def test_stages_that_do_not_line_up_are_refused(registry: Registry, photos: Path) -> None:
    with pytest.raises(SpecError, match=r"stages\[1\].labeler: 'colors' finds boxes itself, but stages\[0\]"):
        compiled(registry, photos, stages=[{"labeler": {"type": "colors"}}] * 2)
    with pytest.raises(SpecError, match=r"export\[1\].type: 'coco' is listed twice"):
        compiled(registry, photos, export=[{"type": "coco"}, {"type": "coco"}])


def test_an_empty_folder_is_told(registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    with pytest.raises(DataError, match="no images below"):
        compiled(registry, tmp_path / "photos")


def test_unusable_files_are_rows_with_a_reason(registry: Registry, photos: Path) -> None:
    (photos / "bad.png").write_bytes(b"")
    out = compiled(registry, photos)
    assert out.plan.manifest.unusable == 1
    assert [row.code for row in map(decode_input, out.rows) if row.code] == ["unsupported_format"]


@given(st.lists(st.integers(1, 4), max_size=40), st.integers(1, 7))
def test_shards_keep_an_image_together(captions: list[int], shard_size: int) -> None:
    images = [f"{index}" for index, count in enumerate(captions) for _ in range(count)]
    rows = [Input(image=image, path="", caption_index=index) for index, image in enumerate(images)]
    out = shard_rows(reversed(rows), key=lambda size: size, shard_size=shard_size)
    ordered, start = [decode_input(line).image for line in out.lines], 0
    assert sorted(ordered) == ordered
    assert sorted(ordered) == sorted(images)
    for shard in out.shards:
        assert shard.rows >= min(shard_size, len(images) - start)
        assert start == 0 or ordered[start] != ordered[start - 1]
        start += shard.rows
    assert start == len(images)


def test_what_the_rows_are_is_hashed_not_where_nor_in_which_order() -> None:
    rows = [Input(image="a", path="/x/a"), Input(image="b", path="/x/b")]
    moved = [Input(image="b", path="/y/b"), Input(image="a", path="/y/a")]
    assert fingerprint(rows) == fingerprint(moved)
    assert fingerprint(rows[:1]) != fingerprint(rows)
    assert fingerprint([Input(image="a", path="", width=3)]) != fingerprint(rows[:1])
    assert fingerprint([rows[0], rows[0]]) != fingerprint([rows[1], rows[1]])


def fingerprint(rows: Sequence[Input]) -> str:
    made = Fingerprint()
    for row in rows:
        made.add(row)
    return str(made)


@pytest.mark.parametrize(
    ("asked", "there", "expected"),
    [("cpu", 0, ["cpu"]), ("auto", 0, ["cpu"]), ("auto", 2, ["cuda:0", "cuda:1"]), ([1], 2, ["cuda:1"])],
)
def test_devices(monkeypatch: pytest.MonkeyPatch, asked: str | Sequence[int], there: int, expected: list[str]) -> None:
    monkeypatch.setattr("autolabel.plan.devices.cuda_count", lambda: there)
    monkeypatch.setattr("autolabel.plan.devices.mps_there", lambda: False)
    assert resolve_devices(asked) == expected


@pytest.mark.parametrize(("there", "text"), [(0, "no GPU"), (1, "GPU 0 only"), (3, "GPUs 0 to 2")])
def test_a_gpu_that_is_not_there_is_refused_with_those_that_are(
    monkeypatch: pytest.MonkeyPatch, there: int, text: str
) -> None:
    monkeypatch.setattr("autolabel.plan.devices.cuda_count", lambda: there)
    with pytest.raises(MachineError, match=f"asked for GPU 5, but this machine has {text}.*\n.*devices=cpu"):
        resolve_devices([0, 5] if there else [5])


def test_auto_says_that_it_takes_the_cpu(registry: Registry, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autolabel.plan.devices.mps_there", lambda: False)
    monkeypatch.setattr("autolabel.plan.devices.cuda_count", lambda: 0)
    assert compiled(registry, photos, devices="auto").plan.notices == ("devices: auto finds no GPU and uses the CPU",)
    assert compiled(registry, photos, devices="cpu").plan.notices == ()
    mapping = {
        "version": 1,
        "data": {"images": [str(photos)], "classes": ["red"]},
        "stages": [{"labeler": {"type": "colors"}}],
        "results_dir": str(photos.parent / "silent"),
    }
    silent = compile_plan(spec_from_mapping(mapping, root=photos, registry=registry), registry=registry)
    assert silent.plan.notices == ()
    monkeypatch.setattr("autolabel.plan.devices.cuda_count", lambda: 1)
    plan = compiled(registry, photos, devices="auto").plan
    assert (plan.execution.workers, plan.notices) == (("cuda:0",), ())


@pytest.mark.parametrize(
    ("tao", "cuda", "expected"), [("1,2", None, "1,2"), ("1,2", "0", "0"), (None, "0", "0"), (None, None, None)]
)
def test_taos_variable_counts_where_cudas_is_not_set(
    monkeypatch: pytest.MonkeyPatch, tao: str | None, cuda: str | None, expected: str | None
) -> None:
    for name, value in (("TAO_VISIBLE_DEVICES", tao), ("CUDA_VISIBLE_DEVICES", cuda)):
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, value)
    obey_tao_visible_devices()
    assert os.environ.get("CUDA_VISIBLE_DEVICES") == expected
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def test_mps_is_taken_where_it_is_there_and_refused_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autolabel.plan.devices.cuda_count", lambda: 0)
    monkeypatch.setattr("autolabel.plan.devices.mps_there", lambda: True)
    assert (resolve_devices("mps"), resolve_devices("auto")) == (["mps"], ["mps"])
    monkeypatch.setattr("autolabel.plan.devices.mps_there", lambda: False)
    with pytest.raises(MachineError, match=r"no Apple GPU.*\n.*devices=auto"):
        resolve_devices("mps")


@pytest.mark.parametrize(
    ("devices", "run", "workers", "executor"),
    [
        ("cpu", {}, ("cpu",), "inline"),
        ("cpu", {"workers_per_device": 2}, ("cpu", "cpu"), "processes"),
        ([1, 0], {}, ("cuda:1", "cuda:0"), "processes"),
        ([1], {"workers_per_device": 2}, ("cuda:1", "cuda:1"), "processes"),
        ([1], {"executor": "processes"}, ("cuda:1",), "processes"),
    ],
)
def test_workers_follow_from_devices(
    registry: Registry,
    photos: Path,
    monkeypatch: pytest.MonkeyPatch,
    devices: Any,
    run: dict[str, Any],
    workers: tuple[str, ...],
    executor: str,
) -> None:
    monkeypatch.setattr("autolabel.plan.devices.cuda_count", lambda: 2)
    monkeypatch.setattr("autolabel.plan.devices.cores", lambda: 8)
    execution = compiled(registry, photos, devices=devices, run=run).plan.execution
    assert (execution.workers, execution.executor, execution.threads) == (workers, executor, 8 // len(workers))


@pytest.mark.parametrize(
    ("devices", "run", "expected"),
    [
        ("auto", {}, (None, 1.0, 1.0, True)),
        ("auto", {"workers_per_device": 2}, (None, 1.0, 0.5, True)),
        ("cpu", {"threads": 3}, (None, 3.0, 0.0, False)),
        ([0, 1, 2], {}, (3, 1.0, 1.0, False)),
        ([0, 1, 2], {"workers_per_device": 2, "ray": {"num_cpus": 4.0}}, (6, 4.0, 0.5, False)),
        ("auto", {"ray": {"workers": 5, "num_gpus": 0.25}}, (5, 1.0, 0.25, False)),
    ],
)
def test_what_ray_is_asked_for_follows_from_devices(
    registry: Registry, photos: Path, devices: Any, run: dict[str, Any], expected: tuple[Any, ...]
) -> None:
    execution = compiled(registry, photos, devices=devices, run={"executor": "ray", **run}).plan.execution
    asked = execution.cluster
    assert asked is not None
    assert (asked.workers, asked.num_cpus, asked.num_gpus, asked.fall_back) == expected
    assert execution.workers == ()


@pytest.mark.parametrize(("devices", "ray"), [("mps", {}), ("cpu", {"num_gpus": 1.0})])
def test_what_no_cluster_has_is_refused(registry: Registry, photos: Path, devices: str, ray: dict[str, Any]) -> None:
    with pytest.raises(SpecError, match=r"devices: found .* on a Ray cluster wanted auto, cpu or GPU numbers"):
        compiled(registry, photos, devices=devices, run={"executor": "ray", "ray": ray})


def test_cores_are_shared_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autolabel.plan.devices.cores", lambda: 8)
    assert [threads_per_worker(["cpu"] * n, None) for n in (1, 3, 16)] == [8, 2, 1]
    assert threads_per_worker(["cpu"] * 3, 5) == 5
