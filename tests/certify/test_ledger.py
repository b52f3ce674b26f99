"""Bounds that can be counted by hand: exactness, edges, and that more checks never loosen them."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autolabel.certify.audit import Audit, Bounds, ceil_of, default_cap
from autolabel.certify.forecast import faultless_draws, more_draws
from autolabel.certify.ledger import MONEY, STAKES, SampledTotals, exceeds, least, wealth

MANY = 10**9


@pytest.mark.parametrize(("share", "draws"), [(0.8, 18), (0.9, 37), (0.95, 76), (0.98, 192), (0.99, 385)])
def test_faultless_draws(share: float, draws: int) -> None:
    """With nothing wrong so many boxes certify a precision (Clopper and Pearson, at one look: 14, 29, 59, 149, 299)."""
    assert faultless_draws(MANY, ceil_of(share * MANY) - 1, 0.05) == draws
    ledger = SampledTotals(MANY)
    for _ in range(draws - 1):
        ledger.draw(1)
    assert not exceeds(ledger, ceil_of(share * MANY) - 1, 0.05)
    ledger.draw(1)
    assert exceeds(ledger, ceil_of(share * MANY) - 1, 0.05)


def test_no_gambler_gains_on_average_where_the_claim_is_true() -> None:
    """The proof's one step, in exact fractions: over an even draw from the rest, no factor has a mean above 1."""
    values = [0, 0, 1, 1, 1, 3]
    total, left = sum(values), len(values)
    mean = Fraction(total, left)
    for stake in (Fraction(1, 20), Fraction(1, 2), Fraction(1)):
        assert sum((1 - stake + stake * value / mean for value in values), Fraction(0)) / left == 1
    assert np.exp(MONEY).sum() == pytest.approx(1) and STAKES.max() == 1


def test_everything_checked_is_exact() -> None:
    audit = Audit(7, 3, cap=5)
    audit.enter_boxes([True, True, False, True, True], drawn=True)
    audit.enter_boxes([True, True], drawn=False)
    audit.enter_images([0, 2], drawn=True)
    audit.enter_images([9], drawn=False)
    share = 6 / 7
    assert audit.precision() == Bounds(at_least=share, at_most=share, estimate=share, exact=True)
    assert audit.recall().at_least == audit.recall().at_most == 6 / (6 + 11), "all that is missed counts, without K"
    assert audit.complete().at_least == 1 / 3


def test_nothing_checked_states_nothing() -> None:
    for audit in (Audit(7, 3, cap=5), Audit(0, 0, cap=3), Audit(0, 4, cap=3)):
        assert audit.precision() == Bounds() and audit.recall() == Bounds() and audit.complete() == Bounds()


def test_edges() -> None:
    one = Audit(1, 1, cap=3)
    one.enter_boxes([False], drawn=True)
    one.enter_images([2], drawn=True)
    assert (one.precision().at_least, one.recall().at_least) == (0.0, 0.0)
    empty = Audit(0, 2, cap=3)
    empty.enter_images([0, 0], drawn=True)
    assert empty.precision() == Bounds() and empty.recall() == Bounds(exact=True), "no object: no recall"
    wrong = Audit(500, 9, cap=3)
    wrong.enter_boxes([False] * 100, drawn=True)
    at_most = wrong.precision().at_most
    assert wrong.precision().at_least == 0 and at_most is not None and at_most < 0.1
    wrong.enter_images([50] * 8, drawn=True)
    assert wrong.recall().at_least == 0, "all that is missed is beyond K, and counts as K"


def test_wrong_ones_prove_that_a_goal_is_out_of_reach() -> None:
    audit = Audit(2000, 0, cap=3)
    g = np.random.default_rng(1)
    audit.enter_boxes((g.random(600) < 0.8).tolist(), drawn=True)
    bounds = audit.precision()
    assert bounds.at_most is not None and bounds.at_most < 0.9
    assert more_draws(audit.right, audit.needed_right(0.9), 0.05) is None


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=60), st.integers(0, 40), st.sampled_from([0.01, 0.05, 0.2]))
def test_bounds_hold_their_place(values: list[int], more: int, risk: float) -> None:
    """A bound never loosens as draws are added, never passes what is left to be possible, and is tight."""
    ledger = SampledTotals(len(values) + more)
    before = 0
    for value in values:
        ledger.draw(value)
        bound = least(ledger, risk)
        assert before <= bound or ledger.complete
        assert ledger.known <= bound
        if bound > ledger.known and not ledger.complete:
            assert exceeds(ledger, bound - 1, risk) and not exceeds(ledger, bound, risk)
        before = bound
    assert wealth(ledger, ledger.known + 1).shape == (len(values),)


def test_forecasts_are_about_right() -> None:
    """Half of the forecasts after 100 boxes are within a factor of two; they are shown as rough."""
    hits = 0
    for seed in range(40):
        g, ledger = np.random.default_rng(seed), SampledTotals(20000)
        draws = (g.random(4000) < 0.95).astype(int).tolist()
        for value in draws[:100]:
            ledger.draw(value)
        total, foretold = 17999, more_draws(ledger, 17999, 0.05)
        count = 100
        while not exceeds(ledger, total, 0.05) and count < 4000:
            ledger.draw(draws[count])
            count += 1
        hits += foretold is not None and (count - 100) / 2 <= max(foretold, 1) <= max(2 * (count - 100), 2)
    assert hits >= 12


def test_the_cap_is_what_nine_images_of_ten_have() -> None:
    assert [default_cap(counts) for counts in ([], [1, 1], range(11), [0] * 9 + [50])] == [3, 3, 9, 5]
