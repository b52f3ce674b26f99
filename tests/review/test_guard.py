"""Nobody is let in who has no token, comes under another name, or is another page."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient
from starlette.types import Message

from autolabel.review.app import make_app
from autolabel.review.guard import MOST_BYTES, MOST_PATH
from autolabel.review.session import ReviewSession
from autolabel.web import host_names
from tests.review.origin import HOST, TOKEN

CHANGE = {"id": "12345678", "tab": "t", "row": 0, "image": "00.png", "whole": "checked"}


def test_a_page_of_ours_is_served(client: TestClient) -> None:
    answer = client.get("session")
    assert answer.status_code == 200 and answer.json()["rows"] == 6
    assert client.post("decide", json=CHANGE).status_code == 200


@pytest.mark.parametrize(
    "path", ["/", "/session", "/wrong/session", f"/{TOKEN}x/session", "/TOKEN/session", f"/{TOKEN}"]
)
def test_without_the_token_there_is_nothing(client: TestClient, path: str) -> None:
    assert client.get(f"http://{HOST}{path}").status_code == 403


@pytest.mark.parametrize("host", ["evil.example", "evil.example:1234", "127.0.0.1:80", "127.0.0.1", "localhost", ""])
def test_a_name_that_is_not_ours_is_refused(client: TestClient, host: str) -> None:
    assert client.get("session", headers={"host": host}).status_code == 421


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "https://127.0.0.1:1234", "http://127.0.0.1:1235"])
def test_another_page_is_refused(client: TestClient, session: ReviewSession, origin: str) -> None:
    assert client.get("session", headers={"origin": origin}).status_code == 403
    assert client.post("decide", json=CHANGE, headers={"origin": origin}).status_code == 403
    assert not session.journal


def test_a_change_without_origin_is_refused(client: TestClient, session: ReviewSession) -> None:
    del client.headers["origin"]
    assert client.post("decide", json=CHANGE).status_code == 403
    assert client.get("session").status_code == 200
    assert not session.journal


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_what_another_site_makes_the_browser_fetch_is_refused(client: TestClient, site: str) -> None:
    assert client.get("picture/0", headers={"sec-fetch-site": site}).status_code == 403


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_a_form_is_refused(client: TestClient, kind: str) -> None:
    assert client.post("decide", content=b"{}", headers={"content-type": kind}).status_code == 415


def test_a_body_is_bounded(client: TestClient) -> None:
    headers = {"content-type": "application/json"}
    assert client.post("decide", content=b" " * (MOST_BYTES + 1), headers=headers).status_code == 413
    stream = (b" " * 1000 for _ in range(5))
    assert client.post("decide", content=stream, headers=headers).status_code == 413


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS"])
def test_other_methods_are_refused(client: TestClient, method: str) -> None:
    assert client.request(method, "session").status_code == 405


@pytest.mark.parametrize("path", ["", "session", "picture/0", "file/autolabel.review/page.js", "nothing", "picture/99"])
def test_every_answer_is_strict(client: TestClient, path: str) -> None:
    headers = client.get(path).headers
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["x-frame-options"] == "DENY"
    assert headers["cross-origin-resource-policy"] == "same-origin"


@pytest.mark.parametrize(
    "path",
    [
        "file/autolabel.review/..%2fapp.py",
        "file/autolabel.review/../app.py",
        "file/autolabel/__init__.py",
        "file/os/path.js",
        "file/autolabel.results/x.js",
        "picture/-1",
        "picture/..%2f..%2fetc%2fpasswd",
        "picture/0/../../../../etc/passwd",
    ],
)
def test_no_path_leads_out(client: TestClient, path: str) -> None:
    assert client.get(path).status_code in (403, 404)


def test_the_server_answers_to_its_own_names_only() -> None:
    assert host_names("127.0.0.1", 8000) == {"127.0.0.1:8000", "localhost:8000"}
    assert host_names("::1", 8000) == {"[::1]:8000"}


@pytest.mark.parametrize("digits", [17, 900, 5000])
@pytest.mark.parametrize("page", ["row", "picture"])
def test_a_row_of_thousands_of_digits_is_not_there(client: TestClient, page: str, digits: int) -> None:
    wanted = 422 if page == "row" and digits < MOST_PATH else 404
    assert client.get(f"{page}/{'9' * digits}").status_code == wanted


def test_who_hangs_up_before_the_body_is_whole_ends_quietly(session: ReviewSession) -> None:
    app = make_app(session, token=TOKEN, hosts=[HOST])
    headers = {"host": HOST, "origin": f"http://{HOST}", "content-type": "application/json", "content-length": "99"}
    scope = {
        "type": "http",
        "method": "POST",
        "path": f"/{TOKEN}/decide",
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }
    said: Iterator[Message] = iter(
        [{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}]
    )
    told = []

    async def receive() -> Message:
        return next(said)

    async def send(message: Message) -> None:
        told.append(message)

    asyncio.run(app(scope, receive, send))  # type: ignore[arg-type]
    assert told[0]["status"] == 400 and not session.journal
