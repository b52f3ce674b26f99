"""A disk that fills up at any write, and folders that hold somebody else's files."""

from __future__ import annotations

import builtins
import errno
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from autolabel.errors import BusyError, MachineError
from autolabel.plan.compile import Compiled, compile_plan
from autolabel.registry import Registry
from autolabel.results.store import TEMPORARY
from autolabel.run.generate import generate
from autolabel.spec.load import spec_from_mapping
from tests.specs import make_spec

IMAGES = 8


class Disk:
    """Counts every write, sync and new folder; from the ``full``-th on there is no space left."""

    def __init__(self, full: int = 0) -> None:
        self.full = full
        self.writes = 0

    def use(self) -> None:
        self.writes += 1
        if self.full and self.writes >= self.full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def counted(self, call: Any) -> Any:
        def counting(*arguments: Any, **options: Any) -> Any:
            self.use()
            return call(*arguments, **options)

        return counting

    def open(self, file: Any, mode: str = "r", buffering: int = -1, *rest: Any, **options: Any) -> Any:
        if not set(mode) & set("wax+"):
            return OPEN(file, mode, buffering, *rest, **options)
        own = {name: options.pop(name) for name in ("opener", "closefd") if name in options}
        raw = Raw(self, file, mode.replace("b", "").replace("t", ""), **own)
        buffer = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
        return buffer if "b" in mode else io.TextIOWrapper(buffer, *rest, **options)

    def mount(self, patch: pytest.MonkeyPatch) -> None:
        patch.setattr(io, "open", self.open)
        patch.setattr(builtins, "open", self.open)
        for name in ("write", "fsync", "mkdir"):
            patch.setattr(os, name, self.counted(getattr(os, name)))


class Raw(io.FileIO):
    """A file on such a disk."""

    def __init__(self, disk: Disk, file: Any, mode: str, **options: Any) -> None:
        super().__init__(file, mode, **options)
        self.disk = disk

    def write(self, data: Any, /) -> int:
        self.disk.use()
        return super().write(data)


OPEN = io.open
Expected = tuple[dict[str, bytes], int]


@pytest.fixture(scope="module")
def photos(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from autolabel_colors import Rectangle, save

    folder = tmp_path_factory.mktemp("photos")
    for index in range(IMAGES):
        save(folder / f"{index:02d}.png", [Rectangle(index, 3, 20 + index, 20, "red", 0.9)])
    return folder


def compiled(registry: Registry, photos: Path, out: Path, **changes: Any) -> Compiled:
    spec = (
        make_spec(
            photos,
            out,
            classes=["red", "blue"],
            run={"shard_size": 3, "batch_size": 2, "num_workers": 1, "executor": "inline"},
            export=[{"type": "coco"}, {"type": "yolo"}, {"type": "csv"}],
            report=True,
        )
        | changes
    )
    return compile_plan(spec_from_mapping(spec, root=photos, registry=registry), registry=registry)


def published(out: Path) -> dict[str, bytes]:
    """Return what a run leaves but for its plan, seal, lock and outputs.json; a report tells where it lies."""
    names = {str(path.relative_to(out)): path for path in out.rglob("*") if path.is_file()}
    kept = names.keys() - {".lock", ".seal", "outputs.json", "plan.json"}
    return {name: names[name].read_bytes().replace(str(out).encode(), b"<run>") for name in kept}


@pytest.fixture(scope="module")
def expected(registry: Registry, photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Expected:
    """Return what an undisturbed run leaves, and how often it writes."""
    out = tmp_path_factory.mktemp("undisturbed") / "run"
    plan = compiled(registry, photos, out)
    disk = Disk()
    with pytest.MonkeyPatch.context() as patch:
        disk.mount(patch)
        generate(plan, registry=registry)
    found = published(out)
    assert len(found) > IMAGES + 8
    return found, disk.writes


def fill(registry: Registry, photos: Path, out: Path, expected: Expected, numbers: Iterator[int]) -> int:
    """Let the disk be full from each of these writes on, then free it; return how many failures were told."""
    told = 0
    for number in numbers:
        root = out / str(number) / "run"
        plan = compiled(registry, photos, root)
        with pytest.MonkeyPatch.context() as patch:
            Disk(number).mount(patch)
            with pytest.raises(MachineError, match=r"cannot be written: No space left[^\n]*\n  hint: .*resumes"):
                generate(plan, registry=registry)
        told += 1
        assert not [path for path in root.rglob("*") if path.name.endswith(TEMPORARY)], number
        assert published(root).items() <= expected[0].items(), f"a half file after write {number}"
        generate(plan, registry=registry)
        assert published(root) == expected[0], f"resumed after write {number}"
    return told


def test_a_disk_full_at_some_writes(registry: Registry, photos: Path, tmp_path: Path, expected: Expected) -> None:
    numbers = range(1, expected[1] + 1, 7)
    assert fill(registry, photos, tmp_path, expected, iter(numbers)) == len(numbers) >= 10


@pytest.mark.soak
def test_a_disk_full_at_every_write(registry: Registry, photos: Path, tmp_path: Path, expected: Expected) -> None:
    numbers = range(1, expected[1] + 1)
    assert fill(registry, photos, tmp_path, expected, iter(numbers)) == len(numbers) >= 70


def test_a_folder_that_cannot_be_written_is_told(registry: Registry, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for out in (tmp_path / "file", tmp_path / "file" / "below", tmp_path / ("x" * 300), tmp_path / "loop"):
        with pytest.raises(MachineError, match="cannot be written"):
            generate(compiled(registry, photos, out), registry=registry)
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("name", ["coco", "report", "stages", "labels.jsonl"])
def test_what_no_run_has_written_is_never_replaced(registry: Registry, photos: Path, tmp_path: Path, name: str) -> None:
    mine = tmp_path / name if "." in name else tmp_path / name / "train" / "a.jpg"
    mine.parent.mkdir(parents=True, exist_ok=True)
    mine.write_text("mine")
    for mode in ("resume", "fresh"):
        with pytest.raises(BusyError, match=rf"holds {name}, which no run of autolabel has written"):
            generate(compiled(registry, photos, tmp_path), registry=registry, mode=mode)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [mine]
    assert mine.read_text() == "mine"


def test_starting_over_leaves_other_files_alone(registry: Registry, photos: Path, tmp_path: Path) -> None:
    plan = compiled(registry, photos, tmp_path)
    generate(plan, registry=registry)
    others = [tmp_path / name for name in ("notes.tmp", "stages/mine.txt", "stages/0-colors/mine.tmp", "deep/x.tmp")]
    for path in others:
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
    generate(plan, registry=registry, mode="fresh")
    assert [path.read_text() for path in others] == ["mine"] * 4


def test_shards_without_their_plan_are_labelled_again(registry: Registry, photos: Path, tmp_path: Path) -> None:
    generate(compiled(registry, photos, tmp_path / "run"), registry=registry)
    (tmp_path / "run" / "plan.json").unlink()
    other = compiled(registry, photos, tmp_path / "run", data={"images": [str(photos)], "classes": ["blue"]})
    assert dict(generate(other, registry=registry).states) == {"empty": IMAGES}
