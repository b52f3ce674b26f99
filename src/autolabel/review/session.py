"""The session of an open review page: rows, current decisions, changes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from secrets import token_hex
from typing import Any

import numpy as np

from autolabel.errors import BusyError, DataError
from autolabel.plan.model import Plan, SizeLimits
from autolabel.results.decision import VERSION, Decision, Key, Mask, Review, Row
from autolabel.results.journal import Journal
from autolabel.results.review import join_row
from autolabel.results.row_view import RowView, view
from autolabel.results.select import above_threshold, within
from autolabel.results.store import RunStore
from autolabel.results.written import mark_stale, standing
from autolabel.review import changes
from autolabel.review.masks import MaskStage
from autolabel.review.order import CHECKED, LEFT_OUT, TOUCHED, UNTOUCHED, Query, listed
from autolabel.review.pictures import Pictures
from autolabel.review.row_index import RowIndex, Rows
from autolabel.review.row_json import row_json
from autolabel.review.steps import History, ReviewStep
from autolabel.types import Labels

_LISTS = 8
"""The number of ordered lists that are cached for tabs."""
_PATIENCE = 0.4
"""Seconds that a list waits for the index before it shows what is indexed so far."""


class ReviewSession:
    """A run under review; thread-safe."""

    def __init__(
        self,
        store: RunStore,
        plan: Plan,
        *,
        reviewer: str | None = None,
        masks: MaskStage | None = None,
    ) -> None:
        """Read the decisions; ``index`` must be filled by ``index.build``."""
        self.store = store
        self.plan = plan
        self.reviewer = reviewer
        self.masks = masks
        labelers = max((len(stage.members) for stage in plan.recipe.stages), default=1) or 1
        self.index = RowIndex(store.labels, plan.manifest.classes, rows=plan.manifest.rows, labelers=labelers)
        self.pictures = Pictures(plan.recipe)
        self.journal = Journal(store)
        self.images: Sequence[int] | None = None
        """The rows that a list of images limits the review to."""
        self.changed = False
        """Whether anything was decided here."""
        self._alone = threading.RLock()
        self._flags = bytearray()
        self._flagged = False
        self._lists: OrderedDict[str, tuple[Query, bool, Rows]] = OrderedDict()
        self._history = History(store, reviewer, end=self.journal.position)
        self._changed: list[Row] = []

    # ---- reading ------------------------------------------------------------------------------------------------

    def labels(self, row: int) -> Labels:
        """Return a row with its image path; raises DataError for an unknown number."""
        try:
            labels = self.index.labels(row)
        except IndexError:
            raise DataError(f"there is no row {row}") from None
        return replace(labels, image=replace(labels.image, path=self.plan.manifest.image_path(labels.image.id)))

    def view(self, row: int) -> RowView:
        """Return a row with its current decisions."""
        return self._view(self.labels(row))

    def _view(self, labels: Labels) -> RowView:
        outputs = self.plan.outputs
        shown = within(labels, outputs.filter or SizeLimits()) & above_threshold(labels, outputs.thresholds or {})
        with self._alone:
            decisions = list(self.journal.rows.get((labels.image.id, labels.caption_index), {}).values())
        return view(labels, decisions, shown=shown.tolist())

    def rows(self, name: str, query: Query, *, start: int, count: int) -> dict[str, Any]:
        """Return a part of a list; the page's ``name`` for it keeps the list unchanged between requests."""
        with self._alone:
            known = self._lists.get(name)
        if known is None or known[0] != query or (not known[1] and self.index.complete):
            complete = self.index.wait(start + count if query.order in ("name", "list") else None, seconds=_PATIENCE)
            complete = complete and self.index.complete
            known = (query, complete, listed(self.index, query, flags=self.flags, images=self.images))
            with self._alone:
                self._lists[name] = known
                self._lists.move_to_end(name)
                while len(self._lists) > _LISTS:
                    self._lists.popitem(last=False)
        _, complete, found = known
        part = found[start : start + count].tolist()
        return {
            "total": len(found),
            "start": start,
            "complete": complete,
            "indexed": len(self.index),
            "rows": [self.summary(row) for row in part],
        }

    def summary(self, row: int) -> dict[str, Any]:
        """Return the summary of a row for a list."""
        labels = self.index
        return {
            "row": row,
            "image": labels.name(row),
            "boxes": labels.boxes(row),
            "least": labels.least_of(row) if labels.boxes(row) else None,
            "state": self.flag(row),
        }

    def flag(self, row: int) -> int:
        """Return the state of a row: UNTOUCHED, TOUCHED, CHECKED or LEFT_OUT."""
        said = self.journal.rows.get((self.index.name(row), self.index.caption(row)))
        if not said:
            return UNTOUCHED
        if None not in said:
            return TOUCHED
        return LEFT_OUT if said[None].verdict == "reject" else CHECKED

    def flags(self) -> bytearray:
        """Return one byte per row; while indexing is in progress, later rows are missing."""
        with self._alone:
            grown = len(self.index) - len(self._flags)
            self._flags.extend(bytes(grown))
            if self.index.complete and not self._flagged:
                self._flagged = True
                self._flag(self.journal.rows)
            return self._flags

    def _flag(self, names: Iterable[Row]) -> None:
        for name in names:
            row = self.index.find(*name)
            if row is not None and row < len(self._flags):
                self._flags[row] = self.flag(row)

    def progress(self) -> dict[str, int]:
        """Return the numbers of all, checked, left-out and partly decided rows."""
        counts = np.bincount(np.frombuffer(bytes(self.flags()), np.uint8), minlength=4)
        return {
            "rows": len(self.index),
            "checked": int(counts[CHECKED]),
            "left_out": int(counts[LEFT_OUT]),
            "touched": int(counts[TOUCHED]),
        }

    # ---- changing -----------------------------------------------------------------------------------------------

    def decide(self, request: changes.Request) -> dict[str, Any]:
        """Write the requested changes, and return the updated row."""
        with self._alone:
            self._follow()
            if request.id in self.journal.seen:
                return self._row_json(request.row)
            labels = self._same(request.row, request.image)
            current = self._view(labels)
            made = changes.decisions(request, current, classes=self.plan.manifest.classes)
            old = list(self.journal.rows.get(current.row, {}).values())
            wanted = join_row(old, made, labels=labels)
            if wanted:
                step = self._write(wanted, id=request.id, tab=request.tab)
                self._history.do(request.tab, step)
            return self._row_json(request.row)

    def segment(self, row: int, image: str, key: Key, *, tab: str, follows: str) -> dict[str, Any]:
        """Compute the mask of a box, write it, and return the updated row.

        Undo treats it as one step with the action ``follows``. Raises DataError if there is no mask stage.
        """
        if self.masks is None or key is None:
            raise DataError("this review has no mask stage", hint="start it without --no-model on a run with masks")
        labels = self._same(row, image)
        before = next((box for box in self._view(labels).boxes if box.key == key), None)
        if before is None or before.verdict != "keep":
            return self._row_json(row)
        mask = self.masks.mask(labels, before.name, before.place)
        with self._alone:
            self._follow()
            box = next((box for box in self._view(labels).boxes if box.key == key), None)
            if mask is None or box is None or box.verdict != "keep" or box.place != before.place:
                return self._row_json(row)
            name = (labels.image.id, labels.caption_index)
            made = changes.with_mask(box, Mask(size=mask.size, counts=mask.counts), name)
            step = self._write([made], id=token_hex(8), tab=tab, follows=follows)
            self._history.complete(tab, step, follows=follows)
            return self._row_json(row)

    def undo(self, tab: str) -> dict[str, Any] | None:
        """Undo the last action of a tab; return its updated row, None if there is nothing to undo.

        Raises BusyError if another decision about the same boxes was made since.
        """
        return self._back(tab, redo=False)

    def redo(self, tab: str) -> dict[str, Any] | None:
        """Redo the last undone action, as ``undo`` does."""
        return self._back(tab, redo=True)

    def _back(self, tab: str, *, redo: bool) -> dict[str, Any] | None:
        with self._alone:
            self._follow()
            step = self._history.take(tab, undone=redo)
            row = None if step is None else self.index.find(*step.name)
            if step is None or row is None:
                return None
            stands = self.journal.rows.get(step.name, {})
            if any(stands.get(key) != decision for key, decision in step.after.items()):
                raise BusyError("someone has changed this decision in the meantime; nothing was changed")
            forget = {"image": step.name[0], "caption_index": step.name[1], "verdict": "forget"}
            back = [
                decision if decision is not None else _forgotten(key, forget) for key, decision in step.before.items()
            ]
            made = self._write(back, id=token_hex(8), tab=tab, undoes=step.id)
            self._history.give(tab, made, undone=not redo)
            return self._row_json(row)

    def _write(self, wanted: Sequence[Decision], *, tab: str, id: str, **links: str) -> ReviewStep:
        name = wanted[0].row
        keys = [one.key for one in wanted]
        before = {key: self.journal.rows.get(name, {}).get(key) for key in keys}
        action = Review(
            version=VERSION,
            plan=self.plan.digest,
            id=id,
            time=datetime.now(UTC).isoformat(timespec="seconds"),
            reviewer=self.reviewer,
            source=f"page {tab}",
            decisions=tuple(wanted),
            replaces=tuple(one for one in before.values() if one is not None),
            **links,
        )
        self.changed = True
        self._mark_stale()
        self._note(self.journal.append(action))
        self._note([action])
        after = {key: self.journal.rows.get(name, {}).get(key) for key in keys}
        return ReviewStep(id, name, before, after)

    def _mark_stale(self) -> None:
        """Mark exports as outdated before a decision is written."""
        if any(standing(self.store, self.plan).values()):
            try:
                with self.store.lock():
                    mark_stale(self.store, self.plan)
            except BusyError:  # being written; the next call tries again
                return

    def _same(self, row: int, image: str) -> Labels:
        if self.index.replaced():
            raise BusyError("the labels of this run have been rewritten: start the review again")
        labels = self.labels(row)
        if labels.image.id != image:
            raise DataError(f"row {row} is {labels.image.id}, not {image}: load the page again")
        return labels

    def _follow(self) -> None:
        self._note(self.journal.follow())

    def _note(self, actions: Sequence[Review]) -> None:
        """Update the state that depends on the decisions of some rows."""
        self.flags()
        names = dict.fromkeys(row for action in actions for row in action.by_row)
        self._flag(names)
        self._changed += names

    def news(self, since: int) -> dict[str, Any]:
        """Return the rows changed since a change number, and the current number."""
        with self._alone:
            self._follow()
            if self.changed:
                self._mark_stale()
            names = dict.fromkeys(self._changed[max(0, since) :])
            rows = [self.index.find(*name) for name in list(names)[-1000:]]
            return {"changes": len(self._changed), "rows": [row for row in rows if row is not None]}

    def _row_json(self, row: int) -> dict[str, Any]:
        """Return a row with its current decisions and the page's other data."""
        with self._alone:
            return {
                "row": row,
                **row_json(self.view(row)),
                "flag": self.flag(row),
                "changes": len(self._changed),
                "progress": self.progress(),
            }

    def row_json(self, row: int) -> dict[str, Any]:
        """Return a row with its current decisions, including those of other processes."""
        with self._alone:
            self._follow()
        return self._row_json(row)

    def checkpoint(self) -> int:
        """Write ``review.json`` if there are decisions; return their number."""
        with self._alone:
            self._follow()
            standing_now = self.journal.checkpoint() if self.journal.position else self.journal.decisions()
            return len(standing_now.decisions)


def _forgotten(key: Key, named: dict[str, Any]) -> Decision:
    return Decision(**named) if key is None else Decision(**named, phrase=key[0], bbox=key[1])
