"""A detector that learns without a network: its checkpoint says how large a part of the rectangles it finds."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from autolabel_colors import Flat, find_flat, match

from autolabel.hookspecs import hookimpl
from autolabel.results.failpoints import reach
from autolabel.strategies import Detector, FineTuning, Labeler, StrategyParams
from autolabel.types import Instances, Prompt, Sample
from autolabel.weights import CheckpointPath


class Settings(StrategyParams):
    """What the training comes to, whatever it sees."""

    skill: float = 0.9
    seed: int = 0


class Learner(Detector):
    """Finds the part ``skill`` of the rectangles in an image, chosen by their places."""

    name = "learner"
    Training = Settings

    class Params(Detector.Params):
        """Where its skill is."""

        checkpoint: CheckpointPath

    params: Params

    @property
    def file(self) -> Path:
        """Where its skill is written."""
        return Path(self.params.checkpoint) / "skill.json"

    def files(self) -> Sequence[Path]:
        """Return it."""
        return [self.file]

    def load(self, device: str) -> None:
        """Read how good it is."""
        self.skill = float(json.loads(self.file.read_text())["skill"])

    def prepare(self, batch: Sequence[Sample]) -> Sequence[tuple[str, Flat]]:
        """Find all rectangles."""
        return [(sample.image.id, find_flat(sample.pixels, 3)) for sample in batch]

    def detect(
        self, prepared: Sequence[tuple[str, Flat]], prompts: Sequence[Prompt], floor: float
    ) -> Sequence[Instances]:
        """Return those that it finds."""
        return [
            self._found(name, match(flat, prompt, floor))
            for (name, flat), prompt in zip(prepared, prompts, strict=True)
        ]

    def _found(self, name: str, found: Instances) -> Instances:
        return found.take([i for i, box in enumerate(found.boxes.tolist()) if chance(name, box) < self.skill])

    def fine_tune(self, task: FineTuning[Any]) -> None:
        """Note what there was to learn from, and write the new skill."""
        seen = {"train": [one.image.id for one in task.train], "dev": [one.image.id for one in task.dev]}
        (task.out / "seen.json").write_text(json.dumps(seen))
        reach("learnt")
        folder = task.out / "checkpoint"
        folder.mkdir(exist_ok=True)
        (folder / "skill.json").write_text(json.dumps({"skill": task.settings.skill}))


def chance(name: str, box: Sequence[float]) -> float:
    """Return a number from 0 to 1 that depends on an image and a place alone."""
    return hashlib.sha256(f"{name} {list(box)}".encode()).digest()[0] / 256


@hookimpl
def autolabel_labelers() -> Sequence[type[Labeler]]:
    """Offer it."""
    return [Learner]
