"""Sort errors of the operating system: a wrong name, a failing machine, or a bug in autolabel."""

from __future__ import annotations

import errno
import os
from collections.abc import Collection
from pathlib import Path

from autolabel.errors import AutolabelError, MachineError, SpecError
from autolabel.storage import TRANSIENT

_MACHINE = TRANSIENT | {
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOLCK),
    *(errno.EROFS, errno.EINTR, errno.ENODEV, errno.ENXIO, errno.ENOTCONN, errno.ECONNRESET, errno.ECONNABORTED),
    *(errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EMLINK, errno.ETXTBSY, errno.EXDEV, errno.ENOTSUP, errno.ENOSYS),
}
"""Errors of a full, failing or lost disk or file server, or of too many open files: not autolabel's fault."""
_UNFIT = frozenset({errno.ENAMETOOLONG, errno.ELOOP, errno.EILSEQ})
"""Errors for a name that no file can have."""
_TAKEN = frozenset({errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENOTEMPTY})
"""Errors for a file where a folder is wanted, a folder where a file is, and for what is there already."""
_REFUSED = frozenset({errno.EACCES, errno.EPERM})
_LONGEST = 200


def expected(error: OSError, *, named: Collection[Path] = ()) -> AutolabelError | None:
    """Return the error to report for a bad file name, an unusable file or a failing disk; None if it is a bug.

    ``named`` are the files that a person named.
    """
    place = None if error.filename is None else Path(os.fsdecode(error.filename))
    said = f"{_shown(place)}: {error.strerror or type(error).__name__}"
    if error.errno in _MACHINE:
        return MachineError(f"{said}; the same command resumes")
    if error.errno in _REFUSED:
        return MachineError(said, hint="choose a file or folder with read and write permission")
    if error.errno == errno.ENOENT and place is not None and not _is_there(place.parent):
        return MachineError(f"{place.parent}: was removed during the run", hint="the same command starts again")
    if error.errno in _TAKEN:
        return SpecError(said, hint="move what is there elsewhere, or name another place")
    if error.errno in _UNFIT or (place is not None and any(place == name or place in name.parents for name in named)):
        return SpecError(said, hint="name a file in an existing folder")
    return None


def _shown(place: Path | None) -> str:
    """Return a file's name as far as a line takes it."""
    name = "a file, or the output" if place is None else str(place)
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST // 2 - 3]}...{name[-_LONGEST // 2 :]}"


def _is_there(folder: Path) -> bool:
    try:
        return folder.exists()
    except OSError:
        return True
