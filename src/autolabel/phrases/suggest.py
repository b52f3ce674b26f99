"""Get more phrases from a language model, which receives only words, no images."""

from __future__ import annotations

import json
import logging
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from autolabel.endpoint import Endpoint, EndpointParams, Question, Reply
from autolabel.errors import SpecError

_log = logging.getLogger(__name__)

_MOST = 8
"""Phrases that are taken for a class."""
_LONGEST = 60
"""Characters of a phrase."""
_MOST_WORDS = 6
_MOST_TOKENS = 600
_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"phrases": {"type": "array", "items": {"type": "string"}}},
    "required": ["phrases"],
    "additionalProperties": False,
}
_PHRASE = re.compile(r"[^\W_][\w '\-/()]*")


class PhraseModel:
    """A language model that proposes phrases."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint

    @classmethod
    def at(cls, url: str, model: str, *, key_env: str | None = None) -> PhraseModel:
        """Return the model of an OpenAI-compatible endpoint; ``key_env`` names the variable of the key.

        Raises SpecError if these name none, EndpointError where the variable is not set, MachineError without httpx.
        """
        from autolabel.endpoint.client import require_client

        try:
            params = EndpointParams(endpoint=url, model=model, api_key_env=key_env, timeout=60, retries=2, patience=60)
        except ValidationError as error:
            first = error.errors()[0]
            place = {"endpoint": "--endpoint", "model": "--model", "api_key_env": "--key-env"}[str(first["loc"][0])]
            hint = str(first.get("ctx", {}).get("hint", ""))
            raise SpecError(f"{place}: {first['msg']}", hint=hint) from None
        require_client()
        return cls(Endpoint(params.endpoint, params.model, key=params.key(), manners=params.manners()))

    def suggest(self, known: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
        """Return more phrases for each class, given the ones already compared.

        A class without a usable answer gets none. Raises EndpointError if the model cannot be reached.
        """
        try:
            replies = self.endpoint.ask([_question(name, phrases) for name, phrases in known.items()])
        finally:
            self.endpoint.close()
        out: dict[str, list[str]] = {}
        for (name, phrases), reply in zip(known.items(), replies, strict=True):
            if not isinstance(reply, Reply):
                _log.warning("the model has no phrases for %r: %s", name, reply)
            out[name] = list(sound(read(reply.text), phrases)) if isinstance(reply, Reply) else []
        return out


def _question(name: str, phrases: Sequence[str]) -> Question:
    """Return the question for one class."""
    text = (
        "An object detector is asked for things in photos by short English noun phrases. "
        f"People call the things {json.dumps(name, ensure_ascii=False)}. "
        f"These phrases are tried already: {json.dumps(list(phrases), ensure_ascii=False)}. "
        f"Name up to {_MOST} other phrases of one to four words that photos of exactly these things would be captioned "
        "with: synonyms, plainer words, what they look like. "
        'Answer with JSON and nothing else: {"phrases": ["...", "..."]}'
    )
    return Question.of(text, max_tokens=_MOST_TOKENS, form="json_schema", schema=_SCHEMA)


def read(text: str) -> list[str]:
    """Return the phrases of an answer, from the first JSON object or array in it; empty if there is none."""
    decoder = json.JSONDecoder()
    for start in (place for place, character in enumerate(text) if character in "{["):
        try:
            value, _ = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            continue
        listed = value.get("phrases") if isinstance(value, dict) else value
        return [one for one in listed if isinstance(one, str)] if isinstance(listed, list) else []
    return []


def sound(listed: Sequence[str], known: Sequence[str]) -> Iterator[str]:
    """Yield valid phrases: short, alphabetic, new; at most MOST."""
    seen = {" ".join(one.casefold().split()) for one in known}
    count = 0
    for one in listed:
        phrase = " ".join(unicodedata.normalize("NFKC", one).split())
        if len(phrase) > _LONGEST or len(phrase.split()) > _MOST_WORDS or not _PHRASE.fullmatch(phrase):
            continue
        if phrase.casefold() not in seen and count < _MOST:
            seen.add(phrase.casefold())
            count += 1
            yield phrase
