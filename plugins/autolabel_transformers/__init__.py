"""Labelers from transformers: OWLv2, OmDet-Turbo, SAM, SAM 2, SAM 3."""

from __future__ import annotations

from autolabel.hookspecs import hookimpl
from autolabel.strategies import Labeler


@hookimpl
def autolabel_labelers() -> list[type[Labeler]]:
    """Offer the detectors and segmenters."""
    from autolabel_transformers.omdet_turbo import OmdetTurbo
    from autolabel_transformers.owlv2 import Owlv2
    from autolabel_transformers.sam import Sam
    from autolabel_transformers.sam2 import Sam2
    from autolabel_transformers.sam3 import Sam3

    return [OmdetTurbo, Owlv2, Sam, Sam2, Sam3]
