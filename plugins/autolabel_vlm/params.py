"""The spec parameters of the labeler ``vlm``."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from autolabel.endpoint import EndpointParams
from autolabel.strategies import Strategy
from autolabel.types import Size
from autolabel_vlm.coordinates import Axes, Coordinates
from autolabel_vlm.prompt import DEFAULT
from autolabel_vlm.resize import Longest, Resize


def naming(placeholder: str, said: str) -> AfterValidator:
    """Return a validator of prompts that must name a placeholder; ``said`` is the message if one does not."""

    def check(prompt: str) -> str:
        if placeholder not in prompt:
            raise PydanticCustomError("said", "{said}", {"said": said})
        return prompt

    return AfterValidator(check)


class PictureParams(EndpointParams, Strategy.Params):
    """The server, and how images are sent to it."""

    resize: Resize = Longest(type="longest")
    """The size in which images are sent: ``none``, ``{type: longest, side}``, ``{type: multiple, of, min_pixels,
    max_pixels}``."""
    image_format: Literal["jpeg", "png"] = "jpeg"
    """The encoding of the images."""
    quality: Annotated[int, Field(ge=1, le=100)] = 95
    """The JPEG quality."""
    pixels_per_token: Annotated[int, Field(ge=1)] = 784
    """For the forecast of a plan: 28 x 28 for most models."""

    def picture_tokens(self, size: Size) -> int:
        """Return the tokens that a picture of an image of ``size`` is expected to take."""
        height, width = self.resize.shape(size)
        return -(-height * width // self.pixels_per_token)


class VlmParams(PictureParams):
    """The server, and the coordinate convention of its boxes."""

    coordinates: Coordinates
    """What a box's numbers are: ``pixels`` of the image as sent, or fractions of its sides in units of 1/1000, 1/999
    or 1. ``autolabel doctor --endpoint`` finds out."""
    axes: Axes = "xyxy"
    """Which number comes first."""
    prompt: Annotated[str, naming("{phrases}", "lacks the placeholder {phrases}")] = DEFAULT
    """The question; ``{phrases}``, ``{coordinates}``, ``{corners}``, ``{caption}``, ``{width}`` and ``{height}`` are
    filled in."""
    response_format: Literal["json_schema", "json_object", "none"] = "json_schema"
    """The ``response_format`` of the request, besides the prompt."""
    probabilities: bool = True
    """Request token probabilities and use them as scores. If false, or if the server returns none, the scores are
    those that the model writes."""
    phrases_per_request: Annotated[int, Field(ge=1)] = 40
    """Maximum number of phrases in one question; longer lists are split into several."""

    @model_validator(mode="after")
    def _stated(self) -> Self:
        if self.coordinates == "pixels" and "resize" not in self.model_fields_set:
            told = "coordinates: pixels are those of the image as the model sees it: state resize"
            hint = "Qwen2.5-VL: {type: multiple, of: 28}; `none` if the server does not resize"
            raise PydanticCustomError("said", "{said}", {"said": told, "hint": hint})
        return self
