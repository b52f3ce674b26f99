"""From a spec file to a validated Spec."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from autolabel.errors import SpecError
from autolabel.registry import Registry
from autolabel.spec import document, tao
from autolabel.spec.model import Spec, validated
from autolabel.spec.node import Node, Place, from_plain
from autolabel.spec.overrides import apply
from autolabel.spec.problems import problems


def load_spec(path: str | Path, *, overrides: Sequence[str] = (), registry: Registry) -> Spec:
    """Return the validated spec of a YAML file, in the native form or TAO's, with ``key.path=value`` overrides.

    Relative paths are made absolute against the file's folder, those of overrides against the working directory; that
    the files exist is not checked. Raises SpecError with all problems of the first step that finds any: YAML,
    overrides, TAO's form, the native form.
    """
    root = apply(document.read(path), overrides)
    return _validated(root, Path(path).absolute().parent, registry)


def spec_from_mapping(mapping: Mapping[str, Any], *, root: str | Path, registry: Registry) -> Spec:
    """Return the validated spec of plain data, in either form; relative paths are relative to ``root``.

    Raises SpecError with all problems, which name ``<mapping>`` as their file.
    """
    return _validated(from_plain(mapping, Place("<mapping>")), Path(root).absolute(), registry)


def _validated(root: Node, folder: Path, registry: Registry) -> Spec:
    notices: tuple[str, ...] = ()
    if tao.is_tao(root):
        root, notices = tao.rewrite(root)
    try:
        return validated(root, {"root": folder, "registry": registry}, notices=notices)
    except ValidationError as error:
        raise SpecError(problems(error, root, Spec, registry)) from None
