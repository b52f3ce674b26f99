"""Label one shard from start to end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from autolabel.data import inputs
from autolabel.errors import DataError
from autolabel.plan.model import Plan, Shard, Stage
from autolabel.registry import Registry
from autolabel.results import record
from autolabel.results.shard_file import DamageError
from autolabel.results.store import RunStore
from autolabel.run.stage_labeler import Progress, StageLabeler
from autolabel.types import Labels


@dataclass(slots=True, eq=False)
class ShardLabeler:
    """A stage's labeler with its results directory."""

    plan: Plan
    stage: Stage
    store: RunStore
    labeler: StageLabeler

    @classmethod
    def make(cls, plan: Plan, stage: Stage, *, device: str, registry: Registry) -> ShardLabeler:
        """Construct the strategies of a stage; weights are loaded on first use."""
        return cls(plan, stage, RunStore.at(plan), StageLabeler.make(plan, stage, device=device, registry=registry))

    def label(self, shard: Shard, *, progress: Progress) -> None:
        """Label a shard and publish its file."""
        rows = self.before(shard)
        self.store.publish_shard(self.plan, self.stage, shard, self.lines(rows, progress=progress))

    def lines(self, rows: Sequence[Labels], *, progress: Progress) -> list[bytes]:
        """Label rows and return their lines, in the same order."""
        return [record.encode_labels(row, self.plan.digest) for row in self.labeler.label(rows, progress=progress)]

    def before(self, shard: Shard) -> list[Labels]:
        """Return a shard's rows before this stage."""
        rows = [self.plan.manifest.placed(inputs.decode_input(line)) for line in self.store.rows(shard)]
        if self.stage.index == 0:
            return [row.labels(self.plan.manifest.classes) for row in rows]
        stage = self.plan.recipe.stages[self.stage.index - 1]
        try:
            lines = self.store.lines(self.plan, stage, shard)
            return [_found_before(line, row) for line, row in zip(lines, rows, strict=True)]
        except (DamageError, record.RowError) as error:
            name = self.store.shard(stage, shard.index)
            raise DataError(f"{name}: is damaged: {error}", hint="the same command labels it again") from None


def _found_before(line: bytes, row: inputs.Input) -> Labels:
    """Return a row as labelled by the previous stage; raises RowError if the line is about another row."""
    labels = record.decode_labels(line, row.path)
    if (labels.image.id, labels.caption_index) != (row.image, row.caption_index):
        raise record.RowError(f"wanted a row of {row.image!r}, found one of {labels.image.id!r}")
    return labels
