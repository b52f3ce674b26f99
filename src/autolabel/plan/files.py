"""Check that the files of a spec exist."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pydantic import BaseModel

from autolabel import weights
from autolabel.errors import Problem, SpecError, WeightsError
from autolabel.spec.model import Spec
from autolabel.spec.thresholds import thresholds_of
from autolabel.storage import at


def check_files(spec: Spec, *, data: bool = True) -> None:
    """Raise SpecError with every missing file or folder of the spec, and the faults of its thresholds.

    Without ``data``, images, captions and boxes are not checked. Opens no image and no weights, and imports no model
    library.
    """
    problems = [*(_missing_data(spec) if data else ()), *_missing_weights(spec), *_wrong_thresholds(spec)]
    if problems:
        raise SpecError(problems)
    _check_hub(spec)


def _check_hub(spec: Spec) -> None:
    """Raise WeightsError, naming the place in the spec, for weights that are neither cached nor on the hub.

    Makes one request per uncached model; downloads nothing.
    """
    for index, stage in enumerate(spec.stages):
        for member, choice in enumerate(stage.choices):
            try:
                weights.check_reachable(getattr(choice.params, "checkpoint", ""))
            except WeightsError as error:
                key = ("labelers", member) if stage.labelers else ("labeler",)
                found = spec.problem(("stages", index, *key, "checkpoint"), error.message, hint=error.hint)
                raise WeightsError(str(found)) from error


def check_fit(spec: Spec) -> None:
    """Raise WeightsError, naming the place in the spec, for local weights whose headers do not fit."""
    for index, stage in enumerate(spec.stages):
        for member, choice in enumerate(stage.choices):
            if not on_this_machine(choice.params):
                continue
            try:
                choice.make().check()
            except WeightsError as error:
                key = ("labelers", member) if stage.labelers else ("labeler",)
                found = spec.problem(("stages", index, *key, "checkpoint"), error.message, hint=error.hint)
                raise WeightsError(str(found)) from error


def on_this_machine(params: BaseModel) -> bool:
    """Return whether a labeler's checkpoint and text encoder can be read without the network."""
    named = ((getattr(params, key, None), key == "checkpoint") for key in ("checkpoint", "text_encoder"))
    return all(weights.is_cached(name, weights=whole) for name, whole in named if isinstance(name, str))


def _missing_data(spec: Spec) -> Iterator[Problem]:
    """Yield a problem for every missing image folder or data file."""
    for index, folder in enumerate(spec.data.images):
        if not at(folder).is_dir():
            yield spec.problem(("data", "images", index), f"no such folder: {folder}")
    captions = ("captions", "file") if spec.data.described is not None else ("captions",)
    for key, path in ((captions, spec.data.captions_file), (("boxes",), spec.data.boxes)):
        if path is not None and not at(path).is_file() and not (key == ("boxes",) and at(path).is_dir()):
            yield spec.problem(("data", *key), f"no such file: {path}")


def _missing_weights(spec: Spec) -> Iterator[Problem]:
    """Yield a problem for every stage with missing weights."""
    for index, stage in enumerate(spec.stages):
        for member, choice in enumerate(stage.choices):
            if weights.on_hub(getattr(choice.params, "checkpoint", "")):
                continue  # downloaded when the plan is compiled
            try:
                choice.make().files()
            except WeightsError as error:
                key = ("labelers", member) if stage.labelers else ("labeler",)
                yield spec.problem(("stages", index, *key, "checkpoint"), error.message, hint=error.hint)


def _wrong_thresholds(spec: Spec) -> Sequence[Problem]:
    """Return the faults of the thresholds; their names are checked if the spec lists the classes."""
    try:
        thresholds_of(spec, classes=spec.data.classes)
    except SpecError as error:
        return error.problems
    return ()
