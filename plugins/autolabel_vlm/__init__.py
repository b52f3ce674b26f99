"""Vision-language models behind an OpenAI-compatible endpoint."""

from __future__ import annotations

from autolabel.hookspecs import hookimpl
from autolabel.strategies import Labeler


@hookimpl
def autolabel_labelers() -> list[type[Labeler]]:
    """Offer the detector, the verifiers, the captioner and the referrer."""
    from autolabel_vlm.caption import VlmCaptioner
    from autolabel_vlm.contrast import Contrast
    from autolabel_vlm.labeler import Vlm
    from autolabel_vlm.refer import VlmReferrer
    from autolabel_vlm.verify import Verify

    return [Vlm, Verify, Contrast, VlmCaptioner, VlmReferrer]
