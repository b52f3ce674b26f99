"""Set up the captioner for images without a caption, before the rows of a plan are final."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from autolabel.data.described import Describer
from autolabel.errors import SpecError
from autolabel.plan.census import Census
from autolabel.plan.identity import canonical_digest, code_of, reduced
from autolabel.plan.model import Asked, CaptionPlan, ResolvedStrategy
from autolabel.registry import Registry
from autolabel.spec.model import Spec
from autolabel.storage import Location, at
from autolabel.strategies import Captioner

if TYPE_CHECKING:
    from autolabel.plan.compile import Compiled


@dataclass(frozen=True, slots=True)
class Describing:
    """The captioner of a spec; after it has run, the plan is compiled again with its captions."""

    captioner: Captioner
    labeler: ResolvedStrategy
    by: Describer
    place: Location
    """The file of what was written."""
    again: Callable[[], Compiled]


def describing_of(
    spec: Spec, place: Location, *, again: Callable[[], Compiled], registry: Registry
) -> Describing | None:
    """Return the captioner of a spec; None if it has none.

    ``place`` is the file for written captions. Raises SpecError if that is the spec's own file of captions.
    """
    captioner = spec.captioner()
    if captioner is None:
        return None
    given = spec.data.captions_file
    if given is not None and str(at(given)) == str(place):
        hint = "leave `file` out: a run goes on from what it has written there"
        raise SpecError(
            spec.problem(("data", "captions", "file"), f"{given} is a file that the run itself writes", hint=hint)
        )
    labeler = _resolved(captioner, registry)
    model = str(labeler.params.get("model", ""))
    by = Describer(labeler=labeler.type, model=model, settings=canonical_digest(reduced(labeler)))
    return Describing(captioner, labeler, by, place, again)


def _resolved(captioner: Captioner, registry: Registry) -> ResolvedStrategy:
    """Return a captioner with all its parameters, defaults included."""
    entry = registry.get("labeler", captioner.name)
    return ResolvedStrategy(
        type=entry.name,
        package=entry.package,
        version=entry.version,
        params=captioner.params.model_dump(mode="json"),
        code=code_of(entry.strategy, entry.package),
        incidental=tuple(sorted(captioner.incidental)),
    )


def caption_plan(describing: Describing, census: Census) -> CaptionPlan:
    """Return the captioner of the plan, and its remaining work."""
    asked = census.captions
    return CaptionPlan(
        labeler=describing.labeler,
        sends_to=tuple(describing.captioner.sends_to()),
        wanting=census.wanting,
        asked=Asked(requests=asked.requests, images=asked.images, tokens=asked.tokens),
    )
