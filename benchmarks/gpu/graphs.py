"""The detector's vision tower with ``torch.compile`` and in a CUDA graph, beside the tower as it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch

from autolabel_labeling.tensors import to_tensor
from benchmarks.gpu import made
from benchmarks.gpu.clock import seconds
from benchmarks.gpu.part import Row, Setting


def measure(setting: Setting) -> Iterator[Row]:
    """Yield the tower's time for each batch: plain, compiled, compiled with graphs, in one graph of our own."""
    model = made.detector(made.detector_checkpoint(setting), setting.device, "bfloat16")
    tower = model.network.vision._model.backbone.conv_encoder
    photos = made.samples(made.large_photos(setting, 2), made.THINGS)
    for batch in (1,) if setting.reduced else (1, 8):
        items = [model.preprocess(photo) for photo in (photos * batch)[:batch]]
        canvas = model.shaping.canvas(items[0].size)
        given = to_tensor([item.pixels for item in items], canvas, model.shaping, setting.device)
        valid = given.valid.long()

        @torch.inference_mode()
        def plain(run: Callable[..., Any] = tower) -> Any:
            with torch.autocast(torch.device(setting.device).type, torch.bfloat16):
                return run(given.pixels, valid)  # noqa: B023

        before = seconds(plain, setting.device)
        yield {"case": f"vision tower, batch {batch}, plain", "ms": 1000 * before}
        for name, make in _forms(setting, tower, plain).items():
            yield _row(f"vision tower, batch {batch}, {name}", make, before, setting)


def _forms(setting: Setting, tower: Any, plain: Callable[..., Any]) -> dict[str, Callable[[], Callable[[], Any]]]:
    """Return what makes each form; without a card, graphs have no meaning and nothing is generated as code."""
    if not setting.cuda:
        return {"torch.compile (aot_eager)": lambda: _compiled(tower, plain, backend="aot_eager")}
    return {
        "torch.compile": lambda: _compiled(tower, plain),
        "torch.compile with graphs": lambda: _compiled(tower, plain, mode="reduce-overhead"),
        "CUDA graph": lambda: _captured(plain, setting.device),
    }


def _compiled(tower: Any, plain: Callable[..., Any], **how: Any) -> Callable[[], Any]:
    torch._dynamo.reset()
    form = torch.compile(tower, dynamic=False, **how)
    return lambda: plain(form)


def _captured(plain: Callable[..., Any], device: str) -> Callable[[], Any]:
    """Record one call into a graph; what replays it reads and writes the same memory each time."""
    stream = torch.cuda.Stream(device)
    stream.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(stream):
        plain()
    torch.cuda.current_stream(device).wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        plain()
    return graph.replay


def _row(case: str, make: Callable[[], Callable[[], Any]], before: float, setting: Setting) -> Row:
    """Return a form's time; that it does not compile or cannot be captured is a finding, not a fault of the run."""
    try:
        taken = seconds(make(), setting.device)
    except Exception as error:
        return {"case": case, "cannot": f"{type(error).__name__}: {str(error).strip().splitlines()[:1]}"[:300]}
    return {"case": case, "ms": 1000 * taken, "times_as_fast": before / taken}
