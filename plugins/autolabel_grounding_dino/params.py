"""The spec parameters of Grounding DINO."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, model_validator

from autolabel_labeling.params import Count, GroundedParams


class ModelParams(BaseModel):
    """Sizes of the network under TAO's names; used only if the checkpoint's shapes do not determine them.

    If one differs from the checkpoint, the checkpoint's value is used and a warning is logged.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    nheads: Count | None = None
    """Attention heads; 8 unless determined by the points per head."""
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


class GroundingDinoParams(GroundedParams):
    """Further parameters for TAO's files."""

    backbone: str | None = None
    """TAO's name of the backbone, such as ``swin_tiny_224_1k``; only compared with the file."""
    model: ModelParams = ModelParams()
