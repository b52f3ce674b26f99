"""A student that learns masks from boxes, and the teacher that follows it."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from autolabel_mal.learning.crops import CropBatch, CropSampler, drawn_ahead
from autolabel_mal.learning.export import export
from autolabel_mal.learning.loss import MaskLossRecipe, box_supervised_loss
from autolabel_mal.learning.network import MaskRates, build_optimiser, freeze
from autolabel_mal.network import MalNetwork
from autolabel_training.average import follow
from autolabel_training.optimizer_step import OptimizerSettings, network_precision, optimizer_step


class _MaskCourse(MaskRates, OptimizerSettings, Protocol):
    """The fields of a recipe or settings that a step reads."""

    @property
    def teacher_momentum(self) -> float:
        """The momentum of the teacher's weights."""


@dataclass(frozen=True)
class Lesson:
    """The training of a student: crops, losses, trainable part of the backbone, threads that prepare crops."""

    sampler: CropSampler
    loss: MaskLossRecipe
    frozen_stages: int
    workers: int = 0


class StudentTeacher:
    """The state of a training: the student, the teacher that follows it, the optimiser."""

    settings: Any

    def __init__(self, network: MalNetwork, lesson: Lesson, settings: _MaskCourse, *, device: str) -> None:
        self.lesson = lesson
        self.settings = settings
        self.device = torch.device(device)
        self.student = network.requires_grad_(True).train().to(self.device)
        self.student.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.teacher = copy.deepcopy(self.student).eval().requires_grad_(False)
        freeze(self.student, lesson.frozen_stages)
        self.optimiser = build_optimiser(self.student, settings)

    def batches(self, steps: range) -> Iterator[CropBatch]:
        """Yield the crops of every step, prepared ahead by threads."""
        draw = partial(self.lesson.sampler.draw, count=self.settings.batch)
        return drawn_ahead(draw, steps, workers=self.lesson.workers)

    def learn(self, batch: CropBatch, step: int) -> dict[str, float]:
        """Train the student on a batch, and update the teacher."""
        batch = batch.to(self.device)
        with network_precision(self.device):
            pixels = self.student.normalise(batch.pixels).contiguous(memory_format=torch.channels_last)
            student = self.student(pixels, batch.groups)
            with torch.no_grad():
                teacher = self.teacher(pixels, batch.groups)
        terms = box_supervised_loss(student, teacher, batch, recipe=self.lesson.loss, step=step)
        norm = optimizer_step(self.optimiser, terms.total, self.settings, step=step)
        weights = (self.teacher.parameters(), self.student.parameters())
        follow(*weights, momentum=self.settings.teacher_momentum, step=step)
        return terms.parts | {"gradient": norm}

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
        """Restore a saved state."""
        self.student.load_state_dict(state["student"])
        self.teacher.load_state_dict(state["teacher"])
        self.optimiser.load_state_dict(state["optimiser"])

    def export_as(self, weights: dict[str, Tensor], folder: Path, *, licence: str) -> None:
        """Write a checkpoint directory with these weights of the teacher."""
        self.teacher.load_state_dict(weights)
        export(self.teacher, folder, licence=licence)
