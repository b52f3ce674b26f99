"""Requests that are damaged in any way get an answer, and the server goes on."""

from __future__ import annotations

import json
import random
import re
import socket
from pathlib import Path

import h11
import pytest

from tests.serve.processes import Process

COUNT = 500
TOKEN = "a-token-of-this-test"
HEAD = "POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n"


def request(path: str, kind: str, body: bytes, port: int) -> bytes:
    head = (
        HEAD.format(path=path, port=port, token=TOKEN) + f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def seeds(photos: Path, port: int) -> list[bytes]:
    image = (photos / "0.png").read_bytes()
    tags = '<RectangleLabels name="r" toName="i"><Label value="red"/></RectangleLabels>'
    config = f'<View><Image name="i" value="$image"/>{tags}</View>'
    task = {"id": 1, "data": {"image": "/data/local-files/?d=photos/0.png"}}
    asked = json.dumps({"tasks": [task], "label_config": config, "project": "1.1", "params": {}}).encode()
    said = json.dumps({"schema": config, "hostname": "http://127.0.0.1:1", "access_token": "x"}).encode()
    hook = json.dumps({"action": "ANNOTATION_CREATED", "annotation": {"result": []}, "task": task}).encode()
    form = b'--y\r\ncontent-disposition: form-data; name="a"; filename="0.png"\r\n\r\n' + image + b"\r\n--y--\r\n"
    return [
        request("/predict?name=0.png&classes=red", "image/png", image, port),
        request("/predict", "multipart/form-data; boundary=y", form, port),
        request("/predict", "application/json", b'{"images": ["iVBORw0KGgo="], "classes": ["red"]}', port),
        request("/predict", "application/json", asked, port),
        request("/setup", "application/json", said, port),
        request("/webhook", "application/json", hook, port),
        request("/metrics", "text/plain", b"", port),
    ]


def mutated(seed: bytes, dice: random.Random) -> bytes:
    """Return a request damaged anywhere, or in its body alone, with the length that it then has."""
    if dice.random() < 0.3:
        return damaged(seed, dice)
    head, _, body = seed.partition(b"\r\n\r\n")
    body = damaged(body, dice)
    return re.sub(rb"Content-Length: \d+", b"Content-Length: %d" % len(body), head) + b"\r\n\r\n" + body


def damaged(seed: bytes, dice: random.Random) -> bytes:
    """Return bytes of which some are changed, taken out, doubled, put in or cut off."""
    data = bytearray(seed)
    for _ in range(dice.randint(1, 6)):
        place, way = dice.randrange(max(1, len(data))), dice.randrange(9)
        if way < 3:
            data[place : place + 1] = bytes([dice.randrange(256)])
        elif way < 5:
            del data[place : place + dice.randint(1, 40)]
        elif way < 6:
            data[place:place] = data[place : place + dice.randint(1, 40)]
        elif way < 8:
            data[place:place] = dice.choice(
                [b"\x00", b"\xff" * 9, b"[" * 500, b"\r\n", b'"', b"9" * 30, b"../", b"%00"]
            )
        else:
            del data[place:]
    return bytes(data)


def ends(data: bytes) -> bool:
    """Tell whether a server has heard enough to answer: a whole request, or what is none."""
    server = h11.Connection(h11.SERVER)
    try:
        server.receive_data(data or b"P")
        for _ in range(100_000):
            event = server.next_event()
            if isinstance(event, h11.EndOfMessage):
                return True
            if event in (h11.NEED_DATA, h11.PAUSED):
                return False
    except h11.RemoteProtocolError:
        return True
    return False


def answer(port: int, data: bytes) -> bytes:
    """Send bytes and return what comes back; hang up where more is waited for."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as talking:
        got = b""
        try:
            talking.sendall(data)
            if not ends(data):
                talking.shutdown(socket.SHUT_WR)
            while not is_whole(got) and (piece := talking.recv(65536)):
                got += piece
        except (ConnectionResetError, BrokenPipeError):
            pass
        return got


def is_whole(got: bytes) -> bool:
    head, _, body = got.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: *(\d+)", head)
    return length is not None and len(body) >= int(length[1])


@pytest.fixture
def words(spec: dict[str, object], tmp_path: Path) -> list[str]:
    (tmp_path / "spec.json").write_text(json.dumps(spec))
    return [str(tmp_path / "spec.json"), "--token", TOKEN]


def test_five_hundred_damaged_requests(words: list[str], photos: Path, tmp_path: Path, example_path: str) -> None:
    dice = random.Random(20)
    statuses: dict[int, int] = {}
    with Process(*words, log=tmp_path / "log.txt", path=example_path) as server:
        whole = seeds(photos, server.port)
        assert [answer(server.port, one)[9:12] for one in whole] == [b"200"] * 6 + [b"405"]
        for number in range(COUNT):
            got = answer(server.port, mutated(whole[number % len(whole)], dice))
            assert server.process.poll() is None, server.said()
            if got:
                assert got.startswith(b"HTTP/1.1 "), got[:100]
                status = int(got[9:12])
                statuses[status] = statuses.get(status, 0) + 1
        assert answer(server.port, whole[0])[9:12] == b"200", "it is as well as before"
        assert server.end() == 0, server.said()
    assert not {status for status in statuses if status >= 500}, (statuses, server.said())
    assert "Traceback" not in server.said(), server.said()
    refused = sum(count for status, count in statuses.items() if status >= 400)
    assert statuses.get(200, 0) > 30 and refused > 100 and len(statuses) > 4, statuses


def test_a_server_that_is_killed_starts_again_where_it_was(
    words: list[str], photos: Path, tmp_path: Path, example_path: str
) -> None:
    image = (photos / "0.png").read_bytes()
    answers: list[bytes] = []
    port = 0
    for number in range(3):
        with Process(*words, log=tmp_path / f"{number}.txt", path=example_path, port=port) as server:
            port = server.port
            got = answer(port, request("/predict?name=0.png", "image/png", image, port))
            answers.append(got.partition(b"\r\n\r\n")[2])
            if number < 2:
                with socket.create_connection(("127.0.0.1", port)) as half_way:
                    half_way.sendall(request("/predict", "image/png", image, port)[:-10])
                    server.process.kill()
                    server.process.wait(60)
            else:
                assert server.end() == 0, server.said()
    assert answers[0] and answers == [answers[0]] * 3


def test_a_token_is_drawn_and_printed(words: list[str], tmp_path: Path, example_path: str) -> None:
    with Process(words[0], log=tmp_path / "log.txt", path=example_path) as server:
        [drawn] = [line.removeprefix("token: ") for line in server.said().splitlines() if line.startswith("token: ")]
        assert len(drawn) >= 32
        asked = f"GET /health HTTP/1.1\r\nHost: localhost:{server.port}\r\nConnection: close\r\n"
        assert answer(server.port, f"{asked}\r\n".encode())[9:12] == b"401"
        assert answer(server.port, f"{asked}Authorization: Bearer {drawn}\r\n\r\n".encode())[9:12] == b"200"
