"""A small LLaVA for transformers' own server that always gives the same answer, as in ``llama_model``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_TEMPLATE = (
    "{% for m in messages %}{{ m.role }}: {% if m.content is string %}{{ m.content }}{% else %}"
    "{% for c in m.content %}{% if c.type == 'image' %}<image>{% else %}{{ c.text }}{% endif %}{% endfor %}{% endif %}"
    "{{ '\\n' }}{% endfor %}"
)
_END = "</s>"
_SIDE, _PATCH = 56, 14


def write_llava(folder: Path, pieces: Sequence[str], after: Mapping[str, str]) -> None:
    """Write model, tokenizer and processor; ``after`` names the token that follows a token, the end unless given.

    A question ends with a line feed.
    """
    import torch
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlavaConfig, LlavaForConditionalGeneration, LlavaProcessor, PreTrainedTokenizerFast
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    bare = Tokenizer(models.BPE(vocab={char: index for index, char in enumerate(alphabet)}, merges=[]))
    bare.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bare.decoder = decoders.ByteLevel()
    tokenizer: Any = PreTrainedTokenizerFast(tokenizer_object=bare, bos_token="<s>", eos_token=_END, pad_token="<pad>")
    tokenizer.add_special_tokens({"additional_special_tokens": ["<image>"]})
    tokenizer.add_tokens([AddedToken(piece, normalized=False) for piece in pieces])
    count = len(tokenizer)
    size = -(-count // 32) * 32
    text = {"hidden_size": size, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4}
    ends = {name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    vision = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    settings: dict[str, Any] = {
        "text_config": {"model_type": "llama", "vocab_size": count, "max_position_embeddings": 4096, **text, **ends},
        "vision_config": {"model_type": "clip_vision_model", "image_size": _SIDE, "patch_size": _PATCH, **vision},
    }
    config = LlavaConfig(
        **settings,
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        vision_feature_layer=-1,
    )
    model: Any = LlavaForConditionalGeneration(config)

    def number(token: str) -> int:
        return int(tokenizer(token, add_special_tokens=False)["input_ids"][0])

    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "language_model.layers" in name and "norm" not in name:
                weight.zero_()
        model.get_input_embeddings().weight.copy_(torch.eye(count, size))
        head = model.get_output_embeddings().weight
        head.zero_()
        for index in range(count):
            head[tokenizer.eos_token_id, index] = 1.0
        for before, token in after.items():
            head[number(token), number(before)] = 2.0
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.save_pretrained(folder)
    images = CLIPImageProcessorPil(size={"shortest_edge": _SIDE}, crop_size={"height": _SIDE, "width": _SIDE})
    more: dict[str, Any] = {
        "patch_size": _PATCH,
        "vision_feature_select_strategy": "default",
        "num_additional_image_tokens": 1,
    }
    LlavaProcessor(images, tokenizer, chat_template=_TEMPLATE, **more).save_pretrained(folder)
