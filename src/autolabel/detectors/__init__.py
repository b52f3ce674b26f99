"""Detectors made of detectors: several that are asked the same, and one that looks at a large image in tiles."""

from autolabel.detectors.compose import composed
from autolabel.detectors.consensus import Consensus, Vote, Voting
from autolabel.detectors.tiled import Tiled, Tiles

__all__ = ["Consensus", "Tiled", "Tiles", "Vote", "Voting", "composed"]
