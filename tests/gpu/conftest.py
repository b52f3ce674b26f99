"""The device that tests marked ``gpu`` run on."""

from __future__ import annotations

import os

import pytest
import torch


@pytest.fixture(scope="session")
def device() -> str:
    """Return what AUTOLABEL_TEST_DEVICE names, else the first card; without either the test is skipped."""
    if named := os.environ.get("AUTOLABEL_TEST_DEVICE"):
        return named
    if not torch.cuda.is_available():
        pytest.skip("no CUDA card, and AUTOLABEL_TEST_DEVICE names no other device")
    return "cuda:0"
