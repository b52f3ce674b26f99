"""Split phrases into the word pieces of a BERT vocabulary, without torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tokenizers import BertWordPieceTokenizer, Tokenizer

from autolabel.errors import WeightsError
from autolabel.strategies import Reading
from autolabel.weights import first_line, panics_as_errors, read_mapping

CLS, SEP, STOP, _QUESTION = 101, 102, 1012, 1029
SEPARATORS = {"[CLS]": CLS, "[SEP]": SEP, ".": STOP, "?": _QUESTION}
"""The tokens that end a phrase: their ids are fixed in the network (they are those of bert-base-uncased)."""
_SILENT = frozenset({0, CLS, SEP, 103, STOP, _QUESTION})
"""Ids that never come from inside a phrase: the separators, [PAD] and [MASK]."""
_UNKNOWN = "[UNK]"
"""The token for words outside the vocabulary."""
FILES = ("tokenizer.json", "vocab.txt")
BERT_BASE = Path(__file__).parent / "bert_base_uncased"
"""The vocabulary of bert-base-uncased, so that files without a tokenizer work offline."""


class PhraseTokenizer:
    """A BERT tokenizer for single phrases, without special tokens."""

    def __init__(self, folder: Path) -> None:
        self.files = _tokenizer_files(folder)
        self._tokenizer = _read(folder)
        self._unknown = self._tokenizer.token_to_id(_UNKNOWN)
        for word, expected in SEPARATORS.items():
            if (found := self._tokenizer.token_to_id(word)) != expected:
                raise WeightsError(
                    f"{folder}: its tokenizer gives {word!r} the id {found}, the network needs {expected}"
                )

    def ids(self, phrase: str) -> tuple[int, ...]:
        """Return the ids of a phrase, lower-cased if the vocabulary is; empty if no token remains.

        Separators ("." and "?", and special tokens) are removed, so that a phrase cannot split in two.
        """
        with panics_as_errors():
            encoded = self._tokenizer.encode(phrase, add_special_tokens=False)
        return tuple(token for token in encoded.ids if token not in _SILENT)

    def read(self, phrase: str) -> Reading:
        """Return how the model reads a phrase: its ids, and the parts that are not in the vocabulary."""
        with panics_as_errors():
            encoded = self._tokenizer.encode(phrase, add_special_tokens=False)
        ids = tuple(token for token in encoded.ids if token not in _SILENT)
        unknown = [place for token, place in zip(encoded.ids, encoded.offsets, strict=True) if token == self._unknown]
        return Reading(
            ids,
            unknown=tuple(dict.fromkeys(phrase[start:stop] for start, stop in unknown)),
            readable=any(token != self._unknown for token in ids),
        )

    @property
    def size(self) -> int:
        """Return the number of words in the vocabulary."""
        return int(self._tokenizer.get_vocab_size())


def has_tokenizer(folder: Path) -> bool:
    """Return whether a folder holds a tokenizer's files."""
    return any((folder / name).is_file() for name in FILES)


def _tokenizer_files(folder: Path) -> tuple[Path, ...]:
    """Return the files that a folder's tokenizer is read from; raise WeightsError if there are none."""
    name = next((name for name in FILES if (folder / name).is_file()), None)
    if name is None:
        raise WeightsError(f"{folder}: no tokenizer in this folder", hint=f"expected {' or '.join(FILES)}")
    return tuple(path for path in (folder / name, folder / "tokenizer_config.json") if path.is_file())


def _read(folder: Path) -> Tokenizer:
    source, *configurations = _tokenizer_files(folder)
    try:
        with panics_as_errors():
            tokenizer = _made(source, configurations)
    except WeightsError:
        raise
    except Exception as error:  # the tokenizers library raises plain Exception
        raise WeightsError(f"{source}: not a tokenizer: {first_line(error)}", hint="download it again") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _made(source: Path, configurations: Sequence[Path]) -> Tokenizer:
    if source.name != "vocab.txt":
        return Tokenizer.from_file(str(source))
    lower = all(read_mapping(path).get("do_lower_case", True) for path in configurations)
    made: Tokenizer = BertWordPieceTokenizer(str(source), lowercase=lower)._tokenizer
    return made
