"""Label Studio's ML backend protocol."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from functools import partial
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from autolabel.serve.body import json_of, stated_length, whole
from autolabel.serve.label_studio.decisions import Decisions
from autolabel.serve.label_studio.images import ImagePlaces
from autolabel.serve.label_studio.regions import regions
from autolabel.serve.label_studio.server import LabelStudioServer
from autolabel.serve.label_studio.tags import TaggedPicture, read_config
from autolabel.serve.labeling import Labeling
from autolabel.serve.limits import Admission, RequestLimits
from autolabel.serve.refusal import Refusal, as_json

_log = logging.getLogger(__name__)
_TOGETHER = 8
"""Tasks of one request that are worked on at a time."""
_IGNORED = {"taken": 0, "problems": []}


class Backend:
    """The handlers of the ML backend protocol; runs in one event loop."""

    def __init__(
        self,
        labeling: Labeling,
        admission: Admission,
        limits: RequestLimits,
        *,
        version: str,
        server: LabelStudioServer,
        places: ImagePlaces,
        decisions: Decisions | None,
    ) -> None:
        self._labeling = labeling
        self._admission = admission
        self._limits = limits
        self._version = version
        self._server = server
        self._places = places
        self._decisions = decisions

    async def setup(self, request: Request) -> Response:
        """Learn Label Studio's address; answer with the model version."""
        said = json_of(await whole(request, self._limits.body))
        read_config(said.get("schema"))
        peer = request.client.host if request.client else ""
        learn = partial(self._server.learn, said.get("hostname"), said.get("access_token"), peer=peer)
        await run_in_threadpool(learn)
        return as_json({"model_version": self._version})

    async def versions(self, request: Request) -> Response:
        """List the model versions: one."""
        return as_json({"versions": [self._version]})

    async def predict(self, said: Mapping[str, Any]) -> Response:
        """Label the images of tasks; the caller has checked access.

        A task without an accessible image gets no prediction; if no task has one, the request is refused.
        """
        tasks = said.get("tasks")
        if not isinstance(tasks, list) or not tasks or not all(isinstance(task, dict) for task in tasks):
            raise Refusal(400, "tasks: wanted a list of tasks")
        if len(tasks) > self._limits.tasks:
            raise Refusal(413, f"{len(tasks):,} tasks, at most {self._limits.tasks:,} are taken at once")
        pictures = read_config(said.get("label_config"))
        room = asyncio.Semaphore(_TOGETHER)
        waiting = [asyncio.ensure_future(self._prediction(task, pictures, room)) for task in tasks]
        try:
            answers = await asyncio.gather(*waiting)
        finally:
            for one in waiting:
                one.cancel()
        refused = [one for one in answers if isinstance(one, Refusal)]
        if len(refused) == len(tasks):
            raise refused[0]
        results = [[] if isinstance(one, Refusal) else one for one in answers]
        return as_json({"results": results, "model_version": self._version})

    async def _prediction(
        self, task: Mapping[str, Any], pictures: list[TaggedPicture], room: asyncio.Semaphore
    ) -> dict[str, Any] | Refusal:
        """Return the prediction of a task, or the reason for none."""
        async with room:
            try:
                result = [region for picture in pictures for region in await self._regions(task, picture)]
            except Refusal as refusal:
                if refusal.status != 422:
                    raise
                _log.warning("task %.20r: %s", task.get("id"), refusal.message)
                return refusal
        scores = [region["score"] for region in result]
        return {"result": result, "score": min(scores, default=0.0), "model_version": self._version}

    async def _regions(self, task: Mapping[str, Any], picture: TaggedPicture) -> list[dict[str, Any]]:
        data = task.get("data")
        said = data.get(picture.key) if isinstance(data, dict) else None
        image = await run_in_threadpool(self._places.find, said)
        labels = await self._labeling.label(image, picture.asked(self._labeling.predictor.classes))
        if labels.reason is not None:
            raise Refusal(422, labels.reason.message)
        return regions(labels, picture)

    async def webhook(self, request: Request) -> Response:
        """Import submitted annotations, if a run was given."""
        with self._admission.enter(stated_length(request, self._limits.body)):
            said = json_of(await whole(request, self._limits.body))
            if self._decisions is None:
                return as_json(_IGNORED)
            return as_json(await run_in_threadpool(self._decisions.take, said))
