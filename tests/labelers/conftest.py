"""One random folder a model for all tests of the labelers from transformers."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.labelers.tiny_models import mm_folder, omdet_folder, owlv2_folder, sam2_folder, sam3_folder, sam_folder


@pytest.fixture(scope="session")
def owlv2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a random OWLv2's folder."""
    return owlv2_folder(tmp_path_factory.mktemp("owlv2"))


@pytest.fixture(scope="session")
def mm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a random MM-Grounding-DINO's folder."""
    return mm_folder(tmp_path_factory.mktemp("mm"))


@pytest.fixture(scope="session")
def sam(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a random SAM's folder."""
    return sam_folder(tmp_path_factory.mktemp("sam"))


@pytest.fixture(scope="session")
def sam2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a random SAM 2's folder."""
    return sam2_folder(tmp_path_factory.mktemp("sam2"))


@pytest.fixture(scope="session")
def omdet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a random OmDet-Turbo's folder."""
    return omdet_folder(tmp_path_factory.mktemp("omdet"))


@pytest.fixture(scope="session")
def sam3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a random SAM 3's folder."""
    return sam3_folder(tmp_path_factory.mktemp("sam3"))
