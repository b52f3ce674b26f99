"""The detector that a spec names ``sam3``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import Field

from autolabel.types import Instances, Prompt, Rle, Size
from autolabel_labeling.candidates import check_finite
from autolabel_labeling.pixels import ResizedImage, Shaping
from autolabel_transformers.folder import FolderParams
from autolabel_transformers.phrase_detector import PhraseDetector, SeenImage
from autolabel_transformers.phrases import Ids

if TYPE_CHECKING:
    from autolabel_transformers.sam3_network import Maps, PhraseDetections, Sam3Network

_SHAPING = Shaping(exact=(1008, 1008), mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))


class Sam3(PhraseDetector["Sam3Network"]):
    """Finds the objects that phrases name, with their masks, with SAM 3 (arXiv 2511.16719).

    The network takes one phrase at a time; the vision tower runs once per image for all phrases.
    """

    name = "sam3"
    gives = "masks"
    kinds = ("sam3", "sam3_video")
    title = "a SAM 3"
    prefix = "detector_model."
    sizes = {
        "text_config.vocab_size": ("text_encoder.text_model.embeddings.token_embedding.weight", 0),
        "text_config.hidden_size": ("text_encoder.text_model.embeddings.token_embedding.weight", 1),
    }
    counts = {
        "text_config.num_hidden_layers": "text_encoder.text_model.encoder.layers.",
        "vision_config.backbone_config.num_hidden_layers": "vision_encoder.backbone.layers.",
    }
    longest = 32
    shaping_default = _SHAPING

    class Params(FolderParams):
        """The checkpoint and the threshold of its masks."""

        mask_threshold: Annotated[float, Field(gt=0, lt=1)] = 0.5
        """Probability above which a pixel is inside."""

    params: Params

    @cached_property
    def configuration(self) -> dict[str, Any]:
        """Return the image model's part of config.json; in a video model's folder, the detector's part."""
        content = super().configuration
        return content.get("detector_config") or content

    def passes(self, prompt: Prompt) -> int:
        """Return the number of distinct phrases; raises ImageError if one is empty or too long."""
        return len(self.sentences(prompt))

    def read_network(self, device: str) -> Sam3Network:
        """Return the folder's network on ``device``."""
        from autolabel_transformers.sam3_network import load_sam3

        return load_sam3(self.folder, self.configuration, shaping=self.shaping, device=device, half=self.half)

    def prepare(self, batch: Sequence[ResizedImage]) -> Sequence[SeenImage[Maps]]:
        """Run the vision tower once over a batch."""
        if not batch:
            return []
        seen = self.network.see([image.pixels for image in batch])
        return [SeenImage(maps, image.size) for maps, image in zip(seen, batch, strict=True)]

    def detect(
        self, prepared: Sequence[SeenImage[Maps]], prompts: Sequence[Prompt], floor: float
    ) -> Sequence[Instances]:
        """Return, for each image in order, every object above ``floor`` with its mask, phrase by phrase.

        Images with different phrases share a pass.
        """
        asked = [list(self.sentences(prompt).items()) for prompt in prompts]
        found: list[list[Instances]] = [[] for _ in prepared]
        for turn in range(max(map(len, asked), default=0)):
            group = [index for index, own in enumerate(asked) if turn < len(own)]
            answers = self.network.ask([prepared[i].features for i in group], [asked[i][turn][0] for i in group])
            for index, answer in zip(group, answers, strict=True):
                found[index].append(self._objects(answer, asked[index][turn], prepared[index].size, floor))
        return [_joined(parts) for parts in found]

    def _objects(
        self, answer: PhraseDetections, asked: tuple[Ids, tuple[int, ...]], size: Size, floor: float
    ) -> Instances:
        """Return the objects above ``floor``, best first, once for each label of the sentence."""
        check_finite(answer.scores, answer.boxes)
        height, width = size
        corners = answer.boxes * np.array([width, height, width, height], np.float32)
        whole = (corners[:, 2] > corners[:, 0]) & (corners[:, 3] > corners[:, 1])
        rows = np.flatnonzero((answer.scores > floor) & whole)
        rows = rows[np.argsort(-answer.scores[rows], kind="stable")]
        cut = self.network.cut(answer, rows.tolist(), size, threshold=self.params.mask_threshold)
        masks = [Rle.encode(mask) for mask in cut]
        owners = asked[1]
        return Instances.build(
            np.tile(corners[rows], (len(owners), 1)),
            scores=np.tile(answer.scores[rows], len(owners)),
            labels=np.repeat(owners, len(rows)),
            masks=masks * len(owners),
        )


def _joined(parts: Sequence[Instances]) -> Instances:
    joined = Instances.concatenate(parts)
    return joined if len(joined) else replace(joined, masks=())
