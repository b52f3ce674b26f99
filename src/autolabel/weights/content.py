"""Which files of a checkpoint decide its results, with their hash."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from autolabel.errors import WeightsError

INDEXES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
WEIGHTS = ("model.safetensors", "pytorch_model.bin")
DESCRIPTIONS = (
    "config.json",
    "merges.txt",
    "preprocessor_config.json",
    "processor_config.json",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
    "vocab.txt",
)
BLOCK = 1 << 20

_digests: dict[tuple[str, int, int], str] = {}


def files_of(path: Path) -> tuple[Path, ...]:
    """Return the files that decide what a checkpoint computes: weights, configuration, tokenizer.

    A file stands for itself. Raises WeightsError where a folder has no weights or lacks a shard.
    """
    if not path.is_dir():
        return (path,)
    described = [path / name for name in DESCRIPTIONS if (path / name).is_file()]
    return tuple(
        sorted({*weight_files(path), *described, *(path / name for name in INDEXES if (path / name).is_file())})
    )


def weight_files(folder: Path) -> tuple[Path, ...]:
    """Return a folder's weight files: those of its index, else the single one; safetensors before pickles.

    Raises WeightsError where there are none, or where one that the index names is missing.
    """
    for index, single in zip(INDEXES, WEIGHTS, strict=True):
        if (folder / index).is_file():
            return _shards(folder / index)
        if (folder / single).is_file():
            return (folder / single,)
    others = sorted(folder.glob("*.safetensors"))
    if len(others) == 1:
        return (others[0],)
    raise WeightsError(f"{folder}: no weights in this folder", hint=f"expected {' or '.join(WEIGHTS)}")


def _shards(index: Path) -> tuple[Path, ...]:
    try:
        names = sorted(set(json.loads(index.read_text("utf-8"))["weight_map"].values()))
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise WeightsError(f"{index}: not an index of weight files: {error}") from error
    if outside := [name for name in names if Path(name).name != name]:
        raise WeightsError(f"{index}: names a file outside its folder: {outside[0]!r}")
    shards = tuple(index.parent / name for name in names)
    if missing := [shard.name for shard in shards if not shard.is_file()]:
        raise WeightsError(f"{index}: names files that are missing: {', '.join(missing)}")
    return shards


def digest(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hex; of a folder, that of its files' names and hashes.

    A file is read once for each path, size and time of change.
    """
    if path.is_dir():
        lines = "".join(f"{file.name}\0{digest(file)}\n" for file in files_of(path))
        return hashlib.sha256(lines.encode()).hexdigest()
    try:
        stat = path.stat()
        key = (str(path.resolve()), stat.st_size, stat.st_mtime_ns)
        if key not in _digests:
            _digests[key] = _hash(path)
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read: {error.strerror or error}") from error
    return _digests[key]


def _hash(path: Path) -> str:
    total = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            total.update(block)
    return total.hexdigest()
