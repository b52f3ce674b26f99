"""Right specs, and that the published schemas and the loader think alike."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from autolabel.errors import SpecError
from autolabel.registry import Registry
from autolabel.spec.document import read_document
from autolabel.spec.load import load_spec, spec_from_mapping
from autolabel.spec.tao import is_tao

HERE = Path(__file__).parent
SPECS = Path(__file__).resolve().parents[2] / "specs"
GOOD = sorted((HERE / "good").glob("*.yaml"))
BAD = sorted(path for path in (HERE / "bad").glob("*.yaml") if not path.stem.startswith(("yaml_", "override_")))

NOT_SHAPE = {
    "classes_as_sentence": "what a text means",
    "classes_by_commas": "what a text means",
    "classes_by_semicolons": "what a text means",
    "classes_in_one_text": "what a text means",
    "param_rule": "a rule between two values",
    "tao_rounds_rise": "a rule between two values",
    "tao_temperatures": "a rule between two values",
    "filter_order": "a rule between two values",
    "split_sum": "a sum",
    "looks_twice": "equal only once they are written out",
    "votes_many": "a rule between two values",
    "captions_labeler_unknown": "a rule between two sections",
    "terms_shared": "a rule between two classes",
    "terms_spaces": "equal only without the spaces around them",
    "terms_against": "a rule between two values",
    "negatives_class": "a rule between two values",
    "classes_twice": "equal only without the spaces around them",
    "tao_class_twice": "the table does not say that names are distinct: the native form does",
    "tao_gpus_twice": "the table does not say that numbers are distinct: the native form does",
    "tao_two_stage": "a form of TAO's that the labeler does not offer",
    "tao_type_default": "the schema takes the missing type for mal, and misses mal's keys",
}
"""Bad specs on which the schemas need not agree, and why."""


Schemas = dict[str, dict[str, Any]]


def accepts(path: Path, schemas: Schemas) -> bool:
    document = read_document(path)
    return jsonschema.Draft202012Validator(schemas["tao" if is_tao(document) else "spec"]).is_valid(document.plain())


def test_the_corpus_is_there() -> None:
    assert len(GOOD) >= 12
    assert set(NOT_SHAPE) <= {path.stem for path in BAD}


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_good_is_accepted_by_both(path: Path, builtins: Registry, schemas: Schemas) -> None:
    spec = load_spec(path, registry=builtins)
    assert accepts(path, schemas)
    assert Path(spec.results_dir).is_absolute()


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_a_dumped_spec_is_the_same_spec(path: Path, builtins: Registry, schemas: Schemas) -> None:
    dumped = load_spec(path, registry=builtins).model_dump(mode="json")
    again = spec_from_mapping(json.loads(json.dumps(dumped)), root="/elsewhere", registry=builtins)
    assert again.model_dump(mode="json") == dumped
    assert jsonschema.Draft202012Validator(schemas["spec"]).is_valid(dumped)


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_bad_is_refused_by_both(path: Path, builtins: Registry, schemas: Schemas) -> None:
    with pytest.raises(SpecError):
        load_spec(path, registry=builtins)
    if path.stem not in NOT_SHAPE:
        assert not accepts(path, schemas)


@pytest.mark.parametrize("path", sorted(SPECS.rglob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_specs_are_accepted_by_both(path: Path, builtins: Registry, schemas: Schemas) -> None:
    overrides = ["mal.checkpoint=mal.pth"] if "checkpoint: ???" in path.read_text(encoding="utf-8") else []
    load_spec(path, overrides=overrides, registry=builtins)
    assert accepts(path, schemas) is not bool(overrides)


@pytest.mark.parametrize("name", ["text2box", "box2seg"])
def test_tao_specs_find_the_photos_of_the_repository(name: str, builtins: Registry) -> None:
    path = SPECS / "tao" / f"{name}.yaml"
    overrides = ["mal.checkpoint=mal.pth"] if name == "box2seg" else []
    spec = load_spec(path, overrides=[*overrides, "devices=cpu"], registry=builtins)
    assert spec.devices == "cpu"
    assert [Path(folder).resolve() for folder in spec.data.images] == [SPECS.parent / "examples" / "bccd" / "images"]


def test_a_whole_number_with_a_point_is_no_integer_here(builtins: Registry, schemas: Schemas) -> None:
    """JSON Schema says that 4.0 is an integer; a spec that says ``batch_size: 4.0`` is more likely a slip."""
    mapping = read_document(HERE / "good" / "least.yaml").plain()
    assert isinstance(mapping, dict)
    mapping["run"] = {"batch_size": 4.0}
    assert jsonschema.Draft202012Validator(schemas["spec"]).is_valid(mapping)
    with pytest.raises(SpecError, match=r"run\.batch_size: found 4\.0, wanted an integer"):
        spec_from_mapping(mapping, root=".", registry=builtins)
