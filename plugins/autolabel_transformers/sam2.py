"""The segmenter that a spec names ``sam2``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autolabel_labeling.pixels import Shaping, read_shaping
from autolabel_transformers.box_segmenter import BoxSegmenter, BoxSegmenterParams

if TYPE_CHECKING:
    from autolabel_transformers.sam_network import SamNetwork

_SHAPING = Shaping(exact=(1024, 1024))
"""The default of transformers' processor, if the folder says nothing else."""


class Sam2(BoxSegmenter):
    """Turns boxes into masks with SAM 2 or 2.1 (arXiv 2408.00714), from a folder for images or for video."""

    name = "sam2"
    kinds = ("sam2", "sam2_video")
    title = "a SAM 2"
    sizes = {
        "vision_config.backbone_config.hidden_size": ("vision_encoder.backbone.pos_embed", 1),
        "prompt_encoder_config.hidden_size": ("prompt_encoder.point_embed.weight", 1),
    }

    class Params(BoxSegmenterParams):
        """See ``BoxSegmenterParams``."""

    params: Params

    def read_network(self, device: str) -> SamNetwork:
        """Return the network of the folder on ``device``."""
        from autolabel_transformers.sam_network import load_sam2

        shaping = read_shaping(self.folder, _SHAPING, square=True)
        return load_sam2(self.folder, self.configuration, shaping=shaping, device=device, half=self.half)
