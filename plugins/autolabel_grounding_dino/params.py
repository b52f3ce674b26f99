"""What can be set for Grounding DINO in a spec."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from autolabel.strategies import Strategy
from autolabel.weights import CheckpointPath

Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0)]


class ModelParams(BaseModel):
    """Sizes of the network, in TAO's words; they fill in only what the checkpoint's shapes cannot tell.

    Where one differs from the checkpoint, the checkpoint counts and a warning says so.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    nheads: Count | None = None
    """Attention heads; 8 unless the points per head tell."""
    enc_n_points: Count | None = None
    """Points that an encoder head samples in each level."""
    dec_n_points: Count | None = None
    """Points that a decoder head samples in each level."""
    pe_temperatureH: Count | None = None
    """Temperature of the position code; 20 unless given. Height and width must agree."""
    pe_temperatureW: Count | None = None
    log_scale: float | Literal["auto", "none"] | None = None
    """``auto`` divides logits by the square root of the width; a learned scale is taken from the file."""
    class_embed_bias: bool | None = None
    two_stage_type: Literal["standard"] | None = None
    hidden_dim: Count | None = None
    enc_layers: Count | None = None
    dec_layers: Count | None = None
    dim_feedforward: Count | None = None
    num_feature_levels: Count | None = None
    return_interm_indices: tuple[int, ...] | None = None

    @model_validator(mode="after")
    def _one_temperature(self) -> Self:
        if self.pe_temperatureH != self.pe_temperatureW:
            raise ValueError(
                f"pe_temperatureH ({self.pe_temperatureH}) and pe_temperatureW ({self.pe_temperatureW}) must be equal"
            )
        return self


class GroundedParams(Strategy.Params):
    """The checkpoint and how it is asked."""

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
    """Most pixels of the longer side; the checkpoint's own (1333) unless given."""
    image_mean: tuple[float, float, float] | None = None
    """Mean of red, green and blue in 0..1; the checkpoint's own unless given."""
    image_std: tuple[Positive, Positive, Positive] | None = None
    """Standard deviation of red, green and blue; the checkpoint's own unless given."""
    max_text_len: Annotated[int, Field(ge=4, le=512)] = 256
    """Most tokens of one caption; a longer list of phrases is dealt over several captions."""
    num_queries: Count | None = None
    """Most boxes of one caption; the checkpoint's own unless given."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """``bfloat16`` is quicker on GPUs that have it, and moves scores by some hundredths; slower on most CPUs."""


class GroundingDinoParams(GroundedParams):
    """What TAO's files need besides."""

    backbone: str | None = None
    """TAO's name of the backbone, such as ``swin_tiny_224_1k``; compared with the file only."""
    model: ModelParams = ModelParams()
