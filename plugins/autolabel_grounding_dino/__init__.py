"""Grounding DINO: an open-vocabulary detector, from phrases to boxes."""

from __future__ import annotations

from autolabel.hookspecs import hookimpl
from autolabel.strategies import Labeler


@hookimpl
def autolabel_labelers() -> list[type[Labeler]]:
    """Offer the detectors."""
    from autolabel_grounding_dino.labeler import GroundingDino
    from autolabel_grounding_dino.mm_grounding_dino import MmGroundingDino

    return [GroundingDino, MmGroundingDino]
