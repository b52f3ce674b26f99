"""Small Grounding DINO checkpoints with random weights, in the forms that users have."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from autolabel_grounding_dino.labeler import GroundingDino
from autolabel_labeling.tokenizer import BERT_BASE
from benchmarks.small_detector import MODEL
from tests.grounding_dino.checkpoints import load, original_names, random_folder


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a random Hugging Face folder."""
    return random_folder(tmp_path_factory.mktemp("checkpoint"), MODEL)


@pytest.fixture(scope="session")
def detector(folder: Path) -> GroundingDino:
    """Return the random checkpoint's detector, loaded."""
    return load(folder)


@pytest.fixture(scope="session")
def original_state(folder: Path) -> dict[str, torch.Tensor]:
    """Return the random checkpoint's tensors under IDEA-Research's names."""
    state = original_names(load_file(folder / "model.safetensors"))
    heads = [key for key in state if key.startswith("bbox_embed")]
    return {**state, **{f"transformer.decoder.{key}": state[key] for key in heads}}


@pytest.fixture
def text_folder(tmp_path: Path) -> Path:
    """Return a folder with the random checkpoint's text encoder: configuration and tokenizer."""
    text = tmp_path / "text"
    text.mkdir()
    (text / "config.json").write_text(json.dumps(MODEL["text_config"]))
    shutil.copy(BERT_BASE / "vocab.txt", text / "vocab.txt")
    return text


@pytest.fixture
def write_original(tmp_path: Path, original_state: dict[str, torch.Tensor]) -> Callable[..., Path]:
    """Return a function that writes an original file: ``wrap`` decides what is saved around the tensors."""

    def write(wrap: Callable[[dict[str, torch.Tensor]], Any], name: str = "original.pth") -> Path:
        content = wrap(dict(original_state))
        path = tmp_path / name
        if path.suffix == ".safetensors":
            save_file(content, path)
        else:
            torch.save(content, path)
        return path

    return write
