"""The prompt for an image."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Prompt:
    """Phrases to look for: ordered and distinct; ``caption`` is the text they came from, carried through only.

    ``look`` names the look in which the image is to be seen; None: as it is.
    """

    phrases: tuple[str, ...]
    caption: str | None = None
    look: str | None = None

    def __post_init__(self) -> None:
        if len(set(self.phrases)) != len(self.phrases):
            raise ValueError(f"phrases must be distinct, got {self.phrases!r}")
