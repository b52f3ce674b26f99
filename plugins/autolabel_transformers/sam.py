"""The segmenter that a spec names ``sam``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autolabel_labeling.pixels import Shaping, read_shaping
from autolabel_transformers.box_segmenter import BoxSegmenter, BoxSegmenterParams

if TYPE_CHECKING:
    from autolabel_transformers.sam_network import SamNetwork

_SHAPING = Shaping(long_side=1024)
"""The default of transformers' processor, if the folder says nothing else."""


class Sam(BoxSegmenter):
    """Turns boxes into masks with Segment Anything (arXiv 2304.02643)."""

    name = "sam"
    kinds = ("sam",)
    title = "a SAM"
    sizes = {"vision_config.hidden_size": ("vision_encoder.pos_embed", 3)}
    counts = {"vision_config.num_hidden_layers": "vision_encoder.layers."}

    class Params(BoxSegmenterParams):
        """See ``BoxSegmenterParams``."""

    params: Params

    def read_network(self, device: str) -> SamNetwork:
        """Return the network of the folder on ``device``."""
        from autolabel_transformers.sam_network import load_sam

        shaping = read_shaping(self.folder, _SHAPING, square=True)
        return load_sam(self.folder, self.configuration, shaping=shaping, device=device, half=self.half)
