"""Read any of the four forms of a Grounding DINO checkpoint into a network."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from autolabel.errors import WeightsError
from autolabel.weights import load_state_dict
from autolabel_grounding_dino import efficientnet  # noqa: F401  (registers the shipped checkpoint's backbone)
from autolabel_grounding_dino.attention import TablelessAttention
from autolabel_grounding_dino.configure import configure, read_text_configuration
from autolabel_grounding_dino.convert import is_original, to_transformers, unwrapped
from autolabel_grounding_dino.deformable import fastest_sampling
from autolabel_grounding_dino.fusion import ReassociatedFusion
from autolabel_grounding_dino.network import Network
from autolabel_grounding_dino.params import GroundingDinoParams
from autolabel_grounding_dino.similarity import Similarity, read_similarity

log = logging.getLogger(__name__)

SHOWN = 5
IDLE = ("swin.layernorm.", "relative_position_index", "position_ids")
"""Parts that transformers builds and this model never runs."""
FEED_FORWARD = ("GroundingDinoDeformableLayer", "GroundingDinoDecoderLayer", "GroundingDinoTextEnhancerLayer")
"""Layers whose activation may overwrite its input: nothing else reads it."""


def load_network(path: Path, params: GroundingDinoParams, *, text_folder: Path | None, device: str) -> Network:
    """Return the network of a checkpoint file or folder on ``device``, in float32.

    ``text_folder`` holds the text encoder's configuration, for files that carry none. Raises WeightsError where the
    tensors do not fit, naming the first of them.
    """
    state = load_state_dict(path)
    original = unwrapped(state)
    if is_original(original):
        fields = configure(original, params, read_text_configuration(text_folder))
        model = build(fields, to_transformers(original), path=path)
        proposing, deciding = _similarities(original, fields, params)
    else:
        model = build(_configuration(path), state, path=path)
        proposing = deciding = Similarity()
    wanted, found = params.num_queries, model.config.num_queries
    if wanted is not None and wanted > found:
        log.warning("num_queries is %s in the spec, the checkpoint has %s", wanted, found)
    _quicken(model, device)
    model.to(device)
    return Network(model, device=device, proposing=proposing, deciding=deciding, num_queries=params.num_queries)


def _configuration(path: Path) -> dict[str, Any]:
    """Return the content of a Hugging Face folder's config.json."""
    file = (path if path.is_dir() else path.parent) / "config.json"
    if not file.is_file():
        raise WeightsError(
            f"{path}: neither IDEA-Research's nor TAO's Grounding DINO, and there is no {file.name} beside it"
        )
    try:
        content: dict[str, Any] = json.loads(file.read_text("utf-8"))
    except ValueError as error:
        raise WeightsError(f"{file}: not JSON: {error}") from error
    if content.get("model_type") != "grounding-dino" or not content.get("two_stage", True):
        raise WeightsError(f"{file}: model_type is {content.get('model_type')!r}; wanted a two-stage 'grounding-dino'")
    return content


def build(fields: Mapping[str, Any], state: dict[str, Tensor], *, path: Path) -> Any:
    """Return transformers' model of a configuration, holding every tensor of ``state`` in float32, for inference.

    Raises WeightsError where a tensor is missing, unknown, or of another shape.
    """
    from transformers import GroundingDinoConfig, GroundingDinoForObjectDetection

    plain = {key: value for key, value in fields.items() if key not in ("auto_map", "dtype", "torch_dtype")}
    try:
        config = GroundingDinoConfig.from_dict(plain)
        with _silence():
            loaded: Any = GroundingDinoForObjectDetection.from_pretrained(
                None,
                config=config,
                state_dict=state,
                dtype=torch.float32,
                ignore_mismatched_sizes=True,
                output_loading_info=True,
            )
    except (RuntimeError, ValueError, KeyError, TypeError) as error:
        raise WeightsError(f"{path}: does not fit a Grounding DINO: {str(error).strip()[:500]}") from error
    model, report = loaded
    _check(report, path)
    return model.eval().requires_grad_(False)


def _check(report: Mapping[str, Any], path: Path) -> None:
    groups = {
        "missing": report["missing_keys"],
        "unknown": report["unexpected_keys"],
        "of another shape": report["mismatched_keys"],
    }
    wrong = {name: _names(keys) for name, keys in groups.items()}
    if any(wrong.values()):
        found = "; ".join(f"{len(keys)} {name}: {_listed(keys)}" for name, keys in wrong.items() if keys)
        raise WeightsError(f"{path}: does not fit a Grounding DINO: {found}")


def _names(keys: Sequence[Any]) -> list[str]:
    names = (key if isinstance(key, str) else f"{key[0]} {tuple(key[1])} for {tuple(key[2])}" for key in keys)
    return sorted(name for name in names if not any(part in name for part in IDLE))


def _listed(keys: Sequence[str]) -> str:
    return ", ".join(keys[:SHOWN]) + (", ..." if len(keys) > SHOWN else "")


@contextmanager
def _silence() -> Iterator[None]:
    """Keep transformers' progress bar and load report off the terminal: what is wrong is raised instead."""
    from transformers.utils import logging as untyped

    logging: Any = untyped

    level, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bar:
            logging.enable_progress_bar()


def _similarities(
    state: Mapping[str, Tensor], fields: Mapping[str, Any], params: GroundingDinoParams
) -> tuple[Similarity, Similarity]:
    """Return how proposals and how final boxes are compared with tokens."""
    heads = ("transformer.enc_out_class_embed", f"class_embed.{fields['decoder_layers'] - 1}")
    proposing, deciding = (
        read_similarity(state, head, log_scale=params.model.log_scale, width=fields["d_model"]) for head in heads
    )
    return proposing, deciding


def _quicken(model: Any, device: str) -> None:
    """Put exact but faster forms in the place of attention, of deformable sampling and of fusing image and text."""
    sampling = fastest_sampling(device)
    for module in list(model.modules()):
        if sampling is not None and type(module).__name__ == "GroundingDinoMultiscaleDeformableAttention":
            module.attn = sampling
        elif type(module).__name__ == "GroundingDinoFusionLayer":
            module.attn = ReassociatedFusion(module.attn)
        for name, part in list(module.named_children()):
            if type(part).__name__ == "GroundingDinoMultiheadAttention":
                setattr(module, name, TablelessAttention(part))
            elif type(module).__name__ in FEED_FORWARD and isinstance(part, nn.ReLU):
                setattr(module, name, nn.ReLU(inplace=True))
