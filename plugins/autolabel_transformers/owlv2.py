"""The detector that a spec names ``owlv2``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import AfterValidator

from autolabel.types import Instances, Prompt, Sample, Size
from autolabel_labeling.candidates import pairs_above
from autolabel_labeling.pixels import Shaping
from autolabel_transformers.examples import Example, files_of_examples, plain, read_examples
from autolabel_transformers.folder import FolderParams
from autolabel_transformers.owlv2_pixels import square
from autolabel_transformers.phrase_detector import PhraseDetector
from autolabel_transformers.phrases import Ids

if TYPE_CHECKING:
    import numpy.typing as npt
    from torch import Tensor

    from autolabel_transformers.owlv2_network import Owlv2Network, Patches, Query

_SHAPING = Shaping(exact=(960, 960), mean=(0.48145466, 0.4578275, 0.40821073), std=(0.26862954, 0.26130258, 0.27577711))
"""The default of transformers' processor, if the folder says nothing else (CLIP's means)."""


def _has_place(template: str) -> str:
    if template.count("{}") != 1:
        raise ValueError(f"a template must have one place {{}} for the phrase, got {template!r}")
    return template


@dataclass(frozen=True, slots=True, eq=False)
class _SquareImage:
    """Pixels resized for the network, with the original size that boxes refer to."""

    pixels: npt.NDArray[np.float32]
    """(side, side, 3) in 0..1."""
    size: Size
    """(height, width) of the upright image."""


@dataclass(frozen=True, slots=True, eq=False)
class _SeenPatches:
    """An image's patches on the device, shared by all rounds, and their boxes."""

    patches: Patches
    corners: npt.NDArray[np.float32]
    """(patches, 4) x1, y1, x2, y2 in pixels."""


class Owlv2(PhraseDetector["Owlv2Network"]):
    """Finds the objects that phrases name, with OWLv2 (arXiv 2306.09683).

    Every patch of the image proposes one box, and phrases only score the boxes. So the image is encoded once, any
    number of phrases fits one pass, and a phrase's scores do not depend on other phrases.
    """

    name = "owlv2"
    kinds = ("owlv2",)
    title = "an OWLv2"
    sizes = {
        "text_config.vocab_size": ("owlv2.text_model.embeddings.token_embedding.weight", 0),
        "text_config.hidden_size": ("owlv2.text_model.embeddings.token_embedding.weight", 1),
        "text_config.max_position_embeddings": ("owlv2.text_model.embeddings.position_embedding.weight", 0),
        "vision_config.hidden_size": ("owlv2.vision_model.embeddings.class_embedding", 0),
    }
    counts = {
        "text_config.num_hidden_layers": "owlv2.text_model.encoder.layers.",
        "vision_config.num_hidden_layers": "owlv2.vision_model.encoder.layers.",
    }
    longest = 16
    shaping_default = _SHAPING

    class Params(FolderParams):
        """The checkpoint and how it is queried."""

        template: Annotated[str, AfterValidator(_has_place)] = "a photo of a {}"
        """The sentence template for a phrase; ``"{}"`` is the phrase alone."""
        examples: tuple[Example, ...] = ()
        """Experimental: example boxes of phrases in a few images (image-guided detection)."""
        examples_as: Literal["beside", "instead"] = "beside"
        """``beside``: a phrase is also searched by its words, the best score counts; ``instead``: only by examples."""

    params: Params

    def files(self) -> Sequence[Path]:
        """Return the folder's files and the example images."""
        return (*super().files(), *files_of_examples(self.params.examples))

    def check(self) -> None:
        """Raise WeightsError if the tensors do not match, or if an example cannot be read."""
        super().check()
        for _ in read_examples(self.params.examples):
            pass

    def unasked(self, phrases: Sequence[str]) -> Sequence[str]:
        """Return the phrases of examples that are not among ``phrases``."""
        known = {plain(phrase) for phrase in phrases}
        return tuple(dict.fromkeys(one.phrase for one in self.params.examples if plain(one.phrase) not in known))

    def __init__(self, params: Params) -> None:
        super().__init__(params)
        self._shown: dict[str, list[Tensor]] = {}

    @property
    def side(self) -> int:
        """Return the side of the network's square input."""
        return self.shaping.resized((1, 1))[0]

    @property
    def template(self) -> str:
        """Return the sentence template for phrases."""
        return self.params.template

    def passes(self, prompt: Prompt) -> int:
        """Return 1, or 0 for no phrases; raises ImageError if a phrase is empty or too long."""
        return min(1, len(self.sentences(prompt)))

    def read_network(self, device: str) -> Owlv2Network:
        """Return the folder's network on ``device``."""
        from autolabel_transformers.owlv2_network import load_owlv2

        network = load_owlv2(self.folder, self.configuration, shaping=self.shaping, device=device, half=self.half)
        self._shown.clear()
        for example, pixels in read_examples(self.params.examples):
            side = max(pixels.shape[:2])
            boxes = [tuple(value / side for value in box) for box in example.boxes]
            features = network.show(square(pixels, self.side), boxes)
            self._shown.setdefault(plain(example.phrase), []).extend(features)
        return network

    def preprocess(self, sample: Sample) -> _SquareImage:
        """Pad and resize a sample's pixels; needs no model."""
        height, width = sample.pixels.shape[:2]
        return _SquareImage(square(sample.pixels, self.side), (height, width))

    def prepare(self, batch: Sequence[_SquareImage]) -> Sequence[_SeenPatches]:
        """Run the vision tower once over a batch."""
        if not batch:
            return []
        seen = self.network.see(np.stack([image.pixels for image in batch]))
        # Boxes are relative to the padded square's side.
        return [
            _SeenPatches(patches, corners * np.float32(max(image.size)))
            for (patches, corners), image in zip(seen, batch, strict=True)
        ]

    def detect(self, prepared: Sequence[_SeenPatches], prompts: Sequence[Prompt], floor: float) -> Sequence[Instances]:
        """Return, for each image in order, every (box, phrase) that scores above ``floor``; none without phrases."""
        return [self._ask(image, prompt, floor) for image, prompt in zip(prepared, prompts, strict=True)]

    def _ask(self, image: _SeenPatches, prompt: Prompt, floor: float) -> Instances:
        asked = self.sentences(prompt)
        if not asked:
            return Instances.empty()
        queries = [self._query(ids, [prompt.phrases[label] for label in labels]) for ids, labels in asked.items()]
        scores = self.network.ask(image.patches, queries)
        return pairs_above(scores, image.corners, list(asked.values()), floor=floor)

    def _query(self, ids: Ids, phrases: Sequence[str]) -> Query:
        """Return the query for phrases with equal tokens: their sentence, examples, or both."""
        names = dict.fromkeys(map(plain, phrases))
        shown = [features for name in names for features in self._shown.get(name, ())]
        if not shown:
            return ids
        from autolabel_transformers.owlv2_network import Shown

        words = [self.network.words(ids)] if self.params.examples_as == "beside" else []
        return Shown((*words, *shown))
