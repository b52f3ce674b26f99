"""One random folder a model for all tests of the labelers from transformers."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_models import mm_folder, owlv2_folder


@pytest.fixture(scope="session")
def owlv2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a random OWLv2's folder."""
    return owlv2_folder(tmp_path_factory.mktemp("owlv2"))


@pytest.fixture(scope="session")
def mm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a random MM-Grounding-DINO's folder."""
    return mm_folder(tmp_path_factory.mktemp("mm"))
