"""Write, load and ask small Grounding DINO checkpoints with random weights."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch

from autolabel.types import Instances, Sample
from autolabel_grounding_dino.labeler import GroundingDino
from autolabel_labeling.tokenizer import BERT_BASE
from tests.random_weights import fill

SHARED = Path(__file__).resolve().parents[2] / "../shared/oracles"


def random_folder(folder: Path, model: dict[str, Any]) -> Path:
    """Write a Hugging Face folder with random weights in which every tensor matters."""
    from transformers import GroundingDinoConfig, GroundingDinoForObjectDetection

    torch.manual_seed(5)
    network = GroundingDinoForObjectDetection(GroundingDinoConfig.from_dict(model))
    fill(network, small=("embed",))
    network.save_pretrained(folder)
    processor = {"image_processor": {"size": {"shortest_edge": 64, "longest_edge": 100}}}
    (folder / "processor_config.json").write_text(json.dumps(processor))
    shutil.copy(BERT_BASE / "vocab.txt", folder / "vocab.txt")
    return folder


def load(path: Path, **params: Any) -> GroundingDino:
    """Return a detector loaded on the CPU."""
    detector = GroundingDino(GroundingDino.Params(checkpoint=str(path), **params))
    detector.load("cpu")
    return detector


def detect(detector: GroundingDino, *samples: Sample, floor: float = 0.0) -> list[Instances]:
    """Return what a detector finds in samples of one batch key, in one batch."""
    items = detector.prepare([detector.preprocess(sample) for sample in samples])
    return list(detector.detect(items, [sample.prompt for sample in samples], floor))


def original_names(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the tensors of a Hugging Face checkpoint under IDEA-Research's names, projections packed."""
    from autolabel_grounding_dino.convert import rename

    state = {key: value for key, value in state.items() if "swin.layernorm" not in key}
    result = {}
    for key in _original_keys():
        for kind in ("weight", "bias", ""):
            full = f"{key}.{kind}" if kind else key
            parts = [state.get(rename(name)) for name in _parts(full)]
            if all(part is not None for part in parts):
                result[full] = torch.cat([part for part in parts if part is not None])
    missing = len(state) - len({rename(name) for key in result for name in _parts(key)})
    assert missing == 0, f"{missing} tensors have no original name"
    return result


def _parts(key: str) -> list[str]:
    for packed, joint in ((".qkv.", "."), (".in_proj_", ".")):
        if packed in key:
            start, kind = key.split(packed)
            return [f"{start}{joint}{role}.{kind}" for role in ("query", "key", "value")]
    return [key]


def _original_keys() -> list[str]:
    sampling = ("sampling_offsets", "attention_weights", "value_proj", "output_proj")
    attention = ("in_proj_weight", "in_proj_bias", "out_proj")
    bert: tuple[str, ...] = (
        "attention.self.query",
        "attention.self.key",
        "attention.self.value",
        "attention.output.dense",
    )
    bert += ("attention.output.LayerNorm", "intermediate.dense", "output.dense", "output.LayerNorm")
    swin = ("norm1", "norm2", "attn.qkv", "attn.proj", "attn.relative_position_bias_table", "mlp.fc1", "mlp.fc2")
    fused = [f"attn.{part}{side}_proj" for part in ("", "values_", "out_") for side in "vl"]
    fused += [f"{part}_{side}" for part in ("gamma", "layer_norm") for side in "vl"]
    plain = ("norm1", "norm2", "linear1", "linear2")
    resnet = [f"{part}{number}" for part in ("conv", "bn", "downsample.") for number in range(4)]
    names = ["feat_map", "backbone.0.patch_embed.proj", "backbone.0.patch_embed.norm"]
    names += ["backbone.0.conv1", "backbone.0.bn1", "bert.embeddings.LayerNorm"]
    names += [f"bert.embeddings.{part}_embeddings" for part in ("word", "position", "token_type")]
    names += [f"transformer.{part}" for part in ("level_embed", "tgt_embed", "enc_output", "enc_output_norm")]
    names += ["transformer.decoder.norm"]
    for i in range(6):
        names += [f"bert.encoder.layer.{i}.{part}" for part in bert] + [f"backbone.0.norm{i}"]
        names += [f"input_proj.{i}.{part}" for part in (0, 1)]
        names += [f"backbone.0.layers.{i}.downsample.{part}" for part in ("norm", "reduction")]
        names += [f"backbone.0.layers.{i}.blocks.{j}.{part}" for j in range(2) for part in swin]
        names += [f"backbone.0.layer{i}.{j}.{part}" for j in range(2) for part in resnet]
        names += [f"transformer.encoder.layers.{i}.self_attn.{part}" for part in sampling]
        names += [f"transformer.encoder.text_layers.{i}.self_attn.{part}" for part in attention]
        names += [f"transformer.encoder.{kind}.{i}.{part}" for kind in ("layers", "text_layers") for part in plain]
        names += [f"transformer.encoder.fusion_layers.{i}.{part}" for part in fused]
        layer = f"transformer.decoder.layers.{i}"
        names += [f"{layer}.cross_attn.{part}" for part in sampling]
        names += [f"{layer}.{block}.{part}" for block in ("self_attn", "ca_text") for part in attention]
        names += [f"{layer}.{part}" for part in (*plain, "norm3", "catext_norm")]
        names += [f"transformer.decoder.ref_point_head.layers.{i}", f"transformer.enc_out_bbox_embed.layers.{i}"]
        names += [f"{start}bbox_embed.{i}.layers.{j}" for start in ("", "transformer.decoder.") for j in range(3)]
    norms = [name for name in names if ".bn" in name or name.endswith("downsample.1")]
    return names + [f"{name}.running_{part}" for name in norms for part in ("mean", "var")]
