"""Which precision `auto` takes, and that a plan says so."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from autolabel.plan import precision
from autolabel.plan.compile import compile_plan
from autolabel.plan.model import Plan
from autolabel.registry import Registry
from autolabel.spec.load import spec_from_mapping

HAS, LACKS = frozenset({"avx2", "avx512_bf16"}), frozenset({"avx2", "avx512f"})


def plan_of(registry: Registry, folder: Path, asked: str, labelers: int = 1) -> Plan:
    one = {"type": "grounding_dino", "checkpoint": "tiny", "precision": asked}
    other = {**one, "score": "max"}
    stage = {"labeler": one} if labelers == 1 else {"labelers": [one, other]}
    mapping = {
        "version": 1,
        "devices": "cpu",
        "data": {"images": [str(folder)], "classes": ["red star"]},
        "stages": [stage, {"labeler": {"type": "mal", "checkpoint": "tiny-mal", "precision": asked}}],
        "results_dir": str(folder.parent / "run"),
    }
    return compile_plan(spec_from_mapping(mapping, root=folder, registry=registry), registry=registry).plan


@pytest.mark.parametrize(("flags", "taken"), [(HAS, "bfloat16"), (LACKS, "float32")])
def test_a_plan_says_what_it_takes_and_is_that_of_the_precision(
    flags: frozenset[str],
    taken: str,
    registry: Registry,
    draw_photos: object,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    draw_photos(folder, 1)  # type: ignore[operator]
    monkeypatch.setattr(precision, "processor_flags", lambda: flags)
    auto, told = plan_of(registry, folder, "auto"), plan_of(registry, folder, taken)
    assert [stage.labeler.params["precision"] for stage in auto.recipe.stages] == [taken, taken]
    assert auto.digest == told.digest and told.notices == ()
    assert [note.partition(":")[2].strip() for note in auto.notices] == [
        f"auto takes {taken}: {auto.notices[0].rpartition(': ')[2]}"
    ]
    assert "AVX512-BF16" in auto.notices[0]
    other = plan_of(registry, folder, "float32" if taken == "bfloat16" else "bfloat16")
    assert other.digest != auto.digest
    members = plan_of(registry, folder, "auto", labelers=2).recipe.stages[0].members
    assert [member.params["precision"] for member in members] == [taken, taken]


@pytest.mark.parametrize(
    ("workers", "flags", "generations", "expected"),
    [
        (("cpu",), HAS, {}, "bfloat16"),
        (("cpu", "cpu"), frozenset({"amx_bf16"}), {}, "bfloat16"),
        (("cpu",), LACKS, {}, "float32"),
        (("cpu",), frozenset(), {}, "float32"),
        (("cuda:0",), LACKS, {"cuda:0": 9}, "bfloat16"),
        (("cuda:0", "cuda:1"), HAS, {"cuda:0": 9, "cuda:1": 7}, "float32"),
        (("mps",), HAS, {}, "float32"),
        ((), HAS, {}, "float32"),
    ],
)
def test_all_devices_must_gain(
    workers: Sequence[str],
    flags: frozenset[str],
    generations: dict[str, int],
    expected: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(precision, "processor_flags", lambda: flags)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (generations[device], 0))
    chosen, why = precision.choose_precision(workers)
    assert chosen == expected and why


def test_the_flags_are_those_of_this_processor() -> None:
    path = Path("/proc/cpuinfo")
    if not path.is_file():
        assert precision.processor_flags() == frozenset()
    elif "flags" in path.read_text():
        assert "sse2" in precision.processor_flags()
