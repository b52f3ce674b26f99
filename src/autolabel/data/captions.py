"""Read captions and their phrases from a JSONL file, one image and caption a line."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from autolabel.data.splitter import split
from autolabel.errors import DataError, Problem
from autolabel.storage import Location, at
from autolabel.types import Prompt

MAX_PROBLEMS = 50
SURROGATE = "\\ud"


@dataclass(frozen=True, slots=True, kw_only=True)
class Caption:
    """What one line says: the image's name as written, and what to ask of it."""

    line: int
    file_name: str
    prompt: Prompt


def read_captions(path: str | Location) -> list[Caption]:
    """Read ``{"file_name", "caption", "noun_chunks": [..]}`` lines, TAO's ``noun_chunk_path``; blank ones are skipped.

    Phrases keep their order; repeated ones count once. A caption without ``noun_chunks`` is split into phrases here.
    Raises DataError with every fault's line.
    """
    problems: list[Problem] = []
    captions: list[Caption] = []
    for number, line in lines(at(path)):
        outcome = parse(line, number=number, file=str(path))
        if isinstance(outcome, Problem):
            problems.append(outcome)
            if len(problems) == MAX_PROBLEMS:
                break
        else:
            captions.append(outcome)
    if problems:
        raise DataError(problems)
    if not captions:
        raise DataError(
            Problem(file=str(path), message="holds no captions", hint='one {"file_name", "caption"} a line')
        )
    return captions


def lines(path: Location) -> Iterator[tuple[int, str]]:
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


def parse(line: str, *, number: int, file: str) -> Caption | Problem:
    """Check one line and return what it says, or what is wrong with it."""

    def problem(message: str, pointer: str = "") -> Problem:
        return Problem(file=file, line=number, column=1, path=pointer, message=message)

    try:
        row: Any = json.loads(line)
    except (ValueError, RecursionError) as error:
        return problem(f"is not JSON: {error}")
    if SURROGATE in line.lower() and not is_text(row):
        return problem("has half of a surrogate pair (\\ud800 to \\udfff), which is no character")
    if not isinstance(row, dict):
        return problem(f"must be an object, got {type(row).__name__}")
    name, chunks, caption = row.get("file_name"), row.get("noun_chunks"), row.get("caption")
    if not isinstance(name, str) or not name:
        return problem(f"must be the name of an image, got {name!r}", "/file_name")
    if caption is not None and not isinstance(caption, str):
        return problem(f"must be text, got {caption!r}", "/caption")
    if chunks is None and caption is not None:
        return Caption(line=number, file_name=name, prompt=Prompt(split(caption), caption))
    if not isinstance(chunks, list):
        return problem(f"must be a list of phrases, got {chunks!r}", "/noun_chunks")
    for index, chunk in enumerate(chunks):
        if not isinstance(chunk, str) or not chunk.strip():
            return problem(f"must be a phrase, got {chunk!r}", f"/noun_chunks/{index}")
    phrases = tuple(dict.fromkeys(chunk.strip() for chunk in chunks))
    return Caption(line=number, file_name=name, prompt=Prompt(phrases, caption))


def is_text(row: Any) -> bool:
    """Return whether all texts in a piece of JSON can be written as UTF-8."""
    try:
        json.dumps(row, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True
