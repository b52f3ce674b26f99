"""Train the mask network from boxes: draw crops, descend, let the teacher follow, keep the best on dev, export."""

from __future__ import annotations

import argparse
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from autolabel_mal.mean_field import log_odds

from ..run_log import RunLog
from ..schedule import rate_factor
from .config import Recipe, plain, read_recipe
from .crops import Batch, CropShape, Sampler, Source, drawn_ahead, source
from .export import export
from .loss import box_supervised_loss
from .network import build_network, build_optimiser, freeze, recipe_sizes
from .pictures import load_coco, load_split, make_scenes, without_masks
from .teacher import Teacher
from .validate import Validator, dev_exams

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


class Run:
    """One training run in a folder: continues from its saved state if there is one."""

    def __init__(self, recipe: Recipe, sampler: Sampler, validator: Validator, *, folder: Path, device: str) -> None:
        self.recipe, self.sampler, self.validator, self.folder = recipe, sampler, validator, folder
        self.device = torch.device(device)
        self.log = RunLog(folder / "log.jsonl")
        student = build_network(recipe.model, prior=log_odds(recipe.loss.decision)).train()
        self.student = student.to(self.device)
        self.student.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.teacher = Teacher(self.student, recipe.optimiser.teacher_momentum)
        freeze(self.student, recipe.model.frozen_stages)
        self.trained = [parameter for parameter in self.student.parameters() if parameter.requires_grad]
        self.optimiser = build_optimiser(self.student, recipe.optimiser)
        self.progress = Progress()
        self._resume()

    def train(self) -> None:
        """Do the remaining steps, with dev checks and saved states on the way."""
        settings = self.recipe.optimiser
        clock = (time.process_time(), self.progress.cpu_seconds)
        saved = time.monotonic()
        steps = range(self.progress.step, settings.steps)
        draw = partial(self.sampler.draw, count=settings.batch)
        for batch in drawn_ahead(draw, steps, workers=self.recipe.workers):
            parts = self._step(batch.to(self.device))
            self.progress.step += 1
            self.progress.cpu_seconds = clock[1] + time.process_time() - clock[0]
            step, last = self.progress.step, self.progress.step == settings.steps
            if step % LOG_EVERY == 0 or last:
                self._log_step(parts)
            if step % self.recipe.evaluate_every == 0 or last:
                self._check_dev()
            if time.monotonic() - saved > self.recipe.save_every_seconds or last:
                self._save_state()
                saved = time.monotonic()

    def finish(self) -> None:
        """Export the teacher that was best on dev, or the last one where there was nothing to judge by."""
        best = self.folder / BEST_FILE
        if best.exists():
            self.teacher.network.load_state_dict(torch.load(best, weights_only=True, map_location=self.device))
        export(self.teacher.network, self.folder / "checkpoint")
        self.log.write(event="exported", **asdict(self.progress))

    def _step(self, batch: Batch) -> dict[str, float]:
        step, settings = self.progress.step, self.recipe.optimiser
        with self._precision():
            pixels = self.student.normalise(batch.pixels).contiguous(memory_format=torch.channels_last)
            student = self.student(pixels, batch.groups)
            with torch.no_grad():
                teacher = self.teacher.network(pixels, batch.groups)
        terms = box_supervised_loss(student, teacher, batch, recipe=self.recipe.loss, step=step)
        self.optimiser.zero_grad(set_to_none=True)
        terms.total.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(self.trained, settings.clip)
        factor = rate_factor(step, settings.steps, warmup=settings.warmup, cooldown=settings.cooldown)
        for group in self.optimiser.param_groups:
            group["lr"] = group["base"] * factor
        if torch.isfinite(norm):
            self.optimiser.step()
        self.teacher.follow(self.student, step)
        return terms.parts | {"gradient": float(norm)}

    def _precision(self) -> AbstractContextManager[Any]:
        return torch.autocast("cuda", torch.bfloat16) if self.device.type == "cuda" else nullcontext()

    def _check_dev(self) -> None:
        started = time.process_time()
        result = self.validator(self.teacher.network)
        if result is None:
            return
        if result.mean > self.progress.best:
            self.progress.best, self.progress.best_step = result.mean, self.progress.step
            _save(self.teacher.network.state_dict(), self.folder / BEST_FILE)
        self._log("dev", seconds=round(time.process_time() - started, 1), **asdict(result))

    def _log_step(self, parts: dict[str, float]) -> None:
        minutes = round(self.progress.cpu_seconds / 60, 2)
        self._log("step", cpu_minutes=minutes, **{name: round(value, 4) for name, value in parts.items()})

    def _log(self, event: str, **values: Any) -> None:
        step = self.progress.step
        self.log.write(event=event, step=step, samples=step * self.recipe.optimiser.batch, **values)

    def _save_state(self) -> None:
        state = {
            "student": self.student.state_dict(),
            "teacher": self.teacher.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "progress": asdict(self.progress),
        }
        _save(state, self.folder / STATE_FILE)

    def _resume(self) -> None:
        path = self.folder / STATE_FILE
        if path.exists():
            state = torch.load(path, weights_only=True, map_location=self.device)
            self.student.load_state_dict(state["student"])
            self.teacher.network.load_state_dict(state["teacher"])
            self.optimiser.load_state_dict(state["optimiser"])
            self.progress = Progress(**state["progress"])
            self.log.write(event="resumed", **asdict(self.progress))


def _save(content: Any, path: Path) -> None:
    """Write beside the target first, so that an interruption leaves the old file whole."""
    beside = path.with_suffix(".partial")
    torch.save(content, beside)
    beside.replace(path)


def recipe_sources(recipe: Recipe, data: Path) -> list[Source]:
    """Read the boxes of the recipe's sets, and draw its scenes; no mask is handed on."""
    found = [
        source(load_split(data, name, "train"), recipe.crops, share=chosen.share, turn=chosen.turn, solid=chosen.solid)
        for name, chosen in recipe.sets.items()
    ]
    if recipe.scenes.train:
        backgrounds = load_split(data, recipe.scenes.backgrounds, "train")
        scenes = make_scenes(recipe.scenes, backgrounds, count=recipe.scenes.train, seed=recipe.seed)
        found.append(source(without_masks(scenes), recipe.crops, share=recipe.scenes.share, turn=True, solid=False))
    return found


def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    options = _parser().parse_args(arguments)
    recipe = read_recipe(options.recipe)
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
    run = Run(recipe, sampler, validator, folder=options.out, device=options.device)
    boxes = sum(len(each.objects) for each in sources)
    run.log.write(event="recipe", boxes=boxes, parameters=sum(each.numel() for each in run.trained), **plain(recipe))
    run.train()
    run.finish()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipe", type=Path, default=Path("training/mal.yaml"))
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of the recipe's sets")
    parser.add_argument("--coco", type=Path, help="a COCO file with boxes of your own, instead of the recipe's sets")
    parser.add_argument("--images", type=Path, help="folder of that file's images (default: the file's folder)")
    parser.add_argument("--out", type=Path, default=Path("runs/train-mal"))
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    return parser


if __name__ == "__main__":
    main()
