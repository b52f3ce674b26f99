"""Match image names written by other tools to images."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from itertools import takewhile
from urllib.parse import parse_qs, unquote, urlsplit

_Parts = tuple[str, ...]
"""A path, part by part."""

_HASHED = re.compile(
    r"(?:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{64}|[0-9a-f]{40}|[0-9a-f]{32}|[0-9a-f]{8})[-_](?=[^.])"
)
"""Prefixes that Label Studio (8 digits) and others add to uploaded files."""
_ROBOFLOW = re.compile(r"(?P<stem>.+?)(?:_(?P<ending>jpe?g|png|bmp|webp|tiff?|gif|avif|heic|mpo))?\.rf\.\w+\.\w+")
_ENDING = re.compile(
    r"(?:\.(?:jpe?g|jpe|jfif|png|bmp|webp|tiff?|gif|avif|hei[cf]|jp2|j2k|mpo|ppm|pgm|pbm|txt|xml|json))+"
)
_MARKS = re.compile(r"[\W_]+")
_NEAREST = 3
_MOST_COMPARED = 20_000
"""Images among which the nearest names are looked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairing:
    """Images by the names in a file."""

    image_of: Mapping[str, str]
    inexact: Mapping[str, str] = field(default_factory=dict)
    """The difference between a name and its image's id, in words, for each name that differs."""
    ambiguous: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The images that a name could mean, where that is not one, or where another name means it as well."""

    def notes(self) -> list[str]:
        """Return a sentence for each kind of name difference."""
        counts = Counter(self.inexact.values())
        return [f"{count} image(s) were found although their names differ: {how}" for how, count in counts.items()]


def pair(images: Iterable[str], names: Iterable[str]) -> Pairing:
    """Find the image id for each name.

    An exact path matches first. Then, among the remaining images, the one with the longest common path suffix, at least
    the base name; then the one that differs only in Unicode form, letter case, percent-encoding, a prefix or mark added
    by another tool, folders joined to the name, or the extension. Each rule applies only if no stricter one matches.
    Two names never share an image, and a name that matches several images is ``ambiguous``.
    """
    known = dict.fromkeys(images)
    wanted = dict.fromkeys(names)
    image_of = {name: tidied for name in wanted if (tidied := name if name in known else _tidy(name)) in known}
    taken = set(image_of.values())
    inexact: dict[str, str] = {}
    ambiguous: dict[str, tuple[str, ...]] = {}
    for how, keys in _RULES:
        open_names = [name for name in wanted if name not in image_of and name not in ambiguous]
        if not open_names:
            break
        index = _index((image for image in known if image not in taken), keys)
        meant = {name: found for name in open_names if (found := _candidates(name, index, keys))}
        claims = Counter(found[0] for found in meant.values() if len(found) == 1)
        for name, found in meant.items():
            if len(found) == 1 and claims[found[0]] == 1:
                image_of[name], inexact[name] = found[0], how
            else:
                ambiguous[name] = found
        taken.update(image_of[name] for name in meant if name in image_of)
    left = [name for name in wanted if name not in image_of and name not in ambiguous]
    everything = _index(known, _as_written) if left else {}
    for name in left:
        if len(found := _candidates(name, everything, _as_written)) > 1:
            ambiguous[name] = found  # all of them are taken by other names
    return Pairing(image_of=image_of, inexact=inexact, ambiguous=ambiguous)


def nearest_names(name: str, images: Collection[str]) -> list[str]:
    """Return up to three ids with the most similar base names; none if there are too many images."""
    if len(images) > _MOST_COMPARED:
        return []
    by_base: dict[str, str] = {}
    for image in images:
        by_base.setdefault(image.rpartition("/")[2].casefold(), image)
    wanted = _tidy(name).rpartition("/")[2].casefold()
    return [by_base[base] for base in get_close_matches(wanted, by_base, _NEAREST)]


def _tidy(name: str) -> str:
    """Return a path without empty parts and ``.``."""
    return "/".join(part for part in name.split("/") if part not in ("", "."))


_Keys = Callable[[str], Iterator[_Parts]]
"""Yields the forms in which a path is compared, most telling first."""


def _index(images: Iterable[str], keys: _Keys) -> dict[str, list[tuple[str, _Parts]]]:
    """Return images with their normalised paths, by base name."""
    by_base: dict[str, list[tuple[str, _Parts]]] = defaultdict(list)
    for image in images:
        for parts in keys(image):
            if parts:
                by_base[parts[-1]].append((image, parts))
    return by_base


def _candidates(name: str, index: Mapping[str, list[tuple[str, _Parts]]], keys: _Keys) -> tuple[str, ...]:
    """Return the images with the longest path suffix in common with a name; none if the base names differ."""
    for parts in keys(name):
        if parts and (alike := index.get(parts[-1])):
            scores = [(_likeness(parts, own), image) for image, own in alike]
            best = max(score for score, _ in scores)
            return tuple(dict.fromkeys(image for score, image in scores if score == best))
    return ()


def _likeness(one: _Parts, other: _Parts) -> tuple[bool, bool, int]:
    """Return the similarity of two paths: equal, one a suffix of the other, number of equal trailing parts."""
    pairs = zip(reversed(one), reversed(other), strict=False)
    common = sum(1 for _ in takewhile(lambda both: both[0] == both[1], pairs))
    return one == other, common == min(len(one), len(other)), common


def _as_written(path: str) -> Iterator[_Parts]:
    yield tuple(part for part in path.replace("\\", "/").split("/") if part not in ("", "."))


def _composed(path: str) -> Iterator[_Parts]:
    for parts in _as_written(path):
        yield tuple(unicodedata.normalize("NFC", part) for part in parts)


def _without_case(path: str) -> Iterator[_Parts]:
    for parts in _composed(path):
        yield tuple(part.casefold() for part in parts)


def _decoded(path: str) -> Iterator[_Parts]:
    """Yield a path and its percent-decoded form; for a URL its path, or the file named in its query."""
    yield from _without_case(path)
    yield from _without_case(unquote(path))
    if "://" not in path and "?" not in path:
        return
    try:
        split = urlsplit(path.replace("\\", "/"))
        values = [value for values in parse_qs(split.query).values() for value in values]
    except ValueError:
        return
    for value in (*values, unquote(split.path)):
        yield from _without_case(value)


def _bare(base: str) -> tuple[str, str]:
    """Return stem and extension of a base name without additions of tools; punctuation and spaces are normalised."""
    base = _HASHED.sub("", base, count=1) if _HASHED.match(base) else base
    if found := _ROBOFLOW.fullmatch(base):
        base = f"{found['stem']}.{found['ending']}" if found["ending"] else base
    stem, dot, ending = base.rpartition(".")
    stem, ending = (stem, ending) if dot and stem else (base, "")
    return _MARKS.sub("_", stem).strip("_") or stem, {"jpeg": "jpg", "tiff": "tif"}.get(ending, ending)


def _undecorated(path: str) -> Iterator[_Parts]:
    for *folders, base in filter(None, _decoded(path)):
        yield (*folders, ".".join(_bare(base)))


def _joined(path: str) -> Iterator[_Parts]:
    """Yield path suffixes with folders joined into the name, the longest first."""
    for *folders, base in filter(None, _decoded(path)):
        for start in range(len(folders) + 1):
            yield (".".join(_bare("_".join((*folders[start:], base)))),)


def _without_ending(path: str) -> Iterator[_Parts]:
    for *folders, base in filter(None, _decoded(path)):
        plain = ".".join(_bare(base)) if _ROBOFLOW.fullmatch(base) else base
        stem = next((plain[: found.start()] for found in _ENDING.finditer(plain) if found.end() == len(plain)), plain)
        yield (*folders, _bare(f"{stem}.")[0])


_RULES: tuple[tuple[str, _Keys], ...] = (
    ("another folder in front", _as_written),
    ("another Unicode form", _composed),
    ("another letter case", _without_case),
    ("percent-encoding or a URL", _decoded),
    ("a prefix or mark that another tool adds", _undecorated),
    ("folders joined to the name", _joined),
    ("another extension", _without_ending),
)
"""The differences allowed between a name and its image, the strictest first."""
