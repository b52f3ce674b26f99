"""Tests that compare with a library as it is since some version."""

from __future__ import annotations

from importlib.metadata import version

import pytest
from packaging.version import Version


def since(library: str, least: str, why: str) -> pytest.MarkDecorator:
    """Skip a test where the library is older than what it compares with; our own results do not depend on it."""
    found = version(library)
    return pytest.mark.skipif(Version(found) < Version(least), reason=f"{library} {found}: before {least} {why}")
