"""Split phrases into the word pieces of CLIP's vocabulary, without torch."""

from __future__ import annotations

from pathlib import Path

from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers
from tokenizers.models import BPE

from autolabel.errors import WeightsError
from autolabel.strategies import Reading
from autolabel.weights import first_line, panics_as_errors

_START, _END = "<|startoftext|>", "<|endoftext|>"
_FIRST_FOREIGN = 0x250
"""The first letter after the Latin ones."""
_WORDS = r"""<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"""
"""Words that are split off before pieces are merged (openai/CLIP, simple_tokenizer.py)."""


class ClipTokenizer:
    """A folder's CLIP tokenizer: from tokenizer.json, else from vocab.json and merges.txt."""

    def __init__(self, folder: Path) -> None:
        self._tokenizer = _read(folder)
        self.start, self.end = (self._mark(word, folder) for word in (_START, _END))

    def _mark(self, word: str, folder: Path) -> int:
        token: int | None = self._tokenizer.token_to_id(word)
        if token is None:
            raise WeightsError(f"{folder}: its tokenizer does not know {word}: it is not CLIP's")
        return token

    def words(self, text: str) -> tuple[int, ...]:
        """Return the ids of a text, lower-cased; empty if no token remains.

        Start and end tokens inside the text are removed, so that a phrase cannot end the sentence.
        """
        with panics_as_errors():
            encoded = self._tokenizer.encode(text, add_special_tokens=False)
        return tuple(token for token in encoded.ids if token not in (self.start, self.end))

    def read(self, phrase: str) -> Reading:
        """Return how the model reads a phrase: its ids, and the characters that it reads only as bytes."""
        ids = self.words(phrase)
        foreign = dict.fromkeys(letter for letter in phrase if ord(letter) >= _FIRST_FOREIGN)
        unknown = tuple(letter for letter in foreign if len(self.words(letter)) >= len(letter.encode()))
        known = [letter for letter in phrase if letter.isalnum() and letter not in unknown]
        return Reading(ids, unknown=unknown, readable=bool(known))

    def sentence(self, text: str) -> tuple[int, ...]:
        """Return the ids of a text between start and end tokens."""
        return (self.start, *self.words(text), self.end)


def _read(folder: Path) -> Tokenizer:
    whole, vocabulary, merges = (folder / name for name in ("tokenizer.json", "vocab.json", "merges.txt"))
    if not whole.is_file() and not (vocabulary.is_file() and merges.is_file()):
        raise WeightsError(
            f"{folder}: no tokenizer in this folder", hint="expected tokenizer.json, or vocab.json and merges.txt"
        )
    try:
        with panics_as_errors():
            tokenizer = Tokenizer.from_file(str(whole)) if whole.is_file() else _assemble(vocabulary, merges)
    except Exception as error:  # the tokenizers library raises plain Exception
        raise WeightsError(f"{folder}: not a tokenizer: {first_line(error)}", hint="download it again") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _assemble(vocabulary: Path, merges: Path) -> Tokenizer:
    """Build CLIP's tokenizer from these two files, as transformers does."""
    model = BPE.from_file(
        str(vocabulary), str(merges), unk_token=_END, continuing_subword_prefix="", end_of_word_suffix="</w>"
    )
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_WORDS), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.add_special_tokens([_START, _END])
    return tokenizer
