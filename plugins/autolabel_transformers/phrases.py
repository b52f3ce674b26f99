"""Turn the phrases of a prompt into sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from autolabel.errors import ImageError
from autolabel_transformers.clip_tokenizer import ClipTokenizer

Ids = tuple[int, ...]


def sentences(
    phrases: Sequence[str], *, tokenizer: ClipTokenizer, limit: int, template: str = "{}"
) -> Mapping[Ids, tuple[int, ...]]:
    """Return the phrases' sentences of at most ``limit`` tokens, sorted, with the labels that each stands for.

    Phrases with equal tokens ("Car", "car") share a sentence. The order in which phrases are written does not matter.
    Raises ImageError ``phrase_empty`` or ``phrase_too_long``.
    """
    owners: dict[Ids, tuple[int, ...]] = {}
    for label, phrase in enumerate(phrases):
        ids = _checked(phrase, tokenizer, limit=limit, template=template)
        owners[ids] = (*owners.get(ids, ()), label)
    return dict(sorted(owners.items()))


def _checked(phrase: str, tokenizer: ClipTokenizer, *, limit: int, template: str) -> Ids:
    if not tokenizer.words(phrase):
        raise ImageError("phrase_empty", f"the phrase {phrase!r} contains nothing that the model can read")
    ids = tokenizer.sentence(template.replace("{}", phrase))
    if len(ids) > limit:
        raise ImageError(
            "phrase_too_long",
            f"the phrase {phrase[:60]!r} has {len(ids)} tokens with its template, at most {limit} can be read",
        )
    return ids
