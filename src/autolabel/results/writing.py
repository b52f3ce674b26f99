"""What a disk says when it cannot be written, as an error for people."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from autolabel.errors import MachineError
from autolabel.storage import Location

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
UNWRITABLE = FULL | {errno.EROFS, errno.EIO, errno.ENOTDIR, errno.EEXIST, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP}


@contextmanager
def writing(path: Location) -> Iterator[None]:
    """Turn a full, read-only or forbidden disk into MachineError."""
    try:
        yield
    except OSError as error:
        if error.errno in UNWRITABLE or isinstance(error, PermissionError):
            wanted = "free some space" if error.errno in FULL else "make it writable"
            hint = f"{wanted} or choose another results_dir; the same command resumes"
            raise MachineError(f"{path}: cannot be written: {error.strerror}", hint=hint) from error
        raise
