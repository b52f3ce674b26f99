"""Write a package of strategies to start from: a copy of the one in ``autolabel/starter``, under another name."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path

from autolabel.errors import MachineError, SpecError
from autolabel.registry import KINDS, Registry

STARTER = Path(__file__).resolve().parents[1] / "starter"
"""The starter package; it works unchanged, and is linted and tested like all other code."""
EXAMPLE = "autolabel-colors"
"""The package that the documentation uses; in the wheel it is in ``autolabel/examples``."""
_PREFIX = "autolabel-"
_SPELLING = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_LEFT_OUT = {"__pycache__", ".ruff_cache", ".mypy_cache", ".pytest_cache"}


@dataclass(frozen=True, slots=True)
class _PackageNames:
    """The names that replace ``starter`` in file names and texts."""

    word: str
    """The name in lower case, its parts joined by ``-``, without the prefix ``autolabel-``."""

    @property
    def package(self) -> str:
        """The distribution's name."""
        return _PREFIX + self.word

    @property
    def strategy(self) -> str:
        """The value of ``type:`` in a spec."""
        return self.word.replace("-", "_")

    def taken(self, registry: Registry) -> Iterator[str]:
        """Yield a description of each installed thing that has one of these names."""
        yield from (
            f"{entry.kind} {entry.name!r} (package {entry.package!r})"
            for entry in registry
            if entry.name == self.strategy
        )
        if find_spec(f"autolabel_{self.strategy}"):
            yield f"module 'autolabel_{self.strategy}'"
        with suppress(PackageNotFoundError):
            yield f"package {distribution(self.package).name!r}"

    def rename(self, text: str) -> str:
        """Return a text of the starter with the new names."""
        camel = "".join(part.capitalize() for part in self.word.split("-"))
        text = text.replace(f"{_PREFIX}starter", self.package).replace("starter-", f"{self.word}-")
        return text.replace("starter", self.strategy).replace("Starter", camel)


def new_plugin(name: str, folder: Path, *, kinds: Sequence[str] = KINDS, registry: Registry) -> tuple[Path, list[Path]]:
    """Write the package ``autolabel-NAME`` below ``folder``; return its own folder and its files.

    It holds one strategy of each kind in ``kinds``, each of which is called NAME in a spec. Raises SpecError if a kind
    is unknown, if the name is invalid or already installed, or if the package's folder exists.
    """
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown:
        raise SpecError(f"unknown kind of strategy {unknown[0]!r}", hint=f"the kinds are {', '.join(KINDS)}")
    names = _PackageNames(_spelled(name))
    target = folder / names.package
    if target.exists():
        raise SpecError(f"{target}: exists already", hint="choose another name, or another folder with --into")
    if taken := next(names.taken(registry), None):
        raise SpecError(f"{taken} is installed already", hint="choose another name")
    return target, list(_copied(target, names, absent=[kind for kind in KINDS if kind not in kinds]))


def _spelled(name: str) -> str:
    """Return a name in lower case with ``-`` between its parts, without the prefix; raises SpecError if invalid."""
    word = name.strip().lower().replace("_", "-").removeprefix(_PREFIX)
    if not _SPELLING.fullmatch(word) or word == "starter":
        raise SpecError(f"{name!r} cannot name a package", hint="letters, digits and single hyphens, such as `birds`")
    return word


def _copied(target: Path, names: _PackageNames, *, absent: Iterable[str]) -> Iterator[Path]:
    """Copy the starter and yield the files written; lines that belong to an absent kind are left out."""
    files_of = {f"{prefix}{kind}.py" for kind in absent for prefix in ("", "test_")}
    marks = [mark for kind in absent for mark in (f"starter.{kind}", f"| {kind} |")]
    for source in sorted(path for path in STARTER.rglob("*") if path.is_file()):
        place = source.relative_to(STARTER)
        if source.name in files_of or _LEFT_OUT & set(place.parts):
            continue
        lines = source.read_text(encoding="utf-8").splitlines(keepends=True)
        path = target / names.rename(str(place))
        path.parent.mkdir(parents=True, exist_ok=True)
        kept = [line for line in lines if not any(mark in line for mark in marks)]
        path.write_text(names.rename("".join(kept)), encoding="utf-8")
        yield path


def write_example(folder: Path) -> tuple[Path, list[Path]]:
    """Write the documentation's example package below ``folder``; return its own folder and its files.

    Raises SpecError if its folder exists, MachineError if this installation lacks the package.
    """
    package = Path(__file__).resolve().parents[1]
    places = (package / "examples" / EXAMPLE, package.parents[1] / "docs" / "examples" / EXAMPLE)
    source = next((place for place in places if place.is_dir()), None)
    if source is None:
        raise MachineError(f"{places[0]}: not in this installation", hint="install autolabel-vision again")
    target = folder / EXAMPLE
    if target.exists():
        raise SpecError(f"{target}: exists already", hint="choose another folder with --into")
    shutil.copytree(source, target, ignore=lambda _, names: _LEFT_OUT & {*names})
    return target, sorted(path for path in target.rglob("*") if path.is_file())
