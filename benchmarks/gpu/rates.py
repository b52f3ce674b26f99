"""Images and boxes a second of one process: the network alone, and from the file on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from autolabel.data.batches import batches
from autolabel.data.prefetch import prefetch
from autolabel.types import Prompt
from autolabel_grounding_dino.labeler import GroundingDino
from autolabel_labeling.tensors import to_tensor
from benchmarks.gpu import made
from benchmarks.gpu.clock import seconds, synchronise
from benchmarks.gpu.part import Row, Setting

_FLOOR = 0.2
_DECODERS = 8
_GOALS = {"Swin-T": 100.0, "MAL ViT-B": 300.0}


def measure(setting: Setting) -> Iterator[Row]:
    """Yield the rates of the detector with a Swin-T, of MAL with a ViT-B, and of the shipped detector."""
    yield from swin_rates(setting)
    yield from mal_rates(setting)
    for precision in ("float32", "bfloat16"):
        model = made.tiny(setting, setting.device, precision)
        paths = made.shipped_photos(setting) * (1 if setting.reduced else 8)
        batch = 2 if setting.reduced else 16
        yield {
            "case": f"tiny, {precision}, batch {batch}, decode included",
            "images_a_second": decoded_rate(model, paths, made.CELLS, batch, setting.device),
        }


def swin_rates(setting: Setting) -> Iterator[Row]:
    """Yield the network's rates by batch, then the rate from JPEGs of twice the size on."""
    checkpoint, (height, width) = made.detector_checkpoint(setting), made.detector_size(setting)
    for precision, sizes in (("float32", (4,)), ("bfloat16", (1, 4, 8, 16))):
        model = made.detector(checkpoint, setting.device, precision)
        for batch in (1, 2) if setting.reduced else sizes:
            taken = seconds(forward(model, batch, setting), setting.device, most=6)
            yield {"case": f"Swin-T {height}x{width}, {precision}, batch {batch}", "images_a_second": batch / taken}
    paths = made.large_photos(setting, 2 if setting.reduced else 16)
    for batch in (2,) if setting.reduced else (1, 4, 8, 16):
        rate = decoded_rate(model, paths * (1 if setting.reduced else 6), made.THINGS, batch, setting.device)
        yield _against(
            {"case": f"Swin-T {height}x{width}, bfloat16, batch {batch}, decode included", "images_a_second": rate},
            _GOALS["Swin-T"],
            setting,
        )


def forward(model: GroundingDino, batch: int, setting: Setting) -> Callable[[], Any]:
    """Return a whole forward pass, vision and text, for images that lie resized in memory."""
    photos = made.samples(made.large_photos(setting, 2), made.THINGS)
    items = [model.preprocess(photo) for photo in (photos * batch)[:batch]]
    captions = [model.captions(made.THINGS)[0].ids] * batch

    @torch.inference_mode()
    def work() -> Any:
        canvas = model.shaping.canvas(items[0].size)
        pixels = to_tensor([item.pixels for item in items], canvas, model.shaping, setting.device)
        return model.network.ask(model.network.see(pixels), captions)

    return work


def decoded_rate(model: GroundingDino, paths: Sequence[Path], prompt: Prompt, batch: int, device: str) -> float:
    """Return images a second from files to boxes: decoded and resized ahead in threads, as a worker does it."""

    def load(path: Path) -> Any:
        return model.preprocess(made.sample(path, prompt))

    def work(chosen: Sequence[Path]) -> None:
        ready = prefetch(load, chosen, threads=_DECODERS, ahead=2 * batch + _DECODERS)
        for group in batches(ready, batch):
            model.detect(model.prepare(group), [prompt] * len(group), _FLOOR)

    work(paths[:batch])
    synchronise(device)
    began = time.perf_counter()
    work(paths)
    synchronise(device)
    return len(paths) / (time.perf_counter() - began)


def mal_rates(setting: Setting) -> Iterator[Row]:
    """Yield boxes a second from decoded photos to masks, by batch; crops, network and encoding overlap."""
    checkpoint, count = made.mal_checkpoint(setting), 4 if setting.reduced else 96
    photos = made.samples(made.large_photos(setting, 2), made.THINGS, boxes=count)
    for batch in (2,) if setting.reduced else (8, 16, 32):
        model = made.segmenter(checkpoint, setting.device, batch_size=batch)
        taken = seconds(lambda: model.segment(photos), setting.device, warm=1, turns=3)  # noqa: B023
        row = {"case": f"MAL ViT-B, batch {batch}", "boxes_a_second": len(photos) * count / taken}
        yield _against(row, _GOALS["MAL ViT-B"], setting)


def _against(row: dict[str, Any], goal: float, setting: Setting) -> Row:
    """Return a row with the goal beside it on a card; in the reduced form its figure means nothing."""
    return row if setting.reduced else {**row, "goal": goal}
