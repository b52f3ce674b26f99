"""Pack the phrases of a prompt into captions; each phrase owns an exact span of tokens."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from autolabel.errors import ImageError
from autolabel_labeling.tokenizer import CLS, SEP, STOP, PhraseTokenizer


@dataclass(frozen=True, slots=True)
class Caption:
    """Token ids ``[CLS] phrase . phrase . [SEP]``, with the token span of each phrase."""

    ids: tuple[int, ...]
    spans: tuple[tuple[int, int], ...]
    """(start, stop) into ``ids``, ascending; the closing "." is not part of a span."""
    labels: tuple[tuple[int, ...], ...]
    """For each span, the phrases of the prompt that read the same: their indices."""


def build_captions(phrases: Sequence[str], tokenizer: PhraseTokenizer, *, limit: int) -> tuple[Caption, ...]:
    """Return captions of at most ``limit`` tokens that together contain every phrase once; none for no phrases.

    Phrases are sorted by tokens, so that the order in which they are written does not matter; phrases with equal tokens
    ("Car", "car") share a span. Raises ImageError ``phrase_empty`` or ``phrase_too_long``.
    """
    owners: dict[tuple[int, ...], list[int]] = {}
    for index, phrase in enumerate(phrases):
        owners.setdefault(_checked(phrase, tokenizer, limit=limit), []).append(index)
    return tuple(_caption(hand, owners) for hand in _deal(sorted(owners), limit=limit))


def _checked(phrase: str, tokenizer: PhraseTokenizer, *, limit: int) -> tuple[int, ...]:
    ids = tokenizer.ids(phrase)
    if not ids:
        raise ImageError("phrase_empty", f"the phrase {phrase!r} contains nothing that the model can read")
    if len(ids) + 3 > limit:
        raise ImageError(
            "phrase_too_long",
            f"the phrase {phrase[:60]!r} has {len(ids)} tokens, at most {limit - 3} fit in one caption",
        )
    return ids


def _deal(words: Iterable[tuple[int, ...]], *, limit: int) -> Iterable[list[tuple[int, ...]]]:
    """Yield groups of phrases that fit within the limit, counting separators, [CLS] and [SEP]."""
    hand: list[tuple[int, ...]] = []
    used = 2
    for word in words:
        if hand and used + len(word) + 1 > limit:
            yield hand
            hand, used = [], 2
        hand.append(word)
        used += len(word) + 1
    if hand:
        yield hand


def _caption(words: Sequence[tuple[int, ...]], owners: dict[tuple[int, ...], list[int]]) -> Caption:
    ids = [CLS]
    spans = []
    for word in words:
        spans.append((len(ids), len(ids) + len(word)))
        ids += [*word, STOP]
    return Caption((*ids, SEP), tuple(spans), tuple(tuple(owners[word]) for word in words))
