"""Fine-tune a Grounding DINO checkpoint on images with known boxes."""

from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from autolabel.images import ValueRange
from autolabel.strategies import FineTuning
from autolabel.types import Labels, Prompt
from autolabel_grounding_dino.keep import keep_checkpoint
from autolabel_grounding_dino.load import load_model
from autolabel_labeling.caption import Caption
from autolabel_labeling.pixels import resize_pixels
from autolabel_labeling.tensors import to_tensor
from autolabel_training.answer import answer
from autolabel_training.augment import View, plain_view
from autolabel_training.average import follow
from autolabel_training.boxes import corners
from autolabel_training.figures import compare_hits, dev_groups, mean_hits, plain_hits
from autolabel_training.foreign import FOREIGN
from autolabel_training.layers import predictions_of
from autolabel_training.learning_weights import LearningWeights, ScaledRates
from autolabel_training.loop import DevCheck
from autolabel_training.loss import LossRecipe, Predictions, Target, detection_loss
from autolabel_training.metric import Detections, ScoredHits, judge
from autolabel_training.optimizer_step import network_precision, optimizer_step
from autolabel_training.photo import TrainingPhoto
from autolabel_training.recompute import recompute
from autolabel_training.settings import TrainingSettings
from autolabel_training.views import Views

if TYPE_CHECKING:
    from autolabel_grounding_dino.labeler import GroundingDino

_LOSS = LossRecipe(sigma=0.11, dense_class_weight=0.5, class_weight=2.0, l1_weight=5.0, giou_weight=2.0)
_NMS = 0.5


_LARGE = 50_000_000
"""Parameters above which activations are not kept, and the learning rate is lower."""
_RATE, _RATE_OF_LARGE = 4e-4, 1e-4
"""The latter is that of MMDetection's recipes for fine-tuning Grounding DINO."""


@dataclass(frozen=True)
class Batch:
    """The views of one step, each with its caption and the boxes that answer it."""

    views: list[View]
    captions: list[Caption]
    targets: list[Target]


class DetectorTraining(LearningWeights):
    """The state of a training: the model, the moving average of its weights, the views of the images."""

    def __init__(self, labeler: GroundingDino, task: FineTuning[TrainingSettings]) -> None:
        self.labeler, self.task, self.settings = labeler, task, task.settings
        self.device = torch.device(task.device)
        self.model = load_model(labeler.path, labeler.params, text_folder=labeler.text_folder)
        self.model.config.auxiliary_loss = True
        self._heads = [self.model.model.encoder_output_class_embed, *self.model.class_embed]
        self._shapes: list[tuple[int, int]] = []
        self.model.model.encoder.register_forward_pre_hook(self._note_shapes, with_kwargs=True)
        parameters = _let_learn(self.model)
        self.model.to(self.device)
        _quicken(self.model, self.device)
        if _recomputes(self.model, self.settings):
            recompute(_layers(self.model))
        rates = _rates(self.settings, self.model)
        super().__init__(parameters, rates, fused=False, start_share=self.settings.start_share)
        shaping = labeler.shaping
        side = shaping.exact[0] if shaping.exact else None
        train, self._dev = ([_photo_of(row, task.value_range) for row in rows] for rows in (task.train, task.dev))
        self._views = Views(train, self.settings, side=side)

    def batches(self, steps: range) -> Iterator[Batch]:
        """Yield the batch of every step; a batch depends only on the seed and the step."""
        for step in steps:
            rng = random.Random(f"{self.settings.seed}-{step}")
            views, captions, targets = [], [], []
            for _ in range(self.settings.batch):
                view = self._views.draw(rng)
                caption = self._caption(self._asked(rng))
                views.append(view)
                captions.append(caption[0])
                targets.append(answer(view, caption[1]))
            yield Batch(views, captions, targets)

    def learn(self, batch: Batch, step: int) -> dict[str, float]:
        """Train on one batch and update the average."""
        with torch.random.fork_rng():
            torch.manual_seed(1_000_003 * self.settings.seed + step)  # seeds dropout by the step
            return self._learn(batch, step)

    def _learn(self, batch: Batch, step: int) -> dict[str, float]:
        self.model.train()
        for tower in (self.model.model.backbone, self.model.model.text_backbone):
            tower.eval()
        boxes = max(1, sum(len(target.boxes) for target in batch.targets))
        total = torch.zeros((), device=self.device)
        parts: dict[str, float] = defaultdict(float)
        for members in self._alike(batch.views):
            with network_precision(self.device):
                predictions = self._predict([batch.views[i] for i in members], [batch.captions[i] for i in members])
            targets = [batch.targets[i] for i in members]
            terms = detection_loss(predictions, targets, _LOSS)
            weight = max(1, sum(len(target.boxes) for target in targets)) / boxes
            total = total + weight * terms.total
            for name, value in terms.parts.items():
                parts[name] += weight * value
        norm = optimizer_step(self.optimiser, total, self.settings, step=step)
        follow(self.average.values(), self.parameters.values(), momentum=self.settings.average, step=step)
        return dict(parts) | {"gradient": norm}

    def averaged(self) -> dict[str, Tensor]:
        """Return the averaged weights, with their share of the weights before the training."""
        return self.mixed(self.average)

    def check_dev(self) -> DevCheck | None:
        """Return the mean AP at IoU 0.5 of the averaged weights on the dev images; None if there are none."""
        return self.check(self.judged(self.averaged()))

    def check(self, judged: list[dict[str, Any]]) -> DevCheck | None:
        """Return the mean AP at IoU 0.5 of what ``judged`` returned; None if there are no dev images."""
        if not judged:
            return None
        values = mean_hits(judged)
        return DevCheck(0.0 if math.isnan(values["mean"]) else values["mean"], {"ap50": values})

    @torch.no_grad()
    def judge(self, weights: dict[str, Tensor]) -> list[dict[str, ScoredHits]]:
        """Return detections of these weights on the dev images, by class, with the truth."""
        self.model.eval()
        with self.using(weights):
            return [self._judge(photo) for photo in self._dev]

    def judged(self, weights: dict[str, Tensor]) -> list[dict[str, Any]]:
        """Return the same as JSON can hold it."""
        return plain_hits(self.judge(weights))

    def compare(self, before: list[dict[str, Any]], after: list[dict[str, Any]]) -> dict[str, Any]:
        """Return AP at IoU 0.5 before and after, and the gain."""
        return compare_hits(before, after, groups=dev_groups(self.task))

    def export(self, weights: dict[str, Tensor], folder: Path) -> None:
        """Write a Hugging Face folder with these weights."""
        self.put(weights)
        keep_checkpoint(self.model, self.labeler, folder)

    def _note_shapes(self, module: nn.Module, args: Any, kwargs: dict[str, Any]) -> None:
        shapes = kwargs["spatial_shapes_list"] if "spatial_shapes_list" in kwargs else kwargs["spatial_shapes"]
        self._shapes = [(int(height), int(width)) for height, width in shapes]

    def _predict(self, views: Sequence[View], captions: Sequence[Caption]) -> Predictions:
        """Run the model on views of one size."""
        pixels = [resize_pixels(view.pixels, self.labeler.shaping.resized(view.pixels.shape[:2])) for view in views]
        batch = to_tensor(pixels, pixels[0].shape[:2], self.labeler.shaping, str(self.device))
        ids = torch.zeros(len(captions), max(len(caption.ids) for caption in captions), dtype=torch.long)
        for row, caption in enumerate(captions):
            ids[row, : len(caption.ids)] = torch.tensor(caption.ids)
        ids = ids.to(self.device)
        for head in self._heads:
            head.max_text_len = ids.shape[1]
        mask = ids > 0
        output = self.model(
            pixel_values=batch.pixels, pixel_mask=batch.valid.long(), input_ids=ids, attention_mask=mask.long()
        )
        spans = [[list(range(start, stop)) for start, stop in caption.spans] for caption in captions]
        return predictions_of(self.model, output, mask, spans, self._shapes)

    def _alike(self, views: Sequence[View]) -> list[list[int]]:
        """Return groups of views with equal network input size, so that no padding is needed."""
        groups: dict[tuple[int, int], list[int]] = defaultdict(list)
        for index, view in enumerate(views):
            groups[self.labeler.shaping.resized(view.pixels.shape[:2])].append(index)
        return list(groups.values())

    def _asked(self, rng: random.Random) -> list[str]:
        """Return the phrases for a view: the classes or some of them, every other time with names of other things."""
        names = list(self.task.classes)
        if len(names) > 1 and rng.random() < 0.2:
            names = rng.sample(names, rng.randint(1, len(names)))
        known = {name.casefold() for name in self.task.classes}
        others = [name for name in FOREIGN if name not in known]
        names += rng.sample(others, min(self.settings.foreign_names, len(others))) if rng.random() < 0.5 else []
        rng.shuffle(names)
        return names

    def _caption(self, names: Sequence[str]) -> tuple[Caption, list[str]]:
        """Return one caption and the class name of each of its spans; names that do not fit are left out."""
        caption = self.labeler.captions(Prompt(tuple(dict.fromkeys(names))))[0]
        distinct = list(dict.fromkeys(names))
        return caption, [distinct[owners[0]] for owners in caption.labels]

    def _judge(self, photo: TrainingPhoto) -> dict[str, ScoredHits]:
        view = plain_view(photo, None)
        found = {}
        for caption in self.labeler.captions(Prompt(tuple(self.task.classes))):
            predictions = self._predict([view], [caption])
            scores = predictions.layer_logits[-1][0].sigmoid().cpu()
            boxes = corners(predictions.layer_boxes[-1][0]).cpu().numpy()
            for (start, stop), owners in zip(caption.spans, caption.labels, strict=True):
                name = self.task.classes[owners[0]]
                truth = view.boxes[[one == name for one in view.names]].reshape(-1, 4)
                found[name] = judge(Detections(boxes, scores[:, start:stop].mean(-1).numpy(), truth), _NMS)
        return found


def _photo_of(row: Labels, value_range: ValueRange) -> TrainingPhoto:
    names = tuple(row.prompt.phrases[label] for label in row.instances.labels)
    return TrainingPhoto(row.image.path, row.instances.boxes, names, value_range)


def _let_learn(model: Any) -> dict[str, nn.Parameter]:
    """Freeze the text tower and the first half of the image tower; return the trainable parameters by name."""
    model.requires_grad_(True)
    model.model.text_backbone.requires_grad_(False)
    tower = list(model.model.backbone.parameters())
    for parameter in tower[: len(tower) // 2]:
        parameter.requires_grad_(False)
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def _rates(settings: TrainingSettings, model: nn.Module) -> ScaledRates:
    rate = settings.learning_rate or (_RATE_OF_LARGE if _is_large(model) else _RATE)
    return ScaledRates(rate, settings.image_tower_rate, settings.weight_decay)


def _recomputes(model: nn.Module, settings: TrainingSettings) -> bool:
    if settings.gradient_checkpointing is not None:
        return settings.gradient_checkpointing
    return _is_large(model)


def _is_large(model: nn.Module) -> bool:
    return sum(parameter.numel() for parameter in model.parameters()) > _LARGE


def _layers(model: Any) -> Iterator[nn.Module]:
    """Yield the layers whose activations take most memory: of the encoder, of the decoder, and blocks of Swin."""
    yield from model.model.encoder.layers
    yield from model.model.decoder.layers
    for module in model.model.backbone.modules():
        if type(module).__name__ == "SwinLayer":
            yield module


def _quicken(model: nn.Module, device: torch.device) -> None:
    """Compile the deformable attention if numba is installed and the model runs on the CPU."""
    if device.type == "cpu":
        try:
            from autolabel_training.deformable import compile_attention
        except ImportError:
            return
        compile_attention(model)
