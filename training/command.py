"""The options that both training commands share."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch


def training_parser(description: str | None, *, recipe: str, out: str) -> argparse.ArgumentParser:
    """Return a parser of the shared options, with the recipe and the folder that they default to."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--recipe", type=Path, default=Path(recipe))
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of the recipe's sets")
    parser.add_argument("--coco", type=Path, help="a COCO file with boxes of your own")
    parser.add_argument("--images", type=Path, help="folder of that file's images (default: the file's folder)")
    parser.add_argument("--out", type=Path, default=Path(out))
    parser.add_argument("--tensorboard", action="store_true", help="also log to OUT/tensorboard (extra tensorboard)")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    return parser
