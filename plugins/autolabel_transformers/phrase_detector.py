"""What the detectors that read phrases with CLIP share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property, lru_cache, partial
from typing import ClassVar

from autolabel.errors import WeightsError
from autolabel.strategies import Detector, Reading
from autolabel.types import Prompt
from autolabel_grounding_dino.pixels import Shaping, read_shaping
from autolabel_transformers.clip_tokenizer import ClipTokenizer
from autolabel_transformers.folder import FolderLabeler
from autolabel_transformers.phrases import Ids, sentences

REMEMBERED = 4096
"""Prompts whose sentences are kept."""


class PhraseDetector(FolderLabeler, Detector):
    """A detector whose text encoder is CLIP's, one sentence a phrase, and whose images are all of one size."""

    longest: ClassVar[int]
    """Tokens that the text encoder reads, where config.json does not say."""
    shaping_default: ClassVar[Shaping]
    """What transformers' processor does unless the folder says otherwise."""

    @property
    def template(self) -> str:
        """Return the sentence that a phrase is asked in, with ``{}`` for the phrase."""
        return "{}"

    square: ClassVar[bool] = True
    """Whether transformers' processor reads a size of one number as the side of a square."""

    @cached_property
    def shaping(self) -> Shaping:
        """Return the size that images are squeezed to, with the means of colours."""
        shaping = read_shaping(self.folder, self.shaping_default, square=self.square)
        if shaping.exact is None:
            raise WeightsError(
                f"{self.folder}: its processor keeps the shape of images ({shaping.short_side} to"
                f" {shaping.long_side} pixels), the network wants them all of one height and width"
            )
        return shaping

    def check(self) -> None:
        """Raise WeightsError where the folder's tensors, processor or tokenizer do not fit its config.json."""
        super().check()
        _ = self.shaping, self.tokenizer, self.limit

    @cached_property
    def tokenizer(self) -> ClipTokenizer:
        """Return the folder's tokenizer."""
        return ClipTokenizer(self.folder)

    def read(self, phrase: str) -> Reading:
        """Return what the text encoder makes of a phrase."""
        return self.tokenizer.read(phrase)

    @property
    def limit(self) -> int:
        """Return the most tokens of one text."""
        return int((self.configuration.get("text_config") or {}).get("max_position_embeddings", self.longest))

    def sentences(self, prompt: Prompt) -> Mapping[Ids, tuple[int, ...]]:
        """Return what is asked for a prompt, with the labels that each sentence stands for.

        Raises ImageError where a phrase is empty or too long.
        """
        return self._sentences(prompt.phrases)

    @cached_property
    def _sentences(self) -> Callable[[tuple[str, ...]], Mapping[Ids, tuple[int, ...]]]:
        return lru_cache(REMEMBERED)(
            partial(sentences, tokenizer=self.tokenizer, limit=self.limit, template=self.template)
        )

    def batch_key(self, size: tuple[int, int]) -> tuple[int, ...]:
        """Return one key for all images: the network sees all in one size."""
        return ()
