"""Lines beyond memory: kept whole, walked at will, sorted as ``sorted`` does."""

from __future__ import annotations

from itertools import chain
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autolabel import external_sort as module
from autolabel.errors import MachineError
from autolabel.external_sort import SpooledLines, sort_lines

Lines = st.lists(st.binary(max_size=12).map(lambda text: text.replace(b"\n", b"_")), max_size=60)


@given(Lines, st.sampled_from([1, 3, 1 << 20]))
def test_lines_come_back_in_order_however_they_are_stored(lines: list[bytes], block: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BLOCK", block)
        patch.setattr(module, "IN_MEMORY", 10)
        spool = SpooledLines()
        half = len(lines) // 2
        assert spool.extend(lines[:half]) == (0, spool.size)
        for line in lines[half:]:
            spool.add(line)
        assert list(spool) == list(spool) == lines
        assert b"".join(spool.text()) == b"".join(line + b"\n" for line in lines)
        walks = list(chain.from_iterable(zip(spool, spool, strict=True)))
        assert walks == [line for line in lines for _ in range(2)]


@given(Lines, st.sampled_from([1, 200, 1000, 1 << 20]))
def test_sorting_is_stable_whatever_the_memory(lines: list[bytes], memory: int) -> None:
    assert list(sort_lines(lines, key=len, memory=memory)) == sorted(lines, key=len)
    assert list(sort_lines(lines, key=bytes, memory=memory)) == sorted(lines)


def test_a_spool_that_takes_lines_out_of_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK", 7)
    spool = SpooledLines()
    spool.extend([b"%d" % number for number in range(3000)])
    start, end = spool.extend(spool.lines(0, spool.size))
    assert list(spool.lines(start, end)) == list(spool.lines(0, start))


def test_a_full_temporary_folder_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "IN_MEMORY", 1)
    spool = SpooledLines()
    spool.file.close()
    spool.file = Path("/dev/full").open("r+b", buffering=0)  # type: ignore[assignment]  # noqa: SIM115
    with pytest.raises(MachineError, match=r"cannot be written: No space left on device\n  hint: .*TMPDIR.*resumes"):
        spool.add(b"line")
