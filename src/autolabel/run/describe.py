"""Write captions for a plan's images without one, and compile the plan again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from autolabel.data.batches import batches
from autolabel.data.described import ImageDescription, check_ours, encoded, read_descriptions
from autolabel.data.inputs import Input, decode_input
from autolabel.data.prefetch import prefetch
from autolabel.errors import AutolabelError, DataError, ImageError, MachineError
from autolabel.plan.compile import Compiled
from autolabel.plan.describing import Describing
from autolabel.plan.model import Plan
from autolabel.results.store import publish
from autolabel.run.anneal import bisect_on_error
from autolabel.run.stage import desk_of, read_row
from autolabel.run.worker import Watch
from autolabel.types import Sample

_WINDOW = 16
"""Batches that are sorted by what may share a batch."""


def described(compiled: Compiled, *, watch: Watch, fresh: bool = False) -> Compiled:
    """Return a plan in which every image has a caption or has failed; the same plan if no captions are missing.

    Captions are written once, to a file in the results directory; ``fresh`` deletes it first. Raises EndpointError,
    keeping the captions so far, if a server is not reached or the budget is used up; BusyError if the file was not
    written by autolabel.
    """
    describing = compiled.describing
    if describing is None:
        return compiled
    if fresh and describing.place.exists():
        check_ours(describing.place)
        describing.place.unlink()
        compiled = describing.again()
    if compiled.plan.captions is None or not compiled.plan.captions.wanting:
        return compiled
    check_ours(describing.place)
    by, wanting = describing.by, compiled.plan.captions.wanting
    watch.noted(f"{wanting:,} images without a caption are described by {by.labeler} {by.model}".rstrip())
    watch.writing(describing.place.name)
    known = dict(read_descriptions(describing.place, by).known)
    rows = {row.image: row for row in map(decode_input, compiled.rows) if row.wanting}
    try:
        for one in _written(compiled.plan, describing, list(rows.values())):
            known[one.file_name] = one
    finally:
        publish(describing.place, encoded(known.values()), name="captions")
    return describing.again()


def refuse_wanting(plan: Plan) -> None:
    """Raise DataError if captions are missing, so that the rows of a plan are not final."""
    if plan.captions is not None and plan.captions.wanting:
        raise DataError(
            f"{plan.captions.wanting:,} images have no caption yet",
            hint="`autolabel plan SPEC --write` has them written, once for all slices",
        )


def _written(plan: Plan, describing: Describing, rows: Sequence[Input]) -> Iterator[ImageDescription]:
    """Yield the description of each row, in batches."""
    captioner = describing.captioner
    captioner.desk = desk_of(plan)
    captioner.load(next(iter(plan.execution.workers), "cpu"))
    size = plan.recipe.batch_size
    loaded = prefetch(lambda row: (row, _sample(plan, row)), rows, threads=plan.execution.num_workers, ahead=2 * size)
    for window in batches(loaded, _WINDOW * size):
        yield from (_failed(row, sample, describing) for row, sample in window if isinstance(sample, Exception))
        good = [(row, sample) for row, sample in window if isinstance(sample, Sample)]
        good.sort(key=lambda pair: captioner.batch_key(pair[1].image.size))
        for _, alike in groupby(good, key=lambda pair: captioner.batch_key(pair[1].image.size)):
            for batch in batches(alike, size):
                captions = bisect_on_error(captioner.describe, [sample for _, sample in batch])
                for (row, _), caption in zip(batch, captions, strict=True):
                    if isinstance(caption, str):
                        yield ImageDescription.of(row, caption, describing.by)
                    else:
                        yield _failed(row, caption, describing)


def _sample(plan: Plan, row: Input) -> Sample | Exception:
    """Return an image with its pixels, or the error."""
    labels = plan.manifest.placed(row).labels(())
    try:
        pixels = read_row(labels, max_pixels=plan.recipe.max_pixels, value_range=plan.recipe.value_range)
    except MachineError:
        raise  # not caused by this image
    except Exception as error:
        return error
    return Sample(image=labels.image, pixels=pixels, prompt=labels.prompt, instances=labels.instances)


def _failed(row: Input, error: Exception, describing: Describing) -> ImageDescription:
    """Return the description of an image that failed with an error."""
    code = error.code if isinstance(error, ImageError) else "labeler_error"
    text = " ".join(str(error).split()) or "no message"
    message = text if isinstance(error, AutolabelError) else f"{type(error).__name__}: {text}"
    return ImageDescription.failed(row, code, message, describing.by)
