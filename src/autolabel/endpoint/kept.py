"""Cache answers on disk by request, so that the same question is not paid for twice."""

from __future__ import annotations

import hashlib
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex

import msgspec

from autolabel.endpoint.chat import Reply
from autolabel.errors import DataError, MachineError
from autolabel.storage import Location, Remote, read_regular

_log = logging.getLogger(__name__)

_SUFFIX = ".answer"
_MOST_BYTES = 32 << 20
_TEMPORARY = ".partial"

_encoder = msgspec.json.Encoder()
_replies = msgspec.json.Decoder(Reply)


@dataclass(frozen=True, slots=True)
class Answers:
    """A folder of replies, one file each, named by the key of the question; None disables the cache.

    Files are written atomically. The first line is the SHA-256 of the second, the reply; damaged files are ignored.
    """

    folder: Location | None = None

    def place(self, key: str) -> Location | None:
        """Return the file of a key."""
        return None if self.folder is None else self.folder / key[:2] / f"{key}{_SUFFIX}"

    def is_empty(self) -> bool:
        """Return whether no answer is kept."""
        if self.folder is None:
            return True
        if isinstance(self.folder, Remote):
            return next(self.folder.files(), None) is None
        return not self.folder.is_dir() or next(self.folder.iterdir(), None) is None

    def recall(self, key: str) -> Reply | None:
        """Return the cached reply to a question; None if there is none."""
        path = self.place(key)
        if path is None:
            return None
        try:
            check, _, data = read_regular(path, most=_MOST_BYTES).partition(b"\n")
            if hashlib.sha256(data).hexdigest().encode() == check:
                return msgspec.structs.replace(_replies.decode(data), kept=True)
            fault = "its checksum is wrong"
        except FileNotFoundError:
            return None
        except (OSError, DataError, msgspec.DecodeError, UnicodeDecodeError) as error:
            fault = str(error)
        _log.warning("%s: an answer cannot be used (%s); the request is sent again", path, fault)
        return None

    def keep(self, key: str, reply: Reply) -> None:
        """Write a reply to disk; raises MachineError if that fails."""
        path = self.place(key)
        if path is None:
            return
        data = _encoder.encode(reply)
        whole = hashlib.sha256(data).hexdigest().encode() + b"\n" + data
        try:
            if isinstance(path, Remote):
                path.write_bytes(whole)
            else:
                _write_whole(path, whole)
        except OSError as error:
            raise MachineError(f"{path}: an answer cannot be kept: {error.strerror or error}") from error


def _write_whole(path: Path, data: bytes) -> None:
    """Write a file atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{token_hex(4)}{_TEMPORARY}")
    try:
        with temporary.open("xb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
