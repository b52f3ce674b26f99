"""Train the small Grounding DINO from a recipe: cache features, train, keep the best on dev, export.

A recipe with `start` goes on from a checkpoint, on sets of its own or on a COCO file given with --coco.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import GroundingDinoForObjectDetection

from autolabel_training.answer import answer
from autolabel_training.average import follow
from autolabel_training.deformable import compile_attention
from autolabel_training.learning_weights import LearningWeights
from autolabel_training.loop import DevCheck, train
from autolabel_training.loss import Target, detection_loss
from autolabel_training.optimizer_step import network_precision, optimizer_step
from autolabel_training.recipe import plain, read
from autolabel_training.run_log import RunLog

from ..command import training_parser
from .captions import CaptionWriter
from .config import Recipe
from .data import Data
from .export import export
from .features import SCENES, FeatureCache, build_cache
from .model import CachedDetector, build_model, load_model, trained_parameters
from .text import Caption, CaptionEncoder, cut_tokenizer
from .validate import Validator


@dataclass(frozen=True)
class Ingredients:
    """What a run works on: the model to train with its towers, the tokenizer, cached features, captions."""

    model: GroundingDinoForObjectDetection
    tokenizer: Tokenizer
    cache: FeatureCache
    writer: CaptionWriter


@dataclass(frozen=True)
class Batch:
    """Cached maps (batch, channels, side, side), and for every picture its caption and the answer to it."""

    features: Tensor
    captions: list[Caption]
    targets: list[Target]


class DetectorRun(LearningWeights):
    """What one training run works on: the detector, the average of its weights, cached views, captions."""

    def __init__(self, recipe: Recipe, parts: Ingredients, *, device: str = "cpu") -> None:
        self.recipe, self.cache, self.writer, self.tokenizer = recipe, parts.cache, parts.writer, parts.tokenizer
        self.device = torch.device(device)
        self.encoder = CaptionEncoder(parts.model.model.text_backbone, parts.tokenizer)
        self.detector = CachedDetector(parts.model)
        parts.model.to(self.device).train()  # type: ignore[arg-type]
        if self.device.type == "cpu":
            compile_attention(parts.model)
        learned, share = trained_parameters(parts.model), recipe.start_share
        super().__init__(learned, recipe.optimiser, fused=True, start_share=share)
        self._judged = [dataset for dataset in recipe.evaluate_on if self.cache.rows(dataset, "dev")]
        self.validator = Validator(self.cache, self.writer, self.encoder, self._judged, device=self.device)
        self._rows = {name: [self.cache.rows(name, "train")] for name in (*recipe.sets, SCENES)}
        for name in [name for name, each in recipe.sets.items() if each.balanced]:
            self._rows[name] = self.cache.rows_by_name(name)

    def batches(self, steps: range) -> Iterator[Batch]:
        """Yield the batch of every step, drawn from the step's own generator."""
        for step in steps:
            rng = random.Random(f"{self.recipe.seed}-{step}")
            shares = self.recipe.shares(step)
            datasets = rng.choices(list(shares), list(shares.values()), k=self.recipe.optimiser.batch)
            rows = [self._draw(dataset, rng) for dataset in datasets]
            samples = [self.cache.samples[row] for row in rows]
            phrases = [self.writer.for_training(sample, rng) for sample in samples]
            targets = [answer(sample, asked) for sample, asked in zip(samples, phrases, strict=True)]
            captions = [self.encoder.encode(asked) for asked in phrases]
            yield Batch(self.cache.features(rows), captions, targets)

    def _draw(self, dataset: str, rng: random.Random) -> int:
        groups = self._rows[dataset]
        return rng.choice(groups[0] if len(groups) == 1 else rng.choice(groups))

    def learn(self, batch: Batch, step: int) -> dict[str, float]:
        """Learn from a batch and let the average follow."""
        settings = self.recipe.optimiser
        with network_precision(self.device, on_cpu=self.recipe.bfloat16):
            predictions = self.detector(batch.features.to(self.device), batch.captions)
        terms = detection_loss(predictions, batch.targets, self.recipe.loss)
        norm = optimizer_step(self.optimiser, terms.total, settings, step=step)
        follow(self.average.values(), self.parameters.values(), momentum=settings.ema, step=step)
        return terms.parts | {"gradient": norm}

    def check_dev(self) -> DevCheck | None:
        """Judge the averaged weights by the mean AP, with and without NMS, of the sets that the recipe chooses on.

        None where no set has dev pictures, as a few photos of one's own may have none.
        """
        if not self._judged:
            return None
        with self.using(self.average), _evaluating(self.detector.model):
            result = self.validator(self.detector)
        chosen = self.recipe.choose_on
        score = fmean(values[dataset] for values in (result.suppressed, result.raw) for dataset in chosen)
        return DevCheck(score, asdict(result))

    def export(self, weights: dict[str, Tensor], folder: Path) -> None:
        """Write a checkpoint directory with these weights and the recipe's share of those of the start.

        The run cannot go on after it.
        """
        self.put(self.mixed(weights))
        model = self.detector.restore_towers().eval()
        export(model, self.tokenizer, image_size=self.recipe.image_size, folder=folder)


def starting_point(recipe: Recipe) -> tuple[GroundingDinoForObjectDetection, Tokenizer]:
    """Return the model that the recipe begins with and its tokenizer."""
    if recipe.start is not None:
        return load_model(Path(recipe.start)), Tokenizer.from_file(str(Path(recipe.start) / "tokenizer.json"))
    if recipe.model is None:
        raise ValueError("a recipe without `start` needs `model`")
    return build_model(recipe.model), cut_tokenizer(recipe.model.vocabulary)


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    model.eval()
    try:
        yield
    finally:
        model.train()


def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    parser = training_parser(__doc__, recipe="training/detector.yaml", out="runs/train-detector")
    parser.add_argument("--cache", type=Path, help="folder for cached features (default: OUT/features)")
    options = parser.parse_args(arguments)
    recipe, data = read(Recipe, options.recipe), Data(options.data, options.coco, options.images)
    torch.set_num_threads(recipe.threads)
    options.out.mkdir(parents=True, exist_ok=True)
    cache = build_cache(recipe, data, options.cache or options.out / "features")
    torch.manual_seed(recipe.seed)
    parts = Ingredients(*starting_point(recipe), cache, CaptionWriter(recipe, data))
    run = DetectorRun(recipe, parts, device=options.device)
    log = RunLog(options.out, tensorboard=options.tensorboard)
    log.write(event="recipe", parameters=sum(each.numel() for each in run.parameters.values()), **plain(recipe))
    train(run, recipe, options.out, log)


if __name__ == "__main__":
    main()
