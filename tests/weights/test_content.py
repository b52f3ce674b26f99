"""Which files decide a checkpoint's results, their hash, and their licence."""

from __future__ import annotations

import hashlib
import json
import os
import struct
from pathlib import Path

import pytest

from autolabel.errors import WeightsError
from autolabel.weights import UNKNOWN, Licence, file_digest, files_of, licence_of


def names(path: Path) -> list[str]:
    return [file.name for file in files_of(path)]


def write(folder: Path, *files: str) -> Path:
    folder.mkdir(exist_ok=True)
    for file in files:
        (folder / file).write_bytes(file.encode())
    return folder


def test_a_file_stands_for_itself(tmp_path: Path) -> None:
    file = write(tmp_path, "a.pth") / "a.pth"
    assert files_of(file) == (file,)


def test_a_folder_gives_weights_configuration_and_tokenizer_only(tmp_path: Path) -> None:
    write(tmp_path, "config.json", "vocab.txt", "model.safetensors", "pytorch_model.bin", "README.md", "optimizer.bin")
    assert names(tmp_path) == ["config.json", "model.safetensors", "vocab.txt"]


def test_an_index_names_the_shards(tmp_path: Path) -> None:
    write(tmp_path, "a.safetensors", "b.safetensors", "pytorch_model.bin")
    index = {"weight_map": {"x": "b.safetensors", "y": "a.safetensors", "z": "a.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    assert names(tmp_path) == ["a.safetensors", "b.safetensors", "model.safetensors.index.json"]


def test_a_whole_file_counts_before_a_stale_index_as_in_transformers(tmp_path: Path) -> None:
    write(tmp_path, "old.safetensors", "model.safetensors")
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"x": "old.safetensors"}}))
    assert names(tmp_path) == ["model.safetensors"]


def test_safetensors_in_shards_count_before_a_pickle(tmp_path: Path) -> None:
    write(tmp_path, "part.safetensors", "pytorch_model.bin", "pytorch_model.bin.index.json")
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"x": "part.safetensors"}}))
    assert names(tmp_path) == ["model.safetensors.index.json", "part.safetensors"]


@pytest.mark.parametrize("suffix", ["safetensors", "bin"])
def test_shards_without_their_index_name_it(suffix: str, tmp_path: Path) -> None:
    stem = "model" if suffix == "safetensors" else "pytorch_model"
    write(tmp_path, f"{stem}-00001-of-00002.{suffix}", f"{stem}-00002-of-00002.{suffix}")
    with pytest.raises(WeightsError, match=rf"2 of 2 shards, and no {stem}\.{suffix}\.index\.json"):
        files_of(tmp_path)


def test_one_file_of_another_name_counts(tmp_path: Path) -> None:
    assert names(write(tmp_path, "groundingdino.pth", "README.md")) == ["groundingdino.pth"]


@pytest.mark.parametrize(
    ("index", "message"),
    [
        ({"weight_map": {"x": "../secret.safetensors"}}, "names a file outside its folder: '../secret.safetensors'"),
        ({"weight_map": {"x": "gone.safetensors"}}, "names files that are missing: gone.safetensors"),
        ({"weights": {}}, "not an index of weight files"),
        ([1], "not an index of weight files"),
        ({"weight_map": {"x": 3}}, "not an index of weight files"),
        ({"weight_map": {"x": "a.safetensors", "y": None}}, "not an index of weight files"),
    ],
)
def test_a_wrong_index_is_refused(index: object, message: str, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(WeightsError, match=message):
        files_of(tmp_path)


def test_a_folder_without_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no weights in this folder"):
        files_of(write(tmp_path, "config.json"))


def test_several_weight_files_that_nothing_chooses_among_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"several weight files, .*: one\.safetensors, two\.safetensors"):
        files_of(write(tmp_path, "config.json", "one.safetensors", "two.safetensors"))


def test_a_digest_is_that_of_the_bytes_and_follows_them(tmp_path: Path) -> None:
    file = write(tmp_path, "model.safetensors") / "model.safetensors"
    before = file_digest(file), file_digest(tmp_path)
    assert before[0] == hashlib.sha256(b"model.safetensors").hexdigest()
    file.write_bytes(b"model.safetensorz")
    os.utime(file, ns=(1, 1))
    assert file_digest(file) == hashlib.sha256(b"model.safetensorz").hexdigest()
    assert file_digest(tmp_path) != before[1]
    write(tmp_path, "README.md")
    assert file_digest(tmp_path) == file_digest(tmp_path)


def test_a_digest_reads_an_unchanged_file_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(tmp_path, "a.pth") / "a.pth"
    first = file_digest(file)
    monkeypatch.setattr(Path, "open", lambda *_, **__: pytest.fail("read again"))
    assert file_digest(file) == first


def test_a_missing_file_has_no_digest(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"gone\.pth: cannot be read: No such file"):
        file_digest(tmp_path / "gone.pth")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("license: apache-2.0", Licence("apache-2.0", True)),
        ("license: 'MIT'", Licence("mit", True)),
        ("license: cc-by-nc-4.0", Licence("cc-by-nc-4.0", False)),
        ("license: other", Licence("other", None)),
        ("license: other\nlicense_name: SAM-license", Licence("sam-license", None)),
        ("license: mit\nlicense_name: sam-license", Licence("mit", True)),
        ("tags: [x]", UNKNOWN),
    ],
)
def test_a_model_card_states_the_licence(line: str, expected: Licence, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(f"---\n{line}\n---\n# Model\nlicense: gpl\n")
    assert licence_of(tmp_path) == expected
    assert licence_of(tmp_path / "weights.pth") == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("                 Apache License\n           Version 2.0, January 2004\n", Licence("apache-2.0", True)),
        ("MIT License\n\nCopyright (c) someone", Licence("mit", True)),
        (
            "NVIDIA Source Code License\n3.3 ... non-commercially only",
            Licence("other-noncommercial", False),
        ),
        ("all rights reserved", UNKNOWN),
    ],
)
def test_a_licence_file_states_the_licence(text: str, expected: Licence, tmp_path: Path) -> None:
    (tmp_path / "LICENSE").write_text(text)
    assert licence_of(tmp_path) == expected


def test_metadata_of_safetensors_states_the_licence(tmp_path: Path) -> None:
    header = json.dumps({"__metadata__": {"license": "cc-by-nc-sa-4.0"}}).encode()
    file = tmp_path / "a.safetensors"
    file.write_bytes(struct.pack("<Q", len(header)) + header)
    assert licence_of(file) == Licence("cc-by-nc-sa-4.0", False)


@pytest.mark.parametrize("content", [b"", b"\xff" * 9, struct.pack("<Q", 4) + b"[1]x"])
def test_unreadable_metadata_states_nothing(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "a.safetensors"
    file.write_bytes(content)
    assert licence_of(file) == UNKNOWN
