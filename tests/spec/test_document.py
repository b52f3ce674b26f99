"""YAML 1.2 with places; limits before anything large is built."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autolabel.errors import SpecError
from autolabel.spec.document import parse_document, read_document
from autolabel.spec.node import Node, Place, trace_node

BOMBS = {
    "alias": "a: &a [x, x, x, x, x, x, x, x, x]\n"
    + "".join(f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)),
    "alias_nested": "a: &a {k: v}\n"
    + "".join(
        f"b{i}: &b{i} {{x: *{'a' if i == 0 else f'b{i - 1}'}, y: *{'a' if i == 0 else f'b{i - 1}'}}}\n"
        for i in range(60)
    ),
    "aliases_many": "a: &a 1\nb: [" + "*a, " * 5000 + "]\n",
    "alias_of_large": "a: &a [" + "1, " * 60_000 + "]\nb: *a\n",
    "alias_itself": "a: &a [*a]\n",
    "alias_itself_in_map": "a: &a {b: {c: *a}}\n",
    "alias_key": "&a ? *a\n: 1\n",
    "merge_itself": "a: &a {<<: *a}\n",
    "merge_chain": "a0: &a0 {k: v}\n"
    + "".join(f"a{i}: &a{i} {{<<: [*a{i - 1}, *a{i - 1}], k{i}: v}}\n" for i in range(1, 100)),
    "deep_flow": "[" * 5000,
    "deep_flow_closed": "a: " + "[" * 400_000 + "]" * 400_000,
    "deep_braces": "{" * 500_000,
    "deep_pairs": "{a: " * 100_000,
    "deep_dashes": "- " * 5000,
    "deep_keys": "? " * 100_000,
    "deep_indent": "\n".join(" " * i + "a:" for i in range(1300)),
    "wide": "a: [" + "1, " * 300_000 + "]\n",
    "wide_keys": "".join(f"k{i}: 1\n" for i in range(101_000))[:999_000],
    "long_integer": "a: " + "9" * 900_000,
    "long_float": "a: 1" + "0" * 900_000 + ".0",
    "long_hex": "a: 0x" + "f" * 900_000,
    "long_exponent": "a: 1e" + "9" * 900_000,
    "large": "a: " + "x" * 1_100_000,
    "documents": "---\na: 1\n" * 90_000,
    "tags": "a: " + "!x " * 300_000,
    "quotes": '"' * 900_000,
    "anchors": "".join(f"- &a{i} x\n" for i in range(70_000)) + "- *a",
    "same_key": "a: 1\n" * 90_000,
}


def loaded(text: str) -> Node:
    return parse_document(text, lambda mark: Place("spec.yaml", mark.line + 1, mark.column + 1))


def written(folder: Path, data: bytes) -> Path:
    path = folder / "spec.yaml"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_refused_at_once(name: str, tmp_path: Path, calls: Any) -> None:
    """The work is counted, not timed: some five calls for each of the 50,000 values that a text may have."""
    path = written(tmp_path, BOMBS[name].encode())
    with pytest.raises(SpecError) as caught, calls:
        read_document(path)
    assert calls.made < 400_000
    assert len(caught.value.problems) <= 101
    assert len(str(caught.value)) < 20_000


def test_scalars_follow_yaml_1_2() -> None:
    text = "[no, yes, on, 010, 0o10, 0x1F, +7, 1e3, .5, 1_000, 12:30, null, ~, , 'null', \"1\", true, False, 1.0, -0]"
    expected = ["no", "yes", "on", 10, 8, 31, 7, 1000.0, 0.5, "1_000", "12:30", None, None]
    assert loaded(text.replace(", ,", ",")).plain() == [*expected, "null", "1", True, False, 1.0, 0]


def test_keys_are_words_whatever_they_look_like() -> None:
    assert loaded("no: 1\n010: 2\nnull: 3\ntrue: 4\n").plain() == {"no": 1, "010": 2, "null": 3, "true": 4}


def test_a_place_is_where_the_entry_begins() -> None:
    root = loaded("a:\n  - b: 1\n    'c': &x {d: 2}\n  - *x\n")
    assert trace_node(root, ("a", 0, "c", "d"))[0] == Place("spec.yaml", 3, 14)
    assert trace_node(root, ("a", 0, "c"))[0] == Place("spec.yaml", 3, 5)
    assert trace_node(root, ("a", 1))[0] == Place("spec.yaml", 4, 5)
    assert trace_node(root, ("a", 1, "d"))[0] == Place("spec.yaml", 3, 14), "inside an alias: where it was written"


def test_columns_count_characters_not_bytes() -> None:
    assert trace_node(loaded("{größe😀: 1, b: 2}"), ("b",))[0].column == 13


def test_merge_gives_way_to_what_is_written() -> None:
    text = "a: &a {x: 1, y: 1}\nb: &b {y: 2, z: 2}\nc: {<<: [*a, *b], x: 3}\n"
    plain = loaded(text).plain()
    assert isinstance(plain, dict)
    assert plain["c"] == {"x": 3, "y": 1, "z": 2}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the file is empty"),
        (b"version: 1\nname: caf\xe9\n", "spec.yaml:2:10: byte 0xe9 is not UTF-8"),
        ("version: 1".encode("utf-16"), "spec.yaml:1:1: byte 0xff is not UTF-8"),
        (b"a: \x00", r"spec.yaml:1:4: the character '\x00' is not allowed"),
        (b"x" * 1_000_001, "is larger than 1,000,000 bytes"),
    ],
)
def test_bytes_that_are_no_spec(data: bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(SpecError) as caught:
        read_document(written(tmp_path, data))
    assert message in str(caught.value)


def test_a_byte_order_mark_is_no_text(tmp_path: Path) -> None:
    assert read_document(written(tmp_path, b"\xef\xbb\xbfversion: 1\r\n")).plain() == {"version": 1}


def test_paths_that_are_no_file(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    for path, message in (
        (tmp_path, "is a folder, wanted a spec file"),
        (tmp_path / "none.yaml", "cannot be read: no such file or directory"),
        (tmp_path / "none" / "x.yaml", "cannot be read: no such file or directory"),
        (fifo, "is not a regular file"),
        (Path("nul\0.yaml"), "cannot be read: the path has a null character"),
        (Path("x" * 300), "cannot be read: file name too long"),
    ):
        with pytest.raises(SpecError) as caught:
            read_document(path)
        assert str(caught.value) == f"{path}: {message}"


PIECES = ["a: ", "b", "- ", "\n", "  ", "[", "]", "{", "}", "&x ", "*x", "!t ", "'", '"', "#", "|\n", "<<: ", "1", ", "]
PIECES += ["null", "---\n", "? ", ": "]
ANY_TEXT = st.one_of(
    st.text(),
    st.text(alphabet="abc:-?[]{},&*!|>'\"%@`#~<> \n\t0189.eExXinf=\\"),
    st.lists(st.sampled_from(PIECES)).map("".join),
)


def only_spec_errors(text: str) -> None:
    try:
        node = loaded(text)
    except SpecError as error:
        assert error.problems
        assert all(problem.line > 0 and problem.message for problem in error.problems)
    else:
        node.plain()


@settings(max_examples=200, deadline=None)
@given(ANY_TEXT)
def test_random_text_raises_only_spec_errors(text: str) -> None:
    only_spec_errors(text)


@pytest.mark.soak
@settings(max_examples=2000, deadline=None)
@given(ANY_TEXT)
def test_much_random_text_raises_only_spec_errors(text: str) -> None:
    only_spec_errors(text)
