"""Find the folder with a checkpoint's tokenizer and text encoder configuration."""

from __future__ import annotations

from pathlib import Path

from autolabel.errors import WeightsError
from autolabel.weights import locate_checkpoint
from autolabel_labeling.tokenizer import BERT_BASE, FILES, has_tokenizer

_BERT_BASE_NAMES = ("bert-base-uncased", "google-bert/bert-base-uncased")
_NEIGHBOUR = "text_encoder"


def find_text_folder(checkpoint: Path, wanted: str | None) -> Path:
    """Return the folder of the tokenizer for a checkpoint's phrases.

    The first of these that exists is used: the folder's own tokenizer, a local folder named in the spec,
    ``text_encoder`` beside the file, a hub name in the spec, and, for files of the original projects,
    bert-base-uncased, which ships with this package. Raises WeightsError if a name cannot be found, or if a Hugging
    Face folder lacks its tokenizer, because another one would split phrases differently.
    """
    if checkpoint.is_dir() and has_tokenizer(checkpoint):
        return checkpoint
    if wanted and Path(wanted).is_dir():
        return Path(wanted)
    beside = (checkpoint if checkpoint.is_dir() else checkpoint.parent) / _NEIGHBOUR
    if has_tokenizer(beside):
        return beside
    if wanted is None and checkpoint.is_dir() and (checkpoint / "config.json").is_file():
        wanted_files = " or ".join(FILES)
        raise WeightsError(
            f"{checkpoint}: no tokenizer in this folder",
            hint=f"copy {wanted_files} from where the model came from, or set text_encoder: {_BERT_BASE_NAMES[0]}",
        )
    return BERT_BASE if wanted is None or wanted in _BERT_BASE_NAMES else locate_checkpoint(wanted, weights=False)
