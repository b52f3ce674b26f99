"""Serve a run's review page on this machine until it is stopped."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from secrets import token_urlsafe
from types import FrameType

import uvicorn

from autolabel.errors import MachineError
from autolabel.review.app import CORRECT, Mode, make_app
from autolabel.review.order import Query
from autolabel.review.session import Session

LOOPBACK = "127.0.0.1"
WAITS = 3
"""Seconds that requests have to end when the server is stopped."""


@contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """Bind a port (0: any that is free); raises MachineError where that cannot be."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as bound:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind((host, port))
            yield bound
    except (OSError, OverflowError) as error:
        hint = "choose another --port, or leave it out for one that is free"
        raise MachineError(f"cannot listen on {host}, port {port}: {error}", hint=hint) from error


def serve(
    session: Session,
    *,
    host: str = LOOPBACK,
    port: int = 0,
    modes: Sequence[Mode] = (CORRECT,),
    query: Query | None = None,
    started: Callable[[str], None] = lambda address: None,
) -> None:
    """Serve a session until SIGINT or SIGTERM arrives; ``started`` is told the address once it can be opened.

    The address holds a random token, without which nothing is answered. The rows are indexed in a thread meanwhile.
    """
    if not session.index.complete:
        threading.Thread(target=session.index.build, name="index", daemon=True).start()
    token = token_urlsafe(24)
    with listening(host, port) as bound:
        number = bound.getsockname()[1]
        app = make_app(session, token=token, hosts=host_names(host, number), modes=modes, query=query)
        config = uvicorn.Config(
            app,
            http="h11",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=WAITS,
        )
        server = _Server(config)
        named = f"[{host}]" if ":" in host else host
        server.ready = lambda: started(f"http://{named}:{number}/{token}/")
        server.run(sockets=[bound])


def host_names(host: str, port: int) -> set[str]:
    """Return what the Host header may say."""
    names = {host, "localhost", LOOPBACK} if host in (LOOPBACK, "localhost") else {f"[{host}]" if ":" in host else host}
    return {f"{name}:{port}".lower() for name in names} | ({name.lower() for name in names} if port == 80 else set())


class _Server(uvicorn.Server):
    """Tells when it is ready."""

    ready: Callable[[], None] = staticmethod(lambda: None)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """End well at the first signal, at once at the second; neither is an error."""
        self.force_exit = self.should_exit
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then tell."""
        await super().startup(sockets)
        if self.started:
            self.ready()
