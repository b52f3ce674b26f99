"""Reading captions: every fault by its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from autolabel.data.captions import read_captions
from autolabel.errors import DataError

GOOD = '{"file_name": "a.jpg", "caption": "a cat", "noun_chunks": ["cat", "cat", " dog "]}'


def write(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "chunks.jsonl"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_phrases_are_distinct_and_in_order(tmp_path: Path) -> None:
    [caption] = list(read_captions(write(tmp_path, f"\n{GOOD}\n\n")))
    assert caption.phrases == ("cat", "dog")
    assert (caption.image, caption.caption) == ("a.jpg", "a cat")


def test_a_caption_without_phrases_is_split(tmp_path: Path) -> None:
    lines = [
        '{"file_name": "a.jpg", "caption": "a cat on a mat"}',
        '{"file_name": "b.jpg", "caption": "a cat on a mat", "noun_chunks": ["mat"]}',
        '{"file_name": "c.jpg", "caption": "a cat on a mat", "noun_chunks": []}',
        '{"file_name": "d.jpg", "caption": "", "noun_chunks": null}',
    ]
    captions = list(read_captions(write(tmp_path, "\n".join(lines))))
    assert [caption.phrases for caption in captions] == [("cat", "mat"), ("mat",), (), ()]
    assert captions[0].caption == "a cat on a mat"


BAD: list[tuple[str | bytes, str]] = [
    ("", "holds no captions"),
    ("   \n\n", "holds no captions"),
    ("not json", ":1:1: is not JSON"),
    ("[1, 2]", ":1:1: must be an object, got list"),
    ("null", ":1:1: must be an object, got NoneType"),
    ('{"noun_chunks": ["a"]}', ":1:1: /file_name: must be the name of an image, got None"),
    ('{"file_name": "", "noun_chunks": ["a"]}', ":1:1: /file_name: must be the name of an image, got ''"),
    ('{"file_name": 3, "noun_chunks": ["a"]}', ":1:1: /file_name: must be the name of an image, got 3"),
    ('{"file_name": "a.jpg"}', ":1:1: /noun_chunks: must be a list of phrases, got None"),
    ('{"file_name": "a.jpg", "noun_chunks": "cat"}', ":1:1: /noun_chunks: must be a list of phrases, got 'cat'"),
    ('{"file_name": "a.jpg", "noun_chunks": {"a": 1}}', ":1:1: /noun_chunks: must be a list of phrases"),
    ('{"file_name": "a.jpg", "noun_chunks": ["a", 1]}', ":1:1: /noun_chunks/1: must be a phrase, got 1"),
    ('{"file_name": "a.jpg", "noun_chunks": ["a", "  "]}', ":1:1: /noun_chunks/1: must be a phrase, got '  '"),
    ('{"file_name": "a.jpg", "noun_chunks": [null]}', ":1:1: /noun_chunks/0: must be a phrase, got None"),
    ('{"file_name": "a.jpg", "caption": 4, "noun_chunks": ["a"]}', ":1:1: /caption: must be text, got 4"),
    (GOOD[:-5], ":1:1: is not JSON"),
    ("[" * 5000, ":1:1: is not JSON"),
    (GOOD.encode() + b"\n\xff\xfe", "is not UTF-8 text"),
    ('{"file_name": "a.jpg", "noun_chunks": ["a"]} trailing', ":1:1: is not JSON"),
    ("{'file_name': 'a.jpg'}", ":1:1: is not JSON"),
    ('{"file_name": "\\ud800.jpg", "noun_chunks": ["a"]}', ":1:1: has half of a surrogate pair"),
    ('{"file_name": "a.jpg", "noun_chunks": ["\\uDFFF"]}', ":1:1: has half of a surrogate pair"),
    ('{"file_name": "a.jpg", "noun_chunks": [' + "9" * 5000 + "]}", ":1:1: is not JSON"),
]


@pytest.mark.parametrize(("text", "message"), BAD)
def test_faults_name_their_line(tmp_path: Path, text: str | bytes, message: str) -> None:
    with pytest.raises(DataError) as caught:
        read_captions(write(tmp_path, text))
    assert message in str(caught.value)
    assert "chunks.jsonl" in str(caught.value)


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        read_captions(write(tmp_path, "{}\n\nnull\n"))
    assert [problem.line for problem in caught.value.problems] == [1, 3]


def test_a_line_that_is_wrong_fails_its_image_or_is_left_out_and_costs_no_other(tmp_path: Path) -> None:
    bad = ['{"file_name": "b.jpg", "noun_chunks": "cat"}', "not json", '{"noun_chunks": ["a"]}', GOOD[:-5]]
    captions = read_captions(write(tmp_path, "\n".join([GOOD, *bad, GOOD.replace("a.jpg", "c.jpg")])))
    assert [(one.image, bool(one.code)) for one in captions] == [
        ("a.jpg", False),
        ("b.jpg", True),
        ("c.jpg", False),
    ]
    assert captions.usable[1].message == "line 2: /noun_chunks: must be a list of phrases, got 'cat'"
    (note,) = captions.notes()
    assert "3 lines are left out: line 3: is not JSON" in note and "line 4: must be the name" in note


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_captions(tmp_path / "none.jsonl")
