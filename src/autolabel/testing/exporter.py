"""The contract of an exporter."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from autolabel.strategies import Exporter
from autolabel.testing.samples import AWKWARD, example_labels
from autolabel.testing.subject import Subject
from autolabel.types import Labels


class Rows:
    """Labels that can be iterated more than once, but not counted or indexed."""

    def __init__(self, labels: Sequence[Labels]) -> None:
        self.labels = labels

    def __iter__(self) -> Iterator[Labels]:
        return iter(self.labels)


def check_exporter(
    strategy: type[Exporter],
    params: Mapping[str, Any],
    *,
    labels: Sequence[Labels] = example_labels(),
    classes: Sequence[str] = AWKWARD,
) -> None:
    """Check an exporter: files inside its folder, all returned, equal bytes for equal labels, empty input."""
    subject = Subject(strategy, params)
    subject.check(Exporter)
    subject.require(strategy.needs in ("boxes", "masks"), f"`needs` must be boxes or masks, found {strategy.needs!r}")
    first = _written(subject, labels, classes)
    with ThreadPoolExecutor(1) as thread:  # as in a run
        second = thread.submit(_written, subject, labels, classes).result()
    subject.require(first, "an export of labels must write a file")
    subject.require(first.keys() == second.keys(), f"equal labels must give equal files: {set(first) ^ set(second)}")
    changed = [name for name in first if first[name] != second[name]]
    subject.require(not changed, f"equal labels must give equal bytes, but these differ: {changed}")
    _written(subject, (), classes)
    _written(subject, labels, (*classes, "a class without boxes"))
    parts = _written(subject, labels, classes, split=True)
    subject.require(parts, "an export of the parts of a split must write a file")


def _written(
    subject: Subject[Exporter], labels: Sequence[Labels], classes: Sequence[str], *, split: bool = False
) -> dict[str, bytes]:
    """Export, possibly in parts, to a new folder; return the bytes of each file by relative path."""
    with TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        out.mkdir()
        exporter = subject.make()
        if split:
            half = len(labels) // 2
            parts = {"train": Rows(labels[:half]), "val": Rows(labels[half:]), "test": Rows(())}
            paths = exporter.export_parts(parts, classes, out)
        else:
            paths = exporter.export(Rows(labels), classes, out)
        files = {path.relative_to(out).as_posix(): path.read_bytes() for path in out.rglob("*") if path.is_file()}
        subject.require(all(isinstance(path, Path) for path in paths), f"`export` must return paths, found {paths!r}")
        stray = [str(path) for path in paths if not path.resolve().is_relative_to(out.resolve())]
        subject.require(not stray, f"files must be written inside the folder that is given, found {stray}")
        missing = [path.name for path in paths if not path.exists()]
        subject.require(not missing, f"`export` names files that do not exist: {missing}")
        named = {path.parent.resolve() / path.name for path in paths}
        unnamed = [name for name in files if not _covered(out / name, named)]
        subject.require(not unnamed, f"`export` must return every file that it writes; left out: {unnamed}")
        return files


def _covered(file: Path, named: set[Path]) -> bool:
    """Return whether a file, or a folder that contains it, was returned."""
    place = file.parent.resolve() / file.name  # links are not resolved
    return any(path in named for path in (place, *place.parents))
