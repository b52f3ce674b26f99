"""Paths that a spec names: relative to the spec's own file, or to the working directory on the command line."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, ValidationInfo
from pydantic_core import PydanticCustomError

from autolabel import urls
from autolabel.storage import at
from autolabel.urls import is_url


class CommandLineText(str):
    """A string given as an override: a relative path in it is relative to the working directory."""

    __slots__ = ()


def absolute_path(value: object, info: ValidationInfo) -> object:
    """Make a path absolute against ``info.context["root"]``; values that are not strings pass unchanged.

    A URL is absolute. URLs that are not allowed (``autolabel.urls``) and homes of unknown users are refused.
    """
    if not isinstance(value, str) or not value:
        return value
    if is_url(value):
        return _checked_url(value)
    try:
        return os.path.normpath(spec_root(value, info).joinpath(Path(value).expanduser()))
    except RuntimeError:
        name = Path(value).parts[0]
        said = f"{name} is no user's home here; write ./{name} for a folder of that name"
        raise PydanticCustomError("said", "{said}", {"said": said}) from None


def _checked_url(url: str) -> str:
    """Return a URL without a final slash; raise where it is not read."""
    fault, hint = urls.url_fault(url)
    if fault:
        said = f"{urls.without_secrets(url)} {fault}" + (f"; {hint}" if hint else "")
        raise PydanticCustomError("said", "{said}", {"said": said})
    return str(at(url))


def spec_root(value: str, info: ValidationInfo) -> Path:
    """Return the folder that a relative path in ``value`` starts from."""
    context = info.context or {}
    return Path.cwd() if isinstance(value, CommandLineText) else Path(context.get("root") or Path.cwd())


SpecPath = Annotated[str, BeforeValidator(absolute_path)]
"""A file or folder named in a spec; absolute once validated. Strategies use it in their ``Params``."""
