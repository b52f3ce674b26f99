"""The server's routes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import partial

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import autolabel
from autolabel.plan import plan_file
from autolabel.predict import Predictor
from autolabel.serve.body import checked, json_of, named, of_json, read_form, stated_length, whole
from autolabel.serve.gate import Gate
from autolabel.serve.label_studio import Backend, Decisions, ImagePlaces, LabelStudioServer
from autolabel.serve.label_studio.images import folders_of
from autolabel.serve.labeling import Labeling
from autolabel.serve.limits import Admission, RequestLimits
from autolabel.serve.metrics import MEDIA, Metrics
from autolabel.serve.refusal import Refusal, answering, as_json

_TASKS = "tasks"
"""A field that only Label Studio's requests have."""


class Service:
    """The request handlers; all run in one event loop."""

    def __init__(
        self,
        predictor: Predictor,
        limits: RequestLimits,
        *,
        server: LabelStudioServer | None = None,
        folders: Sequence[str] = (),
        decisions: Decisions | None = None,
    ) -> None:
        """Serve a predictor; ``folders`` are allowed for Label Studio's files besides those of the plan."""
        self.limits = limits
        self.metrics = Metrics()
        self.admission = Admission(limits)
        self.labeling = Labeling(predictor, self.metrics)
        self._predictor = predictor
        known = server or LabelStudioServer()
        places = ImagePlaces([*folders_of(predictor.plan), *folders], known, most=limits.body)
        self.label_studio = Backend(
            self.labeling,
            self.admission,
            limits,
            version=_model_version(predictor),
            server=known,
            places=places,
            decisions=decisions,
        )

    async def predict(self, request: Request) -> Response:
        """Label the images of a request: image bytes, a form, or JSON."""
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        with self.admission.enter(stated_length(request, self.limits.body)):
            if kind == "multipart/form-data":
                asked = await read_form(request, self.limits)
            elif kind == "application/json":
                said = json_of(await whole(request, self.limits.body))
                if _TASKS in said:
                    return await self.label_studio.predict(said)
                asked = of_json(said, self.limits)
            elif kind.startswith("image/") or kind in ("application/octet-stream", ""):
                words = request.query_params
                image = await whole(request, self.limits.body)
                pairs = [(named(words.get("name")), image)] if image else []
                asked = checked(pairs, words.getlist("classes") or None, several=False, limits=self.limits)
            else:
                hint = "send an image as image/* or application/octet-stream, several as multipart/form-data or JSON"
                raise Refusal(415, f"bodies of the type {kind[:80]!r} are not read", hint=hint)
            rows = await self.labeling.rows(asked.images, asked.classes)
        content = b"[" + b",".join(rows) + b"]" if asked.several else rows[0]
        return Response(content, media_type="application/json")

    async def health(self, request: Request) -> Response:
        """Report that the server is up."""
        return as_json({"status": "UP", "model_class": "autolabel", "model_version": _model_version(self._predictor)})

    async def plan(self, request: Request) -> Response:
        """Return the plan."""
        return Response(plan_file.encode_plan(self._predictor.plan), media_type="application/json")

    async def metrics_text(self, request: Request) -> Response:
        """Return the metrics."""
        plan, version = self._predictor.plan.digest[:12], autolabel.__version__
        waiting, inside = self._predictor.waiting, self.admission.requests
        return Response(self.metrics.text(waiting=waiting, inside=inside, plan=plan, version=version), media_type=MEDIA)


def _model_version(predictor: Predictor) -> str:
    """Return a short model version: labelers, and the plan's digest."""
    plan = predictor.plan
    names = [choice.type for stage in plan.recipe.stages for choice in stage.members or (stage.labeler,)]
    return f"autolabel {autolabel.__version__} {'+'.join(dict.fromkeys(names))} plan {plan.digest[:16]}"


def make_app(service: Service, *, token: str, hosts: Collection[str] | None) -> ASGIApp:
    """Return the application with its access checks."""
    answer = partial(answering, seconds=service.limits.seconds)
    routes = [
        Route("/", answer(service.health)),
        Route("/health", answer(service.health)),
        Route("/plan", answer(service.plan)),
        Route("/metrics", answer(service.metrics_text)),
        Route("/predict", answer(service.predict), methods=["POST"]),
        Route("/setup", answer(service.label_studio.setup), methods=["POST"]),
        Route("/versions", answer(service.label_studio.versions)),
        Route("/webhook", answer(service.label_studio.webhook), methods=["POST"]),
    ]
    known = frozenset(route.path for route in routes)
    return Gate(_Counted(Starlette(routes=routes), service.metrics, known), token=token, hosts=hosts)


class _Counted:
    """Counts the accepted requests."""

    def __init__(self, app: ASGIApp, metrics: Metrics, known: Collection[str]) -> None:
        self._app = app
        self._metrics = metrics
        self._known = known

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")

        async def counting(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._metrics.request(path if path in self._known else "other", message["status"])
            await send(message)

        await self._app(scope, receive, counting)
