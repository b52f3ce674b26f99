"""An execution plan: frozen, written as JSON, identified by a digest."""

from __future__ import annotations

import hashlib
import logging
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, Literal

import msgspec

from autolabel.detectors import Agreement, Doubt, Tiles, Vote
from autolabel.errors import DataError
from autolabel.safe_names import fault_of
from autolabel.storage import Location, read_regular
from autolabel.types import Round
from autolabel.types.ontology import Terms

VERSION = 2
PROVEN = 2
"""The first version whose files all carry what proves them whole."""
DAMAGED = "start over with --fresh, or restore it from a copy"
MOST_BYTES = 1 << 30
"""Of a plan: one of 100 million images has a tenth of that."""
STAGE = re.compile(r"\d+-[A-Za-z0-9_][A-Za-z0-9_.-]*")
log = logging.getLogger(__name__)


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """A strategy by name, with every parameter written out."""

    type: str
    package: str
    version: str
    params: dict[str, Any]


class WeightFile(msgspec.Struct, frozen=True, kw_only=True):
    """One file whose bytes determine a labeler's answers."""

    name: str
    bytes: int
    sha256: str


class Weights(msgspec.Struct, frozen=True, kw_only=True):
    """What a labeler's answers rest on, and under which licence."""

    files: tuple[WeightFile, ...]
    licence: str
    commercial: bool | None


class LookPlan(msgspec.Struct, frozen=True, kw_only=True):
    """In which ways an image is seen."""

    which: tuple[Choice, ...]
    names: tuple[str, ...]
    """What each is called: its type, with a number where another one has that."""
    agreement: Agreement
    doubt: Doubt | None
    """When an image is worth another look; None: every round sees all of them."""


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """One labeler, or several, with literal rounds; a segmenter has neither rounds nor aggregator."""

    index: int
    name: str
    labeler: Choice
    weights: Weights
    gives: Literal["boxes", "masks"]
    rounds: tuple[Round, ...] = ()
    aggregator: Choice | None = None
    ask: Literal["missing", "all"] = "missing"
    most_passes: int | None = None
    """Upper bound of forward passes over the whole run; None where boxes found earlier, or tiles, decide it."""
    members: tuple[Choice, ...] = ()
    """The detectors that are asked the same, where there are several; ``labeler`` stands for all of them."""
    vote: Vote | None = None
    """How many of the members must support a box; None where there is one."""
    tiles: Tiles | None = None
    """How images are cut for the detector; None where they are seen whole."""
    looks: LookPlan | None = None
    """In which ways an image is seen; None where only as it is."""


class Shard(msgspec.Struct, frozen=True, array_like=True):
    """A run of rows that one worker labels from start to end: its place in the inputs file."""

    index: int
    rows: int
    offset: int
    bytes: int
    sha256: str = ""
    """Of those bytes; empty in a plan that was written before there was one."""


class Cluster(msgspec.Struct, frozen=True, kw_only=True):
    """What workers on a Ray cluster are asked for."""

    address: str
    workers: int | None
    """How many; None: as many as there is room for, at any time."""
    num_cpus: float
    num_gpus: float
    """Of each worker, as ``num_cpus``."""
    fall_back: bool
    """Do without a GPU where the cluster has none."""


class Execution(msgspec.Struct, frozen=True, kw_only=True):
    """Where and how a plan runs; changes nothing about its results, so it is no part of the digest."""

    executor: Literal["inline", "processes", "ray"]
    workers: tuple[str, ...]
    """The device of every worker; none where the cluster decides."""
    cluster: Cluster | None = None
    threads: int
    num_workers: int
    max_failures: float | int
    candidates: str | None = None
    """Folder of what detectors have answered; None keeps nothing."""

    @property
    def places(self) -> str:
        """Where the workers are, for people."""
        if self.cluster is None:
            counts = Counter(self.workers)
            return ", ".join(f"{count} x {device}" if count > 1 else device for device, count in counts.items())
        workers = "all that fit" if self.cluster.workers is None else self.cluster.workers
        return f"the Ray cluster {self.cluster.address} (workers: {workers})"


class Forecast(msgspec.Struct, frozen=True, kw_only=True):
    """What kept candidates save a run."""

    rows: int
    """Rows that a detector is to search."""
    answered: int
    """Those for which everything that is asked has been answered before."""
    passes: int
    """Forward passes that are left, at most."""
    bytes: int
    """About what the run would write into the folder of candidates."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a run does, decided before the first pixel is read."""

    version: int = VERSION
    digest: str
    results: dict[str, Any]
    """What the digest covers besides the inputs, with paths reduced to names."""
    autolabel: str
    inputs: str
    """SHA-256 of the rows, whatever their order and wherever the images lie."""
    images: int
    rows: int
    unusable: int
    """Rows that have failed already: missing, unreadable or unsupported files."""
    classes: tuple[str, ...]
    stages: tuple[Stage, ...]
    shards: tuple[Shard, ...]
    roots: dict[str, str]
    """Where the images lie: the folder by the first part of their ids, or by "" where there is one."""
    batch_size: int
    max_pixels: int
    results_dir: str
    execution: Execution
    exports: tuple[Choice, ...]
    output: dict[str, Any]
    report: bool
    visualize: bool
    notices: tuple[str, ...] = ()
    value_range: tuple[float, float] | None = None
    """Values that become black and white in images of more than 8 bits; None: found for each image."""
    passed_over: dict[str, int] = {}
    """How many files below the folders of images are no rows, by the reason why."""
    given: dict[str, Any] = {}
    """What the COCO file of given boxes says besides its images and annotations: info, licences, categories."""
    contents: str = ""
    """A sum over the bytes of the images, whatever their order; no part of the digest."""
    ontology: dict[str, Terms] = {}
    """What detectors are asked on behalf of a class; a class that is not in it is asked by its name."""
    forecast: Forecast | None = None
    """Only in what ``autolabel plan`` prints, where candidates are kept: it needs the images' bytes."""
    extends: tuple[str, ...] = ()
    """Digests of the plans whose shards this one has taken over, latest first."""
    sha256: str = ""
    """Of the canonical JSON of all else (keys sorted, no spaces); only in the file, where it is checked."""

    @property
    def masks(self) -> bool:
        """Whether any stage gives masks."""
        return any(stage.gives == "masks" for stage in self.stages)

    def place_of(self, image: str) -> str:
        """Return where the image of an id lies; empty for a name that is none of a file below its folder."""
        for prefix, root in self.roots.items():
            name = image.removeprefix(f"{prefix}/") if prefix else image
            if (not prefix or name != image) and not fault_of(name):
                return f"{root.rstrip('/')}/{name}"
        return ""


def encode(plan: Plan) -> bytes:
    """Return the plan as indented JSON with a final newline, and the sum that proves it whole."""
    sealed = msgspec.structs.replace(plan, sha256=sum_of(plain(plan)))
    return msgspec.json.format(msgspec.json.encode(sealed), indent=1) + b"\n"


def sum_of(plan: dict[str, Any]) -> str:
    """Return the sum of a plan's JSON."""
    return digest({name: value for name, value in plan.items() if name != "sha256"})


def decode(text: bytes, *, file: str) -> Plan:
    """Read a plan back; raises DataError where it is none, of another version, or not as it was written."""
    try:
        plan, raw = msgspec.json.decode(text, type=Plan), msgspec.json.decode(text)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise DataError(f"{file}: not a plan that autolabel {VERSION} reads: {error}", hint=DAMAGED) from error
    if plan.sha256 or plan.version >= PROVEN:
        if sum_of(raw) != plan.sha256:
            raise DataError(f"{file}: is damaged: its SHA-256 is not the one that it was written with", hint=DAMAGED)
    else:
        log.warning("%s: written by an older autolabel, without checksums: damage in this run cannot be told", file)
    for fault in faults_of(plan):
        raise DataError(f"{file}: {fault}", hint=DAMAGED)
    return msgspec.structs.replace(plan, sha256="")


def faults_of(plan: Plan) -> Iterator[str]:
    """Yield what no plan that was compiled says; names in a plan become names of files."""
    if not plan.stages:
        yield "names no stage"
    for index, stage in enumerate(plan.stages):
        if stage.index != index or not STAGE.fullmatch(stage.name):
            yield f"stage {index} is called {stage.name!r}"
    end = 0
    for index, shard in enumerate(plan.shards):
        if shard.index != index or shard.offset != end or shard.rows < 1 or shard.bytes < shard.rows:
            yield f"shard {index} is out of place"
        end = shard.offset + shard.bytes
    if sum(shard.rows for shard in plan.shards) != plan.rows:
        yield f"its shards do not hold its {plan.rows:,} rows"


def read(path: Location) -> Plan:
    """Read a plan file."""
    return decode(read_regular(path, most=MOST_BYTES), file=str(path))


def digest(value: Any) -> str:
    """Return the SHA-256 of a value's canonical JSON (keys sorted)."""
    return hashlib.sha256(msgspec.json.encode(value, order="sorted")).hexdigest()


def plain(value: Any) -> Any:
    """Return a value as its JSON would be read back: lists, mappings, numbers, texts."""
    read: Any = msgspec.json.decode(msgspec.json.encode(value))
    return read


def schema() -> dict[str, Any]:
    """Return the JSON Schema of ``plan.json``."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **msgspec.json.schema(Plan)}
