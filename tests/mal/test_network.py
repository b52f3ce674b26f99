"""The network's shapes, and what must not change its answers."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch

from autolabel_mal.network import MalNetwork
from autolabel_mal.sizes import ARCHS, TRANSFORMERS, Sizes, from_arch, from_shapes, name
from autolabel_mal.vit import VisionTransformer, resize_positions

SMALL = Sizes(width=64, depth=1, hidden=8, out=4, crop=64)


def crops(count: int, side: int = 64) -> torch.Tensor:
    return torch.randint(0, 255, (count, side, side, 3), generator=torch.Generator().manual_seed(5), dtype=torch.uint8)


def test_a_batch_of_mixed_sizes_answers_as_each_crop_alone(network: MalNetwork) -> None:
    pixels = network.normalise(crops(5, network.sizes.crop))
    groups = torch.tensor([2, 0, 1, 0, 2])
    together = network(pixels, groups)
    alone = torch.cat([network(pixels[i : i + 1], groups[i : i + 1]) for i in range(5)])
    assert float(together.std()) > 0.01
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)


def test_the_size_of_the_object_changes_the_decoding(network: MalNetwork) -> None:
    pixels = network.normalise(crops(1, network.sizes.crop))
    answers = [network(pixels, torch.tensor([group])) for group in range(3)]
    assert not torch.allclose(answers[0], answers[1], atol=1e-3)
    assert not torch.allclose(answers[1], answers[2], atol=1e-3)


def test_not_adjusting_decodes_every_size_alike(network: MalNetwork) -> None:
    same = MalNetwork(replace(network.sizes, adjust=False)).eval()
    same.load_state_dict(network.state_dict())
    pixels = network.normalise(crops(1, network.sizes.crop))
    answers = [same(pixels, torch.tensor([group])) for group in range(3)]
    torch.testing.assert_close(answers[0], answers[2])
    torch.testing.assert_close(answers[1], network(pixels, torch.tensor([1])))


@pytest.mark.parametrize(
    ("sizes", "side"),
    [
        (SMALL, 16),
        (replace(SMALL, crop=96), 24),
        (replace(SMALL, patch=14, crop=128), 32),
        (replace(SMALL, conv_stem=True, nvlabs=True), 16),
        (replace(SMALL, convs=2), 16),
        (replace(SMALL, convs=5, scale_before=2, scale_within=1.5), 16),
        (replace(from_arch("efficientnet-lite0"), crop=96), 48),
    ],
)
def test_logits_are_a_square_map(sizes: Sizes, side: int) -> None:
    network = MalNetwork(sizes).eval()
    with torch.inference_mode():
        logits = network(network.normalise(crops(2, sizes.crop)), torch.tensor([0, 2]))
    assert logits.shape == (2, side, side)
    assert logits.isfinite().all()


@pytest.mark.parametrize("nvlabs", [True, False])
def test_settling_the_positions_changes_no_answer(nvlabs: bool) -> None:
    network = MalNetwork(replace(SMALL, nvlabs=nvlabs)).eval()
    torch.nn.init.normal_(network.backbone.get_parameter("pos_embed"))
    pixels, groups = network.normalise(crops(1)), torch.tensor([1])
    with torch.inference_mode():
        before = network(pixels, groups)
    network.settle()
    assert network.backbone.get_parameter("pos_embed").shape == (1, 17, 64)
    with torch.inference_mode():
        assert torch.equal(network(pixels, groups), before)


def test_the_two_ways_of_stretching_positions_differ() -> None:
    table = torch.randn(1, 1 + 14 * 14, 8, generator=torch.Generator().manual_seed(0))
    ours, theirs = resize_positions(table, (32, 32), "size"), resize_positions(table, (32, 32), "scale")
    assert ours.shape == theirs.shape == (1, 1025, 8)
    assert 0.05 < float((ours - theirs).abs().max()) < 2
    assert torch.equal(ours[:, 0], table[:, 0])


@pytest.mark.parametrize("arch", [arch for arch in ARCHS if arch in TRANSFORMERS])
def test_sizes_are_read_back_from_the_tensors(arch: str) -> None:
    sizes = from_arch(arch)  # type: ignore[arg-type]
    with torch.device("meta"):
        network = MalNetwork(sizes)
    shapes = {key: tensor.shape for key, tensor in network.state_dict().items()}
    assert from_shapes(shapes, has_classifier=True) == sizes
    assert from_shapes(shapes, has_classifier=False) == replace(sizes, nvlabs=True)
    assert name(sizes) == arch


def test_heads_of_each_architecture_are_those_of_its_paper() -> None:
    assert [from_arch(arch).heads for arch in TRANSFORMERS] == [3, 6, 12, 16, 16]


def test_sizes_of_a_stem_of_convolutions_are_read_back() -> None:
    sizes = replace(SMALL, conv_stem=True, nvlabs=True, crop=512)
    shapes = {key: tensor.shape for key, tensor in MalNetwork(sizes).state_dict().items()}
    assert from_shapes(shapes, has_classifier=False) == sizes


def test_the_small_network_is_small_and_read_back() -> None:
    sizes = from_arch("efficientnet-lite0")
    state = MalNetwork(sizes).state_dict()
    assert from_shapes({key: tensor.shape for key, tensor in state.items()}, has_classifier=False) == sizes
    assert sum(tensor.numel() for tensor in state.values()) * 2 < 6_000_000


def test_gradients_reach_every_parameter() -> None:
    network = MalNetwork(SMALL).train()
    torch.nn.init.normal_(network.backbone.get_parameter("cls_token"))
    network(network.normalise(crops(3)), torch.tensor([0, 1, 2])).square().sum().backward()
    assert isinstance(network.backbone, VisionTransformer)
    without = [name for name, parameter in network.named_parameters() if parameter.grad is None]
    assert not without


def test_in_bfloat16_the_transformer_is_rounded_and_masks_stay_near(network: MalNetwork) -> None:
    half = copy.deepcopy(network)
    half.halve()
    kinds = {type(part).__name__ for part in half.backbone.modules()}
    assert {"HalfPerceptron", "HalfLinear"} <= kinds and "Linear" not in kinds
    crops, groups = torch.randn(3, 3, 96, 96, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 2])
    with torch.inference_mode():
        exact, near = network(crops, groups), half(crops, groups)
    assert 0 < (exact - near).abs().mean() < 0.05 * exact.std()
