"""Example boxes of a phrase in a few images, used as image queries instead of, or beside, words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, ConfigDict, Field

from autolabel.errors import ImageError, WeightsError
from autolabel.fields import ExplainedModel
from autolabel.images import read_pixels
from autolabel.paths import SpecPath
from autolabel.urls import is_url

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_MOST_PIXELS = 100_000_000
_Box = tuple[float, float, float, float]


def _local(path: str) -> str:
    if is_url(path):
        raise ValueError("wanted a file on this machine")
    return path


def _ordered(box: _Box) -> _Box:
    x1, y1, x2, y2 = box
    if not (0 <= x1 < x2 and 0 <= y1 < y2):
        raise ValueError("wanted x1, y1, x2, y2 in pixels of the upright image, with x1 < x2 and y1 < y2")
    return box


class Example(ExplainedModel):
    """One image with boxes of objects of a phrase."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, defer_build=True)

    phrase: Annotated[str, Field(min_length=1)]
    """The phrase of the boxes, one of a class's phrases."""
    image: Annotated[SpecPath, Field(min_length=1), AfterValidator(_local)]
    """The image's file; a relative path starts from the spec's folder."""
    boxes: tuple[Annotated[_Box, AfterValidator(_ordered)], ...] = ()
    """Boxes ``[x1, y1, x2, y2]`` in pixels of the upright image; none of them: what the model takes for the image's
    main object."""


def files_of_examples(examples: Sequence[Example]) -> list[Path]:
    """Return the images, each once; raises WeightsError if one is missing."""
    paths = [Path(path) for path in dict.fromkeys(one.image for one in examples)]
    for path in paths:
        if not path.is_file():
            raise WeightsError(f"{path}: no such file; it is named as an example")
    return paths


def read_examples(
    examples: Sequence[Example],
) -> Iterator[tuple[Example, npt.NDArray[np.uint8]]]:
    """Yield each example with its pixels (H, W, 3); raises WeightsError if an image or a box cannot be used."""
    for one in examples:
        try:
            pixels = read_pixels(one.image, max_pixels=_MOST_PIXELS)
        except ImageError as error:
            raise WeightsError(f"{one.image}: {error}; it is named as an example") from error
        height, width = pixels.shape[:2]
        for place, (_, _, x2, y2) in enumerate(one.boxes):
            if x2 > width or y2 > height:
                raise WeightsError(
                    f"{one.image}: box {place} of the example reaches beyond its {width}x{height} pixels"
                )
        yield one, pixels


def plain(phrase: str) -> str:
    """Return a phrase normalised for comparison."""
    return " ".join(phrase.casefold().split())
