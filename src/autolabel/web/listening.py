"""Listen at an address and serve an application until a signal."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import uvicorn
from starlette.types import ASGIApp

from autolabel.errors import MachineError
from autolabel.web.connection import Connection

LOOPBACK = "127.0.0.1"
_LOCAL = frozenset({LOOPBACK, "localhost", "::1"})
_WAITS = 3
"""Seconds that requests have to end when the server is stopped."""
_BACKLOG = 2048
"""Connections that may wait to be taken."""


@contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """Bind a port (0: any free one); raises MachineError if that fails."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as bound:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind((host, port))
            yield bound
    except (OSError, OverflowError) as error:
        hint = "choose another --port, or leave it out for one that is free"
        raise MachineError(f"cannot listen on {host}, port {port}: {error}", hint=hint) from error


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach a server at ``host``."""
    return host in _LOCAL


def host_names(host: str, port: int) -> set[str]:
    """Return the allowed values of the Host header."""
    names = {host, "localhost", LOOPBACK} if host in (LOOPBACK, "localhost") else {f"[{host}]" if ":" in host else host}
    return {f"{name}:{port}".lower() for name in names} | ({name.lower() for name in names} if port == 80 else set())


def serve_app(
    app: ASGIApp,
    bound: socket.socket,
    *,
    ready: Callable[[], None],
    stopping: Callable[[], None] = lambda: None,
    waits: int = _WAITS,
) -> None:
    """Serve on a bound socket until SIGINT or SIGTERM; active requests then have ``waits`` seconds.

    ``ready`` is called once requests are answered, ``stopping`` at the first signal.
    """
    config = uvicorn.Config(
        app,
        http=Connection,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        backlog=_BACKLOG,
        timeout_graceful_shutdown=waits,
    )
    server = _Server(config)
    server.ready, server.stopping = ready, stopping
    server.run(sockets=[bound])


class _Server(uvicorn.Server):
    """Reports when it is ready, and when it stops."""

    ready: Callable[[], None] = staticmethod(lambda: None)
    stopping: Callable[[], None] = staticmethod(lambda: None)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop gracefully at the first signal, at once at the second; neither is an error."""
        self.force_exit = self.should_exit
        self.should_exit = True
        self.stopping()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then report."""
        await super().startup(sockets)
        if self.started:
            self.ready()
