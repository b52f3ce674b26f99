"""What a spec's detectors cannot read, or cannot tell apart, is said before anything runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from autolabel.errors import SpecError
from autolabel.plan.names import check_names
from autolabel.registry import Registry
from autolabel.spec.load import spec_from_mapping
from autolabel.spec.model import Spec


def asking(classes: Any, registry: Registry, **data: Any) -> Spec:
    """Return a spec that asks the shipped detector, whose words are English, for classes."""
    return spec_from_mapping(
        {
            "version": 1,
            "data": {"images": ["images"], "classes": classes, **data},
            "stages": [{"labeler": {"type": "grounding_dino", "checkpoint": "tiny"}}],
            "results_dir": "out",
        },
        root=Path("/nowhere"),
        registry=registry,
    )


@pytest.mark.parametrize(
    ("name", "unknown"),
    [
        ("汽车", "'汽', '车' are unknown"),
        ("😀", "'😀' is unknown"),
        ("صندوق", "unknown"),
        ("กล่อง", "unknown"),
        ("ｃｅｌｌ", "unknown"),
    ],
)
def test_a_name_of_which_nothing_can_be_read_is_refused(name: str, unknown: str, registry: Registry) -> None:
    with pytest.raises(SpecError, match=f"grounding_dino can read nothing of '{name}'") as error:
        check_names(asking(["cell", name], registry))
    assert unknown in str(error.value)
    assert error.value.problems[0].path == "data.classes[1]"
    assert "[its English name]" in error.value.problems[0].hint


def test_a_name_that_is_asked_by_another_phrase_need_not_be_read(registry: Registry) -> None:
    assert check_names(asking({"汽车": ["car"], "猫": ["cat", "kitten"]}, registry)) == []


@pytest.mark.parametrize(("name", "unknown"), [("cell 😀", "'😀' is unknown"), ("红 cell", "'红' is unknown")])
def test_a_name_of_which_a_part_is_lost_is_noted(name: str, unknown: str, registry: Registry) -> None:
    (notice,) = check_names(asking([name], registry))
    assert notice == f"grounding_dino cannot read all of {name!r}: {unknown} to it"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Platelet", "platelet"),
        ("r\u00e9sum\u00e9", "re\u0301sume\u0301"),
        ("red\u00a0cell", "red cell"),
        ("t-shirt", "t - shirt"),
        ("cell.", "cell"),
    ],
)
def test_names_that_read_the_same_are_noted(one: str, other: str, registry: Registry) -> None:
    (notice,) = check_names(asking([one, "other", other], registry))
    assert "read the same to grounding_dino: every box is found once for each of them" in notice


def test_names_that_differ_only_in_what_is_lost_are_refused(registry: Registry) -> None:
    with pytest.raises(SpecError, match=r"'cell 😀' and 'cell 🎉' read the same to grounding_dino: '🎉' is unknown"):
        check_names(asking(["cell 😀", "cell 🎉"], registry))


def test_a_phrase_for_and_against_a_class_is_refused_however_it_is_written(registry: Registry) -> None:
    with pytest.raises(SpecError, match="is a phrase and a negative of the class"):
        check_names(asking({"cell": {"phrases": ["Red Cell"], "negatives": ["red cell"]}}, registry))


def test_ordinary_names_earn_no_notice(registry: Registry) -> None:
    names = ["red blood cell", "café au lait", "St. Bernard", "naïve", "t-shirt", "person on bike", "R&B", "100 mm"]
    assert check_names(asking(names, registry)) == []
