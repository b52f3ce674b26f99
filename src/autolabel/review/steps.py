"""Undo history: actions of a tab, and actions of earlier servers in the journal."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from functools import cached_property

from autolabel.errors import DataError
from autolabel.results.decision import Decision, Key, Review, Row, parse_review
from autolabel.results.store import RunStore
from autolabel.storage import read_part

_MOST_STEPS = 200
"""The number of actions of a tab that can be undone."""
_MOST_TABS = 100
_TAIL = 1 << 22
"""Bytes of the journal's end in which earlier actions are looked for."""


@dataclass(slots=True)
class ReviewStep:
    """One action with the decisions before and after it."""

    id: str
    name: Row
    before: dict[Key, Decision | None]
    after: dict[Key, Decision | None]


_Steps = deque[ReviewStep]


def _no_steps() -> _Steps:
    return deque(maxlen=_MOST_STEPS)


class History:
    """The undo and redo history of each tab, continued by the actions of earlier servers.

    Only actions of the same reviewer on the page are included.
    """

    def __init__(self, store: RunStore, reviewer: str | None, *, end: int) -> None:
        """Create an empty history; ``end`` is the current length of the journal."""
        self._source = store, reviewer, end
        self._done: dict[str, _Steps] = {}
        self._undone: dict[str, _Steps] = {}

    def do(self, tab: str, step: ReviewStep) -> None:
        """Add an action of a tab, and clear its redo history."""
        self._undone.pop(tab, None)
        self._earlier[1].clear()
        self._add(self._done, tab, step)

    def complete(self, tab: str, step: ReviewStep, *, follows: str) -> None:
        """Merge a step into the tab's last one if that has the id ``follows``; otherwise add it."""
        last = self._done.get(tab)
        if last and last[-1].id == follows and last[-1].after.keys() >= step.after.keys():
            last[-1].after |= step.after
        else:
            self._add(self._done, tab, step)

    def take(self, tab: str, *, undone: bool) -> ReviewStep | None:
        """Remove and return the last step of a tab, or of earlier servers, from its undo or redo history."""
        mine = (self._undone if undone else self._done).get(tab) or self._earlier[undone]
        return mine.pop() if mine else None

    def give(self, tab: str, step: ReviewStep, *, undone: bool) -> None:
        """Add a step to a tab's undo or redo history."""
        self._add(self._undone if undone else self._done, tab, step)

    @cached_property
    def _earlier(self) -> tuple[_Steps, _Steps]:
        store, reviewer, end = self._source
        return _earlier_steps(store, reviewer, end=end)

    def _add(self, steps: dict[str, _Steps], tab: str, step: ReviewStep) -> None:
        steps.setdefault(tab, _no_steps()).append(step)
        while len(steps) > _MOST_TABS:
            steps.pop(next(iter(steps)))


def _earlier_steps(store: RunStore, reviewer: str | None, *, end: int) -> tuple[_Steps, _Steps]:
    """Return a reviewer's done and undone actions on the page, from the journal's first ``end`` bytes.

    Only the last lines are read. Actions without a record of what they replaced cannot be undone, and end the history.
    """
    done, undone = _no_steps(), _no_steps()
    for action in _actions(store, end):
        if action.reviewer != reviewer or not (action.source or "").startswith("page ") or not action.decisions:
            continue
        if action.replaces is None:
            done.clear()
            undone.clear()
            continue
        step = _step(action)
        if done and action.undoes == done[-1].id:
            done.pop()
            undone.append(step)
        elif undone and action.undoes == undone[-1].id:
            undone.pop()
            done.append(step)
        elif done and action.follows == done[-1].id:
            done[-1].after |= step.after
        else:
            done.append(step)
            undone.clear()
    return done, undone


def _actions(store: RunStore, end: int) -> list[Review]:
    """Return the actions in the last complete lines before ``end``; empty if they cannot be read."""
    start = max(0, end - _TAIL)
    lines = read_part(store.journal, start, end).split(b"\n") if end else []
    try:
        return [parse_review(line, file=str(store.journal)) for line in lines[bool(start) :] if line.strip()]
    except DataError:
        return []


def _step(action: Review) -> ReviewStep:
    after = {one.key: None if one.verdict == "forget" else _signed(one, action) for one in action.decisions}
    before: dict[Key, Decision | None] = dict.fromkeys(after)
    before |= {one.key: one for one in action.replaces or ()}
    return ReviewStep(action.id or "", action.decisions[0].row, before, after)


def _signed(one: Decision, action: Review) -> Decision:
    return one.model_copy(update={"reviewer": one.reviewer or action.reviewer, "time": one.time or action.time})
