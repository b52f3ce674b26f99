"""Find fonts of this machine for text in pictures."""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from PIL import ImageFont

_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

_FILES = (
    "DejaVuSans.ttf",
    "NotoSans-Regular.ttf",
    "LiberationSans-Regular.ttf",
    "Arial Unicode.ttf",
    "arial.ttf",
    "NotoSansCJK-Regular.ttc",
    "wqy-zenhei.ttc",
    "msgothic.ttc",
    "Hiragino Sans GB.ttc",
)
_MISSING = "\U0010fffd"
"""A character that no font has: what it looks like is what any missing one looks like."""


def font_for(text: str, *, size: int) -> _Font:
    """Return a font with all characters of ``text``, otherwise the one with most of them."""
    fonts = _installed(size)
    return max(fonts, key=lambda font: sum(has(font, letter) for letter in text))


@lru_cache(maxsize=64)
def _installed(size: int) -> tuple[_Font, ...]:
    """Return the fonts found on this machine, at a size in pixels; at least Pillow's own."""
    found: list[_Font] = []
    for file in (*_FILES[:1], *_matplotlib_fonts(), *_FILES[1:]):
        try:
            found.append(ImageFont.truetype(file, size))
        except OSError:
            continue
    return (*found, ImageFont.load_default(size))


@lru_cache(maxsize=1)
def _matplotlib_fonts() -> tuple[str, ...]:
    """Return matplotlib's DejaVu Sans, if installed, without importing matplotlib."""
    spec = find_spec("matplotlib")
    if spec is None or spec.origin is None:
        return ()
    return (str(Path(spec.origin).parent / "mpl-data/fonts/ttf/DejaVuSans.ttf"),)


@lru_cache(maxsize=10_000)
def has(font: _Font, letter: str) -> bool:
    """Return whether a font has a letter."""
    return letter.isspace() or bytes(font.getmask(letter)) != bytes(font.getmask(_MISSING))
