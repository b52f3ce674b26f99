"""Show a photo as two runs have labelled it, side by side; ``python -m docs.plots.learned BEFORE AFTER PHOTO``.

``BEFORE`` and ``AFTER`` are results directories with ``images_annotated``, as ``visualize: true`` writes them. The
picture is the tutorial's, ``docs/img/learned.jpg``.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

PICTURE = Path(__file__).resolve().parents[1] / "img" / "learned.jpg"
_GAP = 12
_WIDTH = 480
_QUALITY = 82


def side_by_side(pictures: Sequence[Path]) -> Image.Image:
    """Return pictures beside each other, each ``_WIDTH`` pixels wide, on white."""
    shown = []
    for path in pictures:
        with Image.open(path) as picture:
            height = round(_WIDTH * picture.height / picture.width)
            shown.append(picture.convert("RGB").resize((_WIDTH, height), Image.Resampling.LANCZOS))
    width = len(shown) * (_WIDTH + _GAP) - _GAP
    canvas = Image.new("RGB", (width, max(one.height for one in shown)), "white")
    for place, one in enumerate(shown):
        canvas.paste(one, (place * (_WIDTH + _GAP), 0))
    return canvas


def main() -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("photo", help="the name of its annotated picture")
    words = parser.parse_args()
    pictures = [run / "images_annotated" / words.photo for run in (words.before, words.after)]
    side_by_side(pictures).save(PICTURE, quality=_QUALITY, optimize=True)


if __name__ == "__main__":
    main()
