"""Measure what a training takes: processor and wall time of a step, and the most memory.

``python benchmarks/training.py [--full-size] [--steps N]`` trains `tiny` with `autolabel train` on the twelve photos of
the repository. ``--full-size`` trains a network of the size of the published Grounding DINO tiny (Swin-T, 172 million
parameters; random weights) in pictures of 800 to 1333 pixels instead, one a step.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CELLS = Path(__file__).resolve().parents[1] / "examples" / "bccd"
TINY = Path(__file__).resolve().parents[1] / "checkpoints" / "tiny"
_WORDS = ("tokenizer.json", "tokenizer_config.json", "vocab.txt")


def write_full_size(folder: Path) -> int:
    """Write a checkpoint with the published sizes and random weights; return how many numbers it holds."""
    import torch
    from transformers import BertConfig, GroundingDinoConfig, GroundingDinoForObjectDetection, SwinConfig

    vision = SwinConfig(image_size=224, window_size=7, embed_dim=96, depths=[2, 2, 6, 2], num_heads=[3, 6, 12, 24])
    vision.out_features = ["stage2", "stage3", "stage4"]
    torch.manual_seed(0)
    network = GroundingDinoForObjectDetection(GroundingDinoConfig(backbone_config=vision, text_config=BertConfig()))
    network.save_pretrained(folder)
    for name in _WORDS:
        shutil.copyfile(TINY / name, folder / name)
    pixels = json.loads((TINY / "processor_config.json").read_text())
    pixels["image_processor"] |= {"size": {"shortest_edge": 800, "longest_edge": 1333}, "do_pad": True}
    (folder / "processor_config.json").write_text(json.dumps(pixels))
    return sum(parameter.numel() for parameter in network.parameters())


def train(folder: Path, checkpoint: str, *, steps: int, batch: int) -> tuple[float, float, float]:
    """Train and return wall seconds, processor seconds and the most memory in MiB."""
    words = ["train", str(CELLS / "boxes.json"), "--images", str(CELLS / "images"), "--from", checkpoint]
    settings = [f"steps={steps}", f"batch={batch}", "checks=1", "--device", "cpu", "--quiet", "--out", str(folder)]
    started = time.monotonic()
    process = subprocess.Popen([sys.executable, "-m", "autolabel", *words, *settings], stdout=subprocess.DEVNULL)
    _, code, used = os.wait4(process.pid, 0)
    if code:
        raise SystemExit(f"autolabel train: exit code {os.waitstatus_to_exitcode(code)}")
    return time.monotonic() - started, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def main() -> None:
    """Train for a few steps and for more; the difference is that of the steps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full-size", action="store_true")
    parser.add_argument("--steps", type=int, default=20)
    words = parser.parse_args()
    batch = 1 if words.full_size else 4
    with tempfile.TemporaryDirectory() as folder:
        checkpoint, size = "tiny", ""
        if words.full_size:
            checkpoint = str(Path(folder) / "full")
            size = f", {write_full_size(Path(checkpoint)) / 1e6:.0f} million numbers"
        few = train(Path(folder) / "few", checkpoint, steps=1, batch=batch)
        more = train(Path(folder) / "more", checkpoint, steps=1 + words.steps, batch=batch)
    wall, cpu = ((more[place] - few[place]) / words.steps for place in (0, 1))
    print(f"{'full size' if words.full_size else 'tiny'}{size}, {batch} images a step, {words.steps} steps:")
    print(f"{wall:.2f} s a step ({cpu:.2f} s CPU), at most {more[2]:,.0f} MiB")


if __name__ == "__main__":
    main()
