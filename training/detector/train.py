"""Train the small Grounding DINO from a recipe: cache features, train, keep the best on dev, export."""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import GroundingDinoForObjectDetection

from ..run_log import RunLog
from ..schedule import rate_factor
from .captions import CaptionWriter, answer
from .config import OptimiserRecipe, Recipe, plain, read_recipe
from .deformable import compile_attention
from .export import export
from .features import SCENES, FeatureCache, build_cache
from .loss import detection_loss
from .model import CachedDetector, build_model, trained_parameters
from .text import CaptionEncoder, cut_tokenizer
from .validate import Validation, Validator

DEV_SETS = ("bccd", "nuts", SCENES)
LOG_EVERY = 50
STATE_FILE = "state.pt"
BEST_FILE = "best.pt"


@dataclass
class Progress:
    """What a run has done so far: finished steps, processor seconds of all its parts, best dev score and its step."""

    step: int = 0
    cpu_seconds: float = 0.0
    best: float = -1.0
    best_step: int = 0


def learning_rate(recipe: OptimiserRecipe, step: int) -> float:
    """Return the rate of a step: linear warmup, constant, then a cosine cooldown to a hundredth."""
    factor = rate_factor(step, recipe.steps, warmup=recipe.warmup, cooldown=recipe.cooldown)
    return recipe.learning_rate * factor


@dataclass(frozen=True)
class Ingredients:
    """What a run works on: the fresh model with its towers, the tokenizer, cached features, captions."""

    model: GroundingDinoForObjectDetection
    tokenizer: Tokenizer
    cache: FeatureCache
    writer: CaptionWriter


class Run:
    """One training run in a folder: continues from its saved state if there is one."""

    def __init__(self, recipe: Recipe, parts: Ingredients, folder: Path) -> None:
        self.recipe, self.folder, self.cache, self.writer = recipe, folder, parts.cache, parts.writer
        self.log = RunLog(folder / "log.jsonl")
        self.parameters = trained_parameters(parts.model)
        self.tokenizer = parts.tokenizer
        self.encoder = CaptionEncoder(parts.model.model.text_backbone, parts.tokenizer)
        self.detector = CachedDetector(parts.model)
        compile_attention(parts.model)
        parts.model.train()
        dev_sets = [dataset for dataset in DEV_SETS if self.cache.rows(dataset, "dev")]
        self.validator = Validator(self.cache, self.writer, self.encoder, dev_sets)
        self.optimiser = _optimiser(self.parameters, recipe.optimiser)
        self.average = {name: parameter.detach().clone() for name, parameter in self.parameters.items()}
        self.progress = Progress()
        self._rows = {name: self.cache.rows(name, "train") for name in (*recipe.sets, SCENES)}
        self._resume()

    def train(self) -> None:
        """Do the remaining steps, with dev checks and saved states on the way."""
        processor_start, earlier = time.process_time(), self.progress.cpu_seconds
        while self.progress.step < self.recipe.optimiser.steps:
            parts = self._step(self.progress.step)
            self.progress.step += 1
            self.progress.cpu_seconds = earlier + time.process_time() - processor_start
            step, last = self.progress.step, self.progress.step == self.recipe.optimiser.steps
            if step % LOG_EVERY == 0 or last:
                self._log_step(parts)
            if step % self.recipe.evaluate_every == 0 or last:
                self._check_dev()
            if step % self.recipe.save_every == 0 or last:
                self._save_state()

    def finish(self) -> None:
        """Load the averaged weights that were best on dev and export them as a checkpoint directory."""
        best = torch.load(self.folder / BEST_FILE, weights_only=True)
        _copy(best, self.parameters)
        model = self.detector.restore_towers().eval()
        export(model, self.tokenizer, image_size=self.recipe.image_size, folder=self.folder / "checkpoint")
        self.log.write(event="exported", **asdict(self.progress))

    def _step(self, step: int) -> dict[str, float]:
        """Draw a batch from the step's own generator, so that a resumed run draws what it would have drawn."""
        rng = random.Random(f"{self.recipe.seed}-{step}")
        settings = self.recipe.optimiser
        shares = self.recipe.shares(step)
        datasets = rng.choices(list(shares), list(shares.values()), k=settings.batch)
        rows = [rng.choice(self._rows[dataset]) for dataset in datasets]
        samples = [self.cache.samples[row] for row in rows]
        phrases = [self.writer.for_training(sample, rng) for sample in samples]
        targets = [answer(sample, asked) for sample, asked in zip(samples, phrases, strict=True)]
        captions = [self.encoder.encode(asked) for asked in phrases]
        terms = detection_loss(self.detector(self.cache.features(rows), captions), targets, self.recipe.loss)
        self.optimiser.zero_grad(set_to_none=True)
        terms.total.backward()
        norm = nn.utils.clip_grad_norm_(self.parameters.values(), settings.clip)
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(settings, step)
        if torch.isfinite(norm):
            self.optimiser.step()
        self._update_average(step)
        return terms.parts | {"gradient": float(norm)}

    @torch.no_grad()
    def _update_average(self, step: int) -> None:
        decay = min(self.recipe.optimiser.ema, (1 + step) / (10 + step))
        current = [parameter.detach() for parameter in self.parameters.values()]
        torch._foreach_lerp_(list(self.average.values()), current, 1 - decay)

    def _check_dev(self) -> None:
        started = time.process_time()
        with _swapped(self.parameters, self.average), _evaluating(self.detector.model):
            result = self.validator(self.detector)
        self._keep_best(result)
        seconds = time.process_time() - started
        self._log("dev", seconds=round(seconds, 1), **asdict(result))

    def _keep_best(self, result: Validation) -> None:
        chosen = self.recipe.choose_on
        score = fmean(values[dataset] for values in (result.suppressed, result.raw) for dataset in chosen)
        if score > self.progress.best:
            self.progress.best, self.progress.best_step = score, self.progress.step
            _save(self.average, self.folder / BEST_FILE)

    def _log_step(self, parts: dict[str, float]) -> None:
        minutes = round(self.progress.cpu_seconds / 60, 2)
        self._log("step", cpu_minutes=minutes, **{name: round(value, 4) for name, value in parts.items()})

    def _log(self, event: str, **values: Any) -> None:
        step = self.progress.step
        self.log.write(event=event, step=step, samples=step * self.recipe.optimiser.batch, **values)

    def _save_state(self) -> None:
        state = {
            "parameters": {name: parameter.detach() for name, parameter in self.parameters.items()},
            "average": self.average,
            "optimiser": self.optimiser.state_dict(),
            "progress": asdict(self.progress),
        }
        _save(state, self.folder / STATE_FILE)

    def _resume(self) -> None:
        path = self.folder / STATE_FILE
        if path.exists():
            state = torch.load(path, weights_only=True)
            _copy(state["parameters"], self.parameters)
            _copy(state["average"], self.average)
            self.optimiser.load_state_dict(state["optimiser"])
            self.progress = Progress(**state["progress"])
            self.log.write(event="resumed", **asdict(self.progress))


def _optimiser(parameters: dict[str, nn.Parameter], recipe: OptimiserRecipe) -> torch.optim.AdamW:
    matrices = [parameter for parameter in parameters.values() if parameter.ndim > 1]
    vectors = [parameter for parameter in parameters.values() if parameter.ndim <= 1]
    groups = [
        {"params": matrices, "weight_decay": recipe.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=(0.9, 0.99))


@contextmanager
def _swapped(parameters: dict[str, nn.Parameter], values: dict[str, Tensor]) -> Iterator[None]:
    kept = {name: parameter.detach().clone() for name, parameter in parameters.items()}
    _copy(values, parameters)
    try:
        yield
    finally:
        _copy(kept, parameters)


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    model.eval()
    try:
        yield
    finally:
        model.train()


@torch.no_grad()
def _copy(source: dict[str, Tensor], target: dict[str, Any]) -> None:
    for name, tensor in target.items():
        tensor.copy_(source[name])


def _save(content: Any, path: Path) -> None:
    """Write beside the target first, so that an interruption leaves the old file whole."""
    partial = path.with_suffix(".partial")
    torch.save(content, partial)
    partial.replace(path)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipe", type=Path, default=Path("training/detector.yaml"))
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, default=Path("runs/train-detector"))
    parser.add_argument("--cache", type=Path, help="folder for cached features (default: OUT/features)")
    options = parser.parse_args(arguments)
    recipe = read_recipe(options.recipe)
    torch.set_num_threads(recipe.threads)
    options.out.mkdir(parents=True, exist_ok=True)
    cache = build_cache(recipe, options.data, options.cache or options.out / "features")
    torch.manual_seed(recipe.seed)
    model, tokenizer = build_model(recipe.model), cut_tokenizer(recipe.model.vocabulary)
    run = Run(recipe, Ingredients(model, tokenizer, cache, CaptionWriter(recipe, options.data)), options.out)
    run.log.write(event="recipe", parameters=sum(value.numel() for value in run.parameters.values()), **plain(recipe))
    run.train()
    run.finish()


if __name__ == "__main__":
    main()
