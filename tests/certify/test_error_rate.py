"""A certificate is false at most as often as it says: looked at after every check, whoever meddles.

Bounds only ever tighten, so that one look at the end of a run sees every claim that was made on the way.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from autolabel.certify.audit import BOX_SHARE, Audit, default_cap
from autolabel.certify.evidence import DrawRound, replay
from autolabel.certify.ledger import SampledTotals, exceeds, least
from tests.certify.person import BOX, Person
from tests.certify.populations import KINDS, made, worsen

RISK = 0.05


def false_claims(kind: str, how: str, reps: int, *, meddling: bool, steps: int = 200) -> Any:
    """Return how often too many right, too many wrong, too few missed, and too much recall were ever claimed."""
    out = np.zeros(4)
    for seed in range(reps):
        run = made(kind, seed % 5)
        run = worsen(run, 0.9, 0.85, how, default_cap(run.boxes_by_image), seed)
        one, g = Person(run, seed), np.random.default_rng((seed, 2))
        for _ in range(steps):
            one.next_batch()
            if meddling and g.random() < 0.15:
                one.meddle(g)
        a = one.audit
        out += (
            exceeds(a.right, one.right, RISK),
            exceeds(a.wrong, a.boxes - one.right, RISK),
            exceeds(a.spare, a.cap * a.images - one.lost, RISK),
            too_much_recall(one),
        )
    return out / reps


def too_much_recall(one: Person) -> bool:
    """Tell whether more recall was ever claimed than is true: it takes a bound of its parts that is false."""
    a = one.audit
    spare = a.cap * a.images - one.lost
    if not (exceeds(a.right, one.right, RISK * BOX_SHARE) or exceeds(a.spare, spare, RISK * (1 - BOX_SHARE))):
        return False
    low = claimed(a.right, RISK * BOX_SHARE)
    return low / (low + a.cap * a.images - claimed(a.spare, RISK * (1 - BOX_SHARE))) > one.recall if low else False


def claimed(ledger: SampledTotals, risk: float) -> int:
    """Return the largest bound of all looks: one that is complete says what is true, whatever it said before."""
    return least(replace(ledger, size=ledger.size + 1), risk)


@pytest.mark.parametrize("meddling", [False, True])
@pytest.mark.parametrize("how", ["spread", "clump", "blank"])
def test_few_certificates_are_false(how: str, meddling: bool) -> None:
    """The small form: of 20 runs, 4 or more false ones happen once in 60 at 5 %; seeds are fixed."""
    assert (false_claims("tiny", how, 20, meddling=meddling, steps=12) <= 0.15).all()


@pytest.mark.soak
@pytest.mark.parametrize("meddling", [False, True])
@pytest.mark.parametrize("how", ["spread", "clump", "blank"])
@pytest.mark.parametrize("kind", ["tiny", "small", "typical", "failing", "near-duplicate", "sparse"])
def test_certificates_are_false_as_rarely_as_they_say(kind: str, how: str, meddling: bool) -> None:
    """5 % and 2.4 standard errors of 300 runs."""
    found = false_claims(kind, how, 300, meddling=meddling)
    print(f"false claims: {kind} {how} meddling={meddling}:", *found.round(3))  # noqa: T201
    assert (found <= 0.08).all()


@pytest.mark.soak
@pytest.mark.parametrize("size", [300, 1000, 3500, 21000])
@pytest.mark.parametrize("share", [0.8, 0.9, 0.95, 0.99])
def test_2500_plain_runs(size: int, share: float) -> None:
    """Draw up to 1,500 boxes of a run of which a share is right."""
    right, false = int(np.ceil(share * size)) - 1, 0
    for seed in range(2500):
        values = np.random.default_rng((seed, 1)).permutation(np.r_[np.ones(right, int), np.zeros(size - right, int)])
        ledger = SampledTotals(size)
        for value in values[: min(1500, size - 1)].tolist():
            ledger.draw(value)
        false += exceeds(ledger, right, RISK)
    print(f"false claims: {size} boxes, {share}: {false / 2500:.3f}")  # noqa: T201
    assert false / 2500 <= 0.06


def boxes_of(seed: int, *, size: int = 1000, share: float = 0.9) -> tuple[Any, Any, int]:
    """Return who is right, an order, and how many are right: just below the wanted share."""
    g = np.random.default_rng((seed, 1))
    right = int(np.ceil(share * size)) - 1
    return g.permutation(np.r_[np.ones(right, int), np.zeros(size - right, int)]), g.permutation(size), right


def ever_false(rounds: list[DrawRound], answers: dict[int, int], right: int, *, size: int = 1000) -> bool:
    """Tell whether the bound claims too many right boxes."""
    audit = Audit(size, 0, cap=1)
    for drawn, values in replay(rounds, answers):
        audit.enter_boxes(map(bool, values), drawn=drawn)
    return exceeds(audit.right, right, RISK)


def rejections_first(seed: int) -> bool:
    """Rule a: of 300 shown boxes the wrong ones are answered first, the right ones later; a look after each answer."""
    truth, order, right = boxes_of(seed)
    shown = order[:300].tolist()
    rounds = [DrawRound(frozenset(), order, 300)]
    answers: dict[int, int] = {}
    for value in (0, 1):
        for number, unit in enumerate([unit for unit in shown if truth[unit] == value]):
            answers[unit] = value
            if number % 20 == 0 and ever_false(rounds, answers, right):
                return True
    return ever_false(rounds, answers, right)


def many_rounds(seed: int) -> bool:
    """Rule b: fourteen rounds of 30 boxes, with knowing choices between them."""
    truth, _, right = boxes_of(seed)
    g = np.random.default_rng((seed, 2))
    answers: dict[int, int] = {}
    rounds: list[DrawRound] = []
    for _ in range(14):
        left = [unit for unit in range(1000) if unit not in answers]
        sign = g.choice([-1, 1])
        answers |= {unit: int(truth[unit]) for unit in sorted(left, key=lambda unit: sign * truth[unit])[:10]}
        known = frozenset(answers)
        order = g.permutation([unit for unit in range(1000) if unit not in known])
        rounds.append(DrawRound(known, order, 30))
        answers |= {unit: int(truth[unit]) for unit in order[:30].tolist()}
    return ever_false(rounds, answers, right)


def stop_before_the_next_wrong(seed: int) -> bool:
    """Rule c: answering until the next would be wrong, then stopping."""
    truth, order, right = boxes_of(seed)
    drawn = order.tolist()
    answers: dict[int, int] = {}
    for number, unit in enumerate(drawn[:-1]):
        answers[unit] = int(truth[unit])
        if number >= 40 and not truth[drawn[number + 1]]:
            break
    return ever_false([DrawRound(frozenset(), order, len(answers))], answers, right)


def a_class_beyond_the_rest(seed: int) -> bool:
    """Rule d: a fifth of the boxes, of one class, is asked beyond the rest; the statement is about all."""
    truth, order, right = boxes_of(seed)
    of_class = np.random.default_rng((seed, 3)).random(1000) < 0.2
    asked = [*order[:150].tolist(), *order[of_class[order]][:100].tolist()]
    answers = {unit: int(truth[unit]) for unit in asked}
    first = DrawRound(frozenset(), order, 150)
    second = DrawRound(
        frozenset(answers),
        np.random.default_rng((seed, 4)).permutation([unit for unit in range(1000) if unit not in answers]),
        100,
    )
    answers |= {unit: int(truth[unit]) for unit in second.order[:100].tolist()}
    return ever_false([first, second], answers, right)


RULES = [rejections_first, many_rounds, stop_before_the_next_wrong, a_class_beyond_the_rest]


@pytest.mark.parametrize("rule", RULES)
def test_rules_hold_in_a_few_runs(rule: Any) -> None:
    assert sum(rule(seed) for seed in range(20)) <= 3


@pytest.mark.soak
@pytest.mark.parametrize("rule", RULES)
def test_rules_hold(rule: Any) -> None:
    found = sum(rule(seed) for seed in range(500)) / 500
    print(f"false claims: {rule.__name__}: {found:.3f}")  # noqa: T201
    assert found <= 0.08


def test_rejections_as_known_and_confirmations_as_evidence_would_be_false_always() -> None:
    """What the rules prevent: the same answers, with the wrong boxes taken for choices."""
    for seed in range(10):
        truth, order, right = boxes_of(seed)
        audit = Audit(1000, 0, cap=1)
        audit.enter_boxes([False] * int((truth[order[:600]] == 0).sum()), drawn=False)
        audit.enter_boxes([True] * int((truth[order[:600]] == 1).sum()), drawn=True)
        assert least(audit.right, RISK) > right


def test_a_round_with_an_open_unit_is_refused() -> None:
    rounds = [DrawRound(frozenset(), np.arange(9), 3), DrawRound(frozenset({0, 1}), np.arange(2, 9), 0)]
    with pytest.raises(ValueError, match="1 shown units had no answer"):
        list(replay(rounds, {0: 1, 1: 1}))


def test_every_kind_of_run_is_made() -> None:
    assert all(len(made(kind, 0).right) > 100 for kind in KINDS)
    assert BOX == 0
