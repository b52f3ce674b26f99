"""The built-in strategies alone, whatever else is installed."""

from __future__ import annotations

import pytest

from autolabel.registry import Registry, discover

OWN = "autolabel-vision"


@pytest.fixture(scope="session")
def builtins() -> Registry:
    """The strategies that this distribution offers."""
    return Registry({key: entry for key, entry in discover().entries.items() if entry.package == OWN})
