"""Checkpoints and photos that are made on the spot: nothing is downloaded."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from transformers import GroundingDinoConfig
from transformers.utils import logging

from autolabel.images import read_pixels
from autolabel.types import Image, Instances, Prompt, Sample, Size
from autolabel_grounding_dino.labeler import GroundingDino
from autolabel_mal.labeler import Mal
from autolabel_mal.network import MalNetwork
from autolabel_mal.sizes import Sizes, from_arch
from benchmarks.boxes import CLASSES, photos, swin_t
from benchmarks.gpu.part import Setting
from benchmarks.masks import randomised, some_boxes
from benchmarks.small_detector import MODEL

ROOT = Path(__file__).resolve().parents[2]
TINY, TINY_MAL = ROOT / "checkpoints" / "tiny", ROOT / "checkpoints" / "tiny-mal"
SHIPPED = ROOT / "examples" / "bccd" / "images"
CELLS = Prompt(("red blood cell", "white blood cell", "platelet"))
THINGS = Prompt(CLASSES)
REDUCED_MAL = Sizes(width=64, depth=2, patch=16, hidden=16, out=8, crop=96, nvlabs=True)


def detector_size(setting: Setting) -> Size:
    """Return (height, width) of what the detector with random weights sees."""
    return (96, 160) if setting.reduced else (800, 1333)


def detector_configuration(setting: Setting) -> GroundingDinoConfig:
    """Return the configuration of Grounding DINO with a Swin-T, a far smaller one in the reduced form."""
    return GroundingDinoConfig.from_dict(MODEL) if setting.reduced else GroundingDinoConfig()


def detector_checkpoint(setting: Setting) -> Path:
    """Return the folder of a detector with random weights, made if it is not there."""
    return _once(_folder(setting) / "detector", lambda folder: _write_detector(folder, setting))


def mal_checkpoint(setting: Setting) -> Path:
    """Return a file of a MAL (ViT-B) with random weights, made if it is not there."""
    return _once(_folder(setting) / "mal", lambda folder: _write_mal(folder, setting)) / "mal.safetensors"


def large_photos(setting: Setting, count: int) -> list[Path]:
    """Return JPEGs of twice the size that the detector sees."""
    size = detector_size(setting)
    return sorted(_once(_folder(setting) / f"photos-{count}", lambda folder: photos(folder, count, size)).iterdir())


def shipped_photos(setting: Setting) -> list[Path]:
    """Return the photos of blood cells in the repository; two of them in the reduced form."""
    paths = sorted(SHIPPED.iterdir())
    return paths[:2] if setting.reduced else paths


def detector(checkpoint: Path, device: str, precision: str = "float32", **params: Any) -> GroundingDino:
    """Return a loaded Grounding DINO."""
    given = {"checkpoint": str(checkpoint), "precision": precision, **params}
    loaded = GroundingDino(GroundingDino.Params.model_validate(given))
    loaded.load(device)
    return loaded


def tiny(setting: Setting, device: str, precision: str = "float32") -> GroundingDino:
    """Return the shipped detector, at a lower resolution in the reduced form."""
    sides = {"short_side": 192, "long_side": 256} if setting.reduced else {}
    return detector(TINY, device, precision, **sides)


def segmenter(checkpoint: Path, device: str, **params: Any) -> Mal:
    """Return a loaded MAL."""
    loaded = Mal(Mal.Params.model_validate({"checkpoint": str(checkpoint), **params}))
    loaded.load(device)
    return loaded


def sample(path: Path, prompt: Prompt, *, boxes: int = 0) -> Sample:
    """Return a decoded photo, with boxes of many sizes if any are wanted."""
    pixels = read_pixels(path)
    height, width = pixels.shape[:2]
    found = Instances.empty()
    if boxes:
        corners = some_boxes(boxes) * np.array([width / 1920, height / 1080] * 2, np.float32)
        found = Instances.build(corners, scores=np.ones(boxes), labels=np.zeros(boxes), rounds=-1)
    image = Image(id=path.name, path=str(path), size=(height, width))
    return Sample(image=image, pixels=pixels, prompt=prompt, instances=found)


def samples(paths: Sequence[Path], prompt: Prompt, *, boxes: int = 0) -> list[Sample]:
    """Return decoded photos."""
    return [sample(path, prompt, boxes=boxes) for path in paths]


def _folder(setting: Setting) -> Path:
    return Path(setting.out) / ("made-reduced" if setting.reduced else "made")


def _once(folder: Path, write: Any) -> Path:
    """Have ``write`` fill a folder that appears whole or not at all."""
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        torn = folder.with_name(f"{folder.name}.part")
        shutil.rmtree(torn, ignore_errors=True)
        write(torn)
        torn.rename(folder)
    return folder


def _write_detector(folder: Path, setting: Setting) -> None:
    logging.disable_progress_bar()
    swin_t(folder, detector_size(setting), detector_configuration(setting))


def _write_mal(folder: Path, setting: Setting) -> None:
    torch.manual_seed(0)
    folder.mkdir()
    network = randomised(MalNetwork(REDUCED_MAL if setting.reduced else from_arch("vit-mae-base/16")))
    path = folder / "mal.safetensors"
    save_file(network.state_dict(), path, metadata={"crop_size": str(network.sizes.crop)})
    (folder / "config.json").write_text(json.dumps({"made": "random weights"}))
