"""Make one labeler out of those that a stage names."""

from __future__ import annotations

from collections.abc import Sequence

from autolabel.detectors.consensus import Consensus
from autolabel.detectors.tiled import Tiled, Tiles
from autolabel.strategies import Detector, Labeler


def composed(members: Sequence[Labeler], tiles: Tiles | None) -> Labeler:
    """Return one labeler made of ``members``, detectors all of them, that looks at ``tiles``.

    A segmenter stands alone and sees whole images: it is returned as it is.
    """
    detectors = [member for member in members if isinstance(member, Detector)]
    if len(detectors) < len(members):
        return members[0]
    detector = detectors[0] if len(detectors) == 1 else Consensus(detectors)
    return Tiled(detector, tiles) if tiles else detector
