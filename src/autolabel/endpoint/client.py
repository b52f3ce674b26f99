"""The client: sends many requests at a time, and distinguishes a bad request from a failing server."""

from __future__ import annotations

import logging
import re
import threading
import weakref
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from autolabel import urls
from autolabel.endpoint.address import completions, is_here
from autolabel.endpoint.chat import Question, Reply, read_reply
from autolabel.endpoint.desk import EndpointAccount, NotAsked
from autolabel.endpoint.manners import Clock, Manners, asked_to_wait
from autolabel.errors import AutolabelError, EndpointError, ImageError, MachineError
from autolabel.literal import one_line

if TYPE_CHECKING:
    import asyncio

_log = logging.getLogger(__name__)

MOST_BYTES = 32 << 20
"""The most bytes of one answer."""
_MOST_TOLD = 300
"""Characters of a server's message that are repeated in errors."""
_KEPT = "all answers so far are kept, and the same command resumes"
_CONNECTING = 20.0
"""Seconds to reach a server."""
_BUSY = frozenset({429, 503})
_FOR_EVERYBODY = frozenset({401, 402, 403, 404, 405, 426})
"""Statuses that any question would meet."""
_AGAIN = frozenset({408, 409, 425, 500, 502, 504, 520, 521, 522, 523, 524, 529})
_SPENT = re.compile(r"insufficient_quota|billing|credit balance", re.I)
_TYPICAL_ANSWER = 200
"""Tokens that an answer is expected to take before any has come."""
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class _Wait:
    """The server is busy; ``seconds`` is the requested wait, if stated."""

    seconds: float | None
    said: str


@dataclass(frozen=True, slots=True)
class _AttemptFailure:
    """No answer came; a retry may succeed."""

    said: str


@dataclass(frozen=True, slots=True)
class _QuestionRefused:
    """The server refuses this question."""

    said: str


_Outcome = Reply | _Wait | _AttemptFailure | _QuestionRefused


class Endpoint:
    """A model at a server. Calls may come from any thread; ``close`` ends requests in progress."""

    def __init__(
        self,
        url: str,
        model: str,
        *,
        key: str = "",
        manners: Manners | None = None,
        desk: EndpointAccount | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.url = url
        self.model = model
        self.manners = manners or Manners()
        self.desk = desk or EndpointAccount()
        self.clock = clock or Clock()
        self.sent = 0
        """Requests that were sent, tries included."""
        self.recalled = 0
        """Answers that were kept from before."""
        self._key = key
        self._stopped: AutolabelError | None = None
        self._answered = 0
        self._tokens = 0
        self._until = self.clock.now()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._room: asyncio.Semaphore | None = None
        self._clients: list[Any] = []
        self._end: Callable[[], Any] = _nothing

    def ask(self, questions: Sequence[Question]) -> list[Reply | ImageError]:
        """Return the reply to each question, or its error, in order.

        Raises EndpointError if the server is not reached, refuses all requests, or the budget is used up; answers until
        then are kept.
        """
        if not questions:
            return []
        outcomes = self._run(self._all(questions))
        ended = next((one for one in outcomes if not isinstance(one, Reply | ImageError)), None)
        if ended is not None:
            raise ended
        return [one for one in outcomes if isinstance(one, Reply | ImageError)]

    def expected(self, question: Question) -> int:
        """Estimate the tokens of a question from earlier ones, or from its length."""
        if self._answered:
            return round(self._tokens / self._answered)
        texts = sum(len(part) for one in question.messages for part in one.parts if isinstance(part, str))
        pictures = sum(not isinstance(part, str) for one in question.messages for part in one.parts)
        return texts // 4 + 1000 * pictures + min(_TYPICAL_ANSWER, question.max_tokens)

    def close(self) -> None:
        """Close the connections; the endpoint can be used again. Also happens on garbage collection."""
        self._end()
        self._loop, self._room, self._clients, self._end = None, None, [], _nothing

    def _run(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Run on the endpoint's own event loop, in a daemon thread, because the caller may have a running loop."""
        import asyncio

        if self._loop is None:
            self._loop = loop = asyncio.new_event_loop()
            thread = threading.Thread(target=_serve, args=(loop, self._clients), name="endpoint", daemon=True)
            thread.start()
            self._end = weakref.finalize(self, _stop, loop, thread)
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    async def _all(self, questions: Sequence[Question]) -> list[Reply | AutolabelError | NotAsked]:
        import asyncio

        self._stopped = None
        if self._room is None:
            self._room = asyncio.Semaphore(self.manners.concurrency)
        return list(await asyncio.gather(*map(self._one, questions)))

    async def _one(self, question: Question) -> Reply | AutolabelError | NotAsked:
        """Return a reply, cached or new; an error that affects all questions cancels those not yet sent."""
        assert self._room is not None
        key = question.key(self.url, self.model)
        try:
            if (kept := self.desk.answers.recall(key)) is not None:
                self.recalled += 1
                return kept
            if not self.desk.asks:
                return NotAsked(f"{self._shown} is not asked")
            async with self._room:
                if self._stopped is not None:
                    return self._stopped
                reply = await self._insist(question)
                self.desk.answers.keep(key, reply)
                return reply
        except ImageError as error:
            return error
        except MachineError as error:
            self._stopped = self._stopped or error
            return error

    async def _insist(self, question: Question) -> Reply:
        """Retry until there is an answer. Raises ImageError if this question fails, EndpointError if all would."""
        failures, waited = 0, 0.0
        while True:
            waited += await self._turn()
            outcome = await self._billed(question)
            match outcome:
                case Reply():
                    return outcome
                case _QuestionRefused(said):
                    if not self._answered:
                        await self._control(question, said)
                    raise ImageError("endpoint_refused", f"{self._shown} refuses this question: {said}")
                case _Wait(seconds, said):
                    pause = self.manners.before(1 + failures) if seconds is None else seconds
                    failures += seconds is None
                    if waited + pause > self.manners.patience:
                        told = f"{self._shown} is busy, and asks to wait for {pause:,.0f} s more: {said}"
                        raise EndpointError(told, hint=_KEPT)
                    self._until = max(self._until, self.clock.now() + timedelta(seconds=pause))
                case _AttemptFailure(said):
                    failures += 1
                    if failures > self.manners.retries:
                        await self._control(question, said)
                        raise ImageError("endpoint_failed", f"no answer in {failures} tries: {said}")
                    _log.info("%s: %s; try %d", self._shown, said, failures + 1)
                    await self.clock.sleep(self.manners.before(failures))

    async def _turn(self) -> float:
        """Wait while the server has requested a pause; return the time waited."""
        waited = 0.0
        while (left := (self._until - self.clock.now()).total_seconds()) > 0:
            await self.clock.sleep(left)
            waited += left
        return waited

    async def _control(self, question: Question, said: str) -> None:
        """Raise EndpointError unless the server answers a trivial question of the same kind."""
        outcome = await self._billed(question.control())
        if not isinstance(outcome, Reply):
            told = said if isinstance(outcome, _Wait) else outcome.said
            raise EndpointError(f"{self._shown}: {told}", hint=f"{_advice(told)}{_KEPT}")

    async def _billed(self, question: Question) -> _Outcome:
        """Send a question once, within the budget."""
        expected = self.expected(question)
        self.desk.budget.take(expected)
        try:
            outcome = await self._send(question)
        except BaseException:
            self.desk.budget.release(expected)
            raise
        if isinstance(outcome, Reply):
            took = outcome.usage.total or expected
            self.desk.budget.settle(expected, took)
            self._answered += 1
            self._tokens += took
        else:
            self.desk.budget.release(expected)
        return outcome

    async def _send(self, question: Question) -> _Outcome:
        """Send a request and read the response; raises EndpointError for errors that affect all requests."""
        import asyncio

        import httpx

        self.sent += 1
        try:
            request = self._http().build_request("POST", completions(self.url), json=question.body(self.model))
            async with asyncio.timeout(self.manners.timeout):
                answer = await self._http().send(request, stream=True)
                try:
                    body = await _read(answer)
                finally:
                    await answer.aclose()
        except (httpx.TimeoutException, TimeoutError):
            return _AttemptFailure(f"no answer within {self.manners.timeout:g} s")
        except httpx.InvalidURL as error:
            raise EndpointError(f"{self._shown}: {error}") from None
        except httpx.HTTPError as error:
            return _AttemptFailure(self._clean(f"{type(error).__name__}: {error}"))
        return self._outcome(answer.status_code, answer.headers, body)

    def _outcome(self, status: int, headers: Any, body: bytes | None) -> _Outcome:
        """Interpret an HTTP response."""
        if body is None:
            return _AttemptFailure(f"an answer of more than {MOST_BYTES:,} bytes")
        if status == 200:
            try:
                return read_reply(body)
            except ValueError as error:
                return _AttemptFailure(self._clean(f"{error}: {body[:80].decode(errors='replace')}"))
        said = self._clean(f"{status}: {_message(body)}")
        if 300 <= status < 400:
            to = urls.without_secrets(headers.get("location", "nowhere"))
            raise EndpointError(
                f"{self._shown} redirects to {to}, which is not followed", hint="use that address as the endpoint"
            )
        if status in _FOR_EVERYBODY or (status == 429 and _SPENT.search(said)):
            raise EndpointError(f"{self._shown} answers {said}", hint=f"{_cause(status, self._key)}{_KEPT}")
        if status in _BUSY:
            wait = asked_to_wait(headers.get("retry-after"), now=self.clock.now())
            return _Wait(wait, said) if status == 429 or wait is not None else _AttemptFailure(said)
        return _AttemptFailure(said) if status in _AGAIN or status >= 500 else _QuestionRefused(said)

    def _http(self) -> Any:
        if not self._clients:
            import httpx

            headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
            client = httpx.AsyncClient(
                headers={**headers, "User-Agent": "autolabel"},
                timeout=httpx.Timeout(self.manners.timeout, connect=min(_CONNECTING, self.manners.timeout)),
                limits=httpx.Limits(max_connections=self.manners.concurrency + 1),
                follow_redirects=False,
                trust_env=not is_here(self.url),
            )
            self._clients.append(client)
        return self._clients[0]

    @property
    def _shown(self) -> str:
        return urls.without_secrets(self.url)

    def _clean(self, text: str) -> str:
        """Return a server's message on one line, with the key removed."""
        text = text.replace(self._key, "***") if self._key else text
        plain = one_line(text)
        return plain if len(plain) <= _MOST_TOLD else f"{plain[:_MOST_TOLD]}..."


def require_client() -> None:
    """Raise MachineError if the HTTP package is not installed."""
    try:
        import httpx  # noqa: F401
    except ImportError:
        hint = 'pip install "autolabel-vision[vlm]"'
        raise MachineError("asking an endpoint needs the package httpx", hint=hint) from None


def _nothing() -> None:
    """Do nothing: no loop is running."""


def _serve(loop: asyncio.AbstractEventLoop, clients: Sequence[Any]) -> None:
    """Run an event loop until it is stopped, then close the connections."""
    import asyncio

    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
        for task in asyncio.all_tasks(loop):
            task.cancel()
        for client in clients:
            loop.run_until_complete(client.aclose())
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        loop.close()


def _stop(loop: asyncio.AbstractEventLoop, thread: threading.Thread) -> None:
    loop.call_soon_threadsafe(loop.stop)
    thread.join(_CONNECTING)


async def _read(answer: Any) -> bytes | None:
    """Return the body of a response; None if it is too long."""
    body = bytearray()
    async for piece in answer.aiter_bytes():
        body += piece
        if len(body) > MOST_BYTES:
            return None
    return bytes(body)


def _message(body: bytes) -> str:
    """Return the message of an error response in a known form."""
    import json

    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return body[: 2 * _MOST_TOLD].decode(errors="replace")
    for name in ("error", "detail", "message"):
        if isinstance(said, dict) and said.get(name):
            said = said[name]
    if isinstance(said, dict):
        said = " ".join(str(said[name]) for name in ("code", "message") if said.get(name)) or said
    return str(said)


def _cause(status: int, key: str) -> str:
    if status in (401, 403):
        return "look at the key in the variable that api_key_env names; " if key else "name its key in api_key_env; "
    return "look at endpoint and model; " if status in (404, 405) else ""


def _advice(said: str) -> str:
    """Return a hint naming the parameter that an error message is about, if it can be recognised."""
    for words, advice in (
        (
            ("response_format", "json_schema", "grammar", "guided", "structured"),
            "try `response_format: json_object`, or `response_format: none`; ",
        ),
        (("logprob",), "try `probabilities: false`; "),
        (("max_completion_tokens",), "try `request: {max_tokens: null, max_completion_tokens: 2048}`; "),
        (("temperature",), "try `request: {temperature: null}`; "),
        (("image", "mmproj", "multimodal"), "the model may not take images; "),
    ):
        if any(word in said.lower() for word in words):
            return advice
    return ""
