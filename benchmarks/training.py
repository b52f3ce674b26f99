"""Measure what a training takes: processor and wall time of a step, and the most memory.

``python benchmarks/training.py [--full-size] [--steps N]`` trains `tiny` as `autolabel train` does, on the twelve
photos of the repository. ``--full-size`` trains a network of the size of the published Grounding DINO tiny instead
(Swin-T, 172 million parameters; random weights), one image of 800 x 1066 pixels a step. ``--command`` runs the command
`autolabel train` itself on five photos, with all that it does besides: it reads and checks the photos, evaluates
weights on one of them, and saves them.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from autolabel.registry import discover
from autolabel.run.training_material import read_material
from autolabel.strategies import FineTuning
from autolabel_grounding_dino.learning import DetectorTraining

CELLS = Path(__file__).resolve().parents[1] / "examples" / "bccd"
TINY = Path(__file__).resolve().parents[1] / "checkpoints" / "tiny"
_FEW = 5
"""Photos that the command is given."""
_WORDS = ("tokenizer.json", "tokenizer_config.json", "vocab.txt")


def write_full_size(folder: Path) -> None:
    """Write a checkpoint with the published sizes and random weights."""
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


def started(checkpoint: str, *, batch: int, folder: Path, settings: dict[str, Any]) -> DetectorTraining:
    """Return a training on the twelve photos of the repository, as `autolabel train` begins it."""
    labeler: Any = discover().make("labeler", "grounding_dino", {"checkpoint": checkpoint})
    material = read_material(CELLS / "boxes.json", [CELLS / "images"])
    task = FineTuning(
        train=list(material.rows),
        dev=[],
        classes=material.classes,
        settings=labeler.Training.model_validate({"batch": batch, **settings}),
        out=folder,
        device="cpu",
        told=print,
    )
    return DetectorTraining(labeler, task)


def run_command(checkpoint: str, *, batch: int, steps: int, folder: Path, settings: dict[str, Any]) -> str:
    """Train by the command, on four photos and one to choose the weights by; say what its steps took, and the whole."""
    out, coco = folder / "trained", json.loads((CELLS / "boxes.json").read_text())
    numbers = [image["id"] for image in coco["images"][:_FEW]]
    for name, key in (("images", "id"), ("annotations", "image_id")):
        coco[name] = [one for one in coco[name] if one[key] in numbers]
    (folder / "boxes.json").write_text(json.dumps(coco))
    changes = [f"{name}={json.dumps(value)}" for name, value in settings.items()]
    told = [f"steps={steps}", f"batch={batch}", "checks=1", *changes]
    words = ["train", "boxes.json", "--images", str(CELLS / "images"), "--from", checkpoint]
    wall = time.monotonic()
    subprocess.run(
        [sys.executable, "-m", "autolabel", *words, "--out", str(out), "--device", "cpu", *told], cwd=folder, check=True
    )
    wall, used = time.monotonic() - wall, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = [one["cpu_minutes"] * 60 for one in map(json.loads, (out / "log.jsonl").open()) if one["event"] == "step"]
    files = sum(file.stat().st_size for file in (out / "checkpoint").iterdir()) / 2**20
    return (
        f"{cpu[-1] / steps:.1f} s CPU a step; the whole command {wall:,.0f} s ({used.ru_utime + used.ru_stime:,.0f} s"
        f" CPU), at most {used.ru_maxrss / 1024:,.0f} MiB; its checkpoint has {files:,.0f} MiB"
    )


def kept(training: DetectorTraining) -> str:
    """Say what a training holds all the time, on any device.

    Weights, gradients, AdamW's two moments, the average, and with a `start_share` the weights before.
    """
    everything = sum(parameter.numel() for parameter in training.model.parameters())
    learning = sum(parameter.numel() for parameter in training.parameters.values())
    copies = 5 if training.settings.start_share else 4
    mib = 4 * (everything + copies * learning) / 2**20
    return f"{everything / 1e6:.0f} million parameters, {learning / 1e6:.0f} million learn: {mib:,.0f} MiB"


def main() -> None:
    """Take a step to warm up, then those that are measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full-size", action="store_true")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--keep-activations", action="store_true", help="without gradient checkpointing")
    parser.add_argument("--command", action="store_true", help="by the command `autolabel train`")
    words = parser.parse_args()
    batch = 1 if words.full_size else 4
    settings = {"gradient_checkpointing": False} if words.keep_activations else {}
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = "tiny"
        if words.full_size:
            checkpoint = str(Path(folder) / "full")
            write_full_size(Path(checkpoint))
        name = f"{'full size' if words.full_size else 'tiny'}, {batch} images a step, {words.steps} steps"
        if words.command:
            print(f"{name}, by the command:")
            print(run_command(checkpoint, batch=batch, steps=words.steps, folder=Path(folder), settings=settings))
            return
        training = started(checkpoint, batch=batch, folder=Path(folder), settings=settings)
        print(kept(training), flush=True)
        batches = training.batches(range(words.steps + 1))
        training.learn(next(batches), 0)
        wall, cpu = time.monotonic(), time.process_time()
        for step, views in enumerate(batches, start=1):
            training.learn(views, step)
        wall, cpu = time.monotonic() - wall, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    threads = torch.get_num_threads()
    print(f"{name}, {threads} threads:")
    print(f"{wall / words.steps:.2f} s a step ({cpu / words.steps:.2f} s CPU), at most {peak:,.0f} MiB")


if __name__ == "__main__":
    main()
