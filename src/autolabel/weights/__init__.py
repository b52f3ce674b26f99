"""Find, hash and safely load checkpoints; torch is only imported inside functions."""

from autolabel.weights.checkpoint import CheckpointPath, check_reachable, is_cached, locate_checkpoint, on_hub, shipped
from autolabel.weights.content import file_digest, files_of, weight_files
from autolabel.weights.finite import refuse_not_finite
from autolabel.weights.fit import check_alike, check_folder, compare_shapes, headers_of, layers_of
from autolabel.weights.headers import TensorHeader, all_headers
from autolabel.weights.hub import offline
from autolabel.weights.json_file import read_json, read_mapping
from autolabel.weights.licence import UNKNOWN, Licence, licence_of
from autolabel.weights.plain import plain_configuration
from autolabel.weights.rust_errors import first_line, panics_as_errors
from autolabel.weights.tensors import load_state_dict
from autolabel.weights.unwrap import bare

__all__ = [
    "UNKNOWN",
    "CheckpointPath",
    "Licence",
    "TensorHeader",
    "all_headers",
    "bare",
    "check_alike",
    "check_folder",
    "check_reachable",
    "compare_shapes",
    "file_digest",
    "files_of",
    "first_line",
    "headers_of",
    "is_cached",
    "layers_of",
    "licence_of",
    "load_state_dict",
    "locate_checkpoint",
    "offline",
    "on_hub",
    "panics_as_errors",
    "plain_configuration",
    "read_json",
    "read_mapping",
    "refuse_not_finite",
    "shipped",
    "weight_files",
]
