"""Seal plans written by this user, so that a run from elsewhere cannot make autolabel read local files."""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
from contextlib import suppress
from pathlib import Path
from secrets import token_bytes, token_hex

from msgspec.structs import replace

from autolabel.errors import DataError
from autolabel.plan import plan_file
from autolabel.plan.model import Plan
from autolabel.storage import Location, read_regular

SEAL = ".seal"
BYTES = 32
_log = logging.getLogger(__name__)


def key() -> bytes:
    """Return this user's key, created on first use; empty if it can be neither read nor stored."""
    try:
        folder = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "autolabel"
        path = folder / "key"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not path.exists():
            _make_key(path)
        found = path.read_bytes()
        return found if len(found) == BYTES else b""
    except (OSError, RuntimeError) as error:
        _log.debug("no key can be kept: %s", error)
        return b""


def _make_key(path: Path) -> None:
    """Create the key atomically by linking a temporary file; the first one created stays."""
    temporary = path.with_name(f"{path.name}.{token_hex(4)}")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(token_bytes(BYTES))
        with suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        temporary.unlink()


def _of(data: bytes) -> str:
    """Return the seal of bytes, in hex; empty if this user has no key."""
    own = key()
    return hmac.new(own, data, hashlib.sha256).hexdigest() if own else ""


def _holds(data: bytes, seal: bytes) -> bool:
    """Return whether a seal was made by this user."""
    own = _of(data)
    return bool(own) and hmac.compare_digest(own.encode(), seal)


def of_plan(plan: Plan) -> str:
    """Return the seal of a plan as ``encode_plan`` writes it."""
    return _of(plan_file.summed(plan).sha256.encode())


def is_named_here(root: Location, plan: Plan) -> bool:
    """Return whether this user wrote the plan in a results directory, from a spec.

    The seal covers the file's content, not its decoded form, so fields added by newer versions do not matter.
    """
    try:
        seal = read_regular(root / SEAL, most=BYTES * 4).strip()
    except (FileNotFoundError, DataError):
        return False
    return _holds(plan.sha256.encode(), seal)


def check_named(root: Location, plan: Plan) -> None:
    """Raise DataError where nobody has named the folders of a run's images on this machine: none of them is read."""
    if not plan.manifest.roots:
        said = f"{root}: the folders of its images are unknown on this machine"
        raise DataError(said, hint="run `autolabel generate SPEC` of that run first: it labels nothing again")


def as_named(root: Location, plan: Plan) -> Plan:
    """Return a plan, without its image folders unless this user wrote it."""
    if is_named_here(root, plan):
        return plan
    warning = (
        "%s: its images are not read, because you have not written its plan on this machine; `autolabel generate SPEC`"
    )
    _log.warning(warning + " with the spec that names them adopts the run, and labels nothing again", root)
    return replace(plan, manifest=replace(plan.manifest, roots={}))
