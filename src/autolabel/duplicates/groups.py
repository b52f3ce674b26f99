"""Groups of images that show the same scene."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from autolabel.duplicates.landmarks import Landmarks
from autolabel.duplicates.matching import candidates, match


@dataclass(frozen=True, slots=True)
class Groups:
    """Groups of images that show the same scene; an image may be in no group."""

    members: tuple[tuple[str, ...], ...] = ()
    """The ids of each group of two or more, sorted."""
    _first: Mapping[str, str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        first = {image: group[0] for group in self.members for image in group}
        object.__setattr__(self, "_first", first)

    def key(self, image: str) -> str:
        """Return the key of an image's group: the id of the group's first image; its own id if it is in no group."""
        return self._first.get(image, image)

    @property
    def images(self) -> int:
        """The number of images in groups."""
        return len(self._first)


def group(images: Sequence[tuple[str, Landmarks]], *, same: Iterable[Sequence[str]] = ()) -> Groups:
    """Group images by matching landmarks; ``same`` are sets of ids that belong together in any case.

    Groups are connected components: if A matches B, and B matches C, all three are one scene.
    """
    links = _Links(name for name, _ in images)
    for known in same:
        for other in known[1:]:
            links.join(known[0], other)
    marks = [one for _, one in images]
    for first, second in candidates(marks):
        one, other = images[first][0], images[second][0]
        if links.root(one) != links.root(other) and match(marks[first], marks[second]) is not None:
            links.join(one, other)
    return links.groups()


class _Links:
    """Connected components (union-find)."""

    def __init__(self, names: Iterable[str]) -> None:
        self._parent = {name: name for name in names}

    def root(self, name: str) -> str:
        """Return the representative of a name's component."""
        parent = self._parent
        while parent[name] != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    def join(self, one: str, other: str) -> None:
        """Join the components of two names."""
        first, second = sorted((self.root(one), self.root(other)))
        self._parent[second] = first

    def groups(self) -> Groups:
        """Return the components with at least two names."""
        parts: dict[str, list[str]] = {}
        for name in self._parent:
            parts.setdefault(self.root(name), []).append(name)
        return Groups(tuple(sorted(tuple(sorted(part)) for part in parts.values() if len(part) > 1)))
