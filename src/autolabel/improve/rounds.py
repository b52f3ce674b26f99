"""The stored rounds of improving a run: their inputs and results."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import msgspec

from autolabel.errors import DataError
from autolabel.evaluate.paired import RunGain
from autolabel.results.store import publish
from autolabel.schema_faults import struct_schema
from autolabel.storage import read_regular

_VERSION = 1
_MOST_BYTES = 1 << 28
FOLDER = "improve"
"""The folder of a results directory with the files of a round."""
_REQUEST, _HISTORY = "request.json", "history.json"
_T = TypeVar("_T")


class ImproveRound(msgspec.Struct, frozen=True, kw_only=True):
    """One round: training images, results on the held-out images, and whether it was accepted."""

    before: str
    """The results directory that was improved."""
    after: str
    """The results directory that the new weights have labelled."""
    checkpoint: str
    """The new weights."""
    checked: int
    """The number of completely checked images when the round began."""
    decisions: int
    """The number of decisions about the run when the round began."""
    trained_on: tuple[str, ...]
    """The checked images used for training, including those that selected the best weights."""
    held_out: tuple[str, ...]
    """The other checked images, on which both runs are measured."""
    gain: RunGain
    accepted: bool
    """Whether the lower bound of the gain in AP at IoU 0.5 is above zero."""
    said: str
    """The verdict in words."""
    check_next: tuple[str, ...]
    """Unchecked images of the new run that are most likely to have an error."""
    notes: tuple[str, ...] = ()


class ImproveHistory(msgspec.Struct, frozen=True, kw_only=True):
    """All rounds that led to a run, and those that started from it, in order."""

    version: int = _VERSION
    rounds: tuple[ImproveRound, ...] = ()


class RoundRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The input of a round, fixed when it begins, so that a stopped round resumes with the same input."""

    version: int = _VERSION
    before: str
    plan: str
    """Digest of the plan whose labels are improved."""
    asked: dict[str, Any]
    """Settings of the training, and the share of images to hold out."""
    truth: str
    """SHA-256 of the checked images with their boxes."""
    checked: int
    decisions: int
    trained_on: tuple[str, ...]
    held_out: tuple[str, ...]
    groups: tuple[tuple[str, ...], ...]
    """Near-duplicates among the checked images."""
    earlier: tuple[ImproveRound, ...]


def read_request(run: Path) -> RoundRequest | None:
    """Read the input of a round in a results directory; None if there is none."""
    return _read(run / FOLDER / _REQUEST, RoundRequest)


def write_request(run: Path, request: RoundRequest) -> None:
    """Write the input of a round."""
    _write(run / FOLDER / _REQUEST, request)


def read_history(run: Path) -> ImproveHistory:
    """Read the rounds in a results directory; raises DataError if the file is damaged."""
    return _read(run / FOLDER / _HISTORY, ImproveHistory) or ImproveHistory()


def write_history(run: Path, history: ImproveHistory) -> None:
    """Write the rounds to a results directory."""
    _write(run / FOLDER / _HISTORY, history)


def history_schema() -> dict[str, Any]:
    """Return the JSON Schema of ``improve/history.json``, which ``autolabel improve --json`` prints."""
    return struct_schema(ImproveHistory)


def _read(path: Path, kind: type[_T]) -> _T | None:
    if not path.exists():
        return None
    try:
        return msgspec.json.decode(read_regular(path, most=_MOST_BYTES), type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        hint = "restore it from a copy, or delete it: rounds that were done before are then forgotten"
        raise DataError(f"{path}: is damaged: {error}", hint=hint) from error


def _write(path: Path, content: msgspec.Struct) -> None:
    text: Any = msgspec.json.format(msgspec.json.encode(content), indent=1)
    publish(path, [text + b"\n"], name="improve")
