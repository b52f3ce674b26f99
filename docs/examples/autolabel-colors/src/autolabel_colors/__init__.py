"""Strategies for autolabel that need no model: flat-coloured rectangles, halving thresholds, CSV files."""

from __future__ import annotations

import csv
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import Field

from autolabel.hookspecs import hookimpl
from autolabel.strategies import Detector, Exporter, Labeler, Scheduler
from autolabel.types import Instances, Labels, Prompt, Round, Sample

Pixels = npt.NDArray[np.uint8]
COLORS = {
    "red": (255, 0, 0),
    "green": (0, 255, 0),
    "blue": (0, 0, 255),
    "yellow": (255, 255, 0),
    "cyan": (0, 255, 255),
    "magenta": (255, 0, 255),
    "black": (0, 0, 0),
    "white": (255, 255, 255),
}
GREY = (128, 128, 128)
REACH = 100
"""A colour that is so far off in any channel scores 0."""
COLUMNS = ("image", "caption_index", "state", "phrase", "x1", "y1", "x2", "y2", "score", "round")


class Rectangle(NamedTuple):
    """A rectangle to draw: half-open pixel bounds, a colour word, and the score that its shade shall earn."""

    x1: int
    y1: int
    x2: int
    y2: int
    color: str
    score: float = 1.0


class Flat(NamedTuple):
    """What all rounds share: the flat-coloured rectangles of one image."""

    boxes: npt.NDArray[np.float32]
    colors: npt.NDArray[np.int64]


class Colors(Detector):
    """Finds rectangles of one flat colour; scores them by how close that is to the colour word of the phrase."""

    name = "colors"

    class Params(Detector.Params):
        """What counts as a rectangle; ``delay`` and ``fail_on`` are there to rehearse slow runs and failures."""

        min_side: int = Field(default=3, ge=1, description="Shortest side in pixels.")
        delay: float = Field(default=0, ge=0, description="Seconds to sleep for each image.")
        fail_on: tuple[str, ...] = Field(default=(), description="Ids of images on which to raise a ValueError.")

    params: Params

    def __init__(self, params: Params) -> None:
        super().__init__(params)
        self._counts = {"prepared": 0, "forwards": 0}

    def load(self, device: str) -> None:
        """Do nothing: there are no weights."""

    def prepare(self, batch: Sequence[Sample]) -> Sequence[Flat]:
        """Find the rectangles of every colour, once for all rounds."""
        for sample in batch:
            if sample.image.id in self.params.fail_on:
                raise ValueError(f"{sample.image.id} is listed in fail_on")
        time.sleep(self.params.delay * len(batch))
        self._counts["prepared"] += len(batch)
        return [find_flat(sample.pixels, self.params.min_side) for sample in batch]

    def detect(self, prepared: Sequence[Flat], prompts: Sequence[Prompt], floor: float) -> Sequence[Instances]:
        """Return the rectangles whose colour fits a phrase with a score above ``floor``."""
        self._counts["forwards"] += len(prepared)
        return [match(flat, prompt, floor) for flat, prompt in zip(prepared, prompts, strict=True)]

    def counters(self) -> dict[str, int]:
        """Return how many images were prepared, and how many answers were given."""
        return dict(self._counts)


def find_flat(pixels: Pixels, min_side: int) -> Flat:
    """Return every maximal stack of equal runs: rows one below the other whose run of one colour has the same ends.

    A rectangle that touches no other of its colour is found exactly. ``pixels`` is (H, W, 3).
    """
    height, width = pixels.shape[:2]
    codes = pixels.astype(np.int64) @ np.array([1 << 16, 1 << 8, 1])
    edges = np.ones((height, width + 1), np.bool_)
    edges[:, 1:width] = codes[:, 1:] != codes[:, :-1]
    row, x = np.nonzero(edges)
    begins = x < width
    row, start = row[begins], x[begins]
    end = x[np.flatnonzero(begins) + 1]
    long = end - start >= min_side
    row, start, end = row[long], start[long], end[long]
    code = codes[row, start]
    order = np.lexsort((row, code, end, start))
    row, start, end, code = row[order], start[order], end[order], code[order]
    breaks = np.diff(row) != 1
    for column in (start, end, code):
        breaks |= np.diff(column) != 0
    first = np.concatenate([[0], np.flatnonzero(breaks) + 1]) if len(row) else np.zeros(0, np.int64)
    last = np.concatenate([first[1:] - 1, [len(row) - 1]]) if len(row) else first
    boxes = np.stack([start[first], row[first], end[first], row[last] + 1], axis=1).astype(np.float32)
    high = boxes[:, 3] - boxes[:, 1] >= min_side
    code = code[first][high]
    return Flat(boxes=boxes[high], colors=np.stack([code >> 16, code >> 8 & 255, code & 255], axis=1))


def match(flat: Flat, prompt: Prompt, floor: float) -> Instances:
    """Return the rectangles that score above ``floor`` for a phrase: 1 less a hundredth of the largest difference."""
    parts = [Instances.empty()]
    for label, phrase in enumerate(prompt.phrases):
        color = color_of(phrase)
        if color is None:
            continue
        off = np.abs(flat.colors - np.array(color)).max(axis=1, initial=0)
        scores = np.clip((REACH - off) / REACH, 0, 1)
        above = scores > floor
        parts.append(Instances.build(flat.boxes[above], scores=scores[above], labels=np.full(above.sum(), label)))
    return Instances.concatenate(parts)


def color_of(phrase: str) -> tuple[int, int, int] | None:
    """Return the RGB of the first colour word in a phrase, or None where there is none."""
    words = (COLORS.get(word) for word in re.findall(r"[a-z]+", phrase.lower()))
    return next((color for color in words if color), None)


def shade(color: str, score: float) -> tuple[int, int, int]:
    """Return an RGB near a named colour that earns ``score`` (to a hundredth)."""
    red, green, blue = COLORS[color]
    shift = round((1 - score) * REACH)
    return red, green, blue + shift if blue == 0 else blue - shift


def draw(pixels: Pixels, rectangles: Iterable[Rectangle | tuple[Any, ...]]) -> Pixels:
    """Paint rectangles over (H, W, 3) ``pixels``, in order, and return the array."""
    for x1, y1, x2, y2, color, score in (Rectangle(*rectangle) for rectangle in rectangles):
        pixels[y1:y2, x1:x2] = shade(color, score)
    return pixels


def canvas(rectangles: Iterable[Rectangle | tuple[Any, ...]], *, size: tuple[int, int] = (64, 64)) -> Pixels:
    """Return a grey (H, W, 3) image with rectangles on it."""
    return draw(np.full((*size, 3), GREY, np.uint8), rectangles)


def save(path: Path, rectangles: Iterable[Rectangle | tuple[Any, ...]], *, size: tuple[int, int] = (64, 64)) -> Path:
    """Write a grey image with rectangles on it; PNG keeps the colours exact."""
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(canvas(rectangles, size=size)).save(path)
    return path


class Halving(Scheduler):
    """Halve the threshold in every round: ``start / 2**i`` in round i."""

    name = "halving"

    class Params(Scheduler.Params):
        """Where to start, how often to halve."""

        rounds: int = Field(default=3, ge=1, le=100, description="How many rounds.")
        start: float = Field(default=0.8, gt=0, le=1, description="Confidence threshold of the first round.")

    params: Params

    def rounds(self) -> Sequence[Round]:
        """Return the rounds."""
        return [Round(index=i, conf_threshold=self.params.start / 2**i) for i in range(self.params.rounds)]


class Csv(Exporter):
    """Writes ``labels.csv``: a row for each box, one without a box for each image that has none."""

    name = "csv"

    def export(self, labels: Iterable[Labels], classes: Sequence[str], out: Path) -> Sequence[Path]:
        """Write the file; texts that a spreadsheet would run as a formula get a leading apostrophe."""
        path = out / "labels.csv"
        with path.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(COLUMNS)
            for each in labels:
                writer.writerows(rows(each))
        return [path]


def rows(labels: Labels) -> Iterator[tuple[object, ...]]:
    """Yield the rows of one image, in the order of COLUMNS."""
    found = labels.instances
    place = (inert(labels.image.id), labels.caption_index, labels.state)
    for box, score, label, number in zip(found.boxes, found.scores, found.labels, found.rounds, strict=True):
        phrase = inert(labels.prompt.phrases[label])
        yield *place, phrase, *(round(float(side), 3) for side in box), round(float(score), 6), int(number)
    if not len(found):
        yield *place, *[""] * (len(COLUMNS) - len(place))


def inert(text: str) -> str:
    """Return a text that no spreadsheet takes for a formula (OWASP's "CSV injection")."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r", "\n")) else text


@hookimpl
def autolabel_labelers() -> list[type[Labeler]]:
    """Offer the labeler."""
    return [Colors]


@hookimpl
def autolabel_schedulers() -> list[type[Scheduler]]:
    """Offer the scheduler."""
    return [Halving]


@hookimpl
def autolabel_exporters() -> list[type[Exporter]]:
    """Offer the exporter."""
    return [Csv]
