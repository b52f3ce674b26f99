"""Read captions and their phrases from a JSONL file, one row per line."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from autolabel.data.inputs import Input
from autolabel.data.splitter import split_caption
from autolabel.errors import DataError, Problem
from autolabel.storage import Location, at

_MAX_PROBLEMS = 50
_SURROGATE = "\\ud"


@dataclass(frozen=True, slots=True)
class Captions:
    """The captions of a file, and its unusable lines."""

    file: str
    usable: list[Input]
    """Rows with a caption, or ``wanting`` one, or failed; their images are names as written, not yet ids."""
    left_out: list[Problem]
    """The first of them."""
    skipped: int

    def __iter__(self) -> Iterator[Input]:
        return iter(self.usable)

    def notes(self, shown: int = 5) -> list[str]:
        """Return a sentence about the lines that are left out, with the first of them."""
        if not self.skipped:
            return []
        problems = "; ".join(f"line {problem.line}: {problem.message}" for problem in self.left_out[:shown])
        lines = "1 line is" if self.skipped == 1 else f"{self.skipped:,} lines are"
        return [f"{self.file}: {lines} left out: {problems}" + ("; ..." if self.skipped > shown else "")]


def read_captions(path: str | Location, *, described: bool = False) -> Captions:
    """Read ``{"file_name", "caption", "noun_chunks": [..]}`` lines, TAO's ``noun_chunk_path``; blank ones are skipped.

    With ``described``, a labeler writes missing captions: then lines may lack a caption, and the file may be empty.

    ``image_path``, as in TAO's ``image_grounding``, is an alias of ``file_name``. Phrases keep their order without
    repetitions. A caption without ``noun_chunks`` is split into phrases here. An invalid line fails the image that it
    names; without a name it is left out. Raises DataError, with the first 50 faults by line, if no line can be used.
    """
    problems: list[Problem] = []
    unnamed: list[Problem] = []
    rows: list[Input] = []
    skipped = 0
    for number, line in _lines(at(path)):
        outcome = _parse(line, number=number, file=str(path), described=described)
        if isinstance(outcome, Input):
            rows.append(outcome)
            continue
        problem, name = outcome
        few = len(problems) < _MAX_PROBLEMS
        problems += [problem] if few else []
        if name:
            fault = f"line {number}: {problem.path}: {problem.message}".replace(": : ", ": ")
            rows.append(Input(image=name, phrases=(), code="bad_caption", message=fault))
        else:
            skipped += 1
            unnamed += [problem] if few else []
    if problems and all(row.code for row in rows):
        raise DataError(problems)
    if not rows and not described:
        raise DataError(
            Problem(file=str(path), message="holds no captions", hint='one {"file_name", "caption"} a line')
        )
    return Captions(str(path), rows, unnamed, skipped)


def _lines(path: Location) -> Iterator[tuple[int, str]]:
    """Yield the numbered lines of a UTF-8 text file that are not blank."""
    try:
        with io.TextIOWrapper(path.open("rb"), encoding="utf-8-sig", newline="\n") as stream:
            for number, line in enumerate(stream, 1):
                if line.strip():
                    yield number, line
    except UnicodeDecodeError as error:
        raise DataError(Problem(file=str(path), message=f"is not UTF-8 text: {error.reason}")) from error
    except OSError as error:
        raise DataError(Problem(file=str(path), message=f"cannot be read: {error.strerror}")) from error


def _parse(line: str, *, number: int, file: str, described: bool) -> Input | tuple[Problem, str]:
    """Parse one line; return its row, or its fault and the image that it names."""
    name: Any = ""

    def problem(message: str, pointer: str = "") -> tuple[Problem, str]:
        return Problem(file=file, line=number, column=1, path=pointer, message=message), name

    try:
        row: Any = json.loads(line)
    except (ValueError, RecursionError) as error:
        return problem(f"is not JSON: {error}")
    if _SURROGATE in line.lower() and not _is_text(row):
        return problem("has half of a surrogate pair (\\ud800 to \\udfff), which is not a character")
    if not isinstance(row, dict):
        return problem(f"must be an object, got {type(row).__name__}")
    written = row.get("file_name", row.get("image_path"))
    chunks, caption = row.get("noun_chunks"), row.get("caption")
    if not isinstance(written, str) or not written:
        return problem(f"must be the name of an image, got {written!r}", "/file_name")
    name = written
    if caption is not None and not isinstance(caption, str):
        return problem(f"must be text, got {caption!r}", "/caption")
    if described and not chunks and not (caption or "").strip():
        return Input(image=name, phrases=(), wanting=True)
    if chunks is None and caption is not None:
        return Input(image=name, phrases=split_caption(caption), caption=caption)
    if not isinstance(chunks, list):
        return problem(f"must be a list of phrases, got {chunks!r}", "/noun_chunks")
    for index, chunk in enumerate(chunks):
        if not isinstance(chunk, str) or not chunk.strip():
            return problem(f"must be a phrase, got {chunk!r}", f"/noun_chunks/{index}")
    phrases = tuple(dict.fromkeys(chunk.strip() for chunk in chunks))
    return Input(image=name, phrases=phrases, caption=caption)


def _is_text(row: Any) -> bool:
    """Return whether all texts in a piece of JSON can be written as UTF-8."""
    try:
        json.dumps(row, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True
