"""Stand-ins for configuration objects that training tools store in checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

_TOOLS = ("omegaconf", "pytorch_lightning", "lightning", "lightning_fabric", "mmengine", "nvidia_tao_pytorch")
"""Packages whose objects hold settings only."""
_TYPES = ("bool", "bytes", "dict", "float", "int", "list", "object", "str", "tuple", "type")
_PLAIN = frozenset(
    {"typing.Any", "argparse.Namespace", "pathlib.PosixPath", "pathlib.Path", "collections.defaultdict"}
    | {f"{module}.{name}" for module in ("builtins", "__builtin__") for name in _TYPES}
)


class Nothing:
    """A stand-in for settings objects: accepts any arguments, stores nothing and does nothing."""

    def __new__(cls, *_: Any, **__: Any) -> Nothing:
        return object.__new__(cls)

    def __init__(self, *_: Any, **__: Any) -> None:
        super().__init__()

    def __setstate__(self, _: Any) -> None:
        self.__dict__.clear()


def _no_entries(*_: Any) -> dict[Any, Any]:
    """Return an empty mapping in place of a defaultdict."""
    return {}


def stand_ins(file: Path) -> list[Callable[..., Any] | tuple[Callable[..., Any], str]] | None:
    """Return harmless stand-ins for foreign objects in a pickle, by full name; None if one may not be settings.

    The real classes are never imported, so checkpoints of TAO or Lightning load without those packages.
    """
    import torch

    found: Iterable[str] = torch.serialization.get_unsafe_globals_in_checkpoint(str(file))
    names = sorted(set(found))
    if not names or not all(map(only_settings, names)):
        return None
    return [(_no_entries if name == "collections.defaultdict" else _stand_in(), name) for name in names]


def only_settings(name: str) -> bool:
    """Return whether a class with this full name only holds settings."""
    return name in _PLAIN or name.split(".")[0] in _TOOLS


def _stand_in() -> type[Nothing]:
    return type("Nothing", (Nothing,), {})
