"""Convert runs to FiftyOne data sets, and corrections there to decisions of the run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import groupby
from pathlib import Path

import fiftyone as fo

from autolabel.data.corrections.shapes import Corrections, DrawnImage
from autolabel.errors import DataError
from autolabel.integrations.fiftyone.detections import shapes_of, to_detections
from autolabel.registry import discover
from autolabel.results.journal import read_decisions
from autolabel.results.review import is_checked
from autolabel.results.select import selections
from autolabel.results.store import finished
from autolabel.run.apply_review import Applied, take_corrections
from autolabel.storage import Location, at

FIELD = "autolabel"
CHECKED = "checked"
"""The tag of samples that a person has checked as a whole."""
RUN = "autolabel_run"
"""The key of a data set's ``info`` under which the run's folder is kept."""
IMAGE = "autolabel_image"
"""The field with the image's id in the run."""


def samples_of(run: str | Location, *, field: str = FIELD) -> Iterator[fo.Sample]:
    """Yield a sample with the exported labels of every image of a finished run that did not fail.

    Samples that a person has checked have the tag ``checked``; samples of a split also have its name as a tag. Raises
    DataError if ``run`` is not a finished run.
    """
    store, plan = finished(at(run))
    review = read_decisions(store)
    for split, ledger in selections(store, plan):
        for image, group in groupby(ledger, key=lambda row: row.image.id):
            rows = [row for row in group if row.reason is None]
            if not rows:
                continue
            found = [one for row in rows for one in to_detections(row).detections]
            checked = review is not None and all(is_checked(row, review) for row in rows)
            yield fo.Sample(
                filepath=plan.manifest.image_path(image) or image,
                tags=[*([split] if split else []), *([CHECKED] if checked else [])],
                **{
                    IMAGE: image,
                    "metadata": fo.ImageMetadata(width=rows[0].image.size[1], height=rows[0].image.size[0]),
                    field: fo.Detections(detections=found),
                },
            )


def to_fiftyone(run: str | Location, *, name: str | None = None, field: str = FIELD) -> fo.Dataset:
    """Return a new data set with the images and labels of a finished run; see ``samples_of``."""
    dataset = fo.Dataset(name)
    dataset.add_samples(samples_of(run, field=field), dynamic=True)
    dataset.info[RUN] = str(Path(str(run)).absolute()) if "://" not in str(run) else str(run)
    dataset.save()
    return dataset


def from_fiftyone(
    view: Iterable[fo.Sample], *, run: str | Location | None = None, field: str = FIELD, tag: str | None = CHECKED
) -> Applied:
    """Import the labels of samples as decisions of a run, and rewrite its exports.

    ``view`` is a data set, a view or any samples. Samples with ``tag`` (None: all samples) count as completely checked:
    boxes that they lack are removed. ``run`` defaults to the run that the data set was made from. Raises DataError, and
    imports nothing, if no run is known, or if samples or classes are not of the run.
    """
    place = run if run is not None else _run_of(view)
    images: list[DrawnImage] = []
    for sample in view:
        if tag is not None and tag not in (sample.tags or ()):
            continue
        size = _size_of(sample)
        labels = sample[field]
        shapes = shapes_of(labels.detections, size) if labels is not None else []
        images.append(DrawnImage(name=_name_of(sample), size=size, shapes=shapes))
    corrections = Corrections(tool="FiftyOne", images=images)
    if not images:
        said = f"no sample has the tag {tag!r}" if tag is not None else "the data set has no sample"
        corrections = replace(corrections, notes=[said])
    return take_corrections(at(place), corrections, file="FiftyOne", registry=discover())


def _run_of(view: object) -> str:
    dataset = getattr(view, "_dataset", view)
    info = getattr(dataset, "info", None)
    if not isinstance(info, dict) or not isinstance(info.get(RUN), str):
        raise DataError("these samples do not name their run", hint="say run=RUN")
    return str(info[RUN])


def _name_of(sample: fo.Sample) -> str:
    return str(sample[IMAGE]) if sample.has_field(IMAGE) and sample[IMAGE] else str(sample.filepath)


def _size_of(sample: fo.Sample) -> tuple[int, int]:
    metadata = sample.metadata
    if metadata is not None and metadata.height and metadata.width:
        return int(metadata.height), int(metadata.width)
    from autolabel.images import read_size

    return read_size(str(sample.filepath))
