"""Text never becomes markup."""

import base64
import hashlib
import html
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autolabel.report.markup import Html, csp_hash, element, embed, escape_html, shorten

TEXT = st.text(st.characters(exclude_categories=["Cs"]))


@given(TEXT)
def test_escaped_text_reads_back_and_has_no_markup(text: str) -> None:
    written = escape_html(text)
    assert html.unescape(written) == html.unescape(html.escape(text)) == text
    assert not set(written) & set("<>\"'")


def test_markup_passes_unchanged() -> None:
    assert escape_html(Html("<b>x</b>")) == "<b>x</b>"
    assert element("p", Html("<b>x</b>"), "<i>") == "<p><b>x</b>&lt;i&gt;</p>"


def test_attributes_are_quoted_renamed_left_out() -> None:
    written = element("a", "x", class_='"><b', aria_label="a&b", hidden=True, title=None, open=False, y=0)
    assert written == '<a class="&quot;&gt;&lt;b" aria-label="a&amp;b" hidden y="0">x</a>'


@given(st.recursive(TEXT | st.integers() | st.none(), lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner)))
def test_embedded_json_reads_back_and_is_plain_ascii_without_markup(value: object) -> None:
    written = embed(value)
    assert json.loads(written) == value
    assert written.isascii()
    assert not set(written) & set("<>&")


def test_embedded_json_has_no_separators_that_end_a_line() -> None:
    assert embed("\u2028\u2029</script>") == '"\\u2028\\u2029\\u003c/script\\u003e"'


def test_numbers_that_json_does_not_know_are_refused() -> None:
    with pytest.raises(ValueError):
        embed([float("nan")])


def test_hash_is_that_of_the_text() -> None:
    assert csp_hash("a{}") == "sha256-" + base64.b64encode(hashlib.sha256(b"a{}").digest()).decode()


def test_long_text_is_cut() -> None:
    assert shorten("abcdef", 4) == "abc…"
    assert shorten("abcd", 4) == "abcd"
