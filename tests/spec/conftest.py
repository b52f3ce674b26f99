"""The built-in strategies alone, whatever else is installed."""

from __future__ import annotations

from typing import Any

import pytest

from autolabel.registry import Registry, discover
from autolabel.spec.schema import spec_schema, tao_schema

OWN = "autolabel-vision"


@pytest.fixture(scope="session")
def builtins() -> Registry:
    """The strategies that this distribution offers."""
    return Registry({key: entry for key, entry in discover().entries.items() if entry.package == OWN})


@pytest.fixture(scope="session")
def schemas(builtins: Registry) -> dict[str, dict[str, Any]]:
    """The generated schemas of both dialects."""
    return {"spec": spec_schema(builtins), "tao": tao_schema()}
