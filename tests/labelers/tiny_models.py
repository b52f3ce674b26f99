"""Small Hugging Face folders with random weights in which every tensor matters, and what asks them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from autolabel.strategies import Detector, Labeler
from autolabel.types import Image, Instances, Prompt, Sample
from autolabel_labeling.tokenizer import BERT_BASE
from benchmarks.small_detector import MODEL
from tests.random_weights import fill

SWIN: dict[str, Any] = {**MODEL["backbone_config"], "image_size": 64}
WORDS = ("a", "photo", "of", "the", "car", "cat", "dog", "red", "old", "boat", "hat", "detect", "cargo", "truck")


def clip_files(folder: Path) -> int:
    """Write a small CLIP vocabulary, in which WORDS are one piece each; return its size."""
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    letters = list(bytes_to_unicode().values())
    pieces, merges = [*letters, *(letter + "</w>" for letter in letters)], []
    for word in WORDS:
        parts = [*word[:-1], word[-1] + "</w>"]
        while len(parts) > 1:
            merges.append(f"{parts[0]} {parts[1]}")
            parts[:2] = [parts[0] + parts[1]]
            pieces.append(parts[0])
    unique = [*dict.fromkeys(pieces), "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({piece: index for index, piece in enumerate(unique)}))
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *dict.fromkeys(merges)]))
    return len(unique)


def seeded(kind: Callable[[Any], Any], config: Any, *, seed: int = 5) -> Any:
    """Make a model whose own random buffers do not depend on what ran before."""
    torch.manual_seed(seed)
    return kind(config)


def write(model: Any, folder: Path, *, seed: int = 5) -> None:
    """Fill a model with random numbers of a sensible size and save it."""
    torch.manual_seed(seed)
    fill(model, small=("embed", "position"))
    model.save_pretrained(folder)


def processor(folder: Path, **settings: Any) -> None:
    """Write what the folder's image processor does."""
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))


def owlv2_folder(folder: Path) -> Path:
    from transformers import Owlv2Config, Owlv2ForObjectDetection

    words = clip_files(folder)
    config = Owlv2Config(
        text_config={
            "vocab_size": words,
            "hidden_size": 16,
            "intermediate_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "bos_token_id": words - 2,
            "eos_token_id": words - 1,
        },
        vision_config={
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": 48,
            "patch_size": 8,
        },
        projection_dim=16,
    )
    write(seeded(Owlv2ForObjectDetection, config), folder)
    processor(folder, size={"height": 48, "width": 48})
    return folder


def mm_folder(folder: Path) -> Path:
    from transformers import MMGroundingDinoConfig, MMGroundingDinoForObjectDetection

    sizes = {name: value for name, value in MODEL.items() if name != "model_type"}
    config = MMGroundingDinoConfig(**sizes | {"backbone_config": SWIN}, decoder_cls_embed_share=False)
    write(seeded(MMGroundingDinoForObjectDetection, config), folder)
    processor(folder, size={"shortest_edge": 64, "longest_edge": 100})
    shutil.copy(BERT_BASE / "vocab.txt", folder / "vocab.txt")
    return folder


def photo(height: int, width: int, *phrases: str, seed: int = 0) -> Sample:
    """Return a sample of smooth random pixels."""
    coarse = np.random.default_rng(seed).integers(0, 255, (8, 8, 3), dtype=np.uint8)
    pixels = np.kron(coarse, np.ones((-(-height // 8), -(-width // 8), 1), np.uint8))[:height, :width]
    image = Image(id=f"{seed}.png", path=f"{seed}.png", size=(height, width))
    return Sample(image=image, pixels=pixels, prompt=Prompt(phrases), instances=Instances.empty())


def loaded(labeler: type[Labeler], folder: Path, **params: Any) -> Any:
    """Return a labeler loaded on the CPU."""
    made = labeler(labeler.Params.model_validate({"checkpoint": str(folder), **params}))
    made.load("cpu")
    return made


def detect(detector: Detector, *samples: Sample, floor: float = 0.0) -> list[Instances]:
    """Return what a detector finds in samples of one batch key, in one batch."""
    items = detector.prepare([detector.preprocess(sample) for sample in samples])
    found = detector.detect(items, [sample.prompt for sample in samples], floor)
    return [one for one in found if isinstance(one, Instances)]


def same(found: Instances, boxes: NDArray[Any], scores: NDArray[Any], labels: NDArray[Any]) -> bool:
    """Return whether what was found is what transformers gives, in any order: scores to 2e-5, boxes to 0.005 pixels."""
    tolerance = np.array([0.5, 2e-5, *[5e-3] * 4])
    ours = np.column_stack([found.labels, found.scores, found.boxes]).astype(np.float64) / tolerance
    theirs = np.column_stack([labels, scores, boxes]).astype(np.float64) / tolerance
    if len(ours) != len(theirs):
        return False
    close = np.abs(ours[:, None] - theirs).max(axis=2) < 1
    return bool(close.any(axis=0).all() and close.any(axis=1).all())


def sam_folder(folder: Path) -> Path:
    from transformers import SamConfig, SamModel

    config = SamConfig(
        vision_config={
            "hidden_size": 32,
            "output_channels": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": 64,
            "patch_size": 8,
            "window_size": 3,
            "global_attn_indexes": [1],
            "num_pos_feats": 16,
            "mlp_dim": 48,
        },
        prompt_encoder_config={"hidden_size": 32, "image_size": 64, "patch_size": 8, "mask_input_channels": 4},
        mask_decoder_config={
            "hidden_size": 32,
            "mlp_dim": 48,
            "num_attention_heads": 2,
            "iou_head_hidden_dim": 32,
        },
    )
    write(seeded(SamModel, config), folder)
    processor(folder, size={"longest_edge": 64}, pad_size={"height": 64, "width": 64})
    return folder


def sam2_folder(folder: Path) -> Path:
    from transformers import Sam2Config, Sam2Model

    config = Sam2Config(
        vision_config={
            "backbone_config": {
                "model_type": "sam2_hiera_det_model",
                "hidden_size": 8,
                "image_size": [64, 64],
                "blocks_per_stage": [1, 1, 2, 1],
                "embed_dim_per_stage": [8, 16, 32, 64],
                "num_attention_heads_per_stage": [1, 1, 2, 2],
                "window_size_per_stage": [4, 4, 2, 2],
                "global_attention_blocks": [3],
                "window_positional_embedding_background_size": [3, 3],
            },
            "backbone_channel_list": [64, 32, 16, 8],
            "backbone_feature_sizes": [[16, 16], [8, 8], [4, 4]],
            "fpn_hidden_size": 32,
        },
        prompt_encoder_config={"hidden_size": 32, "image_size": 64, "patch_size": 16, "mask_input_channels": 4},
        mask_decoder_config={
            "hidden_size": 32,
            "mlp_dim": 48,
            "num_attention_heads": 2,
            "iou_head_hidden_dim": 32,
        },
    )
    write(seeded(Sam2Model, config), folder)
    processor(folder, size={"height": 64, "width": 64})
    return folder


def clip_text(words: int, longest: int) -> dict[str, Any]:
    """Return the configuration of a small CLIP text encoder for a vocabulary of ``clip_files``."""
    return {
        "model_type": "clip_text_model",
        "vocab_size": words,
        "hidden_size": 16,
        "intermediate_size": 32,
        "projection_dim": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "max_position_embeddings": longest,
        "bos_token_id": words - 2,
        "eos_token_id": words - 1,
        "pad_token_id": words - 1,
    }


def omdet_folder(folder: Path) -> Path:
    from transformers import OmDetTurboConfig, OmDetTurboForObjectDetection

    config = OmDetTurboConfig(
        text_config=clip_text(clip_files(folder), 24),
        backbone_config=SWIN,
        apply_layernorm_after_vision_backbone=False,
        image_size=64,
        text_projection_in_dim=16,
        text_projection_out_dim=16,
        task_encoder_hidden_dim=32,
        class_embed_dim=16,
        num_queries=30,
        encoder_hidden_dim=32,
        vision_features_channels=[32, 32, 32],
        encoder_in_channels=[32, 64, 128],
        encoder_attention_heads=2,
        encoder_dim_feedforward=48,
        decoder_hidden_dim=32,
        decoder_num_heads=2,
        decoder_num_layers=2,
        decoder_dim_feedforward=48,
        decoder_num_points=2,
    )
    write(seeded(OmDetTurboForObjectDetection, config), folder)
    means = {"image_mean": [123.675, 116.28, 103.53], "image_std": [58.395, 57.12, 57.375], "do_rescale": False}
    processor(folder, size={"height": 64, "width": 64}, **means)
    return folder


def sam3_folder(folder: Path) -> Path:
    from transformers import Sam3Config, Sam3Model

    small = {"hidden_size": 32, "num_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}
    config = Sam3Config(
        vision_config={
            "backbone_config": {
                "model_type": "sam3_vit_model",
                "hidden_size": 32,
                "intermediate_size": 48,
                "num_hidden_layers": 2,
                "num_attention_heads": 2,
                "image_size": 56,
                "patch_size": 14,
                "window_size": 2,
                "global_attn_indexes": [1],
                "pretrain_image_size": 28,
            },
            "fpn_hidden_size": 32,
            "backbone_feature_sizes": [[16, 16], [8, 8], [4, 4]],
        },
        text_config=clip_text(clip_files(folder), 32),
        geometry_encoder_config=small,
        detr_encoder_config=small,
        detr_decoder_config={**small, "num_queries": 12},
        mask_decoder_config={"hidden_size": 32, "num_attention_heads": 2},
    )
    write(seeded(Sam3Model, config), folder)
    half = [0.5, 0.5, 0.5]
    processor(folder, size={"height": 56, "width": 56}, image_mean=half, image_std=half)
    return folder
