"""Code shared by detectors of the Grounding DINO family: phrases packed into captions, cached vision features."""

from __future__ import annotations

from abc import abstractmethod
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from autolabel.errors import MachineError
from autolabel.strategies import Detector, Reading
from autolabel.types import Instances, Prompt, Sample, Size
from autolabel.weights import Licence, files_of, licence_of, locate_checkpoint
from autolabel_grounding_dino.form import check_vocabulary
from autolabel_labeling.candidates import candidates
from autolabel_labeling.caption import Caption, build_captions
from autolabel_labeling.params import GroundedParams
from autolabel_labeling.pixels import ResizedImage, Shaping, read_shaping, resize_pixels
from autolabel_labeling.text_folder import find_text_folder
from autolabel_labeling.tokenizer import PhraseTokenizer

if TYPE_CHECKING:
    from autolabel_grounding_dino.features import ImageFeatures
    from autolabel_grounding_dino.network import Network

_REMEMBERED = 4096
"""Prompts whose captions are kept."""


@dataclass(frozen=True, slots=True, eq=False)
class _GroundedImage:
    """An image's vision features on the device, shared by all rounds and captions."""

    features: ImageFeatures
    size: Size


class GroundedDetector(Detector):
    """Finds the objects that phrases name, one caption of phrases at a time; a subclass reads its network.

    ``prepare`` computes vision features once per image; ``detect`` runs only what depends on the phrases.
    """

    params: GroundedParams

    def __init__(self, params: GroundedParams) -> None:
        super().__init__(params)
        self._network: Network | None = None
        self._device = "cpu"
        self._captions: dict[tuple[str, ...], tuple[Caption, ...]] = {}

    @cached_property
    def path(self) -> Path:
        """Return the checkpoint's file or folder."""
        return locate_checkpoint(self.params.checkpoint)

    @cached_property
    def text_folder(self) -> Path:
        """Return the folder of the tokenizer and, for files that carry none, of the text encoder's configuration."""
        return find_text_folder(self.path, self.params.text_encoder)

    @cached_property
    def _tokenizer(self) -> PhraseTokenizer:
        return PhraseTokenizer(self.text_folder)

    @cached_property
    def shaping(self) -> Shaping:
        """Return how pixels are resized, padded and normalised: the checkpoint's settings, overridden by the spec's."""
        params = self.params
        own = read_shaping(self.path)
        sides = {"short_side": params.short_side, "long_side": params.long_side}
        chosen = {name: side for name, side in sides.items() if side is not None}
        return replace(
            own,
            **chosen,
            exact=None if chosen else own.exact,
            mean=params.image_mean or own.mean,
            std=params.image_std or own.std,
            padding=params.padding,
        )

    def files(self) -> Sequence[Path]:
        """Return the checkpoint's files and, where it carries none, those of the text encoder."""
        own = files_of(self.path)
        others = (*self._tokenizer.files, self.text_folder / "config.json")
        return (*own, *(file for file in others if file not in own and file.is_file()))

    def licence(self) -> Licence:
        """Return the checkpoint's licence as stated by the files beside it."""
        return licence_of(self.path)

    def batch_key(self, size: Size) -> tuple[int, ...]:
        """Return the padded (height, width) of the network input for an image of ``size``."""
        return self.shaping.canvas(size)

    def passes(self, prompt: Prompt) -> int:
        """Return the number of captions needed for the prompt's phrases.

        Raises ImageError if a phrase is empty or too long for a caption of its own.
        """
        return len(self.captions(prompt))

    def read(self, phrase: str) -> Reading:
        """Return how the text encoder reads a phrase."""
        return self._tokenizer.read(phrase)

    def captions(self, prompt: Prompt) -> tuple[Caption, ...]:
        """Return captions that together contain every phrase of a prompt once."""
        known = self._captions.get(prompt.phrases)
        if known is None:
            known = build_captions(prompt.phrases, self._tokenizer, limit=self.params.max_text_len)
            if len(self._captions) >= _REMEMBERED:
                self._captions.clear()
            self._captions[prompt.phrases] = known
        return known

    def load(self, device: str) -> None:
        """Read the checkpoint onto ``device``; raises WeightsError if it is missing, refused or does not fit."""
        network = self.read_network(self.path, device)
        check_vocabulary(self.path, self.text_folder, words=network.text.vocabulary, tokenizer=self._tokenizer.size)
        self._network = network
        self._device = device

    @abstractmethod
    def read_network(self, path: Path, device: str) -> Network:
        """Return the network of the checkpoint at ``path`` on ``device``; raises WeightsError if it does not fit."""

    def preprocess(self, sample: Sample) -> ResizedImage:
        """Resize a sample's pixels; needs no model."""
        size = sample.pixels.shape[:2]
        return ResizedImage(resize_pixels(sample.pixels, self.shaping.resized(size)), size)

    def prepare(self, batch: Sequence[ResizedImage]) -> Sequence[_GroundedImage]:
        """Normalise, pad and run the vision tower once over images of one batch key."""
        import torch

        from autolabel_labeling.tensors import to_tensor

        if not batch:
            return []
        with torch.inference_mode():
            pixels = to_tensor([image.pixels for image in batch], self._canvas(batch), self.shaping, self._device)
            features = self.network.see(pixels)
        return [_GroundedImage(features.item(index), image.size) for index, image in enumerate(batch)]

    def _canvas(self, batch: Sequence[ResizedImage]) -> Size:
        canvases = [self.shaping.canvas(image.size) for image in batch]
        return max(height for height, _ in canvases), max(width for _, width in canvases)

    def detect(
        self, prepared: Sequence[_GroundedImage], prompts: Sequence[Prompt], floor: float
    ) -> Sequence[Instances]:
        """Return, for each image in order, every (box, phrase) that scores above ``floor``; none without phrases.

        The captions of one prompt are run one after another; images with different captions share a batch.
        """
        captions = [self.captions(prompt) for prompt in prompts]
        found: list[list[Instances]] = [[] for _ in prepared]
        for turn in range(max(map(len, captions), default=0)):
            asked = defaultdict(list)
            for index, (image, own) in enumerate(zip(prepared, captions, strict=True)):
                if turn < len(own):
                    asked[image.features.shapes].append(index)
            for group in asked.values():
                parts = self._ask([prepared[i] for i in group], [captions[i][turn] for i in group], floor)
                for index, part in zip(group, parts, strict=True):
                    found[index].append(part)
        return [Instances.concatenate(parts) for parts in found]

    def _ask(self, images: Sequence[_GroundedImage], captions: Sequence[Caption], floor: float) -> list[Instances]:
        import torch

        from autolabel_grounding_dino.features import ImageFeatures

        with torch.inference_mode():
            joined = ImageFeatures.join([image.features for image in images])
            answer = self.network.ask(joined, [caption.ids for caption in captions])
            rows = zip(answer.logits.cpu().numpy(), answer.boxes.cpu().numpy(), captions, images, strict=True)
        return [
            candidates(logits, boxes, caption, size=image.size, score=self.params.score, floor=floor)
            for logits, boxes, caption, image in rows
        ]

    @property
    def network(self) -> Network:
        """Return the loaded network; raises MachineError before ``load``."""
        if self._network is None:
            raise MachineError("the detector is not loaded: call load(device) first")
        return self._network

    def counters(self) -> dict[str, int]:
        """Return counts of images encoded, phrases encoded, and (image, caption) pairs run."""
        if self._network is None:
            return {}
        network = self._network
        return {
            "vision_passes": network.vision.passes,
            "text_passes": network.text.passes,
            "forward_passes": network.passes,
        }
