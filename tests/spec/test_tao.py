"""TAO's ``auto_label`` documents become native ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autolabel.errors import SpecError
from autolabel.registry import Registry
from autolabel.spec.document import read_document
from autolabel.spec.load import load_spec
from autolabel.spec.node import Place, from_plain, trace_node
from autolabel.spec.tao import is_tao, rewrite
from autolabel.spec.tao_table import NATIVE, ROWS

GOOD = Path(__file__).with_name("good")
LEAST: dict[str, Any] = {
    "autolabel_type": "grounding_dino",
    "results_dir": "/results",
    "grounding_dino": {"checkpoint": "m.pth", "dataset": {"image_dir": "/images", "class_names": ["a"]}},
}
MAL: dict[str, Any] = {
    "results_dir": "/results",
    "mal": {"checkpoint": "m.pth", "inference": {"ann_path": "/boxes.json", "img_dir": "/images"}},
}


def native(document: dict[str, Any]) -> Any:
    return rewrite(from_plain(document, Place("spec.yaml")))[0].plain()


def test_defaults_are_those_of_tao() -> None:
    assert native(LEAST) == {
        "version": 1,
        "data": {"images": "/images", "classes": ["a"]},
        "stages": [
            {
                "labeler": {
                    "type": "grounding_dino",
                    "checkpoint": "m.pth",
                    "padding": "fixed",
                },
                "scheduler": {"type": "fixed", "rounds": [{"conf_threshold": 0.5, "nms_threshold": 0.0}]},
                "aggregator": {"type": "nms"},
            }
        ],
        "devices": [0],
        "run": {"batch_size": 4, "num_workers": 8},
        "export": [{"type": "coco"}, {"type": "odvg"}, {"type": "tao"}],
        "results_dir": "/results",
        "visualize": True,
    }


def test_mal_is_what_a_document_without_a_type_asks_for() -> None:
    assert native(MAL) == {
        "version": 1,
        "data": {"images": "/images", "boxes": "/boxes.json"},
        "stages": [{"labeler": {"type": "mal", "checkpoint": "m.pth"}}],
        "devices": [0],
        "run": {"batch_size": 4, "num_workers": 8},
        "export": [
            {"type": "coco", "path": "instances_val2017_mal.json"},
            {"type": "tao", "label_dump_path": "instances_val2017_mal.json"},
        ],
        "results_dir": "/results",
    }


@pytest.mark.parametrize(
    ("given", "devices"),
    [
        ({}, [0]),
        ({"gpu_ids": [3]}, [3]),
        ({"gpu_ids": [2, 1]}, [2, 1]),
        ({"num_gpus": 3}, [0, 1, 2]),
        ({"gpu_ids": [3], "num_gpus": 2}, [0, 1]),
        ({"gpu_ids": [4, 5, 6], "num_gpus": 2}, [4, 5, 6]),
        ({"gpu_ids": [4], "num_gpus": 1}, [4]),
        ({"gpu_ids": [4], "devices": "cpu"}, "cpu"),
        ({"gpu_ids": [4], "devices": "auto"}, "auto"),
    ],
)
def test_devices(given: dict[str, Any], devices: Any) -> None:
    assert native(LEAST | given)["devices"] == devices


@pytest.mark.parametrize(
    ("evaluate", "which"),
    [
        ({}, None),
        ({"use_teacher_test": True}, "teacher"),
        ({"use_mixed_model_test": True}, "mixed"),
        ({"use_teacher_test": True, "use_mixed_model_test": True}, "mixed"),
        ({"use_teacher_test": False, "use_mixed_model_test": False}, None),
    ],
)
def test_which_of_mals_networks_answers(evaluate: dict[str, bool], which: str | None) -> None:
    document = {**MAL, "mal": {**MAL["mal"], "evaluate": evaluate}}
    assert native(document)["stages"][0]["labeler"].get("which") == which


def test_rounds_keep_their_own_thresholds_and_default_to_no_suppression() -> None:
    rounds = [{"conf_threshold": 0.5, "nms_threshold": 0.7}, {"conf_threshold": 0.3}]
    section = LEAST["grounding_dino"] | {"iteration_scheduler": rounds}
    scheduler = native(LEAST | {"grounding_dino": section})["stages"][0]["scheduler"]
    assert scheduler["rounds"] == [rounds[0], {"conf_threshold": 0.3, "nms_threshold": 0.0}]


def test_the_whole_document(builtins: Registry) -> None:
    spec = load_spec(GOOD / "tao_whole.yaml", registry=builtins)
    assert spec.data.captions == "/data/chunks.jsonl"
    assert spec.data.images == ("/data/a", "/data/b")
    assert spec.devices == (0, 1)
    assert (spec.run.batch_size, spec.run.num_workers) == (8, 2)
    assert spec.results_dir == "/elsewhere"
    assert not spec.visualize
    assert spec.stages[0].labeler is not None
    labeler: Any = spec.stages[0].labeler.params
    assert (labeler.padding, labeler.short_side, labeler.long_side) == ("none", 600, 1000)
    assert (labeler.backbone, labeler.num_queries, labeler.text_encoder) == ("swin_base_384_22k", 900, None)
    assert labeler.image_mean == (0.485, 0.456, 0.406)
    assert (labeler.model.dec_layers, labeler.model.log_scale) == (6, "none")


def test_keys_without_effect_are_told_once_and_by_name(builtins: Registry) -> None:
    notices = load_spec(GOOD / "tao_whole.yaml", registry=builtins).notices
    told = "\n".join(notices)
    assert len(notices) == len({notice.split(":")[0] for notice in notices})
    for key in ("model.num_select", "model.aux_loss", "train", "dataset.augmentation.train_random_resize"):
        assert told.count(f"grounding_dino.{key}") == 1
    assert "mal" in notices[-1].split(": ")[1] or any(notice.endswith(": mal") for notice in notices)
    assert "fixed_padding" not in told
    assert load_spec(GOOD / "tao_least.yaml", registry=builtins).notices == ()


def test_every_row_is_mapped_or_says_why_not() -> None:
    gemini = ["api_key", "model", "temperature", "max_output_tokens", "timeout"]
    openai = ["api_key", "base_url", "model_name", "temperature", "max_tokens", "timeout"]
    model = ["backend", *(f"gemini.{key}" for key in gemini), *(f"openai.{key}" for key in openai)]
    by_rule = {
        "autolabel_type",
        "gpu_ids",
        "num_gpus",
        "mal.evaluate.use_mixed_model_test",
        "mal.evaluate.use_teacher_test",
        "image_referring_expression.workflow.steps",
        *(f"{kind}.vlm.{key}" for kind in ("image_grounding", "image_referring_expression") for key in model),
    }
    assert {row.path for row in ROWS if not row.to and not row.unused} == by_rule
    assert not [row.path for row in ROWS if row.to and row.unused]
    assert len({row.path for row in ROWS}) == len(ROWS)
    assert {row.path for row in ROWS} >= set(NATIVE)


def test_a_value_keeps_its_line_and_its_words() -> None:
    root = read_document(GOOD / "tao_whole.yaml")
    rewritten, _ = rewrite(root)
    for there, here in {
        ("stages", 0, "labeler", "short_side"): ("grounding_dino", "dataset", "augmentation", "test_random_resize"),
        ("stages", 0, "labeler", "model", "nheads"): ("grounding_dino", "model", "nheads"),
        ("stages", 0, "scheduler", "rounds", 1, "conf_threshold"): (
            *("grounding_dino", "iteration_scheduler", 1, "conf_threshold"),
        ),
        ("data", "images", 1): ("grounding_dino", "dataset", "image_dir", 1),
        ("devices", 0): ("num_gpus", 0),
        ("results_dir",): ("grounding_dino", "results_dir"),
        ("run", "batch_size"): ("batch_size",),
    }.items():
        place, words = trace_node(rewritten, there)
        assert words == here
        assert place == trace_node(root, here)[0]


def test_what_is_made_up_has_the_place_of_its_section() -> None:
    rewritten, _ = rewrite(read_document(GOOD / "tao_least.yaml"))
    place, words = trace_node(rewritten, ("stages", 0, "labeler", "padding"))
    assert (place.line, words[-1]) == (5, "fixed_padding")


@pytest.mark.parametrize(
    ("document", "tao"),
    [
        ({"autolabel_type": "mal"}, True),
        ({"autolabel_type": "mal", "version": 1}, True),
        ({"mal": {}}, True),
        ({"grounding_dino": {}}, True),
        ({"version": 1, "mal": {}}, False),
        ({"stages": [], "mal": {}}, False),
        ({"version": 1}, False),
        ({}, False),
    ],
)
def test_which_documents_are_taos(document: dict[str, Any], tao: bool) -> None:
    assert is_tao(from_plain(document, Place("spec.yaml"))) is tao


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "???", "x", 0.5, -1.0]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["checkpoint", "x"]), inner, max_size=2)
    ),
    max_leaves=4,
)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.sampled_from([row.path for row in ROWS]), JUNK, max_size=6))
def test_junk_in_any_key_raises_only_spec_errors(values: dict[str, Any]) -> None:
    document: dict[str, Any] = {"autolabel_type": "grounding_dino"}
    for path, value in values.items():
        *parents, name = path.split(".")
        branch = document
        for part in parents:
            branch = branch.setdefault(part, {}) if isinstance(branch.setdefault(part, {}), dict) else {}
        branch[name] = value
    try:
        rewrite(from_plain(document, Place("spec.yaml")))
    except SpecError as error:
        assert error.problems
