"""The results directory: what is in it appears whole or not at all."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from autolabel.errors import BusyError, DataError, MachineError
from autolabel.plan import model
from autolabel.plan.model import Plan, Shard, Stage
from autolabel.run.failpoints import reach

PLAN = "plan.json"
INPUTS = "inputs.jsonl"
STAGES = "stages"
LABELS = "labels.jsonl"
REVIEW = "review.json"
LOCK = ".lock"
TEMPORARY = ".autolabel-tmp"
SHARDS = "shard-*.jsonl"
OURS = b'"autolabel"'
"""What stands in every plan of ours, of whatever version."""
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
UNWRITABLE = FULL | {errno.EROFS, errno.EIO, errno.ENOTDIR, errno.EEXIST, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP}


@dataclass(frozen=True, slots=True)
class RunStore:
    """One results directory."""

    root: Path

    @classmethod
    def at(cls, plan: Plan) -> RunStore:
        """Return the store that a plan writes to."""
        return cls(Path(plan.results_dir))

    @property
    def labels(self) -> Path:
        """The ledger: one line for every row."""
        return self.root / LABELS

    @property
    def review(self) -> Path:
        """What a person decided in the report; starting over leaves it alone."""
        return self.root / REVIEW

    @property
    def inputs(self) -> Path:
        """The rows that the plan labels, in the order of its shards."""
        return self.root / INPUTS

    def shard(self, stage: Stage, index: int) -> Path:
        """Return where a stage's shard is published."""
        return self.root / STAGES / stage.name / f"shard-{index:06d}.jsonl"

    def lines(self, stage: Stage, index: int) -> list[bytes]:
        """Return the lines of a stage's published shard."""
        return self.shard(stage, index).read_bytes().splitlines()

    def missing(self, plan: Plan, stage: Stage) -> list[Shard]:
        """Return the shards that a stage still has to label: what has no file."""
        folder = self.root / STAGES / stage.name
        there = {entry.name for entry in os.scandir(folder)} if folder.is_dir() else set()
        return [shard for shard in plan.shards if self.shard(stage, shard.index).name not in there]

    def read_plan(self) -> Plan | None:
        """Return the plan whose results lie here, None where there is none."""
        path = self.root / PLAN
        return model.read(path) if path.exists() else None

    def rows(self, shard: Shard) -> list[bytes]:
        """Return the input lines of a shard."""
        with self.inputs.open("rb") as stream:
            stream.seek(shard.offset)
            return stream.read(shard.bytes).splitlines()

    @contextmanager
    def lock(self, name: str = LOCK) -> Iterator[None]:
        """Hold the directory, or a part of it by name; raises BusyError, naming the holder, where another run has it.

        The lock ends with the process that holds it, however that ends.
        """
        with writing(self.root):
            self.root.mkdir(parents=True, exist_ok=True)
            stream = (self.root / name).open("a+", encoding="utf-8")
        with stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                stream.seek(0)
                holder = stream.read().strip() or "another process"
                hint = "wait for it, or choose another results_dir"
                raise BusyError(f"{self.root} is in use by {holder}", hint=hint) from None
            with writing(self.root):
                reach("lock.taken")
                os.ftruncate(stream.fileno(), 0)
                os.write(stream.fileno(), f"process {os.getpid()} on {socket.gethostname()}\n".encode())
            yield

    def clear(self) -> None:
        """Remove the shards, plan, inputs, ledger that earlier runs left, and nothing else."""
        for shard in (self.root / STAGES).glob(f"*/{SHARDS}"):
            shard.unlink()
        for name in (LABELS, PLAN, INPUTS):  # the plan after its shards: no other plan may find those
            (self.root / name).unlink(missing_ok=True)

    def sweep(self) -> None:
        """Remove half-written files of runs that were interrupted."""
        for pattern in (f"*{TEMPORARY}", f"{STAGES}/*/*{TEMPORARY}"):
            for path in self.root.glob(pattern):
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)

    def foreign(self, names: Iterable[str]) -> list[str]:
        """Return which of ``names`` are here without ever a run having been: they are somebody else's."""
        plan = self.root / PLAN
        with writing(self.root):
            if (self.root / LOCK).exists() or (plan.is_file() and OURS in plan.read_bytes()):
                return []
            return [name for name in names if os.path.lexists(self.root / name)]


def finished(run: Path) -> tuple[RunStore, Plan]:
    """Return the store and the plan of a finished run; raises DataError where ``run`` is none."""
    store = RunStore(run)
    plan = store.read_plan()
    if plan is None or not store.labels.exists():
        raise DataError(f"{run}: not a finished run", hint="run `autolabel generate` first")
    return store, plan


def publish(path: Path, pieces: Iterable[bytes], *, name: str) -> None:
    """Write a file whole: temporary name, fsync, rename, fsync of the folder. ``name`` is its failpoints' prefix.

    Raises MachineError where the disk is full or cannot be written; the temporary file is removed.
    """
    temporary = path.with_name(f"{path.name}.{os.getpid()}{TEMPORARY}")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("wb") as stream:
                for piece in pieces:
                    stream.write(piece)
                reach(f"{name}.written")
                stream.flush()
                os.fsync(stream.fileno())
            reach(f"{name}.synced")
            temporary.replace(path)
            reach(f"{name}.renamed")
            sync_folder(path.parent)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


@contextmanager
def publish_folder(path: Path, *, name: str) -> Iterator[Path]:
    """Yield a temporary folder that takes the place of ``path`` and whatever is there, once the block ends well."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}{TEMPORARY}")
    old = path.with_name(f"{path.name}.old{TEMPORARY}")
    with writing(path):
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        try:
            yield temporary
            for file in temporary.rglob("*"):
                if not file.is_symlink():
                    sync(file)
            reach(f"{name}.synced")
            if path.exists():
                shutil.rmtree(old, ignore_errors=True)
                path.replace(old)
                reach(f"{name}.swapped")
            temporary.replace(path)
            reach(f"{name}.renamed")
            sync_folder(path.parent)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            if old.exists() and not path.exists():
                old.replace(path)
            raise
        shutil.rmtree(old, ignore_errors=True)


def sync(path: Path) -> None:
    """Force a file or folder to disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


sync_folder = sync


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn a full, read-only or forbidden disk into MachineError."""
    try:
        yield
    except OSError as error:
        if error.errno in UNWRITABLE or isinstance(error, PermissionError):
            wanted = "free some space" if error.errno in FULL else "make it writable"
            hint = f"{wanted} or choose another results_dir; the same command resumes"
            raise MachineError(f"{path}: cannot be written: {error.strerror}", hint=hint) from error
        raise
