"""Captions: each phrase owns an exact span of tokens, and nothing is cut."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import BertWordPieceTokenizer

from autolabel.errors import ImageError, WeightsError
from autolabel_labeling.caption import Caption, build_captions
from autolabel_labeling.tokenizer import BERT_BASE, CLS, SEP, SEPARATORS, STOP, PhraseTokenizer

TOKENIZER = PhraseTokenizer(BERT_BASE)
WORDS = BERT_BASE.joinpath("vocab.txt").read_text("utf-8").splitlines()
FIXTURES = {"car", "cargo truck", "man", "woman", "person", "person on bike", "scar", "traffic light", "light"}


def ask(*phrases: str, limit: int = 256) -> tuple[Caption, ...]:
    return build_captions(phrases, TOKENIZER, limit=limit)


def owned(captions: tuple[Caption, ...], phrases: tuple[str, ...]) -> dict[str, list[tuple[int, ...]]]:
    """Return, for each phrase, the tokens of every span that it owns."""
    result: dict[str, list[tuple[int, ...]]] = {phrase: [] for phrase in phrases}
    for caption in captions:
        for (start, stop), labels in zip(caption.spans, caption.labels, strict=True):
            for label in labels:
                result[phrases[label]].append(caption.ids[start:stop])
    return result


def check_shape(caption: Caption, limit: int) -> None:
    """Check that a caption is [CLS] phrase . phrase . [SEP], with nothing between its spans but "."."""
    assert caption.ids[0] == CLS
    assert caption.ids[-2:] == (STOP, SEP)
    assert len(caption.ids) <= limit
    position = 1
    for start, stop in caption.spans:
        assert position == start < stop
        assert not set(caption.ids[start:stop]) & set(SEPARATORS.values())
        assert caption.ids[stop] == STOP
        position = stop + 1
    assert position == len(caption.ids) - 1


def test_words_inside_words_keep_apart() -> None:
    phrases = tuple(sorted(FIXTURES))
    (caption,) = ask(*phrases)
    check_shape(caption, 256)
    for phrase, spans in owned((caption,), phrases).items():
        assert spans == [TOKENIZER.ids(phrase)]


def test_the_tokens_are_those_of_the_whole_text() -> None:
    phrases = ("Traffic Light", "café au lait", "t-shirt", "man's hat")
    (caption,) = ask(*phrases)
    reference = BertWordPieceTokenizer(str(BERT_BASE / "vocab.txt"), lowercase=True)
    ordered = sorted(phrases, key=TOKENIZER.ids)
    assert list(caption.ids) == reference.encode(" . ".join(ordered) + " .").ids


@pytest.mark.parametrize(
    ("phrase", "same"),
    [
        ("U.S. flag", "u s flag"),
        ("what?", "what"),
        ("a . b", "a b"),
        ("[SEP] cat [CLS]", "cat"),
        ("[MASK] dog [PAD]", "dog"),
        ("  CAT\n", "cat"),
    ],
)
def test_what_would_split_a_phrase_is_left_out(phrase: str, same: str) -> None:
    assert TOKENIZER.ids(phrase) == TOKENIZER.ids(same) != ()


def test_the_order_of_phrases_does_not_matter() -> None:
    phrases = tuple(sorted(FIXTURES))
    backwards = phrases[::-1]
    one, other = ask(*phrases), ask(*backwards)
    assert [caption.ids for caption in one] == [caption.ids for caption in other]
    assert owned(one, phrases) == owned(other, backwards)


def test_phrases_that_read_the_same_share_a_span() -> None:
    (caption,) = ask("Car", "dog", "car", "car.")
    assert len(caption.spans) == 2
    assert sorted(caption.labels) == [(0, 2, 3), (1,)]


def test_no_phrases_make_no_caption() -> None:
    assert ask() == ()


@pytest.mark.parametrize("phrase", ["", "   ", ".", "...?", "[SEP]"])
def test_an_empty_phrase_is_refused(phrase: str) -> None:
    with pytest.raises(ImageError, match="contains nothing that the model can read") as error:
        ask("cat", phrase)
    assert error.value.code == "phrase_empty"


def test_a_phrase_too_long_for_a_caption_is_refused_and_one_that_fits_is_not() -> None:
    (caption,) = ask(" ".join(["cat"] * 253))
    assert len(caption.ids) == 256
    with pytest.raises(ImageError, match="has 254 tokens, at most 253 fit in one caption") as error:
        ask("dog", " ".join(["cat"] * 254))
    assert error.value.code == "phrase_too_long"


def thousand_names() -> tuple[str, ...]:
    """Return 1,203 names as LVIS has them: words, several words, parts in brackets."""
    chooser = random.Random(7)
    words = [word for word in WORDS if word.isalpha() and len(word) > 2]
    names: set[str] = set()
    while len(names) < 1203:
        name = "_".join(chooser.sample(words, chooser.choice((1, 1, 2, 3))))
        names.add(f"{name}_({chooser.choice(words)})" if chooser.random() < 0.2 else name)
    return tuple(sorted(names, key=lambda name: chooser.random()))


def test_1203_names_each_get_exactly_one_span() -> None:
    names = thousand_names()
    captions = ask(*names)
    assert len(captions) > 10
    for caption in captions:
        check_shape(caption, 256)
    for name, spans in owned(captions, names).items():
        assert spans == [TOKENIZER.ids(name)]
    full = [len(caption.ids) for caption in captions[:-1]]
    assert min(full) > 200


@settings(max_examples=150, deadline=None)
@given(st.lists(st.text(max_size=25), unique=True, max_size=30), st.integers(8, 40))
def test_any_phrases_get_exact_spans_or_a_clear_refusal(phrases: list[str], limit: int) -> None:
    try:
        captions = ask(*phrases, limit=limit)
    except ImageError as error:
        assert error.code in {"phrase_empty", "phrase_too_long"}
        worst = [TOKENIZER.ids(phrase) for phrase in phrases]
        assert any(not ids or len(ids) > limit - 3 for ids in worst)
        return
    for caption in captions:
        check_shape(caption, limit)
    for phrase, spans in owned(captions, tuple(phrases)).items():
        assert spans == [TOKENIZER.ids(phrase)]


def test_a_tokenizer_with_other_separators_is_refused(tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", "?", "cat"]))
    with pytest.raises(WeightsError, match=r"gives '\[CLS\]' the id 2, the network needs 101"):
        PhraseTokenizer(tmp_path)


def test_a_folder_without_tokenizer_and_a_broken_one_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no tokenizer in this folder"):
        PhraseTokenizer(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(WeightsError, match="not a tokenizer"):
        PhraseTokenizer(tmp_path)


def test_a_cased_vocabulary_keeps_case(tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_text("\n".join(WORDS))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": False}))
    assert PhraseTokenizer(tmp_path).ids("Cat") != TOKENIZER.ids("cat") == PhraseTokenizer(tmp_path).ids("cat")
