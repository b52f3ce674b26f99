"""Count the files below image folders that are not inputs, by reason."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence

from autolabel.data.inputs import Input
from autolabel.data.sources import HIDDEN, SYSTEM_FOLDER, ListedRow
from autolabel.images import advice, suffix_of

_FORMAT, NOT_NAMED = "format", "not named"
_SHOWN = 3
_MOST_REMEMBERED = 10_000


class PassedOver:
    """Counts of files by reason, with the first names of each."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.first: dict[str, list[str]] = defaultdict(list)
        self.several: list[str] = []
        """Images of files with several pages or frames, of which the first is a row."""
        self._taken: set[str] = set()
        self.files: dict[str, ListedRow] = {}
        """Skipped files that are images, by id; a file of captions or boxes may name them."""

    def sift(self, listing: Iterable[ListedRow]) -> Iterator[Input]:
        """Yield the rows of files that are inputs, count the others."""
        for row, reason in listing:
            if not reason:
                yield row
                continue
            self.add(reason, row.image)
            if reason != "extension" and len(self.files) < _MOST_REMEMBERED:
                self.files[row.image] = row, reason

    def add(self, reason: str, name: str) -> None:
        """Count one file."""
        self.counts[reason] += 1
        if len(self.first[reason]) < _SHOWN:
            self.first[reason].append(name)

    def named(self, name: str, image: str) -> Input:
        """Return the row for ``name``, which means the skipped file ``image``; failed if that cannot be used.

        Hidden files and those of system folders can be used if they are named.
        """
        row, reason = self.files[image]
        if reason in (HIDDEN, SYSTEM_FOLDER):
            self.counts[reason] -= name not in self._taken
            self._taken.add(name)
            return row
        suffix = suffix_of(image)
        unread = f"{suffix.removeprefix('.')} files are not read; {advice(suffix)}"
        why = unread if reason == _FORMAT else f"it is passed over: {reason}"
        return Input(image=name, code="unsupported_format", message=f"{image}: {why}")

    def notices(self) -> list[str]:
        """Return notices about images that are not labelled: other formats, files not named, further pages."""
        out = []
        if count := self.counts[_FORMAT]:
            hint = advice(suffix_of(self.first[_FORMAT][0]))
            out.append(
                f"{_said(count, 'image')} of a format that is not read: {_names(self.first[_FORMAT], count)}; {hint}"
            )
        if count := self.counts[NOT_NAMED]:
            out.append(f"{_said(count, 'image')} that no row names: {_names(self.first[NOT_NAMED], count)}")
        if count := len(self.several):
            notice = f"{_said(count, 'file')} with several pages or frames, of which the first is labelled"
            out.append(f"{notice}: {_names(sorted(self.several)[:_SHOWN], count)}; data.pages: all labels each")
        return out


def _said(count: int, noun: str) -> str:
    """Return a number with its noun."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def _names(first: Sequence[str], count: int) -> str:
    """Return the first names."""
    return ", ".join(first) + (", ..." if count > len(first) else "")
