"""Find, hash and safely load checkpoint files; torch is imported inside functions only."""

from autolabel.weights.checkpoint import CheckpointPath, check_reachable, is_cached, locate, on_hub, shipped
from autolabel.weights.content import digest, files_of, weight_files
from autolabel.weights.finite import refuse_not_finite
from autolabel.weights.fit import check_alike, check_folder, compare, headers_of, layers_of
from autolabel.weights.headers import TensorHeader, all_headers
from autolabel.weights.hub import offline
from autolabel.weights.json_file import read_json, read_mapping
from autolabel.weights.licence import UNKNOWN, Licence, licence_of
from autolabel.weights.panics import panics_as_errors, said
from autolabel.weights.plain import plain_configuration
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
    "compare",
    "digest",
    "files_of",
    "headers_of",
    "is_cached",
    "layers_of",
    "licence_of",
    "load_state_dict",
    "locate",
    "offline",
    "on_hub",
    "panics_as_errors",
    "plain_configuration",
    "read_json",
    "read_mapping",
    "refuse_not_finite",
    "said",
    "shipped",
    "weight_files",
]
