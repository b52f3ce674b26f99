"""Which image of the run each image of a truth file is."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairing:
    """Images of the run by the names that the truth file gives them."""

    image_of: dict[str, str]
    by_ending: int
    """How many were found by the end of their path rather than the whole of it."""
    ambiguous: int
    """How many names of the truth file could mean several images, or share one; they are left out."""


def pair(images: Collection[str], names: Collection[str]) -> Pairing:
    """Find the image that each name means: the one of that path, else the only one whose path ends as the name does.

    The longest common ending decides, a base name at the least. Two names never share an image.
    """
    known = frozenset(images)
    exact = {name: tidy(name) for name in names if tidy(name) in known}
    taken = frozenset(exact.values())
    open_images = index(image for image in known if image not in taken)
    meant = {name: candidates(name, open_images) for name in names if name not in exact}
    single = {name: next(iter(images)) for name, images in meant.items() if len(images) == 1}
    claims = Counter(single.values())
    loose = {name: image for name, image in single.items() if claims[image] == 1}
    ambiguous = sum(bool(images) and name not in loose for name, images in meant.items())
    return Pairing(image_of=exact | loose, by_ending=len(loose), ambiguous=ambiguous)


def index(images: Iterable[str]) -> dict[str, set[str]]:
    """Return the images by every ending of their paths."""
    endings_of: dict[str, set[str]] = defaultdict(set)
    for image in images:
        for ending in endings(image):
            endings_of[ending].add(image)
    return endings_of


def candidates(name: str, images: dict[str, set[str]]) -> set[str]:
    """Return the images that share the longest ending with a name; none where not even the base name is shared."""
    return next((images[ending] for ending in endings(tidy(name)) if ending in images), set())


def endings(path: str) -> Iterator[str]:
    """Yield a path, then the same without its first folder, to the base name."""
    while path:
        yield path
        path = path.partition("/")[2]


def tidy(name: str) -> str:
    """Return a path without empty parts and dots."""
    return "/".join(part for part in name.split("/") if part not in ("", "."))
