"""Splits by the hash of an image's id."""

from __future__ import annotations

from collections import Counter

import pytest

from autolabel.data.split import split_of

FRACTIONS = {"train": 0.7, "val": 0.2, "test": 0.1}


def test_parts_have_the_stated_shares() -> None:
    counts = Counter(split_of(f"folder/{n}.jpg", fractions=FRACTIONS, seed=3) for n in range(20_000))
    assert counts["train"] / 20_000 == pytest.approx(0.7, abs=0.012)
    assert counts["val"] / 20_000 == pytest.approx(0.2, abs=0.012)
    assert counts["test"] / 20_000 == pytest.approx(0.1, abs=0.012)


def test_an_image_keeps_its_part_for_ever() -> None:
    names = ["a.jpg", "b/c.png", "é\n.jpg", "\udcff.jpg", ""]
    assert [split_of(name, fractions=FRACTIONS, seed=0) for name in names] == [
        "train",
        "val",
        "train",
        "train",
        "train",
    ]


def test_the_seed_deals_anew() -> None:
    names = [f"{n}.jpg" for n in range(200)]
    assert [split_of(n, fractions=FRACTIONS, seed=1) for n in names] != [
        split_of(n, fractions=FRACTIONS, seed=2) for n in names
    ]


def test_parts_of_one_and_of_nothing() -> None:
    assert {split_of(f"{n}", fractions={"none": 0.0, "all": 1.0}) for n in range(500)} == {"all"}


@pytest.mark.parametrize("fractions", [{}, {"train": 0.5}, {"train": 1.5, "val": -0.5}])
def test_shares_that_do_not_add_up_are_refused(fractions: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="add up to 1"):
        split_of("a.jpg", fractions=fractions)
