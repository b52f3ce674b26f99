"""Composite detectors: several detectors, one with looks, one with tiles."""

from autolabel.detectors.agreement import Agreement, Doubt
from autolabel.detectors.compose import composed
from autolabel.detectors.consensus import Consensus, Vote, Voting, told_apart
from autolabel.detectors.looking import Looking
from autolabel.detectors.looks import Looks
from autolabel.detectors.tiled import Tiled, Tiles

__all__ = [
    "Agreement",
    "Consensus",
    "Doubt",
    "Looking",
    "Looks",
    "Tiled",
    "Tiles",
    "Vote",
    "Voting",
    "composed",
    "told_apart",
]
