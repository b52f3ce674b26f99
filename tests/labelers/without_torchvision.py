"""Import modules of transformers that need torchvision only at their import, for their post-processing."""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import Any
from unittest.mock import patch

NAMES = ("", ".ops", ".ops.boxes", ".transforms", ".transforms.v2", ".transforms.v2.functional")


def own_module(name: str) -> Any:
    """Return ``transformers.models.<name>``; its functions that resize or suppress must not be called."""
    stand_ins: dict[str, Any] = {f"torchvision{part}": ModuleType(f"torchvision{part}") for part in NAMES}
    stand_ins["torchvision.ops.boxes"].batched_nms = None
    with patch.dict(sys.modules, stand_ins):
        return import_module(f"transformers.models.{name}")
