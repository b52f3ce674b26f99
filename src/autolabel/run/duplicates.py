"""Find the near-duplicates among the images of a run, or of a folder."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from autolabel.data.inputs import decode_input
from autolabel.data.prefetch import prefetch
from autolabel.data.skipped_files import PassedOver
from autolabel.data.sources import sources, walk_files
from autolabel.duplicates import Groups, Landmarks, group, landmarks
from autolabel.errors import DataError, ImageError
from autolabel.images import MAX_PIXELS, ValueRange, content_mark, read_pixels
from autolabel.plan.model import Plan
from autolabel.registry import Registry
from autolabel.results.duplicates import duplicates_file, publish_groups, read_groups
from autolabel.results.seal import check_named
from autolabel.results.store import RunStore, finished
from autolabel.results.stored_rows import StoredRows
from autolabel.results.written import mark_stale
from autolabel.run.outputs import follow
from autolabel.storage import Location

_THREADS = 8
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _File:
    """An image to be compared."""

    image: str
    path: str
    mark: str
    """The identity of its bytes."""


def keep_groups(store: RunStore, plan: Plan) -> Groups:
    """Return the near-duplicates among a run's images, computed once, if the plan or a command requested them."""
    kept = duplicates_file(store).exists()
    if plan.outputs.duplicates != "group" and not kept:
        return Groups()
    try:
        return read_groups(store, plan) if kept else _search(store, plan)
    except DataError as error:
        _log.warning("%s; it is written again", error)
        return _search(store, plan)


def group_run(run: Location, *, registry: Registry) -> Groups:
    """Find the near-duplicates of a finished run, store them, and rewrite exports whose split changes.

    Raises DataError if ``run`` is none, or its images were never named on this machine.
    """
    store, plan = finished(run)
    check_named(run, plan)
    with store.lock():
        groups = _search(store, plan)
        if plan.outputs.split is not None:
            mark_stale(store, plan)
            follow(store, plan, registry=registry)
    return groups


def group_folder(folder: Location, *, threads: int = _THREADS) -> Groups:
    """Find the near-duplicates among the images below a folder; raises DataError if there is no folder or image."""
    listed = PassedOver().sift(one for source in sources([str(folder)]) for one in walk_files(source))
    files = [_File(row.image, row.path, content_mark(row.path)) for row in listed if not row.code]
    if not files:
        raise DataError(f"{folder}: no images below this folder")
    return _grouped(files, threads=threads, max_pixels=MAX_PIXELS, value_range=None)


def find_groups(store: RunStore, plan: Plan, images: Collection[str] | None = None) -> Groups:
    """Return the near-duplicates among a run's images, or some of them, stored or computed now, without writing."""
    if not duplicates_file(store).exists():
        return _found(store, plan, images)
    known = read_groups(store, plan)
    if images is None:
        return known
    wanted = frozenset(images)
    kept = [tuple(one for one in some if one in wanted) for some in known.members]
    return Groups(tuple(some for some in kept if len(some) > 1))


def group_images(
    files: Iterable[tuple[str, str, str]], *, threads: int = _THREADS, value_range: ValueRange = None
) -> Groups:
    """Find the near-duplicates among images, given as (id, path, content fingerprint).

    An image without a path is not read: only its bytes tell whether it is another's copy.
    """
    some = (_File(*file) for file in files)
    return _grouped(some, threads=threads, max_pixels=MAX_PIXELS, value_range=value_range)


def _search(store: RunStore, plan: Plan) -> Groups:
    found = _found(store, plan)
    publish_groups(store, plan, found)
    return found


def _found(store: RunStore, plan: Plan, images: Collection[str] | None = None) -> Groups:
    wanted = None if images is None else frozenset(images)
    files = (
        _File(row.image, plan.manifest.image_path(row.image), row.mark)
        for row in map(decode_input, StoredRows(store, plan))
        if not row.code and not row.caption_index and (wanted is None or row.image in wanted)
    )
    recipe = plan.recipe
    return _grouped(
        files, threads=plan.execution.num_workers, max_pixels=recipe.max_pixels, value_range=recipe.value_range
    )


def _grouped(files: Iterable[_File], *, threads: int, max_pixels: int, value_range: ValueRange) -> Groups:
    def read(file: _File) -> tuple[_File, Landmarks]:
        try:
            if file.path:
                return file, landmarks(read_pixels(file.path, max_pixels=max_pixels, value_range=value_range))
        except ImageError as error:
            unread.append(f"{file.image}: {error}")
        return file, Landmarks.none()

    def seen() -> Iterator[tuple[str, Landmarks]]:
        for file, marks in prefetch(read, files, threads=threads, ahead=2 * threads):
            if file.mark:
                copies.setdefault(file.mark, []).append(file.image)
            yield file.image, marks

    unread: list[str] = []
    copies: dict[str, list[str]] = {}
    images = list(seen())
    if unread:
        _log.warning("%d image(s) could not be read and were not compared, among them %s", len(unread), min(unread))
    return group(images, same=[same for same in copies.values() if len(same) > 1])
