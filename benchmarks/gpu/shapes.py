"""The detector at its real size on the ``meta`` device: shapes, arithmetic, and that the host waits for nothing."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import GroundingDinoForObjectDetection

from autolabel_grounding_dino.load import assemble
from autolabel_grounding_dino.network import Network
from autolabel_grounding_dino.params import GroundingDinoParams
from autolabel_grounding_dino.similarity import Similarity
from autolabel_labeling.tensors import PixelBatch
from autolabel_mal.network import MalNetwork
from autolabel_mal.sizes import from_arch
from benchmarks.gpu import made
from benchmarks.gpu.part import Row, Setting
from tests.device_waits import waits_noted

_CAPTION = (101, *(word for index in range(10) for word in (2000 + index, 1012)), 102)
"""Ten phrases of one word: 22 tokens."""


def measure(setting: Setting) -> Iterator[Row]:
    """Yield a row for each batch of the detector, and for MAL."""
    network = _network(setting)
    for batch in (1, 2) if setting.reduced else (1, 4, 8, 16):
        with waits_noted() as waits:
            answer = _ask(network, batch, setting)
        queries = network._queries
        holds = answer == ((batch, queries, len(_CAPTION)), (batch, queries, 4)) and not waits
        yield {"case": f"Swin-T, batch {batch}", "waits": len(waits), "holds": holds}
    yield {"case": "Swin-T", "giga_operations_an_image": operations(setting) / 1e9}
    yield from _mal(setting)


def operations(setting: Setting) -> float:
    """Return the floating point operations of one image, by the products that torch counts; sampling is left out."""
    network = _network(setting)
    with waits_noted(), FlopCounterMode(display=False) as counter:
        _ask(network, 1, setting)
    return float(counter.get_total_flops())


def _network(setting: Setting) -> Network:
    with torch.device("meta"):
        model = GroundingDinoForObjectDetection(made.detector_configuration(setting)).eval().requires_grad_(False)
    params = GroundingDinoParams(checkpoint=str(made.TINY))
    return assemble(model, params, device="meta", proposing=Similarity(), deciding=Similarity())


def _ask(network: Network, batch: int, setting: Setting) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the shapes of logits and boxes."""
    size = made.detector_size(setting)
    pixels = torch.zeros(batch, 3, *size, device="meta")
    seen = network.see(PixelBatch(pixels, torch.ones(batch, *size, dtype=torch.bool, device="meta"), whole=True))
    answer = network.ask(seen, [_CAPTION] * batch)
    return tuple(answer.logits.shape), tuple(answer.boxes.shape)


def _mal(setting: Setting) -> Iterator[Row]:
    sizes = made.REDUCED_MAL if setting.reduced else from_arch("vit-mae-base/16")
    with torch.device("meta"):
        network = MalNetwork(sizes).eval()
    crops = torch.zeros(8, 3, sizes.crop, sizes.crop, device="meta")
    with waits_noted() as waits:
        logits = network(crops, torch.tensor([0, 1, 2, 2, 1, 0, 2, 2]))
    holds = tuple(logits.shape) == (8, sizes.logits, sizes.logits) and not waits
    yield {"case": "MAL ViT-B, batch 8", "waits": len(waits), "holds": holds}
