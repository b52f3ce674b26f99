"""Read and check a COCO file of any size."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from autolabel.data.coco.columns import link, read_columns
from autolabel.data.coco.document import CocoDocument, map_coco, rest, section_entries
from autolabel.data.coco.entries import Annotation, CocoImage, decode_annotations, decode_one
from autolabel.data.coco.faults import Faults
from autolabel.data.coco.lists import read_categories, read_images
from autolabel.data.coco.masks import check_masks
from autolabel.data.coco.repair import as_id
from autolabel.errors import DataError
from autolabel.storage import Location, at

__all__ = ["Annotation", "CocoBoxes", "CocoImage", "read_coco"]

_Int64 = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class CocoBoxes:
    """A checked COCO file; annotations are parsed on demand."""

    file: str
    images: Sequence[CocoImage]
    categories: Mapping[int, str]
    """Id to name, in the file's order."""
    annotations: Sequence[msgspec.Raw]
    order: _Int64
    """The annotations' indices, grouped by image, then as in the file."""
    starts: _Int64
    """The start of each image's group in ``order``, and the end of the last."""
    has_extra: bool
    """Whether any annotation has a field that COCO does not name, or was repaired."""
    broken: frozenset[int]
    """The annotations whose segmentation cannot be read."""
    faults: Faults
    """Faults of entries that were left out or repaired."""
    text: Any
    """The whole file, as it is written."""

    def __len__(self) -> int:
        return len(self.annotations)

    @property
    def notes(self) -> list[str]:
        """Notes on omitted and repaired entries, with the first places."""
        return notes_on(self.faults)

    def rest(self) -> dict[str, Any]:
        """Return the file's other content: info, licences, categories, and so on."""
        said = rest(self.text)
        said["categories"] = [{**one, "id": as_id(one["id"])} for one in said["categories"] if _usable(one)]
        return said

    def by_image(self) -> Iterator[tuple[CocoImage, list[Annotation]]]:
        """Yield every image with its annotations (possibly none), in the file's order."""
        starts = self.starts.tolist()
        for number, image in enumerate(self.images):
            chosen = self.order[starts[number] : starts[number + 1]].tolist()
            yield image, self._read(chosen)

    def _read(self, chosen: list[int]) -> list[Annotation]:
        raws = [self.annotations[index] for index in chosen]
        if not self.has_extra:
            try:
                read = decode_annotations(raws)
            except msgspec.DecodeError:
                read = [decode_one(raw)[0] for raw in raws]  # a segmentation with values that JSON cannot represent
        else:
            read = []
            for index, raw in zip(chosen, raws, strict=True):
                one, remarks = decode_one(raw)
                for remark in remarks:
                    pointer, _, message = remark.partition(": ")
                    self.faults.remark(f"/annotations/{index}{pointer}", message)
                read.append(one)
        for index, one in zip(chosen, read, strict=True):
            if index in self.broken:
                one.segmentation, one.broken_mask = None, True
        return read


def _usable(category: Any) -> bool:
    """Return whether a category has an id."""
    return isinstance(category, dict) and as_id(category.get("id")) is not None


def notes_on(faults: Faults, shown: int = 5) -> list[str]:
    """Return sentences on entries that are left out or were repaired."""
    if not faults.left_out:
        return []
    entries = "1 entry of" if faults.skipped == 1 else f"{faults.skipped:,} entries of"
    verb = "is" if faults.skipped == 1 else "are"
    count = f"{entries} {faults.file} {verb} left out" if faults.skipped else f"in {faults.file}"
    more = len(faults.left_out) - shown
    places = [f"{problem.path}: {problem.message}".removeprefix(": ") for problem in faults.left_out[:shown]]
    return [f"{count}: {'; '.join(places)}" + (f"; and {more} more" if more > 0 else "")]


def read_coco(path: str | Location, *, masks: bool = True) -> CocoBoxes:
    """Read a COCO file of boxes, with or without segmentations, of any size.

    The file is memory-mapped and every entry is checked; only ids are kept, about 0.1 kB per annotation. ``masks`` also
    checks the segmentations (sizes, polygons, sums of runs).

    An invalid entry is repaired if that is unambiguous (an id as text, a size of -1). Otherwise it is left out and
    reported in ``notes``: a reversed or non-finite box, an unknown image or category id. Raises DataError with up to 50
    problems, each with its JSON pointer, if the file is not a COCO file: not JSON or truncated, missing or malformed
    lists or categories, no usable entry. Files with videos (YouTube-VIS) are refused. A box without area, or outside
    its image, is not a fault.
    """
    return read_document(map_coco(at(path)), Faults(str(path)), masks=masks)


def read_document(document: CocoDocument, faults: Faults, *, masks: bool) -> CocoBoxes:
    """Check a COCO document that was cut up, and add what is left out of it to the faults of its file."""
    if document.halves:
        faults.remark("", "half of a surrogate pair (\\ud800 to \\udfff) is not a character and becomes U+FFFD")
    written = section_entries(document.images)
    images = read_images(written, faults)
    listed = section_entries(document.categories)
    categories = read_categories(listed, faults)
    _refuse_useless(listed, len(categories), faults)
    _refuse_useless(written, len(images), faults)
    raws = section_entries(document.annotations)
    columns = read_columns(raws, faults)
    groups = link(columns, [image.id for image in images], list(categories), faults)
    _refuse_useless(raws, int((groups >= 0).sum()), faults)
    broken = check_masks(raws, groups, images, faults) if masks else frozenset()
    order = np.argsort(groups, kind="stable")
    starts = np.searchsorted(groups[order], np.arange(len(images) + 1))
    return CocoBoxes(
        faults.file, images, categories, raws, order, starts, columns.has_extra, broken, faults, document.text
    )


def _refuse_useless(written: Sequence[Any], usable: int, faults: Faults) -> None:
    """Raise DataError if a list has entries but none is usable."""
    if len(written) and not usable:
        raise DataError(faults.left_out)
