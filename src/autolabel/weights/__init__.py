"""Find, hash and safely load checkpoint files; torch is imported inside functions only."""

from autolabel.weights.checkpoint import CheckpointPath, locate, on_hub, shipped
from autolabel.weights.content import digest, files_of, weight_files
from autolabel.weights.licence import UNKNOWN, Licence, licence_of
from autolabel.weights.tensors import load_state_dict

__all__ = [
    "UNKNOWN",
    "CheckpointPath",
    "Licence",
    "digest",
    "files_of",
    "licence_of",
    "load_state_dict",
    "locate",
    "on_hub",
    "shipped",
    "weight_files",
]
