"""Compare phrases for classes on checked images."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from autolabel.data import inputs
from autolabel.errors import DataError, SpecError
from autolabel.evaluate.scenes import _Scenes, gather_scenes
from autolabel.evaluate.scenes import normalized_name as plain_name
from autolabel.executors.tuning import torch_threads
from autolabel.phrases.answers import ImageAnswers, Questioner
from autolabel.phrases.block import classes_block
from autolabel.phrases.comparison import PhraseComparison
from autolabel.phrases.confirm import confirmed
from autolabel.phrases.ground import Ground, played
from autolabel.phrases.propose import Proposal, propose, readable, without_conflicts
from autolabel.plan.compile import Compiled
from autolabel.registry import Registry
from autolabel.results.checked import truth_at
from autolabel.run.stage import desk_of, make_annealing, make_labeler
from autolabel.spec.model import Spec
from autolabel.storage import Location
from autolabel.strategies import Detector
from autolabel.types.ontology import Ontology, expand_prompts

_FLOOR = 0.05
Suggest = Callable[[Mapping[str, Sequence[str]]], Mapping[str, Sequence[str]]]
"""Given the phrases that are compared already, by class, returns more of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PhrasesToCompare:
    """The phrases to compare."""

    classes: tuple[str, ...] = ()
    """Which classes; none of them means all."""
    tried: Mapping[str, Sequence[str]] | None = None
    """Phrases of the user, by class."""
    built_in: bool = True
    """Whether the built-in synonyms and forms are compared too."""
    suggest: Suggest | None = None
    iou: float = 0.5
    floor: float | None = None
    """Candidates that score more are looked at; None: those above 0.05, or above the spec's last threshold if lower."""


def compare_phrases(
    spec: Spec,
    compiled: Compiled,
    truth: str | Location,
    *,
    wanted: PhrasesToCompare,
    registry: Registry,
) -> PhraseComparison:
    """Run the detector once on the checked images, for all phrases together, and evaluate phrases and unions.

    ``truth`` is a COCO file, or a run with checked images. Nothing is written, but for candidates where the spec keeps
    them, and answers of an endpoint. Raises SpecError if the spec has no classes, no such class, or no detector;
    DataError where it shares no image or class with the truth; MachineError or WeightsError where the detector cannot
    be loaded.
    """
    plan = compiled.plan
    stage = plan.recipe.stages[0]
    annealing = make_annealing(stage, plan.recipe.ontology, registry)
    labeler = make_labeler(stage, registry, desk_of(plan))
    if spec.data.classes is None or annealing is None or not isinstance(labeler, Detector):
        raise SpecError("phrases are compared for the classes that a detector is asked for, and this spec has none")
    manifest = plan.manifest
    rows = [manifest.placed(inputs.decode_input(line)).labels(manifest.classes) for line in compiled.rows]
    with truth_at(truth) as file:
        shared = gather_scenes(rows, file)
    names = _chosen_classes(wanted, plan.manifest.classes, shared)
    proposals, notes = _proposed(names, plan.recipe.ontology, wanted, labeler)
    company = expand_prompts(plan.manifest.classes, plan.recipe.ontology)
    phrases = tuple(dict.fromkeys([*company, *(one.phrase for name in names for one in proposals[name])]))
    floor = min(_FLOOR, annealing.floor) if wanted.floor is None else wanted.floor
    scene_of = dict(zip(shared.images, shared.scenes, strict=True))
    place = next(iter(plan.execution.workers), "cpu")
    questioner = Questioner.of(plan, labeler, annealing, floor=floor, device=place)
    ground = Ground(
        rows=[row for row in rows if row.image.id in scene_of and row.reason is None],
        scenes=scene_of,
        numbers={plain_name(name): number for number, name in enumerate(shared.classes)},
        ontology=plan.recipe.ontology,
        annealing=played(annealing, floor),
        iou=wanted.iou,
    )
    with torch_threads(plan.execution.alone().threads):
        answers = dict(questioner.ask(ground.rows, phrases))
        passes = labeler.counters()
        compared = [ground.compare(name, proposals[name], answers) for name in names]
        told = confirmed(compared, ground, questioner, plan.manifest.classes)
    images = sum(isinstance(one, ImageAnswers) for one in answers.values())
    return PhraseComparison(
        images=images,
        failed=len(shared.scenes) - images,
        phrases=len(phrases),
        passes=passes,
        iou=wanted.iou,
        floor=floor,
        classes=told,
        block=classes_block(spec.data, {one.name: one.advised for one in told}),
        notes=(*shared.notes, *notes),
    )


def _chosen_classes(wanted: PhrasesToCompare, classes: Sequence[str], shared: _Scenes) -> tuple[str, ...]:
    """Return the classes to compare phrases for: those requested, or all that the truth also has."""
    known = {plain_name(name) for name in shared.classes}
    for name in (*wanted.classes, *(wanted.tried or {})):
        if name not in classes:
            raise SpecError(f"the spec has no class {name!r}", hint=f"it has {', '.join(classes)}")
        if plain_name(name) not in known:
            raise DataError(f"no checked image was searched for {name!r}: the truth has no such class")
    return tuple(name for name in wanted.classes or classes if plain_name(name) in known)


def _proposed(
    names: Sequence[str], ontology: Ontology, wanted: PhrasesToCompare, detector: Detector
) -> tuple[dict[str, list[Proposal]], list[str]]:
    """Return the phrases to compare for each class, and notes on requested ones that cannot be used."""

    def listing(more: Mapping[str, Sequence[str]]) -> dict[str, list[Proposal]]:
        tried, built_in = wanted.tried or {}, wanted.built_in
        return {
            name: propose(name, ontology, tried=tried.get(name, ()), suggested=more.get(name, ()), built_in=built_in)
            for name in names
        }

    listed = listing({})
    if wanted.suggest is not None:
        listed = listing(wanted.suggest({name: [one.phrase for one in own] for name, own in listed.items()}))
    kept, notes = without_conflicts(listed, ontology)
    seen: dict[object, str] = {}
    today = {name: [one for one in kept[name] if one.origin == "today"] for name in names}
    for one in (one for name in names for one in today[name]):
        seen.setdefault(detector.read(one.phrase).pieces or (one.phrase,), one.phrase)
    out: dict[str, list[Proposal]] = {}
    for name in names:
        told = list(readable(kept[name], detector, seen=seen))
        out[name] = [one for one in told if isinstance(one, Proposal)]
        notes += [one for one in told if isinstance(one, str)]
    return out, notes
