"""Train the mask network from boxes: draw crops, take a step, let the teacher follow, keep the best on dev, export."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from autolabel_mal.mean_field import log_odds
from autolabel_training.average import follow
from autolabel_training.loop import DevCheck, train
from autolabel_training.optimizer_step import network_precision, optimizer_step
from autolabel_training.recipe import plain, read
from autolabel_training.run_log import RunLog

from ..command import training_parser
from .config import Recipe
from .crops import Batch, CropShape, Sampler, Source, drawn_ahead, source
from .export import export
from .loss import box_supervised_loss
from .network import build_network, build_optimiser, freeze, recipe_sizes
from .pictures import load_coco, load_split, make_scenes, without_masks
from .validate import Validator, dev_exams


class MaskRun:
    """What one training run works on: the student, the teacher that follows it, crops, dev boxes."""

    def __init__(self, recipe: Recipe, sampler: Sampler, validator: Validator, *, device: str) -> None:
        self.recipe, self.sampler, self.validator = recipe, sampler, validator
        self.device = torch.device(device)
        student = build_network(recipe.model, prior=log_odds(recipe.loss.decision)).train()
        self.student = student.to(self.device)
        self.student.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.teacher = copy.deepcopy(self.student).eval().requires_grad_(False)
        freeze(self.student, recipe.model.frozen_stages)
        self.optimiser = build_optimiser(self.student, recipe.optimiser)

    def batches(self, steps: range) -> Iterator[Batch]:
        """Yield the crops of every step, cut ahead by the recipe's workers."""
        draw = partial(self.sampler.draw, count=self.recipe.optimiser.batch)
        return drawn_ahead(draw, steps, workers=self.recipe.workers)

    def learn(self, batch: Batch, step: int) -> dict[str, float]:
        """Let the student learn from a batch and the teacher follow."""
        batch, settings = batch.to(self.device), self.recipe.optimiser
        with network_precision(self.device):
            pixels = self.student.normalise(batch.pixels).contiguous(memory_format=torch.channels_last)
            student = self.student(pixels, batch.groups)
            with torch.no_grad():
                teacher = self.teacher(pixels, batch.groups)
        terms = box_supervised_loss(student, teacher, batch, recipe=self.recipe.loss, step=step)
        norm = optimizer_step(self.optimiser, terms.total, settings, step=step)
        weights = (self.teacher.parameters(), self.student.parameters())
        follow(*weights, momentum=settings.teacher_momentum, step=step)
        return terms.parts | {"gradient": norm}

    def check_dev(self) -> DevCheck | None:
        """Judge the teacher on dev boxes with true masks."""
        result = self.validator(self.teacher)
        return None if result is None else DevCheck(result.mean, asdict(result))

    def averaged(self) -> dict[str, Tensor]:
        """Return the teacher's weights."""
        return self.teacher.state_dict()

    def state(self) -> dict[str, Any]:
        """Return all weights and the optimiser's state."""
        return {
            "student": self.student.state_dict(),
            "teacher": self.teacher.state_dict(),
            "optimiser": self.optimiser.state_dict(),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from a saved state."""
        self.student.load_state_dict(state["student"])
        self.teacher.load_state_dict(state["teacher"])
        self.optimiser.load_state_dict(state["optimiser"])

    def export(self, weights: dict[str, Tensor], folder: Path) -> None:
        """Write a checkpoint directory with these weights of the teacher."""
        self.teacher.load_state_dict(weights)
        export(self.teacher, folder)


def recipe_sources(recipe: Recipe, data: Path) -> list[Source]:
    """Read the boxes of the recipe's sets, and draw its scenes; no mask is handed on."""
    found = [
        source(load_split(data, name, "train"), recipe.crops, share=chosen.share, turn=chosen.turn, solid=chosen.solid)
        for name, chosen in recipe.sets.items()
    ]
    if recipe.scenes is not None and recipe.scenes.train:
        backgrounds = load_split(data, recipe.scenes.backgrounds, "train")
        scenes = make_scenes(recipe.scenes, backgrounds, count=recipe.scenes.train, seed=recipe.seed)
        found.append(source(without_masks(scenes), recipe.crops, share=recipe.scenes.share, turn=True, solid=False))
    if not found:
        raise ValueError("the recipe has neither `sets` nor `scenes`: name a COCO file of your own with --coco")
    return found


def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    options = training_parser(__doc__, recipe="training/mal.yaml", out="runs/train-mal").parse_args(arguments)
    recipe = read(Recipe, options.recipe)
    torch.set_num_threads(recipe.threads)
    torch.manual_seed(recipe.seed)
    options.out.mkdir(parents=True, exist_ok=True)
    if options.coco:
        pictures = load_coco(options.coco, options.images or options.coco.parent)
        sources, asked = [source(pictures, recipe.crops, share=1.0, turn=False, solid=False)], {}
    else:
        sources, asked = recipe_sources(recipe, options.data), dev_exams(recipe, options.data)
    validator = Validator(asked, threshold=recipe.loss.decision)
    shape = CropShape(recipe.model.crop_size, recipe_sizes(recipe.model).logits)
    sampler = Sampler(sources, recipe.crops, shape, seed=recipe.seed)
    run = MaskRun(recipe, sampler, validator, device=options.device)
    log = RunLog(options.out, tensorboard=options.tensorboard)
    boxes = sum(len(each.objects) for each in sources)
    learning = sum(each.numel() for each in run.student.parameters() if each.requires_grad)
    log.write(event="recipe", boxes=boxes, parameters=learning, **plain(recipe))
    train(run, recipe, options.out, log)


if __name__ == "__main__":
    main()
