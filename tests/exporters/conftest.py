"""Rows of a small ledger, and the way to export them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from autolabel.strategies import Exporter
from autolabel.types import Image, Instances, Labels, Prompt, Reason, Rle
from autolabel_exporters import autolabel_exporters

Make = Callable[..., Labels]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Hand every built-in exporter to tests that take ``exporter``; one whose library is not installed is skipped."""
    if "exporter" in metafunc.fixturenames:
        needs = pytest.mark.skipif(find_spec("pyarrow") is None, reason="pyarrow is not installed")
        cases = [
            pytest.param(one, id=one.name, marks=[needs] if one.name == "parquet" else [])
            for one in autolabel_exporters()
        ]
        metafunc.parametrize("exporter", cases)


def make_row(
    image_id: str,
    boxes: Sequence[Sequence[float]] = (),
    *,
    size: tuple[int, int] = (60, 80),
    phrases: Sequence[str] = ("cat", "dog"),
    labels: Sequence[int] | None = None,
    scores: Sequence[float] | None = None,
    rounds: Sequence[int] | int = 0,
    masks: Sequence[npt.NDArray[np.bool_] | None] | None = None,
    given: Sequence[dict[str, Any]] | None = None,
    caption: str | None = None,
    caption_index: int = 0,
    failed: bool = False,
) -> Labels:
    """Return one row; scores fall from 0.9, labels are all 0 unless told."""
    n = len(boxes)
    instances = Instances.build(
        boxes,
        scores=[0.9 - 0.1 * i for i in range(n)] if scores is None else scores,
        labels=[0] * n if labels is None else labels,
        rounds=rounds,
        masks=None if masks is None else [None if mask is None else Rle.encode(mask) for mask in masks],
        given=given,
    )
    return Labels(
        image=Image(id=image_id, path=f"/data/{image_id}", size=size),
        prompt=Prompt(tuple(phrases), caption),
        instances=instances,
        caption_index=caption_index,
        reason=Reason(code="corrupt_image", message="cut short") if failed else None,
    )


def make_masks(size: tuple[int, int] = (60, 80)) -> dict[str, npt.NDArray[np.bool_]]:
    """Return a plain mask, one with a hole, one of two parts, one of a single pixel, all of ``size``."""
    plain, hole, parts, pixel = (np.zeros(size, bool) for _ in range(4))
    plain[5:20, 10:30] = True
    hole[30:50, 10:40] = True
    hole[36:42, 20:30] = False
    parts[5:15, 40:50] = True
    parts[8:12, 60:70] = True
    pixel[58, 78] = True
    return {"plain": plain, "hole": hole, "parts": parts, "pixel": pixel}


@pytest.fixture
def row() -> Make:
    return make_row


@pytest.fixture
def shapes() -> dict[str, npt.NDArray[np.bool_]]:
    return make_masks()


@pytest.fixture
def export(tmp_path: Path) -> Callable[..., dict[str, Path]]:
    """Export with an exporter class; returns the files written, by path relative to the export's folder."""

    def run(
        exporter: type[Exporter], rows: Sequence[Labels], classes: Sequence[str] = ("cat", "dog"), **params: Any
    ) -> dict[str, Path]:
        out = tmp_path / f"{exporter.name}-{len(list(tmp_path.iterdir()))}"
        out.mkdir()
        returned = exporter(exporter.Params(**params)).export(rows, list(classes), out)
        assert returned and all(path.exists() and path.is_relative_to(out) for path in returned)
        return {path.relative_to(out).as_posix(): path for path in sorted(out.rglob("*")) if path.is_file()}

    return run
