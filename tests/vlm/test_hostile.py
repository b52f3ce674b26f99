"""Servers and models that are broken or hostile: nothing crashes, nothing leaks, no other image suffers."""

from __future__ import annotations

import gzip
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from autolabel.endpoint import Endpoint, Manners, Question
from autolabel.errors import EndpointError
from autolabel.registry import Registry
from autolabel.testing.endpoint import Scripted, ScriptedEndpoint
from autolabel_vlm.answer import read
from tests.vlm.test_labeler import CAT, CAT_ROW, DOG, GOOD, boxes, photos, rows, says, spec

pytest.importorskip("httpx")
KEY = "sk-never-to-be-passed-on"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (json.dumps([{**CAT, "bbox_2d": [500, 1000, 250, 500]}]), [CAT_ROW]),
        (json.dumps([{**CAT, "bbox_2d": [500, 500, 250, 1000]}]), [CAT_ROW]),
        ('[{"bbox_2d": [1, 2, 3, 4], "bbox_2d": [250, 500, 500, 1000], "label": "cat", "score": 0.75}]', [CAT_ROW]),
        (json.dumps([CAT, CAT, CAT]), [CAT_ROW]),
        (json.dumps([CAT, {**DOG, "bbox_2d": [0, 0, 0, 0]}]), [CAT_ROW]),
        (json.dumps([CAT, {**DOG, "bbox_2d": [10, 10, 10, 500]}]), [CAT_ROW]),
        (json.dumps([CAT, {**DOG, "bbox_2d": [1e300, 0, 1e308, 5]}]), [CAT_ROW]),
        (json.dumps([CAT, {**DOG, "bbox_2d": [-1e30, 0, 5, 5]}]), [CAT_ROW]),
        (json.dumps([CAT, {**DOG, "bbox_2d": [float("nan"), 0, 5, 5]}]), [CAT_ROW]),
        (json.dumps([CAT, {**DOG, "bbox_2d": [0, 0, float("inf"), 5]}]), [CAT_ROW]),
        (json.dumps([CAT, {**DOG, "label": "<script>alert(1)</script>"}]), [CAT_ROW]),
        (json.dumps([CAT, {**DOG, "label": "\x1b[2J\x00\u202e"}]), [CAT_ROW]),
        (json.dumps([{**CAT, "score": 0.75}, {**DOG, "score": float("nan"), "bbox_2d": [9, 9, 8]}]), [CAT_ROW]),
    ],
)
def test_odd_numbers_and_labels(tmp_path: Path, registry: Registry, text: str, found: list[Any]) -> None:
    photos(tmp_path, 1)
    with ScriptedEndpoint(says(text, "[]")) as server:
        [row] = rows(spec(tmp_path, server.url), registry)
    assert boxes(row) == found
    assert all(note.isprintable() for note in row["notes"])


def test_long_answer_is_read_up_to_a_limit_and_said_to_be_cut() -> None:
    many = json.dumps([{**CAT, "bbox_2d": [number, 0, number + 5, 9]} for number in range(200_000)])
    found = read(many)
    assert found.cut and not found.whole and 1000 < len(found.objects) < 5000
    assert read(GOOD + " " * 10_000_000).cut


def test_long_answer_costs_no_other_image(tmp_path: Path, registry: Registry) -> None:
    photos(tmp_path, 2)
    long = Scripted(text=f"[{json.dumps(CAT)}, " + "x" * 10_000_000)
    with ScriptedEndpoint(says(long, GOOD)) as server:
        found = rows(spec(tmp_path, server.url, concurrency="1"), registry)
    assert [row["state"] for row in found] == ["labelled", "labelled"]
    assert all(CAT_ROW in boxes(row) for row in found)


def answer(body: bytes, *, length: int | None = None, headers: bytes = b"") -> bytes:
    """Return an HTTP answer, of a wrong length where that is given."""
    said = len(body) if length is None else length
    return (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
        + headers
        + f"Content-Length: {said}\r\n\r\n".encode()
        + body
    )


@contextmanager
def raw(*answers: bytes) -> Iterator[tuple[str, list[bytes]]]:
    """Send these bytes to one connection after the other, then close it; the last for ever. Yields the base URL."""
    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with connection:
                    asked.append(_request(connection))
                    connection.sendall(answers[min(len(asked), len(answers)) - 1])

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/v1", asked
        listening.shutdown(socket.SHUT_RDWR)


def _request(connection: socket.socket) -> bytes:
    """Return a whole request."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(65536)
    head, _, body = data.partition(b"\r\n\r\n")
    length = next(
        int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")
    )
    while len(body) < length:
        body += connection.recv(65536)
    return data


SAID = Scripted(text="yes").answer("m")
BROKEN = {
    "ends within the answer": answer(SAID[:-20], length=len(SAID)),
    "ends within the headers": b"HTTP/1.1 200 OK\r\nContent-Le",
    "says nothing": b"",
    "no HTTP": b"SSH-2.0-OpenSSH_9.2\r\n",
    "wrong pieces": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n" + SAID,
    "no gzip": answer(SAID, headers=b"Content-Encoding: gzip\r\n"),
    "a status that is none": b"HTTP/1.1 999 What\r\nContent-Length: 0\r\n\r\n",
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_answer_is_a_failure_that_is_tried_again(name: str) -> None:
    with raw(BROKEN[name], answer(SAID)) as (url, asked):
        endpoint = Endpoint(url, "m", key=KEY, manners=Manners(retries=2, wait=0, timeout=10))
        [reply] = endpoint.ask([Question.of("hello", max_tokens=5)])
        endpoint.close()
    assert getattr(reply, "text", reply) == "yes"
    assert len(asked) == 2


@pytest.mark.parametrize("name", BROKEN)
def test_server_that_is_always_broken_ends_the_run_and_tells_no_key(name: str) -> None:
    with raw(BROKEN[name]) as (url, _):
        endpoint = Endpoint(url, "m", key=KEY, manners=Manners(retries=1, wait=0, timeout=10))
        with pytest.raises(EndpointError) as raised:
            endpoint.ask([Question.of("hello", max_tokens=5)])
        endpoint.close()
    assert KEY not in f"{raised.value} {raised.value.hint}" and url in str(raised.value)


def test_packed_answer_that_unfolds_to_more_than_the_limit_is_a_failure() -> None:
    bomb = answer(gzip.compress(b'{"a": "' + b"x" * (64 << 20)), headers=b"Content-Encoding: gzip\r\n")
    with raw(bomb, answer(SAID)) as (url, _):
        endpoint = Endpoint(url, "m", manners=Manners(retries=2, wait=0, timeout=60))
        [reply] = endpoint.ask([Question.of("hello", max_tokens=5)])
        endpoint.close()
    assert getattr(reply, "text", reply) == "yes"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_key_and_image_are_not_carried_to_another_host(
    tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    monkeypatch.setenv("MY_VLM_KEY", KEY)
    photos(tmp_path, 1)
    with ScriptedEndpoint(says(GOOD)) as other:
        moved = Scripted(status=status, headers={"Location": f"{other.url}/chat/completions?token={KEY}"})
        with (
            ScriptedEndpoint(says(moved)) as server,
            pytest.raises(EndpointError, match="which is not followed") as raised,
        ):
            rows(spec(tmp_path, server.url, api_key_env="MY_VLM_KEY"), registry)
        assert other.requests == []
    assert KEY not in f"{raised.value} {raised.value.hint}"


def test_every_second_request_fails_and_all_are_answered(tmp_path: Path, registry: Registry) -> None:
    photos(tmp_path, 6)

    def script(request: dict[str, Any], before: int) -> Scripted:
        return Scripted(status=503) if before % 2 == 0 else Scripted(text=GOOD)

    with ScriptedEndpoint(script) as server:
        found = rows(spec(tmp_path, server.url, concurrency="2", retries="9"), registry)
        assert len(server.requests) == 12
    assert [row["state"] for row in found] == ["labelled"] * 6
