"""Named failpoints at which tests can make a run fail; almost free when off."""

from __future__ import annotations

import errno
import os
import signal

_VARIABLE = "AUTOLABEL_FAILPOINT"
"""``name:action:n``: what happens at the n-th time (from 1) that ``name`` is reached.

Actions are ``kill``, ``term``, ``interrupt``, ``full`` (the disk is) and ``error``.
"""

_armed = os.environ.get(_VARIABLE, "")
_reached = 0


def arm(setting: str) -> None:
    """Set the failpoint of this process; an empty setting turns it off."""
    global _armed, _reached
    _armed, _reached = setting, 0


def reach(name: str) -> None:
    """Fail here if a test set this failpoint."""
    if _armed:
        _fail(name)


def _fail(name: str) -> None:
    """Count visits to ``name`` and act on the configured one."""
    global _reached
    wanted, action, count = [*_armed.split(":"), "", ""][:3]
    if wanted != name:
        return
    _reached += 1
    if _reached != int(count or 1):
        return
    if action == "full":
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), name)
    if action == "error":
        raise RuntimeError(f"failpoint {name}")
    os.kill(os.getpid(), {"kill": signal.SIGKILL, "term": signal.SIGTERM, "interrupt": signal.SIGINT}[action])
