"""Mutated files of every kind: no crash, no bug, no hang, little memory, and nothing touched outside."""

from __future__ import annotations

import io
import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from autolabel import read_labels
from autolabel.data.captions import read_captions
from autolabel.data.coco.read import read_coco
from autolabel.errors import AutolabelError
from autolabel.images import read_pixels, read_size
from autolabel.plan.compile import compile_plan
from autolabel.registry import Registry
from autolabel.results.review import read_review
from autolabel.results.status import read_status
from autolabel.run.export import export_run
from autolabel.run.generate import generate, merge
from autolabel.run.outputs import report_run
from autolabel.spec.load import spec_from_mapping
from autolabel.weights.tensors import load_state_dict
from tests.run.watched import check, watched
from tests.specs import make_spec

SMALL = 25
WORDS = [
    b"null",
    b"-1",
    b"1e300",
    b"1e999",
    b"NaN",
    b"[]",
    b"{}",
    b'""',
    b"\0",
    b"\xff",
    b"\\ud800",
    b"[" * 3000,
    b"9" * 400,
]


def mutated(data: bytes, draw: random.Random) -> bytes:
    """Return data with one to four things wrong: bits, cuts, doublings, zeros, words that JSON does not expect."""
    for _ in range(draw.randint(1, 4)):
        if not data:
            return data
        start, kind = draw.randrange(len(data)), draw.randrange(7)
        end = min(len(data), start + draw.choice([1, 4, 40, 400]))
        if kind == 0:
            data = data[:start] + bytes([data[start] ^ (1 << draw.randrange(8))]) + data[start + 1 :]
        elif kind == 1:
            data = data[:start]
        elif kind == 2:
            data = data[:start] + data[end:]
        elif kind == 3:
            data = data[:end] + data[start:]
        elif kind == 4:
            data = data[:start] + b"\0" * (end - start) + data[end:]
        elif kind == 5:
            data = data[:start] + draw.randbytes(end - start) + data[end:]
        else:
            data = data[:start] + draw.choice(WORDS) + data[end:]
    return data


def survive(work: Callable[[], object], about: str, folder: Path) -> None:
    """Do some work that may only be refused in the words of autolabel, in little memory, inside a folder."""
    with watched(folder, Path(os.environ["XDG_STATE_HOME"])) as seen:
        try:
            work()
        except AutolabelError as error:
            assert error.exit_code != 70, about
            assert str(error).strip(), about
        except Exception as error:
            raise AssertionError(f"{about}: {type(error).__name__}: {error}") from error
    check(seen, about)


def pictures() -> list[tuple[str, bytes]]:
    pixels = np.random.default_rng(0).integers(0, 255, (40, 60, 3), np.uint8)
    out = []
    for form, ending, more in (
        ("JPEG", "jpg", {"progressive": True}),
        ("PNG", "png", {}),
        ("WEBP", "webp", {}),
        ("BMP", "bmp", {}),
        ("TIFF", "tif", {"compression": "tiff_deflate"}),
        ("GIF", "gif", {}),
    ):
        stream = io.BytesIO()
        Image.fromarray(pixels).save(stream, form, **more)
        out.append((ending, stream.getvalue()))
    return out


def fuzz_images(folder: Path, count: int) -> None:
    draw, forms = random.Random(1), pictures()
    for number in range(count):
        ending, data = forms[number % len(forms)]
        path = folder / f"{number}.{ending}"
        path.write_bytes(mutated(data, draw))
        for read in (read_size, read_pixels):
            survive(lambda read=read, path=path: read(path), path.name, folder)  # type: ignore[misc]


COCO = {
    "images": [{"id": 1, "file_name": "a.jpg", "width": 64, "height": 48}],
    "categories": [{"id": 3, "name": "cat", "supercategory": "animal"}],
    "annotations": [
        {"id": 1, "image_id": 1, "category_id": 3, "bbox": [1, 2, 30, 20], "area": 600, "iscrowd": 0, "score": 0.5},
        {"id": 2, "image_id": 1, "category_id": 3, "bbox": [5, 5, 9, 9], "segmentation": [[5, 5, 14, 5, 14, 14]]},
        {
            "id": 3,
            "image_id": 1,
            "category_id": 3,
            "bbox": [5, 5, 9, 9],
            "segmentation": {"size": [48, 64], "counts": [3072]},
        },
    ],
}
CAPTIONS = [{"file_name": "a.jpg", "caption": "a red cat", "noun_chunks": ["red cat"]}] * 3
REVIEW = {"plan": "x", "decisions": [{"image": "a.jpg", "bbox": [1, 2, 3, 4], "phrase": "cat", "verdict": "keep"}]}


def fuzz_documents(folder: Path, count: int) -> None:
    draw = random.Random(2)
    forms: list[tuple[Callable[[str], object], bytes]] = [
        (lambda path: read_coco(path), json.dumps(COCO).encode()),
        (lambda path: read_captions(path), "\n".join(map(json.dumps, CAPTIONS)).encode()),
        (lambda path: read_review(path), json.dumps(REVIEW).encode()),
    ]
    for number in range(count):
        read, data = forms[number % len(forms)]
        path = folder / f"{number}.json"
        path.write_bytes(mutated(data, draw))
        survive(lambda read=read, path=path: read(str(path)), path.read_bytes().decode("latin-1")[:2000], folder)  # type: ignore[misc]


def fuzz_runs(registry: Registry, draw_photos: Any, folder: Path, count: int) -> None:
    (folder / "photos").mkdir()
    photos = draw_photos(folder / "photos", 5)
    spec = make_spec(
        photos,
        folder / "run",
        classes=["red", "blue"],
        run={"shard_size": 2, "num_workers": 1},
        export=[{"type": "coco"}],
    )
    compiled = compile_plan(spec_from_mapping(spec, root=folder, registry=registry), registry=registry)
    generate(compiled, registry=registry)
    whole, run, draw = folder / "whole", folder / "run", random.Random(3)
    report_run(run)
    shutil.copytree(run, whole)
    commands: list[Callable[[], object]] = [
        lambda: read_status(run),
        lambda: list(read_labels(run)),
        lambda: export_run(run, "yolo", [], registry=registry),
        lambda: report_run(run),
        lambda: merge(run, registry=registry),
        lambda: generate(compiled, registry=registry),
    ]
    names = sorted(path.relative_to(whole).as_posix() for path in whole.rglob("*") if path.is_file())
    for number in range(count):
        shutil.rmtree(run)
        shutil.copytree(whole, run)
        touched = draw.sample(names, draw.randint(1, 3))
        for name in touched:
            (run / name).write_bytes(mutated((run / name).read_bytes(), draw))
        survive(commands[number % len(commands)], f"{number}: {touched}", folder)


def fuzz_checkpoints(folder: Path, count: int) -> None:
    import torch
    from safetensors.torch import save

    tensors = {"a.weight": torch.ones(8, 8), "b.bias": torch.zeros(8)}
    stream, draw = io.BytesIO(), random.Random(4)
    torch.save({"state_dict": tensors, "epoch": 3}, stream)
    forms = [("safetensors", save(tensors)), ("pth", stream.getvalue())]
    for number in range(count):
        ending, data = forms[number % len(forms)]
        path = folder / f"{number}.{ending}"
        path.write_bytes(mutated(data, draw))
        survive(lambda path=path: load_state_dict(path), path.name, folder)  # type: ignore[misc]


def test_a_few_mutated_images(tmp_path: Path) -> None:
    fuzz_images(tmp_path, SMALL)


def test_a_few_mutated_documents(tmp_path: Path) -> None:
    fuzz_documents(tmp_path, 4 * SMALL)


def test_a_few_mutated_runs(registry: Registry, draw_photos: Any, tmp_path: Path) -> None:
    fuzz_runs(registry, draw_photos, tmp_path, SMALL)


def test_a_few_mutated_checkpoints(tmp_path: Path) -> None:
    fuzz_checkpoints(tmp_path, SMALL)


@pytest.mark.soak
def test_five_hundred_mutated_images(tmp_path: Path) -> None:
    fuzz_images(tmp_path, 500)


@pytest.mark.soak
def test_five_hundred_mutated_documents(tmp_path: Path) -> None:
    fuzz_documents(tmp_path, 500)


@pytest.mark.soak
def test_five_hundred_mutated_runs(registry: Registry, draw_photos: Any, tmp_path: Path) -> None:
    fuzz_runs(registry, draw_photos, tmp_path, 500)


@pytest.mark.soak
def test_three_hundred_mutated_checkpoints(tmp_path: Path) -> None:
    fuzz_checkpoints(tmp_path, 300)
