"""List and hash the files of a checkpoint that affect its results."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable
from pathlib import Path

from autolabel.errors import WeightsError
from autolabel.weights.json_file import read_json

WEIGHTS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
"""File names of weights in order of preference, as in transformers."""
INDEX = ".index.json"
_SHARD = re.compile(r"(?P<stem>.+)-\d{5}-of-(?P<count>\d{5})(?P<suffix>\.safetensors|\.bin)")
DESCRIPTIONS = (
    "added_tokens.json",
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
"""Files that say how weights are used."""
CARDS = re.compile(r"readme\.md|(licen[cs]e|copying|notice)([-_.].*)?", re.IGNORECASE)
"""Files with the licence of weights; they do not affect results."""
_BLOCK = 1 << 20

_digests: dict[tuple[str, int, int], str] = {}


def files_of(path: Path) -> tuple[Path, ...]:
    """Return the files that affect a checkpoint's results: weights, configuration, tokenizer.

    A single file is returned as it is. Raises WeightsError if a folder has no weights or lacks a shard.
    """
    if not path.is_dir():
        return (path,)
    described = [path / name for name in DESCRIPTIONS if (path / name).is_file()]
    weights = _weights_name(path, _names(path))
    index = [path / weights] if weights.endswith(INDEX) else []
    return tuple(sorted({*weight_files(path), *described, *index}))


def weight_files(folder: Path) -> tuple[Path, ...]:
    """Return a folder's weight files: a single one, otherwise those of its index; safetensors before pickles.

    Raises WeightsError if there are none, or if a file in the index is missing.
    """
    name = _weights_name(folder, _names(folder))
    return _shards(folder / name) if name.endswith(INDEX) else (folder / name,)


def _weights_name(where: object, names: Collection[str]) -> str:
    """Return the name of the file to read weights from: a tensor file, or an index of several.

    A file with another name is used if it is the only one. Raises WeightsError naming ``where``.
    """
    if (known := next((name for name in WEIGHTS if name in names), None)) is not None:
        return known
    for suffix in (".safetensors", ".bin", ".pth", ".pt", ".ckpt"):
        found = sorted(name for name in names if name.endswith(suffix) and not name.startswith((".", "training_args")))
        if shard := next(filter(None, map(_SHARD.fullmatch, found)), None):
            index = f"{shard['stem']}{shard['suffix']}{INDEX}"
            raise WeightsError(
                f"{where}: {len(found)} of {int(shard['count'])} shards, and no {index} that says what is in each",
                hint=f"copy {index} too",
            )
        if len(found) == 1:
            return found[0]
        if len(found) > 1:
            raise WeightsError(
                f"{where}: several weight files, and it is unclear which one to load: {', '.join(found[:5])}",
                hint="give the path of the one that is wanted, or call it model.safetensors",
            )
    raise WeightsError(f"{where}: no weights in this folder", hint=f"expected {', '.join(WEIGHTS[:3:2])}, or an index")


def checkpoint_files(where: object, names: Collection[str]) -> list[str]:
    """Return the names of a repository's files that belong to a checkpoint: weights, configuration, cards.

    For sharded weights only the index is included, which lists the rest. Raises WeightsError as ``_weights_name`` does.
    """
    cards = [name for name in names if CARDS.fullmatch(name)]
    return sorted({_weights_name(where, names), *(name for name in DESCRIPTIONS if name in names), *cards})


def _names(folder: Path) -> list[str]:
    return [entry.name for entry in folder.iterdir() if entry.is_file()]


def shard_names(index: Path) -> list[str]:
    """Return the sorted names of the files in an index; raises WeightsError if it is invalid."""
    content = read_json(index)
    named: Iterable[object] = ()
    if isinstance(content, dict) and isinstance(content.get("weight_map"), dict):
        named = content["weight_map"].values()
    if not named or not all(isinstance(name, str) for name in named):
        raise WeightsError(f"{index}: not an index of weight files")
    names = sorted({str(name) for name in named})
    if outside := [name for name in names if Path(name).name != name]:
        raise WeightsError(f"{index}: names a file outside its folder: {outside[0]!r}")
    return names


def _shards(index: Path) -> tuple[Path, ...]:
    shards = tuple(index.parent / name for name in shard_names(index))
    if missing := [shard.name for shard in shards if not shard.is_file()]:
        raise WeightsError(f"{index}: names files that are missing: {', '.join(missing)}")
    return shards


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hex; of a folder, that of its files' names and hashes.

    Hashes are cached by path, size and modification time.
    """
    if path.is_dir():
        lines = "".join(f"{file.name}\0{file_digest(file)}\n" for file in files_of(path))
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
        while block := file.read(_BLOCK):
            total.update(block)
    return total.hexdigest()
