"""Overrides and references in the grammars that TAO users write: Hydra's and OmegaConf's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from autolabel.errors import SpecError
from autolabel.paths import CommandLineText
from autolabel.registry import Registry
from autolabel.spec import hydra
from autolabel.spec.interpolation import resolve_references
from autolabel.spec.load import load_spec, spec_from_mapping
from autolabel.spec.node import Node, Place, from_plain
from autolabel.spec.overrides import apply_overrides

PLACE = Place("<command line>")
TEXT2BOX = Path(__file__).parents[2] / "specs" / "tao" / "text2box.yaml"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("[{conf_threshold:0.5,nms_threshold:0.7}]", [{"conf_threshold": 0.5, "nms_threshold": 0.7}]),
        ("[{a:1},{a:2,b:[x,y]}]", [{"a": 1}, {"a": 2, "b": ["x", "y"]}]),
        ("{a: 0.5, b : 0.7}", {"a": 0.5, "b": 0.7}),
        ("[]", []),
        ("{}", {}),
        ("[a, b c ,d]", ["a", "b c", "d"]),
        ("", ""),
        ("null", None),
        ("True", True),
        ("FALSE", False),
        ("10", 10),
        ("-1_000", -1000),
        ("010", "010"),
        ("1e-3", 0.001),
        (".5", 0.5),
        ("5.", 5.0),
        ("1.2.3", "1.2.3"),
        ("a b", "a b"),
        ("'a,b'", "a,b"),
        ('"it\'s"', "it's"),
        ("'it\\'s'", "it's"),
        ("a\\,b", "a,b"),
        ("'a\\\\'", "a\\"),
        ("/data/img-1/x.png", "/data/img-1/x.png"),
        ("s3://bucket/a", "s3://bucket/a"),
        ("a=b", "a=b"),
        ("a:b", "a:b"),
        ("???", "???"),
        ("${oc.env:HOME,/tmp}", "${oc.env:HOME,/tmp}"),
        ("[${a},${oc.env:X,1}]", ["${a}", "${oc.env:X,1}"]),
        ("int('3')", 3),
        ("str(3)", "3"),
        ("{'a b':1}", {"a b": 1}),
    ],
)
def test_values(text: str, value: object) -> None:
    assert hydra.parse_hydra(text, PLACE).plain() == value


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a,b", "is a sweep, which defines several runs"),
        ("choice(a,b)", r"calls choice\(\), which defines several runs"),
        ("range(1,3)", r"calls range\(\)"),
        ("[a,b", "lacks a ']'"),
        ("[a", "lacks a ']'"),
        ("{a:1", "lacks a '}'"),
        ("{a}", "an entry without 'key:'"),
        ("'a", "has no closing '"),
        ("${a", "without a '}'"),
        ("[1]x", "is followed by 'x'"),
        ("[" * 60 + "]" * 60, "nested deeper"),
        ("int(x)", "cannot be read"),
    ],
)
def test_what_hydra_refuses(text: str, reason: str) -> None:
    with pytest.raises(SpecError, match=reason):
        hydra.parse_hydra(text, PLACE)


BASE = {"a": {"b": 1, "c": [1, 2]}, "d": "x"}


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("+e=5", {**BASE, "e": 5}),
        ("++a.b=2", {**BASE, "a": {"b": 2, "c": [1, 2]}}),
        ("+a.new.deep=[1,2]", {**BASE, "a": {**BASE["a"], "new": {"deep": [1, 2]}}}),  # type: ignore[dict-item]
        ("~d", {"a": BASE["a"]}),
        ("~a.b", {"a": {"c": [1, 2]}, "d": "x"}),
        ("~a.c.0", {"a": {"b": 1, "c": [2]}, "d": "x"}),
        ("~d=x", {"a": BASE["a"]}),
    ],
)
def test_keys_are_added_and_removed(argument: str, expected: object) -> None:
    assert apply_overrides(from_plain(BASE, PLACE), [argument], parse=hydra.parse_hydra).plain() == expected


@pytest.mark.parametrize(
    ("argument", "reason"),
    [
        ("~gone", "cannot be removed: no such key"),
        ("~d=y", "has another value, so it is not removed"),
        ("+e", "is not an override"),
        ("+++e=1", "not a path of keys"),
        ("~", "is not an override"),
    ],
)
def test_keys_that_cannot_be_added_or_removed(argument: str, reason: str) -> None:
    with pytest.raises(SpecError, match=reason):
        apply_overrides(from_plain(BASE, PLACE), [argument], parse=hydra.parse_hydra)


DOCUMENT: dict[str, Any] = {"root": "/data", "n": 3, "list": [1, 2], "on": True, "in": {"x": "${root}/x", "y": 5}}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${root}", "/data"),
        ("${root}/images", "/data/images"),
        ("${n}", 3),
        ("${list}", [1, 2]),
        ("${in.x}/y", "/data/x/y"),
        ("${list.1}", 2),
        ("${list[0]}", 1),
        ("${root}-${n}-${on}", "/data-3-true"),
        ("${oc.env:PLACE_OF_TESTS}", "here"),
        ("${oc.env:PLACE_OF_TESTS}/${n}", "here/3"),
        ("${oc.env:NOT_THERE,/tmp}", "/tmp"),
        ("${oc.env:NOT_THERE,null}", None),
        ("${oc.env:NOT_THERE,${root}}", "/data"),
        ("${oc.decode:${oc.env:NUMBER_OF_TESTS}}", 7),
        ("${oc.select:gone,5}", 5),
        ("${oc.select:n,5}", 3),
        (r"\${root}", "${root}"),
        (r"\\${root}", "\\/data"),
        ("$root", "$root"),
        ("a } b", "a } b"),
    ],
)
def test_references(text: str, value: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLACE_OF_TESTS", "here")
    monkeypatch.setenv("NUMBER_OF_TESTS", "7")
    monkeypatch.delenv("NOT_THERE", raising=False)
    assert resolve_references(from_plain({**DOCUMENT, "value": text}, PLACE)).child("value").plain() == value  # type: ignore[union-attr]


def test_relative_references_start_beside_the_value() -> None:
    document = {"a": {"b": {"c": "${.d}", "d": 1, "e": "${..f}"}, "f": 2}}
    assert resolve_references(from_plain(document, PLACE)).plain() == {"a": {"b": {"c": 1, "d": 1, "e": 2}, "f": 2}}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("${roto}", "has no value: 'roto' does not exist\n  hint: did you mean 'root'"),
        ("${value}", "refers to itself"),
        ("${other}", "refers to itself"),
        ("${oc.env:NOT_THERE}", "the environment variable 'NOT_THERE' is not set"),
        ("${now:%Y}", "no resolver is named 'now'"),
        ("${hydra:runtime.cwd}", "no resolver is named 'hydra'"),
        ("${root", "a '${' has no '}'"),
        ("x${list}", "a list or a mapping cannot be a part of a text"),
        ("${must}", "refers to a value that must be given"),
    ],
)
def test_references_that_lead_nowhere(text: str, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOT_THERE", raising=False)
    document = {**DOCUMENT, "value": text, "other": "${value}", "must": "???"}
    with pytest.raises(SpecError) as error:
        resolve_references(from_plain(document, PLACE))
    assert reason in str(error.value)


def test_a_path_that_begins_with_the_command_lines_is_relative_to_the_working_directory() -> None:
    root = apply_overrides(
        from_plain({"out": "a", "x": "${out}/x", "y": "y/${out}"}, PLACE), ["out=b"], parse=hydra.parse_hydra
    )
    resolved = resolve_references(root)
    kinds = {key: type(node.value) for key, node in resolved.value.items()}  # type: ignore[union-attr]
    assert kinds == {"out": CommandLineText, "x": CommandLineText, "y": str}


def test_a_tao_document_takes_both_grammars(
    builtins: Registry, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("RUNS", str(tmp_path))
    rounds = "grounding_dino.iteration_scheduler=[{conf_threshold:0.4,nms_threshold:0.6},{conf_threshold:0.2}]"
    arguments = [rounds, "results_dir=${oc.env:RUNS}/out", "num_workers=0", "~grounding_dino.visualize", "+num_gpus=2"]
    spec = load_spec(TEXT2BOX, overrides=arguments, registry=builtins)
    assert spec.results_dir == str(tmp_path / "out")
    assert spec.run.num_workers == 1
    assert spec.devices == (0, 1)
    assert spec.visualize, "TAO's default"
    assert spec.stages[0].scheduler is not None
    found = [(round.conf_threshold, round.nms_threshold) for round in spec.stages[0].scheduler.make().rounds()]
    assert found == [(0.4, 0.6), (0.2, 0.0)]


def test_a_reference_in_a_native_spec_is_no_folder_of_that_name(
    builtins: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNS", "/runs")
    spec = spec_from_mapping(
        {
            "version": 1,
            "data": {"images": ["images"], "classes": ["cell"]},
            "stages": [{"labeler": {"type": "grounding_dino", "checkpoint": "tiny"}}],
            "results_dir": "${oc.env:RUNS}/one",
        },
        root="/",
        registry=builtins,
    )
    assert spec.results_dir == "/runs/one"


OLD = {
    "results_dir": "out",
    "checkpoint": "mal.pth",
    "inference": {"ann_path": "boxes.json", "img_dir": "images", "label_dump_path": "masks.json"},
    "model": {"arch": "vit-mae-base/16"},
    "strategy": "fsdp",
}


@pytest.mark.parametrize("head", [{}, {"autolabel_type": "mal"}])
def test_the_layout_of_before_5_5_is_read_and_said(head: dict[str, str], builtins: Registry) -> None:
    spec = spec_from_mapping({**head, **OLD}, root="/data", registry=builtins)
    assert spec.data.boxes == "/data/boxes.json"
    assert spec.stages[0].choices[0].name == "mal"
    said = "read as the layout before TAO 5.5: since then, checkpoint, inference, model, strategy belong to mal"
    assert spec.notices[0] == said


def test_an_error_in_an_old_layout_speaks_the_users_words(builtins: Registry) -> None:
    with pytest.raises(SpecError) as error:
        spec_from_mapping({**OLD, "inference": {**OLD["inference"], "img_dirr": 3}}, root="/", registry=builtins)  # type: ignore[dict-item]
    assert error.value.problems[0].path == "inference.img_dirr"


def test_nothing_that_is_written_raises_anything_else() -> None:
    for text in ("${", "${}", "${:}", "${.}", "${..}", "${a:${}}", "${oc.env:}", "$${a}", "${[}", "${a[9]}", "${{}}"):
        try:
            resolve_references(from_plain({"value": text}, PLACE))
        except SpecError as error:
            assert error.problems
        for parse in (hydra.parse_hydra,):
            try:
                assert isinstance(parse(text, PLACE), Node)
            except SpecError as error:
                assert error.problems
