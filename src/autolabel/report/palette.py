"""Colours of classes in pictures."""

from __future__ import annotations

from zlib import crc32

Colour = tuple[int, int, int]

_OKABE_ITO: tuple[Colour, ...] = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (0, 114, 178),
    (213, 94, 0),
    (204, 121, 167),
)
"""Okabe and Ito's colours, told apart with any kind of colour vision; black left out."""
_TOL: tuple[Colour, ...] = ((136, 34, 85), (51, 34, 136), (153, 153, 51), (170, 170, 170), (17, 119, 51))
"""Colours of Paul Tol's muted set that are not near one of those."""
COLOURS = _OKABE_ITO + _TOL
_REMEMBERED = 10_000
_DARK: Colour = (16, 16, 16)
_LIGHT: Colour = (255, 255, 255)


class Palette:
    """Assigns colours to phrases in order of appearance."""

    def __init__(self) -> None:
        self.places: dict[str, int] = {}

    def __call__(self, phrase: str) -> Colour:
        """Return the colour of a phrase; beyond the palette's size, by a hash."""
        place = self.places.get(phrase)
        if place is None:
            if len(self.places) >= _REMEMBERED:
                return COLOURS[crc32(phrase.encode("utf-8", "surrogatepass")) % len(COLOURS)]
            place = self.places[phrase] = len(self.places)
        return COLOURS[place % len(COLOURS)]


def ink(colour: Colour) -> Colour:
    """Return black or white, whichever reads better on a colour (contrast of WCAG 2)."""
    light = luminance(colour)
    return _DARK if (light + 0.05) / (luminance(_DARK) + 0.05) > 1.05 / (light + 0.05) else _LIGHT


def luminance(colour: Colour) -> float:
    """Return the relative luminance of an sRGB colour, 0 to 1."""
    shares = (value / 255 for value in colour)
    red, green, blue = (share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
