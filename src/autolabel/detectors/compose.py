"""Compose the labelers, looks and tiles of a stage into one labeler."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from autolabel.detectors.consensus import Consensus
from autolabel.detectors.looking import Looking
from autolabel.detectors.tiled import Tiled, Tiles
from autolabel.strategies import Detector, Labeler, Look


def composed(
    members: Sequence[Labeler], tiles: Tiles | None, *, looks: Mapping[str, Look] | None = None, ahead: int = 0
) -> Labeler:
    """Return one labeler composed of the detectors ``members``, applied to ``tiles``, each in the named ``looks``.

    The first ``ahead`` looks are preprocessed in decode threads. A segmenter is returned unchanged.
    """
    detectors = [member for member in members if isinstance(member, Detector)]
    if len(detectors) < len(members):
        return members[0]
    detector = detectors[0] if len(detectors) == 1 else Consensus(detectors)
    detector = Looking(detector, looks, ahead=ahead) if looks else detector
    return Tiled(detector, tiles) if tiles else detector
