"""Reject specs that cannot be run, before any image is listed."""

from __future__ import annotations

from autolabel.endpoint import is_here
from autolabel.errors import ImageError, SpecError, WeightsError
from autolabel.plan.model import Stage, Weights
from autolabel.spec.model import Spec
from autolabel.strategies import Detector, Labeler
from autolabel.types import Prompt
from autolabel.types.ontology import expand_prompts
from autolabel.urls import is_url, without_secrets


def check_kinds(spec: Spec, labelers: list[Labeler]) -> None:
    """Refuse stages in the wrong order: masks need boxes from an earlier stage."""
    problems = []
    for index, labeler in enumerate(labelers):
        where, name = ("stages", index, "labeler"), labeler.name
        if labeler.needs == "images":
            said = f"{name!r} describes images: it belongs in data.captions, not in a stage"
            problems.append(spec.problem(where, said))
        if labeler.needs == "boxes" and index == 0 and spec.data.boxes is None:
            hint = "put a detector such as grounding_dino before it, or name a file of boxes in data.boxes"
            problems.append(spec.problem(where, f"{name!r} needs boxes, and no earlier stage finds any", hint=hint))
        if labeler.needs == "prompts" and (index > 0 or spec.data.boxes is not None):
            before = "data.boxes" if index == 0 else f"stages[{index - 1}]"
            problems.append(spec.problem(where, f"{name!r} finds boxes itself, but {before} already gives some"))
    if problems:
        raise SpecError(problems)


def check_members(spec: Spec) -> None:
    """Refuse several labelers unless all are detectors with equal outputs, and tiles or looks of a segmenter."""
    problems = []
    for index, stage in enumerate(spec.stages):
        for member, choice in enumerate(stage.choices):
            where = ("stages", index, "labelers", member) if stage.labelers else ("stages", index)
            if not issubclass(choice.strategy, Detector):
                beside = [name for name in ("tiles", "looks") if getattr(stage, name)]
                if stage.labelers or beside:
                    said = f"{choice.name!r} takes boxes, so the stage can have neither tiles nor looks"
                    problems.append(spec.problem(where if stage.labelers else (*where, beside[0]), said))
            elif choice.strategy.gives != stage.choices[0].strategy.gives:
                said = f"{choice.name!r} gives {choice.strategy.gives}, {stage.choices[0].name!r} does not"
                problems.append(spec.problem(where, said))
    if problems:
        raise SpecError(problems)


def check_looks(spec: Spec) -> None:
    """Refuse ``spend: by_round`` with fewer rounds than looks."""
    problems = []
    for index, stage in enumerate(spec.stages):
        if stage.views is None or stage.views.spend == "every":
            continue
        rounds, looks = (len(stage.scheduler.make().rounds()) if stage.scheduler else 1), len(stage.views.which)
        if rounds < looks:
            said = f"{looks} looks are to be spent by round, and there {'is' if rounds == 1 else 'are'} {rounds}"
            hint = f"give the stage a scheduler of {looks} rounds or more, or write spend: every"
            problems.append(spec.problem(("stages", index, "looks", "spend"), said, hint=hint))
    if problems:
        raise SpecError(problems)


def check_local(spec: Spec, labelers: list[Labeler]) -> None:
    """Refuse settings that send images to other machines, if the spec says ``local_only: true``."""
    if not spec.local_only:
        return
    problems = [
        spec.problem(
            ("stages", index, "labeler", "endpoint"),
            f"local_only: true, but images would be sent to {without_secrets(url)}",
            hint="choose an endpoint on this machine",
        )
        for index, labeler in enumerate(labelers)
        for url in labeler.sends_to()
        if not is_here(url)
    ]
    captioner = spec.captioner()
    problems += [
        spec.problem(
            ("data", "captions", "labeler"),
            f"local_only: true, but images would be sent to {without_secrets(url)} for captions",
            hint="choose an endpoint on this machine",
        )
        for url in (captioner.sends_to() if captioner else ())
        if not is_here(url)
    ]
    if spec.run.executor == "ray" and spec.run.ray.address != "local":
        problems.append(
            spec.problem(("run", "executor"), "local_only: true, but a Ray cluster may be of other machines")
        )
    for name in ("report", "visualize"):
        if getattr(spec, name) and is_url(spec.results_dir):
            said = f"local_only: true, but it would put pictures at {without_secrets(spec.results_dir)}"
            problems.append(spec.problem((name,), said))
    if problems:
        raise SpecError(problems)


def check_classes(spec: Spec, labelers: list[Labeler]) -> None:
    """Refuse a phrase that does not fit into a caption, such as one longer than the model's text limit."""
    ontology, classes = spec.data.ontology(), spec.data.classes or ()
    for labeler in labelers:
        if isinstance(labeler, Detector):
            for index, name in enumerate(classes):
                try:
                    for phrase in expand_prompts((name,), ontology):
                        labeler.passes(Prompt((phrase,)))
                except ImageError as error:
                    where = ("data", "classes", name if isinstance(classes, dict) else index)
                    raise SpecError(spec.problem(where, error.message)) from None


def check_weights(spec: Spec, labelers: list[Labeler]) -> None:
    """Refuse weights that cannot be loaded, judged by their headers, naming the place in the spec."""
    for index, labeler in enumerate(labelers):
        try:
            labeler.check()
        except WeightsError as error:
            place = spec.problem(("stages", index, "labeler", "checkpoint"), error.message, hint=error.hint)
            raise WeightsError(str(place)) from error


def check_licences(spec: Spec, stages: tuple[Stage, ...]) -> None:
    """Refuse weights whose licence forbids commercial use or is unknown, if the spec says ``commercial: true``."""
    if not spec.commercial:
        return
    problems = [
        spec.problem(
            ("stages", stage.index, "labeler", "checkpoint"),
            f"commercial: true, but the weights' licence {_described(stage.weights)}",
            hint="choose other weights, or state their licence in a LICENSE file beside them",
        )
        for stage in stages
        if stage.weights.files and stage.weights.commercial is not True
    ]
    if problems:
        raise SpecError(problems)


def _described(weights: Weights) -> str:
    """Describe in words what a licence allows."""
    return f"({weights.licence}) forbids it" if weights.commercial is False else "is not known"


def check_exports(spec: Spec, stages: tuple[Stage, ...]) -> None:
    """Refuse duplicate exporters, those that need masks without a mask stage, those that cannot run here."""
    problems = []
    names = [choice.name for choice in spec.export]
    for index, choice in enumerate(spec.export):
        where = ("export", index, "type")
        if choice.name in names[:index]:
            problems.append(spec.problem(where, f"{choice.name!r} is listed twice"))
        if getattr(choice.strategy, "needs", "boxes") == "masks" and not any(s.gives == "masks" for s in stages):
            problems.append(spec.problem(where, f"{choice.name!r} needs masks, and no stage gives any"))
        choice.make()
    if problems:
        raise SpecError(problems)
