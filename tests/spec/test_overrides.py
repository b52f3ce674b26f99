"""``key.path=value`` on the command line."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autolabel.errors import SpecError
from autolabel.paths import CommandLineText
from autolabel.registry import Registry
from autolabel.spec.load import load_spec
from autolabel.spec.node import Node, Place, from_plain
from autolabel.spec.overrides import apply_overrides

GOOD = Path(__file__).with_name("good")
BASE = from_plain({"a": {"b": [1, {"c": 2}]}, "none": None}, Place("spec.yaml", 1, 1))


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("a.b.0=5", {"a": {"b": [5, {"c": 2}]}, "none": None}),
        ("a.b[1].c=no", {"a": {"b": [1, {"c": "no"}]}, "none": None}),
        ("a.b=[x, 010]", {"a": {"b": ["x", 10]}, "none": None}),
        ("a={}", {"a": {}, "none": None}),
        ("x.y.z=true", {"a": {"b": [1, {"c": 2}]}, "none": None, "x": {"y": {"z": True}}}),
        ("none.deep=1", {"a": {"b": [1, {"c": 2}]}, "none": {"deep": 1}}),
        ("a.b=", {"a": {"b": None}, "none": None}),
        ("a.b=x=y", {"a": {"b": "x=y"}, "none": None}),
        ("a.b='010'", {"a": {"b": "010"}, "none": None}),
        ("a.b={k: [1, {l: m}]}", {"a": {"b": {"k": [1, {"l": "m"}]}}, "none": None}),
        (" a.b = 1 ", {"a": {"b": 1}, "none": None}),
    ],
)
def test_one(argument: str, expected: object) -> None:
    before = BASE.plain()
    assert apply_overrides(BASE, [argument]).plain() == expected
    assert BASE.plain() == before, "what was read is left as it is"


def test_later_ones_see_earlier_ones() -> None:
    assert apply_overrides(BASE, ["a=[1, 2]", "a.1=3", "a.0=4"]).plain() == {"a": [4, 3], "none": None}


def test_text_is_marked_all_the_way_down() -> None:
    node = apply_overrides(BASE, ["a={b: [x, {c: y}]}"])
    texts = [node.find(("a", "b", 0)), node.find(("a", "b", 1, "c"))]
    assert all(isinstance(text, Node) and isinstance(text.value, CommandLineText) for text in texts)


def test_every_wrong_one_is_told() -> None:
    with pytest.raises(SpecError) as caught:
        apply_overrides(BASE, ["a.b.7=1", "x", "a.b=2", "a.b=[", "none=3"])
    assert [problem.file for problem in caught.value.problems] == [
        "<command line> a.b.7=1",
        "<command line> x",
        "<command line> a.b=[",
    ]


def test_native_keys_beat_those_of_a_tao_document(builtins: Registry) -> None:
    arguments = [
        "devices=cpu",
        "run.batch_size=1",
        "batch_size=3",
        "gpu_ids=[5]",
        "visualize=true",
        "export=[{type: odvg}]",
    ]
    spec = load_spec(GOOD / "tao_whole.yaml", overrides=arguments, registry=builtins)
    assert (spec.devices, spec.run.batch_size, spec.run.num_workers) == ("cpu", 1, 2)
    assert spec.visualize
    assert [choice.name for choice in spec.export] == ["odvg"]


def test_tao_keys_are_spoken_to_a_tao_document(
    builtins: Registry, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ["num_gpus=3", "results_dir=out", "grounding_dino.iteration_scheduler.1.conf_threshold=0.4"]
    spec = load_spec(GOOD / "tao_whole.yaml", overrides=arguments, registry=builtins)
    assert spec.devices == (0, 1, 2)
    assert spec.results_dir == str(tmp_path / "out"), "beats grounding_dino.results_dir of the file"
    assert spec.stages[0].scheduler is not None
    assert [round.conf_threshold for round in spec.stages[0].scheduler.make().rounds()] == [0.5, 0.4, 0.3]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text(alphabet="ab.[]01=:-{}'\"\n&*! ", max_size=12), max_size=4))
def test_random_arguments_raise_only_spec_errors(arguments: list[str]) -> None:
    try:
        apply_overrides(BASE, arguments).plain()
    except SpecError as error:
        assert error.problems
