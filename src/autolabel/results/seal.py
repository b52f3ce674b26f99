"""A seal on plans that this user wrote, so that a stranger's run cannot name files of this machine."""

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
    """Return this user's key, made when it is first wanted; empty if it can be neither read nor kept."""
    folder = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "autolabel"
    path = folder / "key"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not path.exists():
            _make_key(path)
        found = path.read_bytes()
        return found if len(found) == BYTES else b""
    except (OSError, RuntimeError) as error:
        _log.debug("no key can be kept: %s", error)
        return b""


def _make_key(path: Path) -> None:
    """Make the key under another name and link it: it is there whole or not at all, and the first one made stays."""
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
    """Return the seal of some bytes, in hex; empty if this user has no key."""
    own = key()
    return hmac.new(own, data, hashlib.sha256).hexdigest() if own else ""


def _holds(data: bytes, seal: bytes) -> bool:
    """Return whether this user has set a seal."""
    own = _of(data)
    return bool(own) and hmac.compare_digest(own.encode(), seal)


def of_plan(plan: Plan) -> str:
    """Return the seal of a plan as ``encode_plan`` writes it."""
    return _of(plan_file.summed(plan).sha256.encode())


def is_named_here(root: Location, plan: Plan) -> bool:
    """Return whether this user, with a spec, has written the plan that was read from a results directory.

    The seal covers what the file says, not what this version makes of it: a field that is newer than the file changes
    nothing.
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
    """Return a plan as far as this user has named what it reads: without its folders of images where not."""
    if is_named_here(root, plan):
        return plan
    warning = (
        "%s: its images are not read, because you have not written its plan on this machine; `autolabel generate SPEC`"
    )
    _log.warning(warning + " with the spec that names them adopts the run, and labels nothing again", root)
    return replace(plan, manifest=replace(plan.manifest, roots={}))
