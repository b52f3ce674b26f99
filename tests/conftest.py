"""What every test can use: the free example labeler, and folders of made-up pictures."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from autolabel.registry import Registry, discover, register

ROOT = Path(__file__).resolve().parents[1]
COLORS = ROOT / "docs" / "examples" / "autolabel-colors" / "src"
sys.path.insert(0, str(COLORS))


@pytest.fixture(scope="session")
def registry() -> Registry:
    """The built-in strategies and those of the example package."""
    import autolabel_colors

    found = discover()
    if ("labeler", "colors") not in found.entries:
        register(found, autolabel_colors, package="autolabel-colors", version="0")
    return found
