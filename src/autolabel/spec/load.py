"""Load a spec file or plain data as a validated Spec."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from autolabel.errors import SpecError
from autolabel.registry import Registry
from autolabel.spec import document, hydra, interpolation, tao
from autolabel.spec.model import Spec, validated
from autolabel.spec.node import Node, Place, from_plain
from autolabel.spec.overrides import apply_overrides, yaml_value
from autolabel.spec.problems import problems


def load_spec(
    source: str | Path | Mapping[str, Any],
    *,
    overrides: Sequence[str] = (),
    registry: Registry,
    root: str | Path | None = None,
) -> Spec:
    """Return the validated spec of a YAML file or of plain data, in the native form or TAO's.

    ``overrides`` are ``key.path=value``, as on the command line. Relative paths are resolved against ``root``, by
    default the file's folder, or the working directory for plain data. Relative paths in overrides are resolved
    against the working directory. Whether the files exist is not checked. Raises SpecError with all problems of the
    first step that finds any: YAML, overrides, TAO's form, the native form. Messages call a mapping ``<mapping>``.

    Values of overrides are YAML; those to a TAO document follow Hydra's grammar. ``${...}`` follows OmegaConf's.
    """
    if isinstance(source, Mapping):
        node, folder = from_plain(source, Place("<mapping>")), Path.cwd()
    else:
        node, folder = document.read_document(source), Path(source).absolute().parent
    node = apply_overrides(node, overrides, parse=hydra.parse_hydra if tao.is_tao(node) else yaml_value)
    return _validated(node, folder if root is None else Path(root).absolute(), registry)


def spec_from_mapping(mapping: Mapping[str, Any], *, root: str | Path, registry: Registry) -> Spec:
    """Return the validated spec of plain data, with relative paths resolved against ``root``."""
    return load_spec(mapping, root=root, registry=registry)


def _validated(root: Node, folder: Path, registry: Registry) -> Spec:
    notices: tuple[str, ...] = ()
    root = interpolation.resolve_references(root)
    if tao.is_tao(root):
        root, notices = tao.rewrite(root)
    try:
        return validated(root, {"root": folder, "registry": registry}, notices=notices)
    except ValidationError as error:
        raise SpecError(problems(error, root, Spec, registry)) from None
