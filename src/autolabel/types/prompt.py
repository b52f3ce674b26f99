"""The prompt for an image."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Prompt:
    """Distinct phrases to search for, in order; ``caption`` is their source text, for information only.

    ``look`` names the look to apply to the image; None for the original image.
    """

    phrases: tuple[str, ...]
    caption: str | None = None
    look: str | None = None

    def __post_init__(self) -> None:
        if len(set(self.phrases)) != len(self.phrases):
            raise ValueError(f"phrases must be distinct, got {self.phrases!r}")
