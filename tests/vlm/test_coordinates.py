"""Boxes as models number them, and sizes as servers resize them, carried back to pixels of the image."""

from __future__ import annotations

import ast
import io
import math
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pydantic import TypeAdapter, ValidationError

from autolabel.errors import ImageError
from autolabel_vlm.coordinates import Axes, Coordinates, described, ends, restored
from autolabel_vlm.resize import Longest, Multiple, Resize, Unchanged, picture

SIZE, SENT = (300, 400), (150, 100)
SIDES = st.integers(1, 3000)


@pytest.mark.parametrize(
    ("coordinates", "axes", "box"),
    [
        ("pixels", "xyxy", [25, 75, 50, 150]),
        ("unit_1000", "xyxy", [250, 500, 500, 1000]),
        ("unit_999", "xyxy", [249.75, 499.5, 499.5, 999]),
        ("unit_1", "xyxy", [0.25, 0.5, 0.5, 1]),
        ("unit_1000", "yxyx", [500, 250, 1000, 500]),
        ("pixels", "yxyx", [75, 25, 150, 50]),
        ("unit_1000", "xyxy", [500, 1000, 250, 500]),
        ("unit_1000", "yxyx", [1000, 250, 500, 500]),
    ],
)
def test_each_system_leads_to_the_same_box(coordinates: Coordinates, axes: Axes, box: list[float]) -> None:
    boxes, inside = restored(np.array([box], np.float64), coordinates, axes, sent=SENT, size=SIZE)
    assert boxes.tolist() == [[100.0, 150.0, 200.0, 300.0]]
    assert boxes.dtype == np.float32 and inside.all()


@pytest.mark.parametrize(
    ("coordinates", "box", "within"),
    [
        ("unit_1", [0, 0, 534, 700], False),
        ("unit_1000", [0, 0, 1100, 500], False),
        ("unit_1000", [-100, 0, 500, 500], False),
        ("unit_1000", [-5, 0, 1010, 500], True),
        ("pixels", [0, 0, 534, 100], False),
        ("pixels", [0, 0, 101, 150], True),
    ],
)
def test_numbers_beyond_the_range_are_seen(coordinates: Coordinates, box: list[float], within: bool) -> None:
    assert restored(np.array([box], np.float64), coordinates, "xyxy", sent=SENT, size=SIZE)[1].tolist() == [within]


@given(SIDES, SIDES, st.sampled_from(["pixels", "unit_1000", "unit_999", "unit_1"]), st.sampled_from(["xyxy", "yxyx"]))
def test_edges_come_back_exactly(height: int, width: int, coordinates: Coordinates, axes: Axes) -> None:
    sent = Longest(type="longest", side=640).shape((height, width))
    right, bottom = ends(coordinates, sent)
    whole = [0, 0, right, bottom] if axes == "xyxy" else [0, 0, bottom, right]
    boxes, inside = restored(np.array([whole]), coordinates, axes, sent=sent, size=(height, width))
    assert boxes.tolist() == [[0, 0, width, height]] and inside.all()


@cache
def published_rule() -> Callable[..., tuple[int, int]]:
    """Return the function of transformers' own processor, without the packages that its module imports."""
    found = find_spec("transformers.models.qwen2_vl.image_processing_qwen2_vl")
    assert found is not None and found.origin is not None
    tree = ast.parse(Path(found.origin).read_text())
    [rule] = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "smart_resize"]
    names: dict[str, Any] = {"math": math}
    exec(compile(ast.Module([rule], []), found.origin, "exec"), names)
    return cast("Callable[..., tuple[int, int]]", names["smart_resize"])


@given(SIDES, SIDES)
def test_multiples_are_those_of_the_model_s_own_processor(height: int, width: int) -> None:
    smart_resize = published_rule()
    rule = Multiple(type="multiple")
    if max(height, width) > 200 * min(height, width):
        with pytest.raises(ImageError, match="too narrow"):
            rule.shape((height, width))
        return
    wanted = smart_resize(height, width, factor=28, min_pixels=3_136, max_pixels=1_003_520)
    assert rule.shape((height, width)) == wanted
    again = smart_resize(*wanted, factor=28, min_pixels=3_136, max_pixels=1_003_520)
    if 200 * min(wanted) >= max(wanted) and wanted[0] * wanted[1] >= 3_136:
        assert again == wanted  # the server leaves it as it is


@given(SIDES, SIDES)
def test_longest_side(height: int, width: int) -> None:
    sent = Longest(type="longest", side=640).shape((height, width))
    assert max(sent) == min(640, max(height, width)) and min(sent) >= 1
    assert Unchanged(type="none").shape((height, width)) == (height, width)


def test_rules_are_written_by_name_or_in_full() -> None:
    rule: TypeAdapter[object] = TypeAdapter(Resize)
    assert rule.validate_python("none") == Unchanged(type="none")
    assert rule.validate_python({"type": "multiple", "of": 32}) == Multiple(type="multiple", of=32)
    for wrong in ("half", {"type": "longest", "sides": 3}, {"type": "multiple", "of": 0}, 640):
        with pytest.raises(ValidationError):
            rule.validate_python(wrong)


@pytest.mark.parametrize("kind", ["png", "jpeg"])
def test_pictures_have_the_size_that_is_said(kind: str) -> None:
    pixels = np.zeros((30, 40, 3), np.uint8)
    pixels[:, 20:] = (255, 0, 0)
    sent = picture(pixels, (15, 20), kind=kind, quality=95)  # type: ignore[arg-type]
    with Image.open(io.BytesIO(sent.data)) as opened:
        assert (opened.size, opened.format) == ((20, 15), kind.upper())
        assert np.abs(np.asarray(opened, int)[7, 2] - [0, 0, 0]).max() < 8
        assert np.abs(np.asarray(opened, int)[7, 17] - [255, 0, 0]).max() < 8


def test_pictures_are_told_apart_by_pixels_and_size() -> None:
    pixels = np.zeros((30, 40, 3), np.uint8)
    contents = {picture(pixels, (30, 40), kind="png", quality=95).content}
    contents.add(picture(pixels, (15, 20), kind="png", quality=95).content)
    contents.add(picture(pixels, (30, 40), kind="jpeg", quality=95).content)
    contents.add(picture(pixels, (30, 40), kind="jpeg", quality=80).content)
    contents.add(picture(pixels + np.uint8(1), (30, 40), kind="png", quality=95).content)
    assert len(contents) == 5


def test_models_are_told_what_numbers_are_wanted() -> None:
    assert "100 wide and 150 high" in described("pixels", sent=SENT)
    assert "0 to 1000" in described("unit_1000", sent=SENT)
    assert "0 to 999" in described("unit_999", sent=SENT)
    assert "fractions" in described("unit_1", sent=SENT)
