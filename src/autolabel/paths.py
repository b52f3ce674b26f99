"""Paths that a spec names: relative to the spec's own file, or to the working directory on the command line."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, ValidationInfo


class CommandLineText(str):
    """A string given as an override: a relative path in it is relative to the working directory."""

    __slots__ = ()


def locate(value: object, info: ValidationInfo) -> object:
    """Make a path absolute against ``info.context["root"]``; URLs, and anything that is no string, pass unchanged."""
    if not isinstance(value, str) or not value or "://" in value:
        return value
    return os.path.normpath(spec_root(value, info).joinpath(Path(value).expanduser()))


def spec_root(value: str, info: ValidationInfo) -> Path:
    """Return the folder that a relative path in ``value`` starts from."""
    context = info.context or {}
    return Path.cwd() if isinstance(value, CommandLineText) else Path(context.get("root") or Path.cwd())


SpecPath = Annotated[str, BeforeValidator(locate)]
"""A file or folder named in a spec; absolute once validated. Strategies use it in their ``Params``."""
