"""Requests and replies of OpenAI's chat completions protocol."""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, Literal

import msgspec

_Form = Literal["json_schema", "json_object", "none"]
_CONTROL_TOKENS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """An image as it is sent."""

    data: bytes = field(repr=False)
    kind: str = "image/jpeg"
    content: str = ""
    """The identity of its pixels in the key of an answer; empty: the hash of ``data``."""

    @property
    def identity(self) -> str:
        """The identity of the picture."""
        return self.content or hashlib.sha256(self.data).hexdigest()


@dataclass(frozen=True, slots=True)
class Message:
    """A message: texts and pictures in order."""

    role: Literal["system", "user", "assistant"]
    parts: tuple[str | Picture, ...]

    def plain(self, *, pictures: bool) -> dict[str, Any]:
        """Return the message in the protocol's form; without ``pictures``, images are replaced by their names."""
        if not pictures:
            parts = [part if isinstance(part, str) else [part.kind, part.identity] for part in self.parts]
            return {"role": self.role, "content": parts}
        if all(isinstance(part, str) for part in self.parts):
            return {"role": self.role, "content": "\n".join(map(str, self.parts))}
        return {"role": self.role, "content": [_part(part) for part in self.parts]}


def _part(part: str | Picture) -> dict[str, Any]:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    data = base64.b64encode(part.data).decode()
    return {"type": "image_url", "image_url": {"url": f"data:{part.kind};base64,{data}"}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One request: messages, and the form of the answer."""

    messages: tuple[Message, ...]
    max_tokens: int
    temperature: float = 0.0
    seed: int | None = None
    form: _Form = "none"
    schema: Mapping[str, Any] | None = None
    """JSON Schema of the answer, for ``form: json_schema``."""
    probabilities: int | None = None
    """The number of alternative tokens to request with token probabilities; None requests no probabilities."""
    request: Mapping[str, Any] = field(default_factory=dict)
    """More fields of the request; None takes a field away."""

    @classmethod
    def of(cls, text: str, *pictures: Picture, max_tokens: int, **words: Any) -> Question:
        """Make a question with a text, preceded by pictures."""
        return cls(messages=(Message("user", (*pictures, text)),), max_tokens=max_tokens, **words)

    def body(self, model: str, *, pictures: bool = True) -> dict[str, Any]:
        """Return the request body."""
        body: dict[str, Any] = {
            "model": model,
            "messages": [message.plain(pictures=pictures) for message in self.messages],
            "max_tokens": self.max_tokens,
            "temperature": self.temperature,
        }
        if self.seed is not None:
            body["seed"] = self.seed
        if self.form == "json_schema" and self.schema is not None:
            schema = {"name": "answer", "strict": True, "schema": dict(self.schema)}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        elif self.form == "json_object":
            body["response_format"] = {"type": "json_object"}
        if self.probabilities is not None:
            body["logprobs"] = True
            if self.probabilities:
                body["top_logprobs"] = self.probabilities
        more = {name: value for name, value in self.request.items() if name not in ("model", "messages", "stream")}
        return {name: value for name, value in (body | more).items() if value is not None}

    def key(self, url: str, model: str) -> str:
        """Return the cache key: a hash of everything that determines the answer, with pictures by their pixels."""
        asked = msgspec.json.encode([url, self.body(model, pictures=False)], order="sorted")
        return hashlib.blake2b(asked, digest_size=20).hexdigest()

    def control(self) -> Question:
        """Return a trivial question of the same kind, to distinguish a bad question from a failing server."""
        parts = tuple(_blank() if isinstance(part, Picture) else "Say: yes" for part in self.messages[0].parts)
        return replace(self, messages=(Message("user", parts),), max_tokens=_CONTROL_TOKENS)


class Usage(msgspec.Struct, frozen=True):
    """Tokens of a reply as counted by the server; 0 if not stated."""

    prompt_tokens: int = 0
    completion_tokens: int = 0

    @property
    def total(self) -> int:
        """The sum of both."""
        return self.prompt_tokens + self.completion_tokens


class Token(msgspec.Struct, frozen=True):
    """A token of an answer, its log probability, and alternative tokens."""

    text: str
    logprob: float
    others: tuple[tuple[str, float], ...] = ()


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """A model's answer."""

    text: str
    finish: str = ""
    """Why it ended: ``stop``, or ``length`` where it was cut."""
    tokens: tuple[Token, ...] = ()
    """The tokens with their probabilities; empty if the server gives none."""
    refusal: str = ""
    usage: Usage = Usage()
    model: str = ""
    """The model's name, as the server states it."""
    kept: bool = False
    """Whether the answer came from the cache."""

    @property
    def cut(self) -> bool:
        """Whether the answer was truncated at the length limit."""
        return self.finish == "length"


class _Top(msgspec.Struct):
    token: str
    logprob: float


class _Piece(msgspec.Struct):
    token: str
    logprob: float
    top_logprobs: list[_Top] | None = None


class _Logprobs(msgspec.Struct):
    content: list[_Piece] | None = None


class _Said(msgspec.Struct):
    content: str | list[dict[str, Any]] | None = None
    refusal: str | None = None


class _ChatChoice(msgspec.Struct):
    message: _Said
    finish_reason: str | None = None
    logprobs: _Logprobs | None = None


class _Used(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class _Completion(msgspec.Struct):
    choices: list[_ChatChoice]
    usage: _Used | None = None
    model: str | None = None


_completions = msgspec.json.Decoder(_Completion)


def read_reply(data: bytes) -> Reply:
    """Parse a chat completion; raises ValueError if it is invalid."""
    try:
        read = _completions.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"no chat completion: {error}") from None
    if not read.choices:
        raise ValueError("no chat completion: it has no choices")
    choice, used = read.choices[0], read.usage or _Used()
    pieces = (choice.logprobs.content if choice.logprobs else None) or []
    return Reply(
        text=_text(choice.message.content),
        finish=choice.finish_reason or "",
        tokens=tuple(
            Token(one.token, one.logprob, tuple((top.token, top.logprob) for top in one.top_logprobs or ()))
            for one in pieces
        ),
        refusal=choice.message.refusal or "",
        usage=Usage(max(used.prompt_tokens or 0, 0), max(used.completion_tokens or 0, 0)),
        model=read.model or "",
    )


def _text(content: str | list[dict[str, Any]] | None) -> str:
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content if part.get("type", "text") == "text")
    return content or ""


@cache
def _blank() -> Picture:
    """Return a blank picture."""
    from PIL import Image

    stream = io.BytesIO()
    Image.new("RGB", (64, 64), "white").save(stream, "PNG")
    return Picture(data=stream.getvalue(), kind="image/png", content="blank")
