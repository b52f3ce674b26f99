"""Save a trained model as a Hugging Face folder, which autolabel and transformers can load."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autolabel.weights import all_headers, weight_files
from autolabel_labeling.pixels import Shaping
from autolabel_labeling.pretrained import silence
from autolabel_labeling.tokenizer import _tokenizer_files

if TYPE_CHECKING:
    from autolabel_grounding_dino.grounded import GroundedDetector

_LONGEST_CAPTION = 256
_BILINEAR = 2


def keep_checkpoint(model: Any, labeler: GroundedDetector, folder: Path) -> None:
    """Write a model, its image processor settings and its tokenizer; weights stay in half precision if they were."""
    folder.mkdir(parents=True, exist_ok=True)
    for head in (model.model.encoder_output_class_embed, *model.class_embed):
        head.max_text_len = _LONGEST_CAPTION
    half = _came_in_half(labeler.path)
    with silence():
        (model.half() if half else model.float()).save_pretrained(folder)
    processor = {"processor_class": "GroundingDinoProcessor", "image_processor": _pixels(labeler.shaping)}
    (folder / "processor_config.json").write_text(json.dumps(processor, indent=1) + "\n")
    for file in _tokenizer_files(labeler.text_folder):
        shutil.copyfile(file, folder / file.name)
    if (words := labeler.text_folder / "vocab.txt").is_file():
        shutil.copyfile(words, folder / words.name)


def _came_in_half(path: Path) -> bool:
    """Return whether a checkpoint stores 16-bit numbers, judged by the size of its files."""
    files = weight_files(path) if path.is_dir() else (path,)
    numbers = sum(math.prod(header.shape) for header in (all_headers(files) or {}).values())
    return numbers > 0 and sum(file.stat().st_size for file in files) < 3 * numbers


def _pixels(shaping: Shaping) -> dict[str, Any]:
    if shaping.exact is not None:
        size = {"height": shaping.exact[0], "width": shaping.exact[1]}
    else:
        size = {"shortest_edge": shaping.short_side, "longest_edge": shaping.long_side}
    return {
        "image_processor_type": "GroundingDinoImageProcessor",
        "format": "coco_detection",
        "do_resize": True,
        "size": size,
        "resample": _BILINEAR,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(shaping.mean),
        "image_std": list(shaping.std),
        "do_convert_annotations": True,
        "do_pad": shaping.exact is None,
    }
