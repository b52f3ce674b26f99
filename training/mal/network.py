"""The network to train: built from a recipe, started from known weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from torch import nn

from autolabel.weights import load_state_dict
from autolabel_labeling.efficientnet import EfficientNetLite0, load_imagenet_weights
from autolabel_mal.lite import LiteBackbone
from autolabel_mal.network import MalNetwork
from autolabel_mal.sizes import Sizes, from_arch
from autolabel_mal.vit import VisionTransformer

from ..detector.pretrained import image_weights
from .config import ModelRecipe

POSITION_DEVIATION = 0.02


def build_network(recipe: ModelRecipe, *, prior: float) -> MalNetwork:
    """Return a network with the weights that the recipe starts from; a fresh one gives logits near `prior`.

    Raises ValueError where ImageNet weights are asked for a transformer, RuntimeError (torch's, with the names) where a
    checkpoint's tensors do not fit.
    """
    network = MalNetwork(recipe_sizes(recipe))
    if isinstance(network.backbone, VisionTransformer):
        nn.init.trunc_normal_(network.backbone.pos_embed, std=POSITION_DEVIATION)
    _centre(network, prior)
    if recipe.initial == "imagenet":
        load_imagenet_weights(_convolutional(network), image_weights())
    elif recipe.initial != "random":
        load_weights(network, Path(recipe.initial))
    return network


def recipe_sizes(recipe: ModelRecipe) -> Sizes:
    """Return the sizes of the recipe's network."""
    return replace(from_arch(recipe.arch), crop=recipe.crop_size)


def _centre(network: MalNetwork, prior: float) -> None:
    """Set the last biases so that pixel vectors begin near ones, their products with the object's near `prior`."""
    last = network.mask_head.convs[-1].get_submodule("conv")
    nn.init.ones_(last.get_parameter("bias"))
    nn.init.constant_(network.roi_head.mlp2.bias, prior / network.sizes.out)


def load_weights(network: MalNetwork, path: Path) -> None:
    """Fill a network from a checkpoint of the same sizes; `student.` is stripped, teacher and classifier left out."""
    state = {key.removeprefix("student."): value.float() for key, value in load_state_dict(path).items()}
    wanted = {key: value for key, value in state.items() if not key.startswith(("teacher.", "backbone.head."))}
    network.load_state_dict(wanted)


def _convolutional(network: MalNetwork) -> EfficientNetLite0:
    if not isinstance(network.backbone, LiteBackbone):
        raise ValueError("model.initial: imagenet weights are known for efficientnet-lite0 only; use random or a path")
    return network.backbone.body
