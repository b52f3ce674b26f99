"""The spec parameters shared by detectors that read captions of phrases."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from autolabel.strategies import Strategy
from autolabel.weights import CheckpointPath

Count = Annotated[int, Field(ge=1)]
Precision = Literal["float32", "bfloat16", "auto"]
"""``auto`` is settled when a plan is made; a labeler without a plan takes float32."""
_Positive = Annotated[float, Field(gt=0)]


class GroundedParams(Strategy.Params):
    """The checkpoint and how it is queried."""

    checkpoint: CheckpointPath
    """A shipped name, a file (IDEA-Research, TAO), a Hugging Face folder, or a name on the hub."""
    text_encoder: CheckpointPath | None = None
    """Folder or hub name of the tokenizer and BERT configuration, for files that carry none."""
    score: Literal["mean", "max"] = "mean"
    """A phrase's score over its tokens: their mean (TAO) or their maximum (IDEA-Research)."""
    padding: Literal["none", "bucket", "fixed"] = "none"
    """``none``: equal sizes share a batch; ``bucket``: a few shapes; ``fixed``: TAO's one shape an orientation."""
    short_side: Count | None = None
    """Pixels of the shorter side after resizing; the checkpoint's own (800) unless given."""
    long_side: Count | None = None
    """Maximum length of the longer side in pixels; the checkpoint's own (1333) unless given."""
    image_mean: tuple[float, float, float] | None = None
    """Mean of red, green and blue in 0..1; the checkpoint's own unless given."""
    image_std: tuple[_Positive, _Positive, _Positive] | None = None
    """Standard deviation of red, green and blue; the checkpoint's own unless given."""
    max_text_len: Annotated[int, Field(ge=4, le=512)] = 256
    """Maximum number of tokens in one text prompt; a longer list of phrases is split into several."""
    num_queries: Count | None = None
    """Maximum number of boxes per text prompt; the checkpoint's own unless given."""
    precision: Precision = "float32"
    """``bfloat16`` moves scores a little; ``auto`` takes it on GPUs and CPUs where it is faster (AVX512-BF16, AMX)."""
