"""Finished runs whose truth is known."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autolabel.plan import plan_file
from autolabel.plan.compile import compile_plan
from autolabel.registry import Registry
from autolabel.results import checksum, record, seal
from autolabel.spec.load import spec_from_mapping
from autolabel.types import Image, Instances, Labels, Prompt, Reason
from tests.certify.true_run import Truth
from tests.specs import make_spec

SIDE = 64


@pytest.fixture
def make_run(registry: Registry, tmp_path: Path) -> Callable[..., Truth]:
    """Write a finished run of small pictures, without labelling any: three boxes an image, some of them wrong."""
    from autolabel_colors import save

    def make(
        images: int = 40,
        *,
        wrong: float = 0.06,
        missed: float = 0.1,
        seed: int = 0,
        name: str = "run",
        classes: tuple[str, ...] = ("red", "blue"),
        failed: tuple[str, ...] = (),
        **output: Any,
    ) -> Truth:
        g = np.random.default_rng(seed)
        photos = tmp_path / f"{name}-photos"
        ids = [f"{number:03}.png" for number in range(images)]
        for image in ids:
            save(photos / image, [(4, 4, 24, 24, classes[0], 0.9)])
        spec = make_spec(
            photos, tmp_path / name, classes=list(classes), export=[{"type": "coco"}], report=False, output=output
        )
        plan = compile_plan(spec_from_mapping(spec, root=tmp_path, registry=registry), registry=registry).plan
        truth = Truth(tmp_path / name)
        truth.root.mkdir()
        (truth.root / "plan.json").write_bytes(plan_file.encode_plan(plan))
        (truth.root / seal.SEAL).write_text(seal.of_plan(plan))
        lines = []
        for image in ids:
            reason = Reason(code=failed[0], message="made to fail") if failed and image == ids[0] else None
            corners = g.integers(0, 30, (0 if reason else 3, 2)).astype(float)
            boxes = np.concatenate([corners, corners + g.integers(8, 30, corners.shape)], axis=1)
            found = Instances.build(
                boxes,
                scores=np.round(g.uniform(0.3, 1, len(boxes)), 3),
                labels=g.integers(0, len(classes), len(boxes)),
            )
            labels = Labels(
                image=Image(id=image, path="", size=(SIDE, SIDE)),
                prompt=Prompt(classes),
                instances=found,
                reason=reason,
            )
            lines.append(record.encode_labels(labels, plan.digest))
            truth.boxes += len(boxes)
            truth.wrong |= {(image, tuple(box)) for box in boxes.tolist() if g.random() < wrong}
            truth.missed[image] = int(g.poisson(3 * missed))
        labels_file, summed = truth.root / "labels.jsonl", checksum.Sum()
        labels_file.write_bytes(b"".join(summed.over(line + b"\n" for line in lines)))
        checksum.checksum_file(labels_file).write_bytes(summed.line(labels_file.name))
        return truth

    return make
