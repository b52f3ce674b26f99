"""Fixtures for the training code: a tiny random detector, fake cached features, a small recipe."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tokenizers import Tokenizer
from transformers import BertConfig, GroundingDinoConfig, GroundingDinoForObjectDetection

from autolabel_labeling.efficientnet import STAGE_CHANNELS, EfficientNetLite0Config
from autolabel_training.recipe import build, plain, read
from training.detector.captions import CaptionWriter
from training.detector.config import Recipe
from training.detector.data import Data
from training.detector.features import CACHED_STRIDE, FROZEN_STAGES, MAPS_FILE, SCENES, FeatureCache
from training.detector.model import freeze
from training.detector.train import Ingredients

ROOT = Path(__file__).parents[2]
SIZE = 64
NAMES = ("red blood cell", "white blood cell", "platelet")


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def recipe() -> Recipe:
    """The shipped recipe cut down to one real set, tiny pictures and two steps."""
    raw = plain(read(Recipe, ROOT / "training" / "detector.yaml"))
    raw |= {"image_size": SIZE, "evaluate_every": 2, "save_every_seconds": 600}
    raw["sets"] = {"bccd": {"views": 2, "turn": True}}
    raw["mixes"] = [{"start": 0, "shares": {"bccd": 0.5, SCENES: 0.5}}]
    raw["optimiser"] |= {"steps": 2, "batch": 2, "warmup": 1, "cooldown": 0.0}
    return build(Recipe, raw)


@pytest.fixture
def tokenizer() -> Tokenizer:
    return Tokenizer.from_file(str(ROOT / "checkpoints" / "tiny" / "tokenizer.json"))


def tiny_config(backbone: Any, *, levels: int) -> GroundingDinoConfig:
    """Return the configuration of a very small detector with a backbone of so many levels of features."""
    return GroundingDinoConfig(
        backbone_config=backbone,
        text_config=BertConfig(
            vocab_size=20000, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32
        ),
        num_queries=10,
        d_model=32,
        encoder_layers=1,
        encoder_ffn_dim=32,
        encoder_attention_heads=4,
        decoder_layers=2,
        decoder_ffn_dim=32,
        decoder_attention_heads=4,
        num_feature_levels=levels,
        dropout=0.0,
        fusion_droppath=0.0,
        disable_custom_kernels=True,
    )


@pytest.fixture
def tiny_model() -> Callable[[], GroundingDinoForObjectDetection]:
    """Build a random detector with frozen towers, the same at each call."""

    def build() -> GroundingDinoForObjectDetection:
        torch.manual_seed(1)
        backbone = EfficientNetLite0Config(out_features=["stage3", "stage5", "stage7"])
        config = tiny_config(backbone, levels=3)
        model = GroundingDinoForObjectDetection(config).eval()
        freeze(model)
        return model

    return build


@pytest.fixture
def data(tmp_path: Path) -> Data:
    """A COCO folder with two grey photos per split."""
    folder = tmp_path / "data" / "bccd"
    (folder / "images").mkdir(parents=True)
    categories = [{"id": number, "name": name} for number, name in enumerate(NAMES, start=1)]
    for split in ("train", "dev"):
        images: list[dict[str, Any]] = [{"id": number, "file_name": f"{split}{number}.png"} for number in (1, 2)]
        for image in images:
            Image.new("RGB", (80, 60), (128, 128, 128)).save(folder / "images" / image["file_name"])
        boxes = [{"image_id": number, "category_id": 1, "bbox": [8, 8, 30, 20], "iscrowd": 0} for number in (1, 2)]
        coco = {"images": images, "annotations": boxes, "categories": categories}
        (folder / f"{split}.json").write_text(json.dumps(coco))
    return Data(tmp_path / "data")


@pytest.fixture
def cache(tmp_path: Path) -> FeatureCache:
    """Random features of four views: a photo and a scene, for training and for dev."""
    folder = tmp_path / "features"
    folder.mkdir()
    generator = np.random.default_rng(0)
    shape = (4, STAGE_CHANNELS[FROZEN_STAGES], SIZE // CACHED_STRIDE, SIZE // CACHED_STRIDE)
    np.save(folder / MAPS_FILE, generator.standard_normal(shape).astype(np.float16))
    described = {"bccd": list(NAMES), SCENES: ["red star", "blue star", "red star"]}
    boxes = [[0.1, 0.1, 0.4, 0.5], [0.5, 0.5, 0.9, 0.9], [0.2, 0.6, 0.3, 0.7]]
    samples = [
        {"dataset": dataset, "split": split, "boxes": boxes, "names": names}
        for dataset, names in described.items()
        for split in ("train", "dev")
    ]
    (folder / "samples.json").write_text(json.dumps(samples))
    return FeatureCache(folder)


@pytest.fixture
def ingredients(
    recipe: Recipe,
    data: Data,
    cache: FeatureCache,
    tokenizer: Tokenizer,
    tiny_model: Callable[[], GroundingDinoForObjectDetection],
) -> Callable[[], Ingredients]:
    """Build what a run works on, the same at each call."""
    return lambda: Ingredients(tiny_model(), tokenizer, cache, CaptionWriter(recipe, data))
