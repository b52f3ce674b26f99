"""The lamps of these tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.phrases.lamps import draw


@pytest.fixture
def folder(tmp_path: Path, example_path: str) -> Path:
    """A folder with photos, ``truth.json`` and ``spec.yaml``."""
    draw(tmp_path)
    return tmp_path
