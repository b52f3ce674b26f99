"""A person who checks a made run: two queues in random order, and now and then a choice."""

from __future__ import annotations

from typing import Any

import numpy as np

from autolabel.certify.audit import Audit, default_cap
from autolabel.certify.goals import BOX_SECONDS, IMAGE_SECONDS, MISSED_SECONDS, CertificateProgress, next_draws
from tests.certify.populations import MadeRun

BOX, IMAGE = 0, 1


class Person:
    """Answers truly; ``seconds`` is the work so far, of boxes and of images."""

    def __init__(self, run: MadeRun, seed: int) -> None:
        g = np.random.default_rng((seed, 1))  # not the stream that made the run: the order would know the truth
        self.run, self.missed, self.seconds = run, run.missed, np.zeros(2)
        self.queues = [g.permutation(len(run.right)), g.permutation(run.size)]
        self.audit = Audit(len(run.right), run.size, cap=default_cap(run.boxes_by_image))
        self.lost = int(np.minimum(self.missed, self.audit.cap).sum())
        self.right = int(run.right.sum())

    @property
    def recall(self) -> float:
        """The true recall of which a certificate speaks."""
        return self.right / (self.right + self.lost)

    def check(self, kind: int, units: Any, *, drawn: bool = True) -> None:
        """Answer about some units."""
        if kind == IMAGE:
            self.audit.enter_images(self.missed[units].tolist(), drawn=drawn)
            self.seconds[IMAGE] += IMAGE_SECONDS * len(units) + MISSED_SECONDS * self.missed[units].sum()
        else:
            self.audit.enter_boxes(self.run.right[units].tolist(), drawn=drawn)
            self.seconds[BOX] += BOX_SECONDS * len(units)
        queue = self.queues[kind]
        first = np.array_equal(queue[: len(units)], units)  # the usual case: nothing has to be looked for
        self.queues[kind] = queue[len(units) :] if first else queue[~np.isin(queue, units)]

    def next_batch(self, *, recall_settled: bool = False) -> None:
        """Check what the certificate asks for."""
        stage = CertificateProgress(
            box_seconds=self.seconds[BOX],
            image_seconds=self.seconds[IMAGE],
            seconds_an_image=IMAGE_SECONDS,
            recall_settled=recall_settled,
        )
        left = {"boxes": len(self.queues[BOX]), "images": len(self.queues[IMAGE])}
        for name, count in next_draws(stage, **left, count=1):
            kind = IMAGE if name == "image" else BOX
            self.check(kind, self.queues[kind][: count * (10 if kind else 20)])

    def meddle(self, g: Any) -> None:
        """Check by choice, knowing the truth: 15 right or wrong boxes, 5 images that lack most or nothing."""
        sign = g.choice([-1, 1])
        for kind, values, count in ((BOX, self.run.right, 15), (IMAGE, self.missed, 5)):
            queue = self.queues[kind]
            wish = sign * values[queue] + g.random(len(queue)) / 9
            picked = np.argpartition(wish, count)[:count] if count < len(queue) else slice(None)
            self.check(kind, queue[picked], drawn=False)
