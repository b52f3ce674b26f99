"""Read a COCO file of boxes strictly, whatever its size."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
import numpy.typing as npt

from autolabel.data.coco.columns import link, read_columns
from autolabel.data.coco.document import entries, read_document
from autolabel.data.coco.entries import Annotation, CocoImage, decode, decode_with_extra
from autolabel.data.coco.faults import Faults
from autolabel.data.coco.lists import read_categories, read_images
from autolabel.data.coco.masks import check_masks
from autolabel.errors import DataError, Problem
from autolabel.storage import Location, at

__all__ = ["Annotation", "CocoBoxes", "CocoImage", "read_coco"]

Int64 = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class CocoBoxes:
    """A checked COCO file; annotations stay text until they are asked for."""

    file: str
    images: Sequence[CocoImage]
    categories: Mapping[int, str]
    """Id to name, in the file's order."""
    annotations: Sequence[msgspec.Raw]
    order: Int64
    """The annotations' indices, grouped by image, then as in the file."""
    starts: Int64
    """Where each image's group starts in ``order``, and the end of the last."""
    has_extra: bool
    """Whether any annotation has a field that COCO does not name."""

    def __len__(self) -> int:
        return len(self.annotations)

    def by_image(self) -> Iterator[tuple[CocoImage, list[Annotation]]]:
        """Yield every image in the file's order with its annotations in the file's order, maybe none."""
        starts = self.starts.tolist()
        for number, image in enumerate(self.images):
            chosen = self.order[starts[number] : starts[number + 1]].tolist()
            yield image, self._read(chosen)

    def _read(self, chosen: list[int]) -> list[Annotation]:
        raws = [self.annotations[index] for index in chosen]
        try:
            return [decode_with_extra(raw) for raw in raws] if self.has_extra else decode(raws)
        except msgspec.DecodeError as error:
            pointer = f"/annotations/{chosen[0]}" if chosen else "/annotations"
            problem = Problem(file=self.file, path=pointer, message=f"this one or a later one of its image: {error}")
            raise DataError(problem) from error


def read_coco(path: str | Location, *, masks: bool = True) -> CocoBoxes:
    """Read a COCO file of boxes, with or without segmentations.

    The file is mapped, every entry is checked, and only ids stay in memory: about 0.1 kB an annotation besides the
    mapped file. ``masks`` checks the segmentations too (sizes, polygons, that runs add up to the image's pixels).

    Raises DataError with up to 50 problems, each with its JSON pointer: not JSON or cut off, wrong types, missing
    fields, doubled ids, ids of no image or category, numbers that are not finite, reversed boxes, unsafe file names.
    A file with videos (YouTube-VIS) is refused by name. A box without area, or outside its image, is not a fault:
    see ``Annotation.note``.
    """
    document = read_document(at(path))
    faults = Faults(str(path))
    images = read_images(entries(document.images), faults)
    categories = read_categories(entries(document.categories), faults)
    raws = entries(document.annotations)
    columns = read_columns(raws, faults)
    faults.stop()
    groups = link(columns, [image.id for image in images], list(categories), faults)
    if masks:
        check_masks(raws, groups, images, faults)
    faults.stop()
    order = np.argsort(groups, kind="stable")
    starts = np.searchsorted(groups[order], np.arange(len(images) + 1))
    return CocoBoxes(str(path), images, categories, raws, order, starts, columns.has_extra)
