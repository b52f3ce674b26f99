"""The server's routes: page files, pictures, lists, rows, changes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Annotated, Any

import msgspec
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp

from autolabel.errors import AutolabelError, BusyError, MachineError
from autolabel.results.decision import Corners, Name
from autolabel.review import changes
from autolabel.review.guard import Guard
from autolabel.review.order import ORDERS, SHOWS, Query
from autolabel.review.pictures import LEAST_SIDE, MOST_SIDE
from autolabel.review.session import ReviewSession

_MOST_ROWS = 200
"""The most rows of a list in one answer."""
_LONGEST_TEXT = 500
_MEDIA = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}

_JsonReply = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class PageMode:
    """A mode of the page, with its routes.

    ``script`` is an ES module in the folder ``page`` of ``package``; it exports ``mount(root, page)``, which fills the
    element ``root`` and returns a cleanup function. ``routes`` are served below ``mode/NAME/``.
    """

    name: str
    title: str
    package: str
    script: str
    routes: Sequence[BaseRoute] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Plain JSON that the page hands to ``mount``."""


CORRECT = PageMode(name="correct", title="Correct", package="autolabel.review", script="correct.js")


class _Segment(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    row: Annotated[int, Field(ge=0)]
    image: str
    phrase: Name
    bbox: Corners
    tab: Annotated[str, Field(min_length=1, max_length=64)]
    follows: Annotated[str, Field(min_length=1, max_length=64)]


class _Tab(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    tab: Annotated[str, Field(min_length=1, max_length=64)]


def make_app(
    session: ReviewSession,
    *,
    token: str,
    hosts: Collection[str],
    modes: Sequence[PageMode] = (CORRECT,),
    query: Query | None = None,
) -> ASGIApp:
    """Return the application of a session; the first of ``modes`` is shown initially, ``query`` is its first list."""
    routes: list[BaseRoute] = [
        Route("/", _file("autolabel.review", "index.html")),
        Route("/file/{package}/{name}", _any_file({mode.package for mode in modes} | {"autolabel.review"})),
        Route("/session", _get(lambda request: _described(session, modes, query or Query()))),
        Route("/rows", _get(lambda request: _rows(session, request))),
        Route("/row/{row:int}", _get(lambda request: session.row_json(request.path_params["row"]))),
        Route("/find", _get(lambda request: _find(session, request))),
        Route("/news", _get(lambda request: session.news(_whole(request, "since", 0, 1 << 53)))),
        Route("/picture/{row:int}", _picture(session)),
        Route("/decide", _post(changes.Request, session.decide), methods=["POST"]),
        Route("/mask", _post(_Segment, lambda asked: _segment(session, asked)), methods=["POST"]),
        Route("/undo", _post(_Tab, lambda asked: {"row": None, **(session.undo(asked.tab) or {})}), methods=["POST"]),
        Route("/redo", _post(_Tab, lambda asked: {"row": None, **(session.redo(asked.tab) or {})}), methods=["POST"]),
    ]
    for mode in modes:
        routes += [_below(f"/mode/{mode.name}", route) for route in mode.routes]
    return Guard(Starlette(routes=routes), token=token, hosts=hosts)


def _answer(value: Any, status: int = 200) -> Response:
    """Return a value as JSON."""
    return Response(msgspec.json.encode(value), status, media_type="application/json")


def get(work: Callable[[Request], Any]) -> Callable[[Request], Awaitable[Response]]:
    """Return an endpoint that runs ``work`` in a thread and returns its result, or an error message."""
    return _get(work)


def post(model: type[BaseModel], work: Callable[[Any], Any]) -> Callable[[Request], Awaitable[Response]]:
    """Return an endpoint that parses a body of ``model`` and runs ``work`` on it in a thread."""
    return _post(model, work)


def _get(work: Callable[[Request], Any]) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        return await run_in_threadpool(_told, lambda: work(request))

    return endpoint


def _post(model: type[BaseModel], work: Callable[[Any], Any]) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        try:
            body = await request.body()
        except ClientDisconnect:  # the client disconnected, or sent too much
            return _answer({"error": "the request is not whole"}, 400)
        try:
            asked = model.model_validate_json(body)
        except (ValidationError, ValueError) as error:
            return _answer({"error": f"unexpected request: {_first(error)}"}, 400)
        return await run_in_threadpool(_told, lambda: work(asked))

    return endpoint


def _told(work: Callable[[], Any]) -> Response:
    try:
        return _answer(work())
    except AutolabelError as error:
        status = 409 if isinstance(error, BusyError) else 507 if isinstance(error, MachineError) else 422
        return _answer({"error": str(error)}, status)


def _first(error: Exception) -> str:
    if isinstance(error, ValidationError):
        found = error.errors(include_url=False, include_context=False, include_input=False)[0]
        return f"{'/'.join(map(str, found['loc']))}: {found['msg']}"
    return str(error)


def _described(session: ReviewSession, modes: Sequence[PageMode], query: Query) -> _JsonReply:
    plan = session.plan
    return {
        "run": session.store.root.name,
        "plan": plan.digest,
        "classes": plan.manifest.classes,
        "masks": plan.recipe.masks,
        "segments": session.masks is not None,
        "labelers": session.index.labelers,
        "captions": plan.manifest.rows != plan.manifest.images,
        "rows": plan.manifest.rows,
        "reviewer": session.reviewer,
        "limited": session.images is not None,
        "query": {"order": query.order, "show": query.show, "phrase": query.phrase, "text": query.text},
        "modes": [
            {
                "name": mode.name,
                "title": mode.title,
                "script": f"file/{mode.package}/{mode.script}",
                "settings": dict(mode.settings),
            }
            for mode in modes
        ],
        "progress": session.progress(),
    }


def _rows(session: ReviewSession, request: Request) -> _JsonReply:
    words = request.query_params
    query = Query(
        order=_one_of(words.get("order", "least"), ORDERS),
        show=_one_of(words.get("show", "all"), SHOWS),
        phrase=words.get("phrase", "")[:_LONGEST_TEXT],
        text=words.get("text", "")[:_LONGEST_TEXT],
    )
    count = min(_MOST_ROWS, _whole(request, "count", 50, _MOST_ROWS))
    return session.rows(words.get("list", "")[:64], query, start=_whole(request, "start", 0, 1 << 53), count=count)


def _find(session: ReviewSession, request: Request) -> _JsonReply:
    image = request.query_params.get("image", "")
    return {"row": session.index.find(image, _whole(request, "caption", 0, 1 << 20))}


def _segment(session: ReviewSession, asked: _Segment) -> _JsonReply:
    return session.segment(asked.row, asked.image, (asked.phrase, asked.bbox), tab=asked.tab, follows=asked.follows)


def _picture(session: ReviewSession) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        side = _whole(request, "side", 0, MOST_SIDE)
        side = max(side, LEAST_SIDE) if side else 0
        try:
            media, content = await run_in_threadpool(
                lambda: session.pictures.picture(session.labels(request.path_params["row"]), side=side)
            )
        except AutolabelError as error:
            return _answer({"error": str(error)}, 404)
        return Response(content, media_type=media, headers={"cache-control": "private, max-age=600"})

    return endpoint


def _file(package: str, name: str) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        return _page_file(package, name)

    return endpoint


def _any_file(packages: Collection[str]) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        package, name = request.path_params["package"], request.path_params["name"]
        if package not in packages:
            return _answer({"error": "there is no such file"}, 404)
        return _page_file(package, name)

    return endpoint


def _page_file(package: str, name: str) -> Response:
    known = {entry.name: entry for entry in files(package).joinpath("page").iterdir()}
    media = _MEDIA.get(name.rpartition(".")[2])
    if name not in known or media is None:
        return _answer({"error": "there is no such file"}, 404)
    return Response(known[name].read_bytes(), media_type=media)


def _below(prefix: str, route: BaseRoute) -> BaseRoute:
    assert isinstance(route, Route)
    return Route(prefix + route.path, route.endpoint, methods=list(route.methods or ["GET"]))


def _one_of(value: str, known: Sequence[Any]) -> Any:
    return value if value in known else known[0]


def _whole(request: Request, name: str, otherwise: int, most: int) -> int:
    text = request.query_params.get(name, "")
    return min(most, int(text)) if text.isascii() and text.isdigit() and len(text) < 17 else otherwise
