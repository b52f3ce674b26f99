"""The spec parameters of MAL."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from autolabel.strategies import Strategy
from autolabel.weights import CheckpointPath
from autolabel_labeling.params import Precision
from autolabel_mal.sizes import ARCHS, Arch


def _refuse_fan(arch: object) -> object:
    if isinstance(arch, str) and "fan" in arch.lower():
        raise ValueError(f"FAN backbones are not supported, got {arch!r}; supported: {', '.join(ARCHS)}")
    return arch


def _as_list(thresholds: object) -> object:
    return [thresholds] if isinstance(thresholds, int | float) else thresholds


_Threshold = Annotated[float, Field(ge=0, le=1)]
_Rate = Annotated[float, Field(ge=0, le=10)]
_Count = Annotated[int, Field(ge=1)]


class MalParams(Strategy.Params):
    """Names and defaults are TAO's where TAO has the field; sizes of the network come from the file."""

    checkpoint: CheckpointPath
    """TAO's ``.pth``, NVlabs' ``.ckpt``, or a safetensors file or folder of this project."""
    arch: Annotated[Arch, BeforeValidator(_refuse_fan)] | None = None
    """The expected architecture; a difference is a warning."""
    which: Literal["student", "teacher", "mixed"] = "student"
    """The network to use; ``mixed`` takes the mean of both networks' logits."""
    flip: bool = False
    """Whether the logits are averaged with those of the mirrored crop."""
    crop_size: Annotated[int, Field(ge=32, le=4096)] | None = None
    """Side of the crop that the network sees; the file's own, else 512."""
    test_margin_rate: tuple[_Rate, _Rate] = (0.6, 0.6)
    """The crop is wider than the box by half of the first, as a share, and higher by half of the second."""
    mask_thres: Annotated[tuple[_Threshold] | tuple[_Threshold, _Threshold, _Threshold], BeforeValidator(_as_list)] = (
        0.1,
    )
    """Probability above which a pixel is inside: one value, or those of small, medium, large boxes."""
    mask_head_num_convs: _Count | None = None
    mask_head_hidden_channel: _Count | None = None
    mask_head_out_channel: _Count | None = None
    mask_scale_ratio_pre: Annotated[float, Field(gt=0, le=8)] = 1.0
    """Factor on the features before the pixel head."""
    mask_scale_ratio: Annotated[float, Field(gt=0, le=8)] = 2.0
    """Factor inside the pixel head."""
    not_adjust_scale: bool = False
    """Whether all boxes are decoded at one resolution, whatever their size."""
    refine: Literal["none", "mean_field"] = "none"
    """Whether masks are refined by the colours of their crops."""
    use_amp: bool = True
    """Whether a GPU computes in float16; without effect elsewhere."""
    precision: Precision = "float32"
    """``bfloat16`` is faster on CPUs with AVX512-BF16 or AMX; without effect elsewhere, and on EfficientNet."""
    batch_size: Annotated[int, Field(ge=1, le=1024)] | None = None
    """Crops in one forward pass; by default 8 on a GPU, and 1 on a CPU, where more are not faster."""
