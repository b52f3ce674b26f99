"""Import submitted annotations as decisions about a run."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from functools import partial
from typing import Any

from autolabel.data.corrections.label_studio import read_label_studio
from autolabel.errors import DataError
from autolabel.registry import Registry
from autolabel.results.lock import when_free
from autolabel.results.store import finished
from autolabel.run.apply_review import Applied, take_corrections
from autolabel.run.outputs import follow
from autolabel.serve.label_studio.tags import plain, read_config
from autolabel.serve.refusal import Refusal
from autolabel.storage import Location

_log = logging.getLogger(__name__)
_SUBMITTED = frozenset({"ANNOTATION_CREATED", "ANNOTATION_UPDATED", "ANNOTATIONS_CREATED"})
_SOURCE = "Label Studio"
_PATIENCE = 30.0
"""Seconds that another command may hold the results directory."""


class Decisions:
    """The run that receives annotations; thread-safe."""

    def __init__(self, run: Location, *, registry: Registry) -> None:
        """Raise DataError if ``run`` is not a finished run."""
        self._run = run
        self._registry = registry
        self._alone = threading.Lock()
        self._taken = 0
        self._classes = finished(run)[1].manifest.classes

    def take(self, payload: Mapping[str, Any]) -> dict[str, Any]:
        """Import a webhook's annotations, and return the counts once they are on disk.

        An annotation is complete: boxes that it lacks are removed. Unknown images and classes are left out and
        reported. Raises BusyError if another command holds the results directory.
        """
        tasks = _tasks_in(payload)
        if not tasks:
            return {"taken": 0, "problems": []}
        try:
            corrections = read_label_studio(tasks, file=_SOURCE)
        except (TypeError, ValueError, AttributeError, ArithmeticError) as error:
            raise Refusal(422, f"not an annotation that can be read: {error}") from None
        names = _names_in(payload.get("project"), self._classes)
        with self._alone:
            applied = when_free(partial(self._applied, corrections, names), seconds=_PATIENCE)
            self._taken += applied.new
        for problem in applied.problems:
            _log.warning("%s", problem)
        return {"taken": applied.new, "problems": [str(problem) for problem in applied.problems]}

    def _applied(self, corrections: Any, names: Mapping[str, str]) -> Applied:
        return take_corrections(self._run, corrections, file=_SOURCE, registry=None, names=names, skip_unknown=True)

    def close(self) -> int:
        """Rewrite the run's exports if decisions were imported; return their number."""
        if self._taken:
            store, plan = finished(self._run)
            with store.lock():
                follow(store, plan, registry=self._registry)
        return self._taken


def _tasks_in(payload: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the tasks of a webhook's submitted annotations, each with the one that was submitted."""
    if payload.get("action") not in _SUBMITTED:
        return []
    annotations, tasks = (_listed(payload.get(key)) for key in ("annotation", "task"))
    by_id = {task.get("id"): task for task in tasks}
    found: list[dict[str, Any]] = []
    for number, annotation in enumerate(annotations):
        task = by_id.get(annotation.get("task")) or (tasks[number] if number < len(tasks) else None)
        if task is None or not isinstance(task.get("data"), dict):
            raise Refusal(422, "the annotation comes without its task", hint="let the webhook send its payload")
        if not annotation.get("was_cancelled"):
            found.append({"data": task["data"], "annotations": [annotation]})
    return found


def _listed(value: object) -> list[dict[str, Any]]:
    """Return one or several mappings as a list."""
    some = value if isinstance(value, list) else [value]
    return [one for one in some if isinstance(one, dict)]


def _names_in(project: object, classes: tuple[str, ...]) -> dict[str, str]:
    """Map the labels of a project's config to class names of the run, if they differ."""
    config = project.get("label_config") if isinstance(project, dict) else None
    try:
        pictures = read_config(config)
    except (Refusal, DataError):
        return {}
    known = {plain(name): name for name in classes}
    found = {
        label: known[name]
        for picture in pictures
        for control in picture.controls
        for name, label in control.labels.items()
        if name in known
    }
    return {label: name for label, name in found.items() if label != name}
