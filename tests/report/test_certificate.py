"""The certificate's section of the report."""

from __future__ import annotations

from pathlib import Path

import pytest

from autolabel.certify.audit import Audit
from autolabel.certify.goals import complete_stated, precision_stated, recall_stated
from autolabel.certify.statement import (
    AfterReview,
    BoxCounts,
    Certificate,
    Crowded,
    ImageCounts,
    Minutes,
)
from autolabel.report.write import write_report
from tests.report.rows import make_plan, make_row


@pytest.fixture
def certificate() -> Certificate:
    """Half of the boxes and images of a run are checked; an image of an evil name lacks more than K."""
    audit = Audit(100, 40, cap=3)
    audit.enter_boxes([True] * 48 + [False] * 2, drawn=True)
    audit.enter_images([0] * 19 + [7], drawn=True)
    counts = {"drawn": 50, "known": 0, "waiting": 0}
    return Certificate(
        version=1,
        holds=True,
        changes=None,
        certified=False,
        sentence="At least 88 % of <b>something</b>.",
        confidence=0.95,
        K=3,
        precision=precision_stated(audit, 0.9),
        recall=recall_stated(audit, 0.8),
        complete=complete_stated(audit),
        after_review=AfterReview(removed=2, added=3, precision_at_least=0.9123, recall_at_least=0.7),
        checked=70,
        units=140,
        boxes=BoxCounts(units=100, checked=50, right=48, wrong=2, cannot_tell=0, **counts),
        images=ImageCounts(
            units=40,
            checked=20,
            missed=7,
            cannot_tell=0,
            beyond_K=(Crowded("<script>.png", 7),),
            unreadable=1,
            **counts,
        ),
        classes=(),
        disagreements=(),
        minutes=Minutes(spent=3.2, left=None),
        plan="p",
        population="q",
        seed="s",
        rounds=1,
        audits=1,
        thresholds={},
    )


def test_the_section_says_what_is_stated(tmp_path: Path, certificate: Certificate) -> None:
    page = write_report([make_row("a.jpg", [])], make_plan(), tmp_path, certificate=certificate).read_text()
    assert 'href="#certificate"' in page and 'id="certificate-title"' in page
    assert "At least 88 % of &lt;b&gt;something&lt;/b&gt;." in page
    assert "&lt;script&gt;.png (7)" in page and "<script>.png" not in page
    assert "precision is at least 91.2 %" in page and "50 of 100 boxes" in page
    low = certificate.precision.at_least
    assert low is not None and f"{int(low * 1000) / 10:g} %" in page


def test_no_section_without_one(tmp_path: Path) -> None:
    assert 'id="certificate-title"' not in write_report([make_row("a.jpg", [])], make_plan(), tmp_path).read_text()
