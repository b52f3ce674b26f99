"""Fonts for text in pictures: the first one of this machine that has the letters."""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from PIL import ImageFont

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

FILES = (
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
MISSING = "\U0010fffd"
"""A character that no font has: what it looks like is what any missing one looks like."""


def font_for(text: str, *, size: int) -> Font:
    """Return a font that has every letter of ``text``, else the one that has most of them."""
    fonts = installed(size)
    return max(fonts, key=lambda font: sum(has(font, letter) for letter in text))


@lru_cache(maxsize=64)
def installed(size: int) -> tuple[Font, ...]:
    """Return the fonts found on this machine, at a size in pixels; at least Pillow's own."""
    found: list[Font] = []
    for file in (*FILES[:1], *matplotlib_fonts(), *FILES[1:]):
        try:
            found.append(ImageFont.truetype(file, size))
        except OSError:
            continue
    return (*found, ImageFont.load_default(size))


@lru_cache(maxsize=1)
def matplotlib_fonts() -> tuple[str, ...]:
    """Return the DejaVu Sans that matplotlib brings, where it is installed; imports nothing."""
    spec = find_spec("matplotlib")
    if spec is None or spec.origin is None:
        return ()
    return (str(Path(spec.origin).parent / "mpl-data/fonts/ttf/DejaVuSans.ttf"),)


@lru_cache(maxsize=10_000)
def has(font: Font, letter: str) -> bool:
    """Return whether a font has a letter."""
    return letter.isspace() or bytes(font.getmask(letter)) != bytes(font.getmask(MISSING))
