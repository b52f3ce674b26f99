"""A scripted OpenAI-compatible server on this machine, for tests without a model."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Scripted:
    """The server's scripted reaction to one request."""

    text: str = ""
    """The model's words; ignored where ``body`` is given."""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    finish: str = "stop"
    refusal: str | None = None
    tokens: Sequence[tuple[str, float]] | None = None
    """Tokens with their log probabilities; None: the answer has none."""
    top: Sequence[tuple[str, float]] | None = None
    """Alternatives of the first token."""
    body: bytes | None = None
    """The whole answer, where it is to be none of the protocol."""
    silent: bool = False
    """Never answer: the client has to give up."""

    def answer(self, model: str) -> bytes:
        """Return the body of the answer."""
        if self.body is not None:
            return self.body
        if self.status != 200:
            return json.dumps({"error": {"message": self.text or f"status {self.status}"}}).encode()
        choice: dict[str, Any] = {"index": 0, "finish_reason": self.finish}
        choice["message"] = {"role": "assistant", "content": self.text, "refusal": self.refusal}
        if self.tokens is not None:
            pieces: list[dict[str, Any]] = [{"token": token, "logprob": value} for token, value in self.tokens]
            if pieces and self.top:
                pieces[0]["top_logprobs"] = [{"token": token, "logprob": value} for token, value in self.top]
            choice["logprobs"] = {"content": pieces}
        usage = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}
        return json.dumps({"model": model, "choices": [choice], "usage": usage}).encode()


Script = Callable[[dict[str, Any], int], Scripted]
"""Given a request's body and how many came before it, what the server does."""


class ScriptedEndpoint:
    """Answers by a script inside its ``with`` block; records ``requests`` and ``headers`` in order."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.ended = threading.Event()
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True

    @property
    def url(self) -> str:
        """The base URL, such as ``http://127.0.0.1:49152/v1``."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def note(self, request: dict[str, Any], headers: dict[str, str]) -> int:
        """Record a request; return the number of earlier ones."""
        with self._lock:
            self.requests.append(request)
            self.headers.append(headers)
            return len(self.requests) - 1

    def __enter__(self) -> ScriptedEndpoint:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.ended.set()
        self._server.shutdown()
        self._server.server_close()


def words_of(request: Mapping[str, Any]) -> str:
    """Return all texts of a request, for scripts that depend on them."""
    texts: list[str] = []
    for message in request["messages"]:
        content = message["content"]
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
        texts += [part["text"] for part in parts if part["type"] == "text"]
    return "\n".join(texts)


def picture_of(request: Mapping[str, Any]) -> bytes:
    """Return the bytes of a request's first picture, empty if it has none."""
    import base64

    for message in request["messages"]:
        for part in message["content"] if isinstance(message["content"], list) else ():
            if part["type"] == "image_url":
                return base64.b64decode(part["image_url"]["url"].partition(",")[2])
    return b""


def _handler(endpoint: ScriptedEndpoint) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        """Answers one connection."""

        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            """Answer a chat completion."""
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            before = endpoint.note(request, {name.lower(): value for name, value in self.headers.items()})
            scripted = endpoint.script(request, before)
            if scripted.silent:
                endpoint.ended.wait()
                self.close_connection = True
                return
            body = scripted.answer(str(request.get("model")))
            self.send_response(scripted.status)
            for name, value in {"Content-Type": "application/json", **scripted.headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Do not log."""

    return Handler
