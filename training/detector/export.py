"""A trained detector as a checkpoint directory that transformers' own classes load."""

from __future__ import annotations

import json
from pathlib import Path

from safetensors.torch import save_file
from tokenizers import Tokenizer
from torch import Tensor
from transformers import GroundingDinoForObjectDetection

from .features import INDEX_FILE, PIXEL_MEAN, PIXEL_SCALE
from .text import write_tokenizer

TEXT_PREFIX = "model.text_backbone."
TEXT_SHARD = "text_encoder.safetensors"
DETECTOR_SHARD = "detector.safetensors"
TIED_PREFIXES = ("model.decoder.bbox_embed.", "bbox_embed.")
TIED_SOURCE = "bbox_embed.0."


def export(model: GroundingDinoForObjectDetection, tokenizer: Tokenizer, *, image_size: int, folder: Path) -> None:
    """Write weights (float16, text encoder in a shard of its own), configurations and tokenizer to `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    shards: dict[str, dict[str, Tensor]] = {DETECTOR_SHARD: {}, TEXT_SHARD: {}}
    for name, tensor in model.state_dict().items():
        if not _is_copy(name):
            shard = TEXT_SHARD if name.startswith(TEXT_PREFIX) else DETECTOR_SHARD
            shards[shard][name] = tensor.detach().half().contiguous().clone()
    for name, tensors in shards.items():
        save_file(tensors, folder / name, metadata={"format": "pt"})
        (folder / name).chmod(0o644)
    _write_json(folder / INDEX_FILE, _index(shards))
    _write_config(model, folder)
    _write_json(folder / "processor_config.json", _processor(image_size))
    _write_json(folder / "tokenizer_config.json", _tokenizer())
    write_tokenizer(tokenizer, folder)


def _is_copy(name: str) -> bool:
    return name.startswith(TIED_PREFIXES) and not name.startswith(TIED_SOURCE)


def _index(shards: dict[str, dict[str, Tensor]]) -> dict[str, object]:
    size = sum(tensor.numel() * tensor.element_size() for tensors in shards.values() for tensor in tensors.values())
    places = {name: shard for shard, tensors in shards.items() for name in tensors}
    return {"metadata": {"total_size": size}, "weight_map": dict(sorted(places.items()))}


def _write_config(model: GroundingDinoForObjectDetection, folder: Path) -> None:
    config = model.config.to_dict()
    config["architectures"] = [type(model).__name__]
    for section in (config, config["text_config"], config["backbone_config"]):
        section.pop("_name_or_path", None)
        section["dtype"] = None
    config["dtype"] = "float16"
    _write_json(folder / "config.json", config)


def _processor(size: int) -> dict[str, object]:
    image_processor = {
        "image_processor_type": "GroundingDinoImageProcessor",
        "format": "coco_detection",
        "do_resize": True,
        "size": {"height": size, "width": size},
        "resample": 2,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": [PIXEL_MEAN / 255] * 3,
        "image_std": [PIXEL_SCALE / 255] * 3,
        "do_convert_annotations": True,
        "do_pad": False,
    }
    return {"processor_class": "GroundingDinoProcessor", "image_processor": image_processor}


def _tokenizer() -> dict[str, object]:
    return {
        "tokenizer_class": "BertTokenizer",
        "processor_class": "GroundingDinoProcessor",
        "do_lower_case": True,
        "model_max_length": 512,
        "cls_token": "[CLS]",
        "sep_token": "[SEP]",
        "pad_token": "[PAD]",
        "unk_token": "[UNK]",
        "mask_token": "[MASK]",
    }


def _write_json(path: Path, content: dict[str, object]) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n")
