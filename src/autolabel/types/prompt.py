"""What is asked of an image."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Prompt:
    """Phrases to look for: ordered and distinct; ``caption`` is the text they came from, carried through only."""

    phrases: tuple[str, ...]
    caption: str | None = None

    def __post_init__(self) -> None:
        if len(set(self.phrases)) != len(self.phrases):
            raise ValueError(f"phrases must be distinct, got {self.phrases!r}")
