"""Read and write ``duplicates.json``, the near-duplicates of a run."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from autolabel.duplicates import Groups
from autolabel.errors import DataError
from autolabel.plan.model import Plan
from autolabel.results.store import RunStore, publish
from autolabel.storage import Location, read_regular

_FILE = "duplicates.json"
_MOST_BYTES = 1 << 30
_AGAIN = "`autolabel duplicates RUN` writes it again"


class _Stored(msgspec.Struct, frozen=True, kw_only=True):
    """The file."""

    version: int = 1
    images: str
    """The digest of the compared images and their bytes."""
    groups: tuple[tuple[str, ...], ...]
    sha256: str
    """The SHA-256 of the rest of the file."""


def duplicates_file(store: RunStore) -> Location:
    """Return the path of a run's groups."""
    return store.root / _FILE


def read_groups(store: RunStore, plan: Plan) -> Groups:
    """Return the groups of near-duplicates among a run's images; no groups if they were never computed.

    Raises DataError if the file is damaged, or was written for other images.
    """
    path = duplicates_file(store)
    if not path.exists():
        return Groups()
    try:
        stored = msgspec.json.decode(read_regular(path, most=_MOST_BYTES), type=_Stored)
    except msgspec.DecodeError as error:
        raise DataError(f"{path}: is damaged: {error}", hint=_AGAIN) from error
    if stored.sha256 != _sum(stored.images, stored.groups):
        raise DataError(f"{path}: is damaged: its SHA-256 does not match", hint=_AGAIN)
    if stored.images != _images_of(plan):
        raise DataError(f"{path}: was written for other images than the run has now", hint=_AGAIN)
    return Groups(stored.groups)


def publish_groups(store: RunStore, plan: Plan, groups: Groups) -> None:
    """Write the groups of near-duplicates among a run's images."""
    images = _images_of(plan)
    stored = _Stored(images=images, groups=groups.members, sha256=_sum(images, groups.members))
    text: Any = msgspec.json.format(msgspec.json.encode(stored), indent=1)
    publish(duplicates_file(store), [text + b"\n"], name="duplicates")


def _images_of(plan: Plan) -> str:
    """Return a digest of a run's images."""
    return hashlib.sha256(f"{plan.manifest.fingerprint} {plan.manifest.contents}".encode()).hexdigest()


def _sum(images: str, groups: tuple[tuple[str, ...], ...]) -> str:
    return hashlib.sha256(msgspec.json.encode([images, groups])).hexdigest()
