"""Who may ask, how much, and for how long."""

from __future__ import annotations

import asyncio
import base64
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from autolabel.errors import SpecError
from autolabel.serve.app import Service, make_app
from autolabel.serve.limits import PixelBudget, RequestLimits
from autolabel.serve.run import Serving
from tests.serve.conftest import TOKEN


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.mark.parametrize(
    "said", [f"Bearer {TOKEN}", f"bearer {TOKEN}", basic("autolabel", TOKEN), basic("", TOKEN), "?"]
)
def test_the_token_is_taken_in_three_ways(client: TestClient, said: str) -> None:
    address = f"/health?token={TOKEN}" if said == "?" else "/health"
    assert client.get(address, headers={"authorization": said}).status_code == 200


@pytest.mark.parametrize(
    "said",
    [
        "",
        "Bearer",
        "Bearer x",
        f"Bearer {TOKEN}x",
        f"Token {TOKEN}",
        basic(TOKEN, ""),
        "Basic !",
        "Basic /////w==",
        TOKEN,
    ],
)
def test_without_the_token_there_is_nothing(client: TestClient, said: str) -> None:
    for address in ("/health", "/plan", "/metrics", "/nothing", "/health?token=", "/health?token=%ff"):
        answer = client.get(address, headers={"authorization": said})
        assert answer.status_code == 401 and "www-authenticate" in answer.headers
    assert client.post("/predict", content=b"x", headers={"authorization": said}).status_code == 401


@pytest.mark.parametrize("host", ["evil.example", "evil.example:9090", "127.0.0.1:80", ""])
def test_another_name_is_refused(client: TestClient, host: str) -> None:
    assert client.get("/health", headers={"host": host}).status_code == 421


@pytest.mark.parametrize(
    "headers", [{"origin": "http://evil.example"}, {"origin": "null"}, {"sec-fetch-site": "cross-site"}]
)
def test_pages_of_others_are_refused(client: TestClient, headers: dict[str, str]) -> None:
    assert client.get("/health", headers=headers).status_code == 403


def test_addresses_are_bounded(client: TestClient) -> None:
    assert client.get("/" + "x" * 2000).status_code == 414
    assert client.get("/health?" + "x" * 60_000).status_code == 414


def test_answers_tell_browsers_to_keep_their_hands_off(client: TestClient) -> None:
    headers = client.get("/health").headers
    assert headers["x-content-type-options"] == "nosniff" and headers["cache-control"] == "no-store"


class Slow:
    """A labeler that waits until it is let go."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        from autolabel_colors import Colors

        self.go, self.busy = threading.Event(), threading.Semaphore(0)
        prepare = Colors.prepare

        def held(detector: Colors, batch: Any) -> Any:
            self.busy.release()
            assert self.go.wait(60)
            return prepare(detector, batch)

        patch.setattr(Colors, "prepare", held)


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch, example_path: str) -> Iterator[Slow]:
    made = Slow(monkeypatch)
    yield made
    made.go.set()


def wait_until(done: Any) -> None:
    for _ in range(2000):
        if done():
            return
        threading.Event().wait(0.01)
    raise AssertionError("it never came to that")


def test_more_requests_than_fit_are_told_to_come_back(
    client: TestClient, service: Service, slow: Slow, photos: Path
) -> None:
    image = (photos / "0.png").read_bytes()
    send = lambda: client.post("/predict", content=image, headers={"content-type": "image/png"})  # noqa: E731
    with ThreadPoolExecutor(4) as threads:
        inside = [threads.submit(send) for _ in range(3)]
        wait_until(lambda: service.admission.requests == 3)
        refused = send()
        assert client.get("/health").status_code == 200, "the server is well"
        slow.go.set()
        assert [one.result().status_code for one in inside] == [200] * 3
    assert refused.status_code == 429 and refused.headers["retry-after"] == "1"
    assert send().status_code == 200 and service.admission.requests == service.admission.bytes == 0


def test_a_request_that_takes_too_long_is_given_up(predictor: Any, slow: Slow, photos: Path) -> None:
    service = Service(predictor, RequestLimits(seconds=0.3))
    image = (photos / "0.png").read_bytes()
    headers = {"authorization": f"Bearer {TOKEN}", "content-type": "image/png"}
    with TestClient(make_app(service, token=TOKEN, hosts=None), headers=headers) as client:
        answers = [client.post("/predict", content=image) for _ in range(2)]
        assert [one.status_code for one in answers] == [503, 503] and answers[0].headers["retry-after"]
        assert "not done within 0.3 s" in answers[0].json()["error"]
        slow.go.set()
        wait_until(lambda: client.post("/predict", content=image).status_code == 200)
    assert service.admission.requests == 0 and predictor.waiting == 0, "what was given up is not labelled"


def test_a_server_that_is_ending_takes_nothing_new(client: TestClient, service: Service, photos: Path) -> None:
    service.admission.closing = True
    answer = client.post("/predict", content=b"x", headers={"content-type": "image/png"})
    assert answer.status_code == 503 and answer.headers["retry-after"]


def test_bodies_are_bounded_together(predictor: Any, slow: Slow, photos: Path) -> None:
    image = (photos / "0.png").read_bytes()
    service = Service(predictor, RequestLimits(bodies=len(image) + 10))
    headers = {"authorization": f"Bearer {TOKEN}", "content-type": "image/png"}
    with (
        TestClient(make_app(service, token=TOKEN, hosts=None), headers=headers) as client,
        ThreadPoolExecutor(1) as one,
    ):
        first = one.submit(client.post, "/predict", content=image)
        wait_until(lambda: service.admission.requests == 1)
        assert client.post("/predict", content=image).status_code == 429
        slow.go.set()
        assert first.result().status_code == 200


def test_pixels_are_bounded_together_and_a_large_image_waits_for_all() -> None:
    async def play() -> list[str]:
        budget, told = PixelBudget(10), list[str]()

        async def one(name: str, pixels: int, until: asyncio.Event) -> None:
            async with budget.take(pixels):
                told.append(f"{name} in")
                await until.wait()
            told.append(f"{name} out")

        go, later = asyncio.Event(), asyncio.Event()
        tasks = [asyncio.create_task(one(*each)) for each in (("a", 6, go), ("b", 4, go), ("c", 50, later))]
        await asyncio.sleep(0.01)
        go.set()
        await asyncio.sleep(0.01)
        later.set()
        await asyncio.gather(*tasks)
        return told

    assert asyncio.run(play()) == ["a in", "b in", "a out", "b out", "c in", "c out"]


@pytest.mark.parametrize("token", ["", "a b", "ü", "a\nb", "x" * 501])
def test_a_token_that_no_header_carries_is_refused(token: str) -> None:
    with pytest.raises(SpecError, match="the token must be"):
        Serving(token=token)


def test_a_labeler_that_breaks_is_no_bug_of_the_client(
    client: TestClient, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from autolabel_colors import Colors

    from autolabel.errors import MachineError

    def gone(*arguments: Any) -> Any:
        raise MachineError("the device is gone")

    image = (photos / "0.png").read_bytes()
    monkeypatch.setattr(Colors, "detect", gone)
    answer = client.post("/predict", content=image, headers={"content-type": "image/png"})
    assert answer.status_code == 503 and answer.json()["error"] == "the device is gone"
    monkeypatch.undo()
    assert client.post("/predict", content=image, headers={"content-type": "image/png"}).status_code == 200
