"""Annotated pictures: boxes, masks, phrases, scores drawn over the pixels."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import groupby, islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image as Pillow
from PIL import ImageDraw

from autolabel.errors import ImageError
from autolabel.images import MAX_PIXELS, SUFFIXES, ValueRange, read_pixels
from autolabel.literal import one_line
from autolabel.report.palette import Colour, Palette, ink
from autolabel.report.typeface import font_for
from autolabel.types import Labels, Rle

_Pixels = npt.NDArray[np.uint8]
_Rectangle = tuple[int, int, int, int]

_STARVED_AFTER, _DENSE = 12, 40
"""Objects beyond which text is smaller, and no longer laid over objects smaller than itself."""
_FILL = 0.4
"""The opacity of a mask's colour."""
_TALLEST = "Ágj|"
_LONGEST_PHRASE = 40
_LONGEST_NAME = 255
_JPEG_QUALITY = 90
_CONTROL = re.compile(r"[\x00-\x1f\x7f\\]")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Item:
    """One object to draw."""

    box: tuple[float, float, float, float]
    mask: Rle | None
    text: str
    colour: Colour
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pen:
    """Widths and sizes, in pixels, that suit a picture."""

    line: int
    text: int
    covers: bool
    """Whether a text may be larger than its object."""

    @classmethod
    def suited(cls, shape: tuple[int, ...], objects: int) -> _Pen:
        """Return sizes for a picture of shape (H, W, ...) with so many objects."""
        side = (shape[0] * shape[1]) ** 0.5
        share = 1 if objects <= _STARVED_AFTER else 0.85 if objects <= _DENSE else 0.7
        line = max(1, round(side / 320 * (0.5 if objects > _DENSE else 1)))
        return cls(line=line, text=max(9, round(side / 42 * share)), covers=objects <= _STARVED_AFTER)


def draw_rows(pixels: _Pixels, rows: Sequence[Labels], *, colours: Palette) -> Pillow.Image:
    """Return a copy of (H, W, 3) uint8 RGB pixels with the objects of all ``rows`` drawn, highest scores on top.

    Every box is drawn; a label that would cover another one, or a smaller object, is left out.
    """
    items = sorted((item for row in rows for item in _items_of(row, colours)), key=lambda item: item.score)
    pen = _Pen.suited(pixels.shape, len(items))
    picture = Pillow.fromarray(_with_masks(pixels, items, pen.line))
    canvas = ImageDraw.Draw(picture)
    for item in items:
        _draw_box(canvas, item, pen.line)
    taken: list[_Rectangle] = []
    for item in reversed(items):
        _draw_text(canvas, item, pen, taken)
    return picture


def _items_of(row: Labels, colours: Palette) -> list[_Item]:
    """Return the objects of a row with their texts; all phrases get their colours in the order of the prompt."""
    phrases = [(phrase, colours(phrase)) for phrase in row.prompt.phrases]
    found = row.instances
    masks: Sequence[Rle | None] = found.masks or (None,) * len(found)
    columns = zip(found.boxes.tolist(), found.labels.tolist(), found.scores.tolist(), masks, strict=True)
    return [
        _Item(
            box=tuple(box),
            mask=mask,
            text=f"{short_label(phrases[label][0])} {score:.2f}",
            colour=phrases[label][1],
            score=score,
        )
        for box, label, score, mask in columns
    ]


def short_label(phrase: str) -> str:
    """Return a phrase on one line, truncated if long."""
    line = one_line(phrase)
    return line if len(line) <= _LONGEST_PHRASE else line[: _LONGEST_PHRASE - 1] + "…"


def _with_masks(pixels: _Pixels, items: Sequence[_Item], line: int) -> _Pixels:
    """Return the pixels with every mask tinted and its edge drawn."""
    out = pixels.copy()
    for item in items:
        if item.mask is not None:
            _tint(out, item.mask.decode(), item.colour, line)
    return out


def _tint(pixels: _Pixels, mask: npt.NDArray[np.bool_], colour: Colour, line: int) -> None:
    """Blend a colour into the pixels inside a mask, in place, fully along its edge."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return
    window = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    inside, part = mask[window], pixels[window]
    tone = np.array(colour, np.float32)
    part[inside] = (part[inside] * (1 - _FILL) + tone * _FILL).astype(np.uint8)
    part[inside & ~_eroded(inside, line)] = tone.astype(np.uint8)


def _eroded(mask: npt.NDArray[np.bool_], times: int) -> npt.NDArray[np.bool_]:
    """Return a mask less ``times`` pixels along its edge."""
    for _ in range(times):
        padded = np.pad(mask, 1)
        mask = mask & padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return mask


def _draw_box(canvas: ImageDraw.ImageDraw, item: _Item, line: int) -> None:
    """Draw a box inside its edges, with dark hairlines if the line is wide enough."""
    left, top, right, bottom = (round(value) for value in item.box)
    right, bottom = max(left, right - 1), max(top, bottom - 1)
    if line > 1:
        canvas.rectangle((left - 1, top - 1, right + 1, bottom + 1), outline=(0, 0, 0), width=1)
    width = max(1, min(line, (right - left + 1) // 2, (bottom - top + 1) // 2))
    canvas.rectangle((left, top, right, bottom), outline=item.colour, width=width)


def _draw_text(canvas: ImageDraw.ImageDraw, item: _Item, pen: _Pen, taken: list[_Rectangle]) -> None:
    """Draw the label of an object on a tag in its colour, at the first free place around its box, if any."""
    font = font_for(item.text, size=pen.text)
    pad = max(1, pen.text // 6)
    left, _, right, _ = canvas.textbbox((0, 0), item.text, font=font)
    _, top, _, bottom = canvas.textbbox((0, 0), _TALLEST, font=font)
    width, height = round(right - left) + 2 * pad, round(bottom - top) + 2 * pad
    if not pen.covers and width * height > (item.box[2] - item.box[0]) * (item.box[3] - item.box[1]):
        return
    for x, y in _places(item.box, width, height, canvas.im.size if canvas.im else (0, 0)):
        tag = (x, y, x + width, y + height)
        if not any(_overlaps(tag, other) for other in taken):
            taken.append(tag)
            canvas.rectangle((x, y, x + width - 1, y + height - 1), fill=item.colour)
            canvas.text((x + pad - left, y + pad - top), item.text, fill=ink(item.colour), font=font)
            return


def _places(box: Sequence[float], width: int, height: int, size: tuple[int, int]) -> list[tuple[int, int]]:
    """Return candidate positions of a tag: above the box, inside its top, below it, inside its bottom."""
    left, top, right, bottom = (round(value) for value in box)
    limit_x, limit_y = max(0, size[0] - width), max(0, size[1] - height)
    wanted = [(left, top - height), (left, top), (left, bottom), (left, bottom - height), (right - width, top - height)]
    return [(min(max(x, 0), limit_x), y) for x, y in wanted if 0 <= y <= limit_y] or [(min(max(left, 0), limit_x), 0)]


def _overlaps(a: _Rectangle, b: _Rectangle) -> bool:
    """Return whether two rectangles share a pixel."""
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def write_pictures(
    labels: Iterable[Labels],
    out: Path,
    *,
    limit: int | None = None,
    max_pixels: int = MAX_PIXELS,
    value_range: ValueRange = None,
) -> int:
    """Draw the first ``limit`` images (None: all) into JPEG files below ``out``, which mirror the images' folders.

    Failed images, and images that are unreadable or of another size now, are skipped. Returns the number of pictures.
    """
    colours, written = Palette(), 0
    for _, group in islice(groupby(labels, key=lambda row: row.image.id), limit):
        rows = [row for row in group if row.reason is None]
        if not rows:
            continue
        try:
            pixels = read_pixels(rows[0].image.path, max_pixels=max_pixels, value_range=value_range)
        except ImageError:
            continue
        if pixels.shape[:2] != rows[0].image.size:
            continue
        path = out / picture_name(rows[0].image.id)
        path.parent.mkdir(parents=True, exist_ok=True)
        draw_rows(pixels, rows, colours=colours).save(path, "JPEG", quality=_JPEG_QUALITY)
        written += 1
    return written


def picture_name(image_id: str) -> str:
    """Return the relative path of an image's picture: its own where that ends with ``.jpg``, else with ``.jpg`` added.

    Paths are distinct: names without a known extension, and names with replaced parts, get a hash.
    """
    parts = [_CONTROL.sub("_", part) for part in image_id.split("/") if part not in ("", ".", "..")] or ["_"]
    stem, dot, ending = parts[-1].rpartition(".")
    own = ending.casefold() == "jpg" and Path(stem).suffix.casefold() not in SUFFIXES
    name = parts[-1] if own else f"{parts[-1]}.jpg"
    known = bool(stem) and dot + ending.casefold() in SUFFIXES
    if "/".join(parts) != image_id or not known or len(name.encode("utf-8", "replace")) > _LONGEST_NAME:
        mark = blake2b(image_id.encode("utf-8", "surrogatepass"), digest_size=6).hexdigest()
        kept = name.encode("utf-8", "replace")[: _LONGEST_NAME - len(mark) - 5].decode("utf-8", "ignore")
        name = f"{kept}-{mark}.jpg"
    return "/".join((*parts[:-1], name))
