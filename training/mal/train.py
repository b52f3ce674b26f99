"""Train the mask network from boxes: draw crops, take a step, let the teacher follow, keep the best on dev, export."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor

from autolabel_mal.learning.crops import CropSampler, CropShape, Source, source
from autolabel_mal.learning.student import Lesson, StudentTeacher
from autolabel_mal.mean_field import log_odds
from autolabel_training.loop import DevCheck, train
from autolabel_training.recipe import plain, read
from autolabel_training.run_log import RunLog

from ..command import training_parser
from .config import Recipe
from .network import build_network, recipe_sizes
from .pictures import load_coco, load_split, make_scenes, without_masks
from .validate import Validator, dev_exams

_LICENCE = "apache-2.0"


class MaskRun(StudentTeacher):
    """What one training run works on: the student, the teacher that follows it, crops, dev boxes."""

    def __init__(self, recipe: Recipe, sampler: CropSampler, validator: Validator, *, device: str) -> None:
        student = build_network(recipe.model, prior=log_odds(recipe.loss.decision))
        lesson = Lesson(sampler, recipe.loss, recipe.model.frozen_stages, recipe.workers)
        super().__init__(student, lesson, recipe.optimiser, device=device)
        self._validator = validator

    def check_dev(self) -> DevCheck | None:
        """Judge the teacher on dev boxes with true masks."""
        result = self._validator(self.teacher)
        return None if result is None else DevCheck(result.mean, asdict(result))

    def export(self, weights: dict[str, Tensor], folder: Path) -> None:
        """Write a checkpoint directory with these weights of the teacher."""
        self.export_as(weights, folder, licence=_LICENCE)


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
    sampler = CropSampler(sources, recipe.crops, shape, seed=recipe.seed)
    run = MaskRun(recipe, sampler, validator, device=options.device)
    log = RunLog(options.out, tensorboard=options.tensorboard)
    boxes = sum(len(each.objects) for each in sources)
    learning = sum(each.numel() for each in run.student.parameters() if each.requires_grad)
    log.write(event="recipe", boxes=boxes, parameters=learning, **plain(recipe))
    train(run, recipe, options.out, log)


if __name__ == "__main__":
    main()
