"""Serve a run's review page on this machine until it is stopped."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from secrets import token_urlsafe

from autolabel.review.app import CORRECT, PageMode, make_app
from autolabel.review.order import Query
from autolabel.review.session import ReviewSession
from autolabel.web import LOOPBACK, host_names, listening, serve_app


def serve(
    session: ReviewSession,
    *,
    host: str = LOOPBACK,
    port: int = 0,
    modes: Sequence[PageMode] = (CORRECT,),
    query: Query | None = None,
    started: Callable[[str], None] = lambda address: None,
) -> None:
    """Serve a session until SIGINT or SIGTERM; ``started`` is called with the address once it can be opened.

    The address contains a random token that every request needs. Rows are indexed in a background thread.
    """
    if not session.index.complete:
        threading.Thread(target=session.index.build, name="index", daemon=True).start()
    token = token_urlsafe(24)
    with listening(host, port) as bound:
        number = bound.getsockname()[1]
        app = make_app(session, token=token, hosts=host_names(host, number), modes=modes, query=query)
        named = f"[{host}]" if ":" in host else host
        serve_app(app, bound, ready=lambda: started(f"http://{named}:{number}/{token}/"))
