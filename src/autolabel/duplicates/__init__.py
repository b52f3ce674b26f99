"""Find near-duplicate images: resaved copies, consecutive shots, overlapping tiles."""

from autolabel.duplicates.copies import same_picture
from autolabel.duplicates.groups import Groups, group
from autolabel.duplicates.landmarks import Landmarks, landmarks

__all__ = ["Groups", "Landmarks", "group", "landmarks", "same_picture"]
