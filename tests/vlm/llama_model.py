"""A vision-language model for llama.cpp's server that always gives the same answer, with known probabilities.

Each token decides the next one: embeddings are unit vectors, attention and feed-forward layers are zero, and the output
matrix holds the logits of what follows. The vision encoder is a real one with random weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from gguf import GGUFWriter

_Float32 = npt.NDArray[np.float32]
START, END = "<|im_start|>", "<|im_end|>"
_NORMAL, _CONTROL = 1, 3
"""Kinds of tokens."""
_CONTEXT = 4096
_WIDTH = 32
_PATCH, _SIDE = 14, 56
_EPSILON = 1e-5


def write_model(folder: Path, pieces: Sequence[str], after: Mapping[str, Mapping[str, float]]) -> tuple[Path, Path]:
    """Write the model and its vision encoder, and return both paths.

    ``pieces`` are tokens besides the 256 bytes and the two of the chat template; ``after`` gives the logits of the
    tokens that follow a token, 0 for all others. A question ends with a line feed.
    """
    tokens = [*_bytes().values(), START, END, *pieces]
    model, encoder = folder / "model.gguf", folder / "mmproj.gguf"
    _write_text_model(model, tokens, after)
    _write_encoder(encoder, len(tokens))
    return model, encoder


def _bytes() -> dict[int, str]:
    """Return the character that stands for each byte in byte-level vocabularies."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    table = {byte: chr(byte) for byte in shown}
    hidden = (byte for byte in range(256) if byte not in table)
    return table | {byte: chr(256 + index) for index, byte in enumerate(hidden)}


def token_of(text: str) -> str:
    """Return a text as its token is written in the vocabulary."""
    table = _bytes()
    return "".join(table[byte] for byte in text.encode())


def _write_text_model(path: Path, tokens: Sequence[str], after: Mapping[str, Mapping[str, float]]) -> None:
    from gguf import GGUFWriter

    count = len(tokens)
    size = -(-count // 32) * 32
    writer = GGUFWriter(str(path), "llama")
    writer.add_context_length(_CONTEXT)
    writer.add_embedding_length(size)
    writer.add_block_count(1)
    writer.add_feed_forward_length(32)
    writer.add_head_count(4)
    writer.add_head_count_kv(4)
    writer.add_layer_norm_rms_eps(_EPSILON)
    writer.add_rope_dimension_count(size // 4)
    writer.add_vocab_size(count)
    writer.add_file_type(0)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(list(tokens))
    writer.add_token_types([_CONTROL if token in (START, END) else _NORMAL for token in tokens])
    writer.add_token_merges(["h e"])
    writer.add_bos_token_id(tokens.index(START))
    writer.add_eos_token_id(tokens.index(END))
    writer.add_add_bos_token(False)
    embeddings = np.eye(count, size, dtype=np.float32)
    output = np.zeros((count, size), np.float32)
    for before, logits in after.items():
        for token, logit in logits.items():
            output[tokens.index(token_of(token)), tokens.index(token_of(before))] = logit / np.sqrt(size)
    writer.add_tensor("token_embd.weight", embeddings)
    writer.add_tensor("output_norm.weight", np.ones(size, np.float32))
    writer.add_tensor("output.weight", output)
    shapes = dict.fromkeys(("attn_q", "attn_k", "attn_v", "attn_output"), (size, size))
    shapes |= {"ffn_gate": (32, size), "ffn_up": (32, size), "ffn_down": (size, 32)}
    for name, shape in shapes.items():
        writer.add_tensor(f"blk.0.{name}.weight", np.zeros(shape, np.float32))
    for name in ("attn_norm", "ffn_norm"):
        writer.add_tensor(f"blk.0.{name}.weight", np.ones(size, np.float32))
    _finish(writer)


def _write_encoder(path: Path, count: int) -> None:
    from gguf import GGUFWriter

    size, wide = -(-count // 32) * 32, 2 * _WIDTH
    random = np.random.default_rng(0)
    writer = GGUFWriter(str(path), "clip")
    writer.add_type("mmproj")
    writer.add_file_type(0)
    writer.add_bool("clip.has_vision_encoder", True)
    writer.add_string("clip.projector_type", "mlp")
    writer.add_bool("clip.use_gelu", True)
    numbers = {"embedding_length": _WIDTH, "feed_forward_length": wide, "block_count": 2, "projection_dim": size}
    numbers |= {"attention.head_count": 2, "image_size": _SIDE, "patch_size": _PATCH}
    for name, number in numbers.items():
        writer.add_uint32(f"clip.vision.{name}", number)
    writer.add_float32("clip.vision.attention.layer_norm_epsilon", _EPSILON)
    writer.add_array("clip.vision.image_mean", [0.5] * 3)
    writer.add_array("clip.vision.image_std", [0.5] * 3)

    def drawn(*shape: int) -> _Float32:
        return (random.standard_normal(shape) * 0.02).astype(np.float32)

    writer.add_tensor("v.class_embd", drawn(_WIDTH))
    writer.add_tensor("v.patch_embd.weight", drawn(_WIDTH, 3, _PATCH, _PATCH))
    writer.add_tensor("v.position_embd.weight", drawn((_SIDE // _PATCH) ** 2 + 1, _WIDTH))
    linear = dict.fromkeys(("attn_q", "attn_k", "attn_v", "attn_out"), (_WIDTH, _WIDTH))
    linear |= {"ffn_up": (wide, _WIDTH), "ffn_down": (_WIDTH, wide)}
    blocks = {f"v.blk.{index}.{name}": shape for index in range(2) for name, shape in linear.items()}
    for name, shape in {**blocks, "mm.0": (size, _WIDTH), "mm.2": (size, size)}.items():
        writer.add_tensor(f"{name}.weight", drawn(*shape))
        writer.add_tensor(f"{name}.bias", np.zeros(shape[0], np.float32))
    for name in ("v.pre_ln", *(f"v.blk.{index}.{norm}" for index in range(2) for norm in ("ln1", "ln2"))):
        writer.add_tensor(f"{name}.weight", np.ones(_WIDTH, np.float32))
        writer.add_tensor(f"{name}.bias", np.zeros(_WIDTH, np.float32))
    _finish(writer)


def _finish(writer: GGUFWriter) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
