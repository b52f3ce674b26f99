"""The data model of an execution plan."""

from __future__ import annotations

from collections import Counter
from typing import Any, Literal

import msgspec
from msgspec.structs import replace

from autolabel.data.inputs import Input
from autolabel.detectors import Agreement, Doubt, Tiles, Vote
from autolabel.images.inside import InsidePath
from autolabel.safe_names import path_fault
from autolabel.types import Round
from autolabel.types.ontology import ClassPrompts
from autolabel.urls import is_url

VERSION = 2
"""The format version of ``plan.json``."""
PROVEN = 2
"""The first version whose files all carry what proves them whole."""


class ResolvedStrategy(msgspec.Struct, frozen=True, kw_only=True):
    """A strategy by name, with all parameters, defaults included."""

    type: str
    package: str
    version: str
    params: dict[str, Any]
    code: str = ""
    """SHA-256 of the files of the package it comes from; empty for our own."""
    incidental: tuple[str, ...] = ()
    """Parameters that change no result."""


class WeightFile(msgspec.Struct, frozen=True, kw_only=True):
    """One file whose bytes affect a labeler's answers."""

    name: str
    bytes: int
    sha256: str


class Weights(msgspec.Struct, frozen=True, kw_only=True):
    """The weights of a labeler, and their licence."""

    files: tuple[WeightFile, ...]
    licence: str
    commercial: bool | None


class LookPlan(msgspec.Struct, frozen=True, kw_only=True):
    """The looks of a stage."""

    which: tuple[ResolvedStrategy, ...]
    names: tuple[str, ...]
    """The name of each look: its type, with a number if the type is used twice."""
    agreement: Agreement
    doubt: Doubt | None
    """When an image is worth another look; None: every round sees all of them."""


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """One labeler, or several, with literal rounds; a segmenter has neither rounds nor aggregator."""

    index: int
    name: str
    labeler: ResolvedStrategy
    weights: Weights
    gives: Literal["boxes", "masks"]
    rounds: tuple[Round, ...] = ()
    aggregator: ResolvedStrategy | None = None
    ask: Literal["missing", "all"] = "missing"
    members: tuple[ResolvedStrategy, ...] = ()
    """The detectors, if there are several; ``labeler`` then represents all of them."""
    vote: Vote | None = None
    """The number of members that must support a box; None with one member."""
    tiles: Tiles | None = None
    """The tiles that images are cut into; None if they are searched whole."""
    looks: LookPlan | None = None
    """The looks; None without looks."""
    sends_to: tuple[str, ...] = ()
    """The endpoints that images are sent to."""


class Recipe(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that determines the labels of an image: equal recipes give equal labels anywhere."""

    stages: tuple[Stage, ...]
    ontology: dict[str, ClassPrompts] = {}
    """The phrases of each class; a class without an entry uses its name."""
    batch_size: int
    shard_size: int
    max_pixels: int
    value_range: tuple[float, float] | None = None
    """Values that become black and white in images of more than 8 bits; None: found for each image."""
    threads: int | None
    """Torch's threads for each worker, where the spec says; None: an equal share of the cores."""

    @property
    def masks(self) -> bool:
        """Whether any stage gives masks."""
        return any(stage.gives == "masks" for stage in self.stages)


class Shard(msgspec.Struct, frozen=True, array_like=True):
    """Consecutive rows that one worker labels together, by their offsets in the inputs file."""

    index: int
    rows: int
    offset: int
    bytes: int
    sha256: str = ""
    """The SHA-256 of those bytes; empty in an older plan."""


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """The requests to endpoints."""

    requests: int
    images: int
    """Images that are sent, counting repeated ones."""
    tokens: int
    """About how many, of questions and answers."""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """The rows to label, and their shards; the rows themselves are in ``inputs.jsonl``."""

    fingerprint: str
    """SHA-256 of the rows, independent of their order and of image folders."""
    images: int
    rows: int
    unusable: int
    """Rows that have failed already: missing, unreadable or unsupported files."""
    classes: tuple[str, ...]
    """The phrases of the whole run, in the order that category ids follow."""
    roots: dict[str, str]
    """Where the images lie: the folder by the first part of their ids, or by "" where there is one."""
    most_passes: tuple[int | None, ...]
    """Upper bound of forward passes by stage; None if boxes found earlier, or tiles, decide it."""
    shards: tuple[Shard, ...]
    passed_over: dict[str, int] = {}
    """The number of files in the image folders that are skipped, by reason."""
    given: dict[str, Any] = {}
    """What the COCO file of given boxes says besides its images and annotations: info, licences, categories."""
    requests: tuple[Asked | None, ...] = ()
    """The most requests to endpoints, by stage; None if there are none, or if earlier boxes decide it."""
    contents: str = ""
    """A sum over the images' contents, independent of their order; not part of the digest."""
    follow_symlinks: bool = False
    """Whether images may be links that leave their folder; no part of the digest."""

    def image_path(self, image: str) -> str:
        """Return the path of an image id; empty for an invalid name."""
        for prefix, root in self.roots.items():
            name = image.removeprefix(f"{prefix}/") if prefix else image
            if (not prefix or name != image) and not path_fault(name):
                return self.kept_inside(f"{root.rstrip('/')}/{name}")
        return ""

    def placed(self, row: Input) -> Input:
        """Return a row with the path of its image, which is not opened through a link out of its folder."""
        return replace(row, path=self.image_path(row.image))

    def kept_inside(self, path: str) -> str:
        """Return the path of an image that is checked to stay in its folder."""
        if self.follow_symlinks or is_url(path):
            return path
        root = next((root for root in self.roots.values() if path.startswith(f"{root.rstrip('/')}/")), "")
        return InsidePath(path, root) if root else path


class Cluster(msgspec.Struct, frozen=True, kw_only=True):
    """The resources of workers on a Ray cluster."""

    address: str
    workers: int | None
    """The number of workers; None: as many as fit at any time."""
    num_cpus: float
    num_gpus: float
    """The GPUs of each worker; ``num_cpus`` are its CPUs."""
    fall_back: bool
    """Do without a GPU where the cluster has none."""


class SpendingLimit(msgspec.Struct, frozen=True, kw_only=True):
    """The spending limits of a run for endpoints; None is unlimited."""

    requests: int | None = None
    tokens: int | None = None


class Execution(msgspec.Struct, frozen=True, kw_only=True):
    """Where and how a plan runs; does not affect labels and is not part of the digest."""

    executor: Literal["inline", "processes", "ray"]
    workers: tuple[str, ...]
    """The device of every worker; none if the cluster decides."""
    cluster: Cluster | None = None
    threads: int
    chosen: bool = False
    """Whether workers and threads were chosen by the cores, the memory and the number of rows, not by the spec."""
    num_workers: int
    max_failures: float | int
    candidates: str | None = None
    """Folder of what detectors have answered; None keeps nothing."""
    answers: str | None = None
    """Folder of what endpoints have answered; None: the folder ``answers`` of the results."""
    budget: SpendingLimit | None = None
    """The spending limits for endpoints."""

    def alone(self) -> Execution:
        """Return the execution of work in one process: chosen workers become one, with the threads of all of them."""
        if not self.chosen:
            return self
        threads = self.threads * len(self.workers)
        return replace(self, executor="inline", workers=self.workers[:1], threads=threads, chosen=False)

    @property
    def places(self) -> str:
        """The devices of the workers, as text."""
        if self.cluster is None:
            counts = Counter(self.workers)
            return ", ".join(f"{count} x {device}" if count > 1 else device for device, count in counts.items())
        workers = "all that fit" if self.cluster.workers is None else self.cluster.workers
        return f"the Ray cluster {self.cluster.address} (workers: {workers})"


class SizeLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Which boxes exports leave out: sides in pixels, areas as a share of the image."""

    min_size: float | None = None
    max_size: float | None = None
    min_area: float | None = None
    max_area: float | None = None


class Split(msgspec.Struct, frozen=True, kw_only=True):
    """The subsets that exports put images into, and their shares."""

    fractions: dict[str, float]
    seed: int = 0


class Outputs(msgspec.Struct, frozen=True, kw_only=True):
    """The exports, pictures and report of a run; do not affect labels and are not part of the digest."""

    results_dir: str
    exports: tuple[ResolvedStrategy, ...]
    filter: SizeLimits | None = None
    split: Split | None = None
    duplicates: Literal["ignore", "group"] = "ignore"
    """Whether near-duplicates are looked for, and stay together in splits."""
    thresholds: dict[str, float] | None = None
    """The least score of a box by class."""
    scores: Literal["raw", "calibrated"] = "raw"
    """Whether exports have the labeler's scores or calibrated ones."""
    report: bool
    visualize: bool


class Forecast(msgspec.Struct, frozen=True, kw_only=True):
    """The savings from cached candidates."""

    rows: int
    """Rows that a detector is to search."""
    answered: int
    """Rows whose questions are all answered in the cache."""
    passes: int
    """Forward passes that are left, at most."""
    bytes: int
    """About what the run would write into the folder of candidates."""


class CaptionPlan(msgspec.Struct, frozen=True, kw_only=True):
    """The captioner for images without a caption, before the plan's rows are final."""

    labeler: ResolvedStrategy
    sends_to: tuple[str, ...]
    """The endpoints that images are sent to."""
    wanting: int
    """Rows that are still to be described; their phrases are not known yet."""
    asked: Asked
    """The maximum endpoint requests for that."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """A compiled run: all decisions made before the first image is decoded."""

    version: int = VERSION
    digest: str
    """The hash of recipe and manifest; see ``autolabel.plan.identity``."""
    autolabel: str
    recipe: Recipe
    manifest: Manifest
    execution: Execution
    outputs: Outputs
    notices: tuple[str, ...] = ()
    captions: CaptionPlan | None = None
    """None if all captions are given, or captions are not used."""
    forecast: Forecast | None = None
    """Only in what ``autolabel plan`` prints, where candidates are kept: it needs the images' bytes."""
    unanswered: Asked | None = None
    """What the first stage is still to ask at most; only in what ``autolabel plan`` prints, where answers are kept."""
    extends: tuple[str, ...] = ()
    """Digests of the plans whose shards this one has taken over, latest first."""
    sha256: str = ""
    """The SHA-256 of the canonical JSON (sorted keys, no spaces) of the rest of the file; empty without a file."""
