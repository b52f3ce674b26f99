"""Every built-in strategy is held to the contract that the checks state."""

from __future__ import annotations

import re
from pathlib import Path

from autolabel.registry import Registry
from autolabel.strategies import Captioner, Detector, Referrer, Segmenter, Verifier

TESTS = Path(__file__).resolve().parents[1]
OWN = "autolabel-vision"


def test_every_built_in_strategy_is_checked(registry: Registry) -> None:
    sources = [path.read_text(encoding="utf-8") for path in TESTS.rglob("test_*.py") if path.parent.name != "testing"]
    ours = [entry for entry in registry if entry.package == OWN and entry.kind != "exporter"]  # one test has them all
    assert len(ours) >= 10
    for entry in ours:
        kind: str = entry.kind
        if kind == "labeler":
            bases = {
                "detector": Detector,
                "segmenter": Segmenter,
                "verifier": Verifier,
                "captioner": Captioner,
                "referrer": Referrer,
            }
            kind = next(name for name, one in bases.items() if issubclass(entry.strategy, one))
        named = re.compile(rf"\b{entry.strategy.__name__}\b")
        checked = any(f"check_{kind}(" in source and named.search(source) for source in sources)
        assert checked, f"no test calls check_{kind} for {entry.name}"
