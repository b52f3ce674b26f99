"""Build the prompt of an image from the classes of the spec or of the caller."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from pydantic import TypeAdapter, ValidationError

from autolabel.errors import ImageError, SpecError
from autolabel.plan.model import Plan
from autolabel.registry import Registry
from autolabel.spec.section import Names
from autolabel.strategies import Detector
from autolabel.types import Prompt
from autolabel.types.ontology import expand_prompts

_REMEMBERED = 256
"""Lists of names that are checked once."""
_NAMES: TypeAdapter[tuple[str, ...]] = TypeAdapter(Names)


class Questions:
    """Converts class names to prompts; loads nothing, and is thread-safe."""

    def __init__(self, plan: Plan, *, registry: Registry) -> None:
        stage = plan.recipe.stages[0]
        made = [registry.make("labeler", one.type, one.params) for one in stage.members or (stage.labeler,)]
        self._detectors = [one for one in made if isinstance(one, Detector)]
        self._ontology = plan.recipe.ontology
        self._own = Prompt(plan.manifest.classes)
        self._checked = lru_cache(_REMEMBERED)(self._check)

    def prompt(self, classes: Sequence[str] | None) -> Prompt:
        """Return the prompt for ``classes``, in order; None stands for the spec's classes.

        A class of the spec uses the spec's phrases, any other its own name. Raises SpecError unless names are distinct
        texts that the detectors can read.
        """
        if classes is None:
            if not self._own.phrases:
                raise SpecError("the spec names no classes, and neither does the request", hint="pass classes=[...]")
            return self._own
        if isinstance(classes, str) or not isinstance(classes, Sequence):
            raise SpecError(f"classes: wanted a list of names, found {type(classes).__name__}")
        try:
            return self._checked(tuple(classes))
        except TypeError:  # an unhashable name
            raise SpecError("classes: wanted a list of names, found something else among them") from None

    def _check(self, classes: tuple[str, ...]) -> Prompt:
        try:
            names = _NAMES.validate_python(classes)
        except ValidationError as error:
            found = error.errors(include_url=False, include_context=False, include_input=False)[0]
            raise SpecError(f"classes{''.join(f'[{step}]' for step in found['loc'])}: {found['msg']}") from None
        for phrase in expand_prompts(names, self._ontology):
            for detector in self._detectors:
                self._check_phrase(phrase, detector)
        return Prompt(names)

    def _check_phrase(self, phrase: str, detector: Detector) -> None:
        reading = detector.read(phrase)
        if not reading.readable:
            raise SpecError(f"classes: {detector.name} can read nothing of {phrase!r}")
        try:
            detector.passes(Prompt((phrase,)))
        except ImageError as error:
            raise SpecError(f"classes: {error.message}") from None
