"""Plans and rows made up for the tests of the report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image as Pillow

from autolabel.plan.model import (
    Execution,
    Manifest,
    Outputs,
    Plan,
    Recipe,
    ResolvedStrategy,
    Shard,
    Stage,
    WeightFile,
    Weights,
)
from autolabel.types import Image, Instances, Labels, Prompt, Reason, Rle, Round

THRESHOLDS = (0.6, 0.4, 0.2)
PHRASES = ("cell", "dot")
SIZE = (120, 160)


def make_plan(
    *, masks: bool = False, classes: Sequence[str] = PHRASES, digest: str = "d" * 64, name: str = "street"
) -> Plan:
    """Return a plan of one detector with three rounds, and a segmenter where ``masks`` are wanted."""
    licence = Weights(
        files=(WeightFile(name="tiny.pth", bytes=1234, sha256="ab" * 32),), licence="Apache-2.0", commercial=True
    )
    detector = Stage(
        index=0,
        name="0-grounding_dino",
        labeler=choice("grounding_dino", checkpoint="/private/folder/tiny.pth", depth=3),
        weights=licence,
        gives="boxes",
        rounds=tuple(Round(index=index, conf_threshold=value) for index, value in enumerate(THRESHOLDS)),
        aggregator=choice("nms", threshold=0.7),
    )
    segmenter = Stage(index=1, name="1-mal", labeler=choice("mal"), weights=licence, gives="masks")
    return Plan(
        digest=digest,
        autolabel="1.2.3",
        recipe=Recipe(
            stages=(detector, segmenter) if masks else (detector,),
            batch_size=4,
            shard_size=64,
            max_pixels=10**8,
            threads=None,
        ),
        manifest=Manifest(
            fingerprint="c" * 64,
            images=3,
            rows=3,
            unusable=0,
            classes=tuple(classes),
            roots={},
            most_passes=(None,) * (2 if masks else 1),
            shards=(Shard(0, 3, 0, 1),),
        ),
        execution=Execution(executor="inline", workers=("cpu",), threads=1, num_workers=1, max_failures=0.01),
        outputs=Outputs(results_dir=f"/private/runs/{name}", exports=(choice("coco"),), report=True, visualize=False),
        notices=("a key without effect",),
    )


def choice(type: str, **params: object) -> ResolvedStrategy:
    """Return a strategy by name."""
    return ResolvedStrategy(type=type, package="autolabel-vision", version="1.2.3", params=dict(params))


def make_row(
    image: str,
    boxes: Sequence[Sequence[float]] = (),
    *,
    scores: Sequence[float] = (),
    labels: Sequence[int] = (),
    rounds: Sequence[int] = (),
    masks: Sequence[Rle | None] | None = None,
    phrases: Sequence[str] = PHRASES,
    caption: str | None = None,
    caption_index: int = 0,
    path: str = "",
    size: tuple[int, int] = SIZE,
    failure: tuple[str, str] | None = None,
) -> Labels:
    """Return a row; scores are 0.5, labels and rounds 0, where not given."""
    n = len(boxes)
    instances = Instances.build(
        boxes,
        scores=scores or [0.5] * n,
        labels=labels or [0] * n,
        rounds=list(rounds) or [0] * n,
        masks=masks,
    )
    return Labels(
        image=Image(id=image, path=path, size=size),
        caption_index=caption_index,
        prompt=Prompt(tuple(phrases), caption),
        instances=instances,
        reason=None if failure is None else Reason(code=failure[0], message=failure[1]),
    )


def draw_picture(path: Path, *, seed: int = 0, size: tuple[int, int] = SIZE) -> str:
    """Write a noisy JPEG and return its path."""
    pixels = np.random.default_rng(seed).integers(0, 255, (*size, 3), np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Pillow.fromarray(pixels).save(path, "JPEG", quality=90)
    return str(path)


ATTACKS = (
    "<script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    "</style><img src=x onerror=alert(1)>",
    "<img src=//evil.example/x.png onerror=alert(1)>",
    '"><svg onload=alert(1)>',
    "' onmouseover='alert(1)' x='",
    '" autofocus onfocus=alert(1) x="',
    "javascript:alert(1)",
    "<iframe srcdoc='<script>alert(1)</script>'></iframe>",
    "<!--<script>",
    "--><script>alert(1)</script>",
    "<![CDATA[<script>alert(1)</script>]]>",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "&#60;script&#62;alert(1)&#60;/script&#62;",
    "${alert(1)}",
    "$script $data ${style}",
    "{{constructor.constructor('alert(1)')()}}",
    "\u2028alert(1)//\u2029",
    "\\u003cscript\\u003ealert(1)",
    "`;alert(1);//",
    '";alert(1);//',
    "__proto__",
    "=cmd|' /C calc'!A0",
    "\x1b]0;title\x07\x1b[31mred",
    "\u202egpj.exe",
)
PAYLOADS = tuple(f"{attack} {number}" for number in range(4) for attack in ATTACKS)
"""A hundred texts that would do harm where text becomes markup."""
