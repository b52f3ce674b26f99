"""Compute the digests of plans, rows and answers."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

import autolabel
from autolabel import weights
from autolabel.data.inputs import Input, encode_input
from autolabel.plan.model import LookPlan, Manifest, Recipe, ResolvedStrategy, Stage

_VERSION = 1
"""The version of the digest's contents."""
_OURS = "autolabel-vision"
_CODE = {".py", ".so", ".pyd", ".json", ".yaml", ".toml", ".txt"}
"""Suffixes of the files of a package that decide what it does; its weights are named by the strategy itself."""
_AFTERWARDS = frozenset({"aggregator", "rounds", "ask", "vote", "looks"})
"""Fields of a stage that apply to the labeler's answers; the others decide the answers, cached by look."""


def canonical_digest(value: Any) -> str:
    """Return the SHA-256 of a value's canonical JSON (keys sorted)."""
    return hashlib.sha256(msgspec.json.encode(value, order="sorted")).hexdigest()


def plan_digest(recipe: Recipe, manifest: Manifest) -> str:
    """Return the digest of a plan: plans with equal digests give the same labels, byte for byte."""
    return canonical_digest([_VERSION, decisive(recipe, manifest.classes), manifest.fingerprint])


def extended_digest(old: str, manifest: Manifest) -> str:
    """Return the digest of a plan after ``--extend``; ``manifest`` has all rows."""
    return canonical_digest([old, manifest.fingerprint, manifest.contents])


def decisive(recipe: Recipe, classes: Sequence[str], *, version: str = autolabel.__version__) -> dict[str, Any]:
    """Return the parts of the recipe in the digest, as plain JSON: everything besides rows that affects labels.

    Files are represented by their hashes and folders are left out, so that the same run elsewhere has the same digest.
    ``version`` is that of the autolabel that made the plan.
    """
    covered: dict[str, Any] = as_json_value(
        {
            "autolabel": version,
            "classes": classes,
            **({"ontology": recipe.ontology} if recipe.ontology else {}),
            "stages": [_portable(stage) for stage in recipe.stages],
            "batch_size": recipe.batch_size,
            "shard_size": recipe.shard_size,
            "max_pixels": recipe.max_pixels,
            **({"value_range": recipe.value_range} if recipe.value_range else {}),
            "threads": recipe.threads,
        }
    )
    return covered


def _portable(stage: Stage) -> dict[str, Any]:
    """Return the parts of a stage that determine labels; files by their hashes, without folders."""
    return {
        "labeler": reduced(stage.labeler),
        "aggregator": stage.aggregator and reduced(stage.aggregator),
        "rounds": stage.rounds,
        "ask": stage.ask,
        "weights": [file.sha256 for file in stage.weights.files],
        **({"members": [reduced(member) for member in stage.members], "vote": stage.vote} if stage.members else {}),
        **({"tiles": stage.tiles} if stage.tiles else {}),
        **({"looks": _looked(stage.looks)} if stage.looks else {}),
    }


def _looked(looks: LookPlan) -> dict[str, Any]:
    """Return the parts of the looks that determine labels."""
    which = [reduced(look) for look in looks.which]
    return {"which": which, "agreement": looks.agreement, "doubt": looks.doubt}


def answers_digest(stage: Stage) -> str:
    """Return the digest of a labeler and its weights, which determine the answer to an image and prompt."""
    served = [one.params["endpoint"] for one in (stage.labeler, *stage.members) if "endpoint" in one.incidental]
    asked = {name: value for name, value in _portable(stage).items() if name not in _AFTERWARDS}
    return canonical_digest(asked | ({"endpoints": served} if served else {}))


def code_of(strategy: type, package: str) -> str:
    """Return the SHA-256 of a strategy's package files; empty for our own packages, which have a version.

    So a package that is edited in place does not reuse old results.
    """
    module = sys.modules.get(strategy.__module__.partition(".")[0])
    source = getattr(module, "__file__", None)
    if package == _OURS or source is None:
        return ""
    path = Path(source)
    files = sorted(path.parent.rglob("*")) if path.name == "__init__.py" else [path]
    total = hashlib.sha256()
    for file in files:
        if file.is_file() and file.suffix in _CODE and "__pycache__" not in file.parts:
            total.update(f"{file.relative_to(path.parent).as_posix()}\0{weights.file_digest(file)}\n".encode())
    return total.hexdigest()


def reduced(strategy: ResolvedStrategy) -> dict[str, Any]:
    """Return a strategy's name, version and parameters, with absolute paths reduced to their last part."""
    return {
        "type": strategy.type,
        "package": strategy.package,
        "version": strategy.version,
        **({"code": strategy.code} if strategy.code else {}),
        "params": without_folders(
            {name: value for name, value in strategy.params.items() if name not in strategy.incidental}
        ),
    }


def without_folders(value: Any) -> Any:
    """Return plain JSON with absolute paths at any depth reduced to their last part."""
    if isinstance(value, dict):
        return {key: without_folders(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [without_folders(inner) for inner in value]
    return Path(value).name if isinstance(value, str) and Path(value).is_absolute() else value


def as_json_value(value: Any) -> Any:
    """Return a value as plain JSON types."""
    read: Any = msgspec.json.decode(msgspec.json.encode(value))
    return read


class Fingerprint:
    """An order-independent SHA-256 sum of rows, without image folders."""

    def __init__(self) -> None:
        self.total = 0

    def add(self, row: Input) -> None:
        """Take a row in."""
        self.total += int.from_bytes(hashlib.sha256(row_identity(row)).digest())

    def __str__(self) -> str:
        return f"{self.total % (1 << 256):064x}"


class Contents(Fingerprint):
    """The SHA-256 sum of the names of images with the marks of their bytes."""

    def add(self, row: Input) -> None:
        """Take a row in."""
        marked = hashlib.sha256(f"{row.image}\0{row.mark}".encode()).digest() if row.mark else b""
        self.total += int.from_bytes(marked)


def row_identity(row: Input) -> bytes:
    """Return the identity of a row, without its image's path and content fingerprint."""
    line, image = encode_input(replace(row, mark="")), b'{"image":' + msgspec.json.encode(row.image)
    return image + b',"path":""' + line.removeprefix(image)  # as earlier plans were hashed
