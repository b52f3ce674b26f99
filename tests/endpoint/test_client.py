"""The client of endpoints: what it sends, when it tries again, when it gives up, what it keeps."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from autolabel.endpoint import Answers, Budget, Clock, Endpoint, EndpointAccount, Manners, Picture, Question, Reply
from autolabel.endpoint.address import completions, fault_of, is_here
from autolabel.endpoint.manners import asked_to_wait
from autolabel.errors import DataError, EndpointError, ImageError
from autolabel.testing.endpoint import Script, Scripted, ScriptedEndpoint, words_of

pytest.importorskip("httpx")
HELLO = Question.of("hello", max_tokens=5)
PATIENT = Manners(retries=2, wait=1.0, timeout=30.0, patience=100.0)


class Counted(Clock):
    """A clock that goes on by what is waited, at once."""

    def __init__(self) -> None:
        self.time = datetime(2026, 1, 1, tzinfo=UTC)
        self.waited: list[float] = []

    def now(self) -> datetime:
        """Return the time that all waiting adds up to."""
        return self.time

    async def sleep(self, seconds: float) -> None:
        """Let the time pass."""
        self.waited.append(seconds)
        self.time += timedelta(seconds=seconds)


class Asked:
    """An endpoint and the server behind it."""

    def __init__(self, server: ScriptedEndpoint, **words: Any) -> None:
        self.server = server
        self.clock = Counted()
        self.endpoint = Endpoint(server.url, "m", **{"manners": PATIENT, "clock": self.clock, **words})


@pytest.fixture
def asking() -> Iterator[Any]:
    """Start servers by their scripts, each with an endpoint; all end with the test."""
    ended: list[Asked] = []

    def start(script: Script, **words: Any) -> Asked:
        ended.append(Asked(ScriptedEndpoint(script).__enter__(), **words))
        return ended[-1]

    yield start
    for one in ended:
        one.endpoint.close()
        one.server.__exit__(None, None, None)


def says(text: str, **words: Any) -> Script:
    """Return a script that always says the same."""
    return lambda request, before: Scripted(text=text, **words)


def by_number(*answers: Scripted) -> Script:
    """Return a script of one answer after the other; the last for ever."""
    return lambda request, before: answers[min(before, len(answers) - 1)]


def test_request_and_reply(asking: Any) -> None:
    asked = asking(says("yes", tokens=[("yes", -0.5)], top=[("yes", -0.5), ("no", -1.0)]), key="sk-1")
    question = Question.of(
        "what?",
        Picture(data=b"abc", kind="image/png"),
        max_tokens=7,
        seed=3,
        form="json_schema",
        schema={"type": "array"},
        probabilities=2,
        request={"top_p": 0.5, "temperature": None},
    )
    [reply] = asked.endpoint.ask([question])
    assert isinstance(reply, Reply)
    assert (reply.text, reply.usage.total, reply.kept) == ("yes", 110, False)
    assert reply.tokens[0].others == (("yes", -0.5), ("no", -1.0))
    [request] = asked.server.requests
    assert request.pop("messages") == [
        {
            "role": "user",
            "content": [
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,YWJj"}},
                {"type": "text", "text": "what?"},
            ],
        }
    ]
    schema = {"name": "answer", "strict": True, "schema": {"type": "array"}}
    assert request == {
        "model": "m",
        "max_tokens": 7,
        "seed": 3,
        "response_format": {"type": "json_schema", "json_schema": schema},
        "logprobs": True,
        "top_logprobs": 2,
        "top_p": 0.5,
    }
    assert asked.server.headers[0]["authorization"] == "Bearer sk-1"


def test_several_at_once_come_in_order(asking: Any) -> None:
    asked = asking(lambda request, before: Scripted(text=words_of(request)))
    replies = asked.endpoint.ask([Question.of(str(number), max_tokens=5) for number in range(20)])
    assert [reply.text for reply in replies] == [str(number) for number in range(20)]


def test_no_more_at_once_than_is_said(asking: Any) -> None:
    import threading

    under_way, most, lock = 0, 0, threading.Lock()
    full = threading.Barrier(2)

    def script(request: dict[str, Any], before: int) -> Scripted:
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
        full.wait()  # each waits for another one: two are under way
        with lock:
            under_way -= 1
        return Scripted(text="yes")

    asked = asking(script, manners=Manners(concurrency=2))
    asked.endpoint.ask([Question.of(str(number), max_tokens=5) for number in range(10)])
    assert most == 2


@pytest.mark.parametrize("after", ["7", "Thu, 01 Jan 2026 00:00:07 GMT"])
def test_busy_server_is_left_alone_for_as_long_as_it_says(asking: Any, after: str) -> None:
    busy = Scripted(status=429, headers={"Retry-After": after})
    asked = asking(by_number(busy, Scripted(text="yes")))
    assert asked.endpoint.ask([HELLO])[0].text == "yes"
    assert asked.clock.waited == [7.0]


def test_busy_server_that_says_no_time_is_asked_less_and_less_often(asking: Any) -> None:
    busy = Scripted(status=429)
    asked = asking(by_number(busy, busy, busy, busy, Scripted(text="yes")))
    assert asked.endpoint.ask([HELLO])[0].text == "yes"
    assert asked.clock.waited == [1.0, 2.0, 4.0, 8.0]


def test_server_that_is_busy_for_too_long_ends_the_run_at_once(asking: Any) -> None:
    asked = asking(says("", status=429, headers={"Retry-After": "3600"}))
    with pytest.raises(EndpointError, match="asks to wait for 3,600 s more"):
        asked.endpoint.ask([HELLO])
    assert asked.clock.waited == []


def test_account_without_money_ends_the_run_at_once(asking: Any) -> None:
    asked = asking(says("insufficient_quota: look at your billing details", status=429))
    with pytest.raises(EndpointError, match="insufficient_quota"):
        asked.endpoint.ask([HELLO])
    assert len(asked.server.requests) == 1


@pytest.mark.parametrize("status", [500, 502, 504, 408, 529])
def test_failure_is_tried_again_after_longer_and_longer_waits(asking: Any, status: int) -> None:
    asked = asking(by_number(Scripted(status=status), Scripted(status=status), Scripted(text="yes")))
    assert asked.endpoint.ask([HELLO])[0].text == "yes"
    assert asked.clock.waited == [1.0, 2.0]


def test_question_that_breaks_the_server_fails_alone(asking: Any) -> None:
    def script(request: dict[str, Any], before: int) -> Scripted:
        return Scripted(status=500) if "hello" in words_of(request) else Scripted(text="yes")

    asked = asking(script)
    failed, other = asked.endpoint.ask([HELLO, Question.of("other", max_tokens=5)])
    assert isinstance(failed, ImageError)
    assert (failed.code, failed.message) == ("endpoint_failed", "no answer in 3 tries: 500: status 500")
    assert other.text == "yes"


def test_server_that_fails_everybody_ends_the_run(asking: Any) -> None:
    asked = asking(says("out of memory", status=500))
    with pytest.raises(EndpointError, match="500: out of memory") as raised:
        asked.endpoint.ask([HELLO])
    assert "the same command resumes" in raised.value.hint
    assert len(asked.server.requests) == 4  # three tries, and a plain question


def test_server_that_never_answers_is_given_up(asking: Any) -> None:
    asked = asking(says("", silent=True), manners=Manners(retries=1, wait=0, timeout=0.05))
    with pytest.raises(EndpointError, match=r"no answer within 0\.05 s"):
        asked.endpoint.ask([HELLO])


def test_server_that_is_not_there() -> None:
    with ScriptedEndpoint(says("")) as server:
        url = server.url
    endpoint = Endpoint(url, "m", manners=Manners(retries=0))
    with pytest.raises(EndpointError, match=r"127\.0\.0\.1.*ConnectError"):
        endpoint.ask([HELLO])
    endpoint.close()


@pytest.mark.parametrize(
    ("status", "said"),
    [(401, "look at the key"), (403, "look at the key"), (404, "look at endpoint and model"), (402, "kept")],
)
def test_refusal_of_everybody_ends_the_run_and_tells_no_key(asking: Any, status: int, said: str) -> None:
    asked = asking(says("Incorrect API key provided: sk-secret", status=status), key="sk-secret")
    with pytest.raises(EndpointError) as raised:
        asked.endpoint.ask([HELLO])
    assert said in str(raised.value)
    assert "sk-secret" not in str(raised.value)
    assert len(asked.server.requests) == 1


def test_redirect_is_not_followed(asking: Any) -> None:
    asked = asking(says("", status=307, headers={"Location": "http://192.0.2.1/v1"}), key="sk-secret")
    with pytest.raises(EndpointError, match=r"redirects to http://192\.0\.2\.1/v1, which is not followed"):
        asked.endpoint.ask([HELLO])


def test_refused_question_fails_alone_once_others_were_answered(asking: Any) -> None:
    def script(request: dict[str, Any], before: int) -> Scripted:
        return Scripted(status=400, text="image too large") if "hello" in words_of(request) else Scripted(text="yes")

    asked = asking(script)
    [refused] = asked.endpoint.ask([HELLO])
    assert isinstance(refused, ImageError)
    assert refused.code == "endpoint_refused"
    assert "400: image too large" in refused.message


def test_refusal_of_every_question_ends_the_run_with_advice(asking: Any) -> None:
    asked = asking(says("response_format is not supported", status=400))
    with pytest.raises(EndpointError) as raised:
        asked.endpoint.ask([HELLO])
    assert "response_format: none" in raised.value.hint


@pytest.mark.parametrize(
    "body", [b"<html>wait</html>", b"{}", b'{"choices": []}', b'{"choices": [{}]}', b"\xff", b"[" * 9999]
)
def test_what_is_no_chat_completion_is_a_failure(asking: Any, body: bytes) -> None:
    asked = asking(by_number(Scripted(body=body), Scripted(text="yes")))
    assert asked.endpoint.ask([HELLO])[0].text == "yes"
    assert len(asked.server.requests) == 2


def test_answers_are_kept_by_content(asking: Any, tmp_path: Path) -> None:
    desk = EndpointAccount(Answers(tmp_path / "answers"))
    asked = asking(lambda request, before: Scripted(text=f"answer {before}"), desk=desk)
    first, second = (asked.endpoint.ask([HELLO])[0] for _ in range(2))
    assert (first.text, second.text, second.kept) == ("answer 0", "answer 0", True)
    others = [
        Question.of("hello", max_tokens=6),
        Question.of("hello", max_tokens=5, seed=1),
        Question.of("hello", max_tokens=5, form="json_object"),
        Question.of("hello", Picture(data=b"a"), max_tokens=5),
        Question.of("hello", Picture(data=b"b"), max_tokens=5),
    ]
    replies = asked.endpoint.ask(others)
    assert len({reply.text for reply in replies}) == len(others)
    again = Endpoint(asked.server.url, "m", desk=desk)
    assert [getattr(reply, "text", reply) for reply in again.ask(others)] == [reply.text for reply in replies]
    assert (again.sent, again.recalled) == (0, len(others))


def test_same_pixels_are_the_same_picture_however_they_are_encoded() -> None:
    one, other = (Question.of("?", Picture(data=data, content="same"), max_tokens=5) for data in (b"1", b"2"))
    assert one.key("u", "m") == other.key("u", "m")
    assert one.key("u", "m") != one.key("v", "m")


@pytest.mark.parametrize("harm", [lambda data: data[:-3], lambda data: b"", lambda data: data.replace(b"yes", b"noo")])
def test_damaged_answer_is_asked_again(
    asking: Any, tmp_path: Path, harm: Any, caplog: pytest.LogCaptureFixture
) -> None:
    asked = asking(says("yes"), desk=EndpointAccount(Answers(tmp_path)))
    asked.endpoint.ask([HELLO])
    [file] = tmp_path.rglob("*.answer")
    file.write_bytes(harm(file.read_bytes()))
    assert asked.endpoint.ask([HELLO])[0].text == "yes"
    assert "cannot be used" in caplog.text
    assert len(asked.server.requests) == 2


def test_answer_that_is_a_link_is_not_followed(asking: Any, tmp_path: Path) -> None:
    asked = asking(says("yes"), desk=EndpointAccount(Answers(tmp_path)))
    asked.endpoint.ask([HELLO])
    [file] = tmp_path.rglob("*.answer")
    moved = file.rename(tmp_path / "elsewhere")
    file.symlink_to(moved)
    assert not asked.endpoint.ask([HELLO])[0].kept


def test_failed_questions_are_not_kept(asking: Any, tmp_path: Path) -> None:
    asked = asking(says("no", status=500), desk=EndpointAccount(Answers(tmp_path)))
    with pytest.raises(EndpointError):
        asked.endpoint.ask([HELLO])
    assert list(tmp_path.iterdir()) == []


def test_budget_of_requests_stops_before_the_next(asking: Any, tmp_path: Path) -> None:
    budget = Budget(requests=3, file=tmp_path / "spent.json")
    asked = asking(says("yes"), desk=EndpointAccount(Answers(tmp_path / "answers"), budget))
    questions = [Question.of(str(number), max_tokens=5) for number in range(5)]
    with pytest.raises(EndpointError, match=r"run\.budget\.requests: 3 of 3 are spent"):
        asked.endpoint.ask(questions)
    assert len(asked.server.requests) == 3
    assert len(list((tmp_path / "answers").rglob("*.answer"))) == 3
    more = Endpoint(
        asked.server.url, "m", desk=EndpointAccount(Answers(tmp_path / "answers"), Budget(requests=5, file=budget.file))
    )
    assert [getattr(reply, "text", reply) for reply in more.ask(questions)] == ["yes"] * 5
    assert len(asked.server.requests) == 5
    assert budget.so_far().requests == 5


def test_budget_of_tokens_counts_what_the_server_says(asking: Any, tmp_path: Path) -> None:
    budget = Budget(tokens=300, file=tmp_path / "spent.json")
    asked = asking(says("yes"), desk=EndpointAccount(Answers(), budget), manners=Manners(concurrency=1))
    with pytest.raises(EndpointError, match=r"run\.budget\.tokens: 220 of 300 are spent"):
        asked.endpoint.ask([Question.of(str(number), max_tokens=5) for number in range(5)])
    assert budget.so_far().tokens == 220


def test_what_is_not_answered_costs_nothing(asking: Any, tmp_path: Path) -> None:
    budget = Budget(requests=1, file=tmp_path / "spent.json")
    busy = [Scripted(status=429, headers={"Retry-After": "1"}), Scripted(status=500)]
    asked = asking(by_number(*busy, Scripted(text="yes")), desk=EndpointAccount(Answers(), budget))
    assert asked.endpoint.ask([HELLO])[0].text == "yes"
    assert budget.so_far().requests == 1


def test_bill_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "spent.json").write_text('{"requests": "many"}')
    with pytest.raises(DataError, match=r"spent\.json: the spent budget cannot be read"):
        Budget(requests=1, file=tmp_path / "spent.json").take(1)


def test_works_beside_a_running_loop(asking: Any) -> None:
    import asyncio

    asked = asking(says("yes"))

    async def notebook() -> str:
        return str(asked.endpoint.ask([HELLO])[0].text)

    assert asyncio.run(notebook()) == "yes"


def test_proxy_of_the_environment_is_not_used_on_this_machine(asking: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "HTTP_PROXY", "http://127.0.0.1:9")
    asked = asking(says("yes"))
    assert asked.endpoint.ask([HELLO])[0].text == "yes"


@pytest.mark.parametrize(
    "url",
    [
        "ftp://host/v1",
        "localhost:8000",
        "/v1",
        "http://",
        "http://user:pw@host/v1",
        "http://host/v1?api_key=1",
        "http://host/v1#a",
        "file:///etc/passwd",
        "http://ho st/v1",
        "http://host:99999/v1",
        "s3://bucket/v1",
    ],
)
def test_addresses_that_are_no_endpoints(url: str) -> None:
    assert fault_of(url)[0]


@pytest.mark.parametrize("url", ["http://localhost:8000/v1", "http://127.0.0.1/v1", "https://api.example.com/v1"])
def test_addresses_that_are(url: str) -> None:
    assert fault_of(url) == ("", "")


def test_completions_are_found_from_base_and_from_their_own_address() -> None:
    wanted = "http://h/v1/chat/completions"
    assert {completions(url) for url in ("http://h/v1", "http://h/v1/", wanted)} == {wanted}


def test_where_images_stay() -> None:
    assert is_here("http://localhost:1/v1") and is_here("http://127.0.0.1/v1") and is_here("http://[::1]:8/v1")
    assert is_here("http://localhost./v1") and is_here("http://0.0.0.0:8/v1") and is_here("http://2130706433/v1")
    assert is_here("http://[::ffff:127.0.0.1]/v1")
    others = ["https://api.example.com", "http://192.0.2.7/v1", "http://169.254.169.254/v1", "http://[fe80::1%25eth0]/"]
    assert not any(map(is_here, [*others, "http://localhost.example.com/v1", "http://127.0.0.1.example.com/v1"]))


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("3", 3.0),
        ("0.5", 0.5),
        ("-4", 0.0),
        (None, None),
        ("soon", None),
        ("inf", None),
        ("nan", None),
        ("Thu, 01 Jan 2026 00:01:00 GMT", 60.0),
        ("Thu, 01 Jan 2020 00:00:00 GMT", 0.0),
    ],
)
def test_retry_after(header: str | None, seconds: float | None) -> None:
    assert asked_to_wait(header, now=datetime(2026, 1, 1, tzinfo=UTC)) == seconds
