"""KITTI: one text file per image, readable by TAO and KITTI readers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from autolabel.strategies import Exporter
from autolabel.types import Labels
from autolabel_exporters.json_stream import to_json
from autolabel_exporters.per_image import labelled_images, survey, write_text
from autolabel_exporters.placing import Placing, Way, beside
from autolabel_exporters.rows import ExportedObject

_SPACE = re.compile(r"[\s\x00-\x1f\x7f-\x9f]+")
_UNKNOWN_BEFORE = "0.00 0 0.00"
"""Truncation, occlusion, angle."""
_UNKNOWN_AFTER = "0.00 0.00 0.00 0.00 0.00 0.00 0.00"
"""Size and place in space, rotation."""


class Kitti(Exporter):
    """Boxes with class names without spaces; no masks."""

    name = "kitti"
    loses = (
        "masks",
        "scores unless scores=true",
        "verdicts",
        "expressions",
        "spaces in names",
        "rounds",
        "captions",
        "fields of input annotations",
    )

    class Params(Exporter.Params):
        """``scores`` adds a 16th field, as in KITTI's result files; training label files have 15.

        ``images`` places the images in ``image_2/``.
        """

        scores: bool = False
        images: Way | None = None

    params: Params

    def export(self, labels: Iterable[Labels], classes: Sequence[str], out: Path) -> Sequence[Path]:
        """Write ``label_2/*.txt`` (empty for an empty image) and ``labelmap.json``: written names to class names."""
        names, folder, labelmap = survey(labels), out / "label_2", out / "labelmap.json"
        folder.mkdir()
        words = single_words(classes)
        labelmap.write_bytes(to_json({word: name for name, word in words.items()}) + b"\n")
        placing = Placing(self.params.images, out / "image_2")
        for image, found in labelled_images(labels):
            name = names.name(image.id, ".txt")
            write_text(folder / name, "".join(self.line(item, words) for item in found))
            placing.put(image, beside(name, image))
        return [folder, labelmap, *placing.done()]

    def line(self, item: ExportedObject, words: Mapping[str, str]) -> str:
        """Return the fields of an object."""
        box = " ".join(f"{value:.2f}" for value in item.box)
        score = f" {item.score:.6f}" if self.params.scores else ""
        return f"{words[item.phrase]} {_UNKNOWN_BEFORE} {box} {_UNKNOWN_AFTER}{score}\n"


def single_words(names: Sequence[str]) -> dict[str, str]:
    """Return a distinct word for each name: spaces become ``_``, and duplicates get a number."""
    words: dict[str, str] = {}
    taken = {name for name in names if name == _word_of(name)}
    for name in names:
        word, number = _word_of(name), 2
        if word != name:
            while word in taken:
                word, number = f"{_word_of(name)}_{number}", number + 1
            taken.add(word)
        words[name] = word
    return words


def _word_of(name: str) -> str:
    """Return a name without spaces."""
    return _SPACE.sub("_", name) or "_"
