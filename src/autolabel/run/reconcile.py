"""Update a run for added, removed, renamed and changed images, keeping the labels of all others."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from secrets import token_hex

from msgspec.structs import replace

from autolabel.data.inputs import Input, encode_input
from autolabel.external_sort import SpooledLines
from autolabel.plan.identity import row_identity
from autolabel.plan.model import Plan, Shard
from autolabel.plan.shards import ShardedRows, shard_of
from autolabel.results import record
from autolabel.results.decision import VERSION, Review
from autolabel.results.journal import Journal
from autolabel.results.shard_file import DamageError
from autolabel.results.store import RunStore
from autolabel.storage import read_part

_SHOWN = 5


@dataclass(slots=True)
class _RowChanges:
    """The changes of a run's rows since planning."""

    kept: list[Input | None]
    """For each row that was there, the row that it is now; None if it is gone or has to be labelled again."""
    renamed: dict[str, str] = field(default_factory=dict)
    """New names of images by their old ones."""
    removed: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    """Images that have other pixels now, or of which something else is asked."""
    added: list[str] = field(default_factory=list)
    new: list[Input] = field(default_factory=list)
    """The rows to label: those of added and of changed images."""

    def __bool__(self) -> bool:
        """Return whether there are any changes."""
        return bool(self.renamed or self.removed or self.changed or self.added)

    def said(self) -> str:
        """Describe the changes, with the first names of each kind."""
        renamed = [f"{old} -> {new}" for old, new in self.renamed.items()]
        kinds = (("added", self.added), ("removed", self.removed), ("renamed", renamed), ("changed", self.changed))
        return ", ".join(f"{len(names):,} {kind} ({_shortened(names)})" for kind, names in kinds if names)


def _shortened(names: Sequence[str]) -> str:
    """Return the first of some names."""
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")


def compare_rows(old: Sequence[Input], now: Iterable[Input]) -> _RowChanges:
    """Compare rows; a file with another name and the same content counts as renamed."""
    rows = {(row.image, row.caption_index): row for row in now}
    step = _RowChanges(kept=[])
    for row in old:
        found = rows.get((row.image, row.caption_index))
        same = found is not None and _unchanged(row, found)
        step.kept.append(rows.pop((row.image, row.caption_index)) if same else None)
    _follow(step, old, rows)
    removed, changed = dict[str, None](), dict[str, None]()
    for row, kept in zip(old, step.kept, strict=True):
        if kept is None:
            found = rows.pop((row.image, row.caption_index), None)
            (removed if found is None else changed)[row.image] = None
            step.new += [] if found is None else [found]
    step.removed, step.changed = list(removed), list(changed)
    step.added = list(dict.fromkeys(row.image for row in rows.values()))
    step.new += rows.values()
    return step


def _unchanged(before: Input, after: Input) -> bool:
    """Return whether a row is unchanged: prompt, size, and content fingerprint if known."""
    return row_identity(before) == row_identity(after) and (
        before.mark == after.mark or not (before.mark and after.mark)
    )


def _follow(step: _RowChanges, old: Sequence[Input], rows: dict[tuple[str, int], Input]) -> None:
    """Find changed rows under other names, and remove matches from ``rows``."""
    by_content: dict[bytes, list[tuple[str, int]]] = defaultdict(list)
    for key, row in rows.items():
        if row.mark:
            by_content[_content(row)].append(key)
    for index, row in enumerate(old):
        if step.kept[index] is None and row.mark and (alike := by_content.get(_content(row))):
            found = rows.pop(alike.pop(0))
            step.kept[index] = found
            if found.image != row.image:
                step.renamed[row.image] = found.image


def _content(row: Input) -> bytes:
    """Return the identity of a row without its name: content, size, prompt."""
    return row.mark.encode() + row_identity(replace(row, image="", notes=()))


@dataclass(frozen=True, slots=True)
class Layout:
    """The shards of an updated run: shards with unchanged rows are kept, all others are new."""

    lines: SpooledLines
    """All rows, and those that no shard has any more."""
    shards: tuple[Shard, ...]
    moved: Mapping[int, Shard]
    """New shards by the index of the old one whose rows, without those that are gone, they hold."""


def lay_out(store: RunStore, old: Plan, step: _RowChanges, more: ShardedRows) -> Layout:
    """Assign kept rows to shards; rows of a changed shard move to a new shard, and the old one becomes empty.

    Rows are appended to the stored ones, so that the stored plan stays valid: after an interruption, the next run finds
    one of the two plans. All rows are rewritten only if image folders have moved.
    """
    groups = _by_shard(old, step)
    renamed = frozenset(step.renamed.values())
    stays = {index for index, kept in groups.items() if all(row and row.image not in renamed for row in kept)}
    lines = {index: [encode_input(row) for row in kept if row is not None] for index, kept in groups.items()}
    spool = SpooledLines()
    if all(lines[index] == store.rows(old.manifest.shards[index]) for index in stays):
        end = max((shard.offset + shard.bytes for shard in old.manifest.shards), default=0)
        spool.extend(read_part(store.inputs, 0, end).splitlines())
        shards = [one if one.index in stays else Shard(one.index, 0, one.offset, 0) for one in old.manifest.shards]
    else:
        shards = [
            shard_of(one.index, lines[one.index] if one.index in stays else [], spool) for one in old.manifest.shards
        ]
    moved = {}
    for index in sorted(lines.keys() - stays):
        if lines[index]:
            moved[index] = shard_of(len(shards), lines[index], spool)
            shards.append(moved[index])
    for shard in more.shards:
        own = list(more.lines.lines(shard.offset, shard.offset + shard.bytes))
        shards.append(shard_of(len(shards), own, spool))
    return Layout(spool, tuple(shards), moved)


def _by_shard(old: Plan, step: _RowChanges) -> dict[int, list[Input | None]]:
    """Return the current rows of each shard, None for removed ones."""
    source = iter(step.kept)
    return {shard.index: list(islice(source, shard.rows)) for shard in old.manifest.shards}


def move_labels(store: RunStore, old: Plan, plan: Plan, step: _RowChanges, layout: Layout) -> None:
    """Copy the labels of changed shards to the new shards, under the new names."""
    groups = _by_shard(old, step)
    for stage in old.recipe.stages:
        published = store.published(stage)
        for index, target in layout.moved.items():
            source = old.manifest.shards[index]
            if store.shard(stage, index).name not in published:
                continue
            try:
                lines = store.lines(old, stage, source)
            except DamageError:
                continue  # will be labelled again
            pairs = zip(lines, groups[index], strict=True)
            rows = [record.with_image_name(line, row.image) for line, row in pairs if row is not None]
            store.publish_shard(plan, stage, target, rows)


def move_decisions(store: RunStore, plan: Plan, renamed: Mapping[str, str]) -> None:
    """Move decisions to the new names of renamed images; does nothing if that is done."""
    journal = Journal(store)
    old = [one for row in journal.rows.values() for one in row.values() if one.image in renamed]
    if not old:
        return
    gone = [one.model_copy(update={"verdict": "forget", "becomes": None}) for one in old]
    moved = [one.model_copy(update={"image": renamed[one.image]}) for one in old]
    action = Review(
        version=VERSION,
        plan=plan.digest,
        id=token_hex(8),
        time=datetime.now(UTC).isoformat(timespec="seconds"),
        source="images that were renamed",
        decisions=(*gone, *moved),
    )
    journal.append(action)
    journal.checkpoint()


def empty_shards(store: RunStore, plan: Plan) -> None:
    """Publish empty files for shards without rows."""
    for stage in plan.recipe.stages:
        for shard in plan.manifest.shards:
            if not shard.rows:
                store.publish_shard(plan, stage, shard, [])
