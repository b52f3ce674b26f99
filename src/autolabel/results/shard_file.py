"""Read and write shard files: rows, and a footer with their checksum."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import msgspec

from autolabel.plan.model import PROVEN, Plan, Shard, Stage
from autolabel.results import record

_START = b'{"rows":'
"""The start of the last line; no row starts like that."""


class _Footer(msgspec.Struct, frozen=True, kw_only=True):
    """The last line of a shard file: number of rows, plan, shard, and SHA-256."""

    rows: int
    sha256: str
    plan: str
    stage: str
    shard: int


_encoder = msgspec.json.Encoder()
_footers = msgspec.json.Decoder(_Footer)


class DamageError(Exception):
    """A file is damaged; the message says how."""


def shard_lines(rows: Iterable[bytes], *, plan: str, stage: Stage, shard: int) -> list[bytes]:
    """Return the lines of a shard file, with newlines; ``rows`` have none, ``plan`` is the digest."""
    lines = [row + b"\n" for row in rows]
    sha256 = hashlib.sha256(b"".join(lines)).hexdigest()
    footer = _Footer(rows=len(lines), sha256=sha256, plan=plan, stage=stage.name, shard=shard)
    return [*lines, _encoder.encode(footer) + b"\n"]


def read_shard(data: bytes, *, plan: Plan, stage: Stage, shard: Shard) -> list[bytes]:
    """Return the rows of a shard file, without newlines; raises DamageError if they are damaged or of another shard.

    A file without a footer is checked row by row if its plan is from a version without footers.
    """
    start = data.rfind(b"\n", 0, -1) + 1
    last = data[start:]
    if not last.startswith(_START):
        return _unproven(data, plan=plan, shard=shard)
    try:
        footer = _footers.decode(last)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DamageError(f"its last line cannot be read: {error}") from None
    if not last.endswith(b"\n") or hashlib.sha256(data[:start]).hexdigest() != footer.sha256:
        raise DamageError("its SHA-256 does not match")
    if (footer.stage, footer.shard, footer.rows) != (stage.name, shard.index, shard.rows):
        raise DamageError(f"it holds shard {footer.shard} of {footer.stage}, {footer.rows} rows")
    if footer.plan != plan.digest and footer.plan not in plan.extends:
        raise DamageError("it belongs to another plan")
    return data[:start].splitlines()


def _unproven(data: bytes, *, plan: Plan, shard: Shard) -> list[bytes]:
    """Return the rows of a file without footer, as written by autolabel 0.1.0."""
    if plan.version >= PROVEN:
        raise DamageError("it has no last line with a checksum" if data else "it is empty")
    rows = data.splitlines()
    if len(rows) != shard.rows:
        raise DamageError(f"it has {len(rows)} rows, wanted {shard.rows}")
    _check_rows(rows)
    return rows


def _check_rows(rows: Sequence[bytes]) -> None:
    """Raise DamageError at the first line that is invalid or repeated."""
    seen: set[tuple[str, int]] = set()
    for number, row in enumerate(rows, 1):
        try:
            labels = record.decode_labels(row)
        except record.RowError as error:
            raise DamageError(f"line {number}: {error}") from None
        name = labels.image.id, labels.caption_index
        if name in seen:
            raise DamageError(f"line {number}: {name[0]!r} appears twice")
        seen.add(name)
