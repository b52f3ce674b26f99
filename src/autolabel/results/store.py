"""The results directory; all files in it are published atomically."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from secrets import token_hex
from tempfile import NamedTemporaryFile, TemporaryDirectory

from autolabel.data.prefetch import prefetch
from autolabel.errors import DataError, MachineError
from autolabel.plan import plan_file
from autolabel.plan.model import Plan, Shard, Stage
from autolabel.results import seal, shard_file
from autolabel.results.failpoints import reach
from autolabel.results.lock import hold, lease, writing
from autolabel.results.ownership import LOCK, PLAN, check_replaceable, mark, name_taken
from autolabel.results.shard_file import DamageError
from autolabel.storage import FileEntry, Location, Remote, at, list_files, read_part, read_regular

INPUTS = "inputs.jsonl"
STAGES = "stages"
LABELS = "labels.jsonl"
_REVIEW = "review.json"
_JOURNAL = "review.jsonl"
LOGS = "logs"
TEMPORARY = ".autolabel-tmp"
_SHARDS = "shard-*.jsonl"
_MOST_BYTES = 1 << 30
"""The most bytes of a shard's file."""
_READERS = 8
"""Shards that are read at a time: at a URL each is a request."""
_ROW = b'{"image":'
"""The start of every row."""
_PLAN_AGAIN = "`autolabel generate SPEC`, without --planned, lists the images and writes it again"


@dataclass(frozen=True, slots=True)
class RunStore:
    """One results directory."""

    root: Location

    @classmethod
    def at(cls, plan: Plan) -> RunStore:
        """Return the store that a plan writes to."""
        return cls(at(plan.outputs.results_dir))

    @property
    def labels(self) -> Location:
        """The ledger: one line for every row."""
        return self.root / LABELS

    @property
    def review(self) -> Location:
        """The decisions; kept when a run starts over."""
        return self.root / _REVIEW

    @property
    def journal(self) -> Location:
        """The journal of reviews, one action per line; kept when a run starts over."""
        return self.root / _JOURNAL

    @property
    def inputs(self) -> Location:
        """The rows that the plan labels, in the order of its shards."""
        return self.root / INPUTS

    def shard(self, stage: Stage, index: int) -> Location:
        """Return the path of a stage's shard."""
        return self.root / STAGES / stage.name / f"shard-{index:06d}.jsonl"

    def lines(self, plan: Plan, stage: Stage, shard: Shard) -> list[bytes]:
        """Return the rows of a stage's shard; raises DamageError if they are damaged or of another shard."""
        try:
            data = read_regular(self.shard(stage, shard.index), most=_MOST_BYTES)
        except FileNotFoundError:
            raise DamageError("it was removed") from None
        except DataError as error:
            raise DamageError(error.message) from None
        return shard_file.read_shard(data, plan=plan, stage=stage, shard=shard)

    def all_lines(self, plan: Plan, stage: Stage) -> Iterator[bytes]:
        """Yield the rows of all shards of a stage, reading in parallel; raises DataError naming a damaged shard."""
        for shard, outcome in self.checked(plan, stage, plan.manifest.shards):
            if isinstance(outcome, DamageError):
                name = self.shard(stage, shard.index)
                raise DataError(f"{name}: is damaged: {outcome}", hint="`autolabel generate SPEC` labels it again")
            yield from outcome

    def publish_shard(self, plan: Plan, stage: Stage, shard: Shard, rows: Iterable[bytes]) -> None:
        """Publish a shard's rows (without newlines) with a checksum."""
        if isinstance(self.root, Path) and not (self.root / PLAN).exists():
            raise MachineError(f"{self.root}: was removed, or its plan was", hint="the same command starts over")
        lines = shard_file.shard_lines(rows, plan=plan.digest, stage=stage, shard=shard.index)
        publish(self.shard(stage, shard.index), lines, name="shard")

    def missing(self, plan: Plan, stage: Stage) -> list[Shard]:
        """Return the shards of a stage that have no file."""
        published = self.published(stage).keys()
        return [shard for shard in plan.manifest.shards if self.shard(stage, shard.index).name not in published]

    def damaged(self, plan: Plan, stage: Stage, shards: Iterable[Shard]) -> dict[int, str]:
        """Return the damaged shards among some published ones, with their faults; reads them all."""
        outcomes = self.checked(plan, stage, shards)
        return {shard.index: str(outcome) for shard, outcome in outcomes if isinstance(outcome, DamageError)}

    def checked(
        self, plan: Plan, stage: Stage, shards: Iterable[Shard]
    ) -> Iterator[tuple[Shard, list[bytes] | DamageError]]:
        """Yield shards with their rows or their fault."""

        def one(shard: Shard) -> tuple[Shard, list[bytes] | DamageError]:
            try:
                return shard, self.lines(plan, stage, shard)
            except DamageError as error:
                return shard, error

        yield from prefetch(one, shards, threads=_READERS, ahead=2 * _READERS)

    def published(self, stage: Stage) -> dict[str, FileEntry]:
        """Return the files of a stage's folder by name."""
        return {entry.name: entry for entry in list_files(self.root / STAGES / stage.name)}

    def read_plan(self) -> Plan | None:
        """Return the stored plan, None if there is none."""
        path = self.root / PLAN
        return plan_file.read_plan(path) if path.exists() else None

    def publish_plan(self, plan: Plan) -> None:
        """Publish the plan and its seal."""
        publish(self.root / PLAN, [plan_file.encode_plan(plan)], name="plan")
        if mark := seal.of_plan(plan):
            publish(self.root / seal.SEAL, [mark.encode() + b"\n"], name="seal")

    def rows(self, shard: Shard) -> list[bytes]:
        """Return the input lines of a shard; raises DataError if their checksum is wrong."""
        try:
            data = read_part(self.inputs, shard.offset, shard.offset + shard.bytes)
        except FileNotFoundError:
            raise DataError(f"{self.inputs}: was removed", hint=_PLAN_AGAIN) from None
        rows = data.splitlines()
        whole = len(rows) == shard.rows and len(data) == shard.bytes
        if not whole or (shard.sha256 and hashlib.sha256(data).hexdigest() != shard.sha256):
            message = f"{self.inputs}: is damaged: the rows of shard {shard.index} are not those that were planned"
            raise DataError(message, hint=_PLAN_AGAIN)
        return rows

    def check_inputs(self, plan: Plan) -> None:
        """Raise DataError unless the input rows of all shards match their checksums; reads the file once."""
        end = 0
        for shard in plan.manifest.shards:
            self.rows(shard)
            end = shard.offset + shard.bytes
        beyond = read_part(self.inputs, end, end + len(_ROW)) if plan.manifest.shards else b""
        if beyond and beyond != _ROW:  # an interrupted extension may leave rows here
            raise DataError(f"{self.inputs}: is damaged: data after the last row of the plan", hint=_PLAN_AGAIN)

    @contextmanager
    def lock(self, name: str = LOCK) -> Iterator[None]:
        """Lock the directory, or a named part of it; raises BusyError, naming the holder, if another run has it.

        The lock is released when its process ends; in an object store, a lease expires some time later.
        """
        with hold(self.root / name) if isinstance(self.root, Path) else lease(self.root / name):
            yield

    def clear(self) -> None:
        """Remove the shards, plan, inputs and ledger of earlier runs, and nothing else."""
        for shard in list(self.shards()):
            shard.unlink()
        for name in (LABELS, PLAN, INPUTS):  # the plan after its shards, so that no other plan can find them
            (self.root / name).unlink(missing_ok=True)

    def shards(self) -> Iterator[Location]:
        """Yield every published shard of every stage, of any plan."""
        if isinstance(self.root, Path):
            yield from (self.root / STAGES).glob(f"*/{_SHARDS}")
            return
        folder = self.root / STAGES
        yield from (folder / entry.name for entry in folder.files() if fnmatch(entry.name, f"*/{_SHARDS}"))

    def sweep(self) -> None:
        """Remove temporary files of interrupted runs; object stores have none."""
        if not isinstance(self.root, Path):
            return
        for pattern in (f"*{TEMPORARY}", f"{STAGES}/*/*{TEMPORARY}"):
            for path in self.root.glob(pattern):
                folder = path.is_dir() and not path.is_symlink()
                shutil.rmtree(path) if folder else path.unlink(missing_ok=True)


def finished(run: Location) -> tuple[RunStore, Plan]:
    """Return the store and the plan of a finished run, without image folders if it has no valid seal.

    Raises DataError if ``run`` is not a finished run.
    """
    store = RunStore(run)
    plan = store.read_plan()
    if plan is None or not name_taken(store.labels):
        raise DataError(f"{run}: not a finished run", hint="run `autolabel generate` first")
    return store, seal.as_named(run, plan)


def publish(path: Location, pieces: Iterable[bytes], *, name: str) -> None:
    """Write a file atomically: temporary file, fsync, rename, fsync of the folder. ``name`` prefixes its failpoints.

    In an object store it is uploaded as one object, from a local temporary file. Raises MachineError if the disk is
    full or not writable; the temporary file is removed.
    """
    if isinstance(path, Remote):
        _put(path, pieces, name=name)
        return
    temporary = path.with_name(f"{path.name}.{token_hex(4)}{TEMPORARY}")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("xb") as stream:
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


def _put(target: Remote, pieces: Iterable[bytes], *, name: str) -> None:
    """Upload an object."""
    with NamedTemporaryFile(suffix=TEMPORARY) as stream:
        with writing(Path(stream.name)):
            for piece in pieces:
                stream.write(piece)
            stream.flush()
        reach(f"{name}.written")
        target.upload(Path(stream.name))
        reach(f"{name}.renamed")


@contextmanager
def publish_folder(path: Location, *, name: str) -> Iterator[Path]:
    """Yield a temporary folder that atomically replaces ``path`` if the block succeeds.

    Raises BusyError if ``path`` was not written by autolabel.
    """
    check_replaceable(path)
    with _replace_remote(path, name=name) if isinstance(path, Remote) else _replace_here(path, name=name) as folder:
        yield folder


@contextmanager
def _replace_remote(path: Remote, *, name: str) -> Iterator[Path]:
    """Upload every file of a local folder, then delete other objects, one by one.

    Links are uploaded as their target files.
    """
    with TemporaryDirectory(suffix=TEMPORARY) as temporary:
        folder = Path(temporary)
        with writing(folder):
            mark(folder)
            yield folder
        reach(f"{name}.synced")
        names = sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())
        before = {entry.name for entry in path.files()}
        path.upload_folder(folder, names)
        reach(f"{name}.swapped")
        for left in sorted(before.difference(names)):
            (path / left).unlink(missing_ok=True)
        reach(f"{name}.renamed")


@contextmanager
def _replace_here(path: Path, *, name: str) -> Iterator[Path]:
    """Replace a local folder by renaming."""
    temporary = path.with_name(f"{path.name}.{token_hex(4)}{TEMPORARY}")
    old = path.with_name(f"{path.name}.old{TEMPORARY}")
    with writing(path):
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        try:
            mark(temporary)
            yield temporary
            for file in temporary.rglob("*"):
                if not file.is_symlink():
                    _sync(file)
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


def _sync(path: Path) -> None:
    """Fsync a file or folder."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


sync_folder = _sync
