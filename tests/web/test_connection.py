"""Connections on which nobody asks anything end; those with a request do not."""

from __future__ import annotations

import asyncio
from typing import Any
from unittest.mock import Mock

import pytest
import uvicorn
from uvicorn.server import ServerState

from autolabel.web.connection import SECONDS, Connection

WHOLE = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


class Loop:
    """Keeps what is to be called later, and starts nothing."""

    def __init__(self) -> None:
        self.waiting: list[tuple[float, Any]] = []

    def call_later(self, seconds: float, work: Any, *values: Any) -> Mock:
        entry = (seconds, work)
        self.waiting.append(entry)
        return Mock(spec=asyncio.TimerHandle, cancel=lambda: self.waiting.remove(entry))

    def create_task(self, work: Any, **words: Any) -> Mock:
        work.close()
        return Mock(spec=asyncio.Task)


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answer nothing."""


@pytest.fixture
def loop() -> Loop:
    return Loop()


@pytest.fixture
def connection(loop: Loop) -> Connection:
    config = uvicorn.Config(app, log_config=None, ws="none")
    config.load()
    made = Connection(config, ServerState(), {}, _loop=loop)  # type: ignore[arg-type]
    transport = Mock(spec=asyncio.Transport)
    transport.get_extra_info.return_value = None
    transport.is_closing.return_value = False
    made.connection_made(transport)
    return made


@pytest.mark.parametrize("sent", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: a\r\nX-"])
def test_whoever_sends_no_whole_head_is_hung_up_on(connection: Connection, loop: Loop, sent: bytes) -> None:
    for one in sent:
        connection.data_received(bytes([one]))
    [(seconds, hang_up)] = loop.waiting
    assert seconds == SECONDS, "the time begins once, whatever trickles in"
    hang_up()
    connection.transport.close.assert_called_once()  # type: ignore[attr-defined]


def test_a_request_is_waited_for_no_longer(connection: Connection, loop: Loop) -> None:
    connection.data_received(WHOLE)
    assert not loop.waiting
    connection.transport.close.assert_not_called()  # type: ignore[attr-defined]


def test_a_connection_that_ends_leaves_nothing_waiting(connection: Connection, loop: Loop) -> None:
    connection.connection_lost(None)
    assert not loop.waiting
