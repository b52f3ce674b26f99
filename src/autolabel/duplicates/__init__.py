"""Near-duplicates: which images show the same scene, such as resaved copies, shots in a row, tiles that overlap."""

from autolabel.duplicates.groups import Groups, group
from autolabel.duplicates.landmarks import Landmarks, landmarks

__all__ = ["Groups", "Landmarks", "group", "landmarks"]
