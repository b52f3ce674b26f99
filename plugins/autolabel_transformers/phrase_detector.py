"""Code shared by detectors that read phrases with CLIP's text encoder."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from autolabel.errors import MachineError, WeightsError
from autolabel.strategies import Detector, Reading
from autolabel.types import Prompt, Sample, Size
from autolabel_labeling.pixels import ResizedImage, Shaping, read_shaping, resize_pixels
from autolabel_transformers.clip_tokenizer import ClipTokenizer
from autolabel_transformers.folder import FolderLabeler, FolderParams
from autolabel_transformers.phrases import Ids, sentences

REMEMBERED = 4096
"""Prompts whose sentences are kept."""


class _CountingNetwork(Protocol):
    """A loaded network that counts its computations."""

    @property
    def counts(self) -> Mapping[str, int]:
        """Counts of the computations since the model was loaded."""
        ...


_N = TypeVar("_N", bound=_CountingNetwork)
_V = TypeVar("_V")


@dataclass(frozen=True, slots=True, eq=False)
class SeenImage(Generic[_V]):
    """An image's vision features on the device, shared by all rounds and phrases."""

    features: _V
    size: Size


class PhraseDetector(FolderLabeler, Detector[FolderParams], Generic[_N]):
    """A detector with CLIP's text encoder, one sentence per phrase, and one input size for all images."""

    _network: _N | None = None

    longest: ClassVar[int]
    """Tokens that the text encoder reads, where config.json does not say."""
    shaping_default: ClassVar[Shaping]
    """The default of transformers' processor, if the folder says nothing else."""

    @property
    def template(self) -> str:
        """Return the sentence template, with ``{}`` for the phrase."""
        return "{}"

    square: ClassVar[bool] = True
    """Whether transformers' processor reads a size of one number as the side of a square."""

    @cached_property
    def shaping(self) -> Shaping:
        """Return the size that images are resized to, with the colour normalisation."""
        shaping = read_shaping(self.folder, self.shaping_default, square=self.square)
        if shaping.exact is None:
            raise WeightsError(
                f"{self.folder}: its processor keeps the shape of images ({shaping.short_side} to"
                f" {shaping.long_side} pixels), the network wants them all of one height and width"
            )
        return shaping

    def check(self) -> None:
        """Raise WeightsError if the folder's tensors, processor or tokenizer do not match its config.json."""
        super().check()
        _ = self.shaping, self.tokenizer, self.limit

    @cached_property
    def tokenizer(self) -> ClipTokenizer:
        """Return the folder's tokenizer."""
        return ClipTokenizer(self.folder)

    def read(self, phrase: str) -> Reading:
        """Return how the text encoder reads a phrase."""
        return self.tokenizer.read(phrase)

    @property
    def limit(self) -> int:
        """Return the maximum number of tokens in a text."""
        return int((self.configuration.get("text_config") or {}).get("max_position_embeddings", self.longest))

    def sentences(self, prompt: Prompt) -> Mapping[Ids, tuple[int, ...]]:
        """Return the sentences for a prompt, with the labels that each stands for.

        Raises ImageError if a phrase is empty or too long.
        """
        return self._sentences(prompt.phrases)

    @cached_property
    def _sentences(self) -> Callable[[tuple[str, ...]], Mapping[Ids, tuple[int, ...]]]:
        return lru_cache(REMEMBERED)(
            partial(sentences, tokenizer=self.tokenizer, limit=self.limit, template=self.template)
        )

    def load(self, device: str) -> None:
        """Read the folder onto ``device``; raises WeightsError if it does not fit."""
        self._network = self.read_network(device)

    @abstractmethod
    def read_network(self, device: str) -> _N:
        """Return the folder's network on ``device``; raises WeightsError if it does not fit."""

    @property
    def network(self) -> _N:
        """Return the loaded network; raises MachineError before ``load``."""
        if self._network is None:
            raise MachineError("the detector is not loaded: call load(device) first")
        return self._network

    def counters(self) -> dict[str, int]:
        """Return counts of images encoded, texts encoded, and (image, text) queries."""
        return dict(self._network.counts) if self._network else {}

    def preprocess(self, sample: Sample) -> Any:
        """Resize a sample's pixels; needs no model."""
        height, width = sample.pixels.shape[:2]
        return ResizedImage(resize_pixels(sample.pixels, self.shaping.resized((height, width))), (height, width))

    def batch_key(self, size: tuple[int, int]) -> tuple[int, ...]:
        """Return one key for all images, because the network has one input size."""
        return ()
