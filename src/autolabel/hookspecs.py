"""The plugin hooks that a package implements in a module of the entry-point group ``autolabel``."""

from __future__ import annotations

import pluggy

from autolabel.strategies import Aggregator, Exporter, Labeler, Look, Scheduler

GROUP = "autolabel"
hookspec = pluggy.HookspecMarker(GROUP)
hookimpl = pluggy.HookimplMarker(GROUP)


@hookspec
def autolabel_schedulers() -> list[type[Scheduler]]:  # type: ignore[empty-body]
    """Return scheduler classes."""


@hookspec
def autolabel_aggregators() -> list[type[Aggregator]]:  # type: ignore[empty-body]
    """Return aggregator classes."""


@hookspec
def autolabel_labelers() -> list[type[Labeler]]:  # type: ignore[empty-body]
    """Return labeler classes: detectors, segmenters, verifiers, referrers, captioners."""


@hookspec
def autolabel_looks() -> list[type[Look]]:  # type: ignore[empty-body]
    """Return look classes."""


@hookspec
def autolabel_exporters() -> list[type[Exporter]]:  # type: ignore[empty-body]
    """Return exporter classes."""
