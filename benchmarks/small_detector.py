"""The configuration of a small Grounding DINO with a Swin backbone, for quick runs with random weights."""

from __future__ import annotations

from typing import Any

MODEL: dict[str, Any] = {
    "model_type": "grounding-dino",
    "backbone_config": {
        "model_type": "swin",
        "embed_dim": 16,
        "depths": [1, 1, 2, 1],
        "num_heads": [1, 2, 4, 4],
        "window_size": 4,
        "image_size": 224,
        "out_features": ["stage2", "stage3", "stage4"],
    },
    "text_config": {
        "model_type": "bert",
        "vocab_size": 30522,
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 32,
    },
    "d_model": 64,
    "num_queries": 30,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_ffn_dim": 96,
    "decoder_ffn_dim": 48,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_n_points": 2,
    "decoder_n_points": 3,
    "decoder_bbox_embed_share": False,
}
