"""Check from headers that the tensors of a checkpoint match its configuration."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from autolabel.errors import WeightsError
from autolabel.weights.content import weight_files
from autolabel.weights.headers import TensorHeader, all_headers
from autolabel.weights.plain import plain_configuration
from autolabel.weights.unwrap import bare

_Headers = Mapping[str, TensorHeader]


def headers_of(path: Path) -> dict[str, TensorHeader] | None:
    """Return the headers of a checkpoint's tensors, None if only torch can read them."""
    return all_headers(weight_files(path) if path.is_dir() else (path,))


def check_folder(
    path: Path,
    fields: Mapping[str, Any],
    *,
    sizes: Mapping[str, tuple[str, int]],
    counts: Mapping[str, str],
    title: str,
    timm: bool = False,
    ignored: str = "",
) -> dict[str, TensorHeader]:
    """Return the headers of a Hugging Face folder's tensors, after checking them against its configuration.

    Empty if only torch can read them. Raises WeightsError if they do not match. The prefix ``ignored`` is removed from
    names.
    """
    plain = plain_configuration(fields, path, timm=timm)
    if (headers := headers_of(path)) is None:
        return {}
    own = {key.removeprefix(ignored): header for key, header in bare(headers).items()}
    compare_shapes(plain, own, path, sizes=sizes, counts=counts, title=title)
    return own


def compare_shapes(
    fields: Mapping[str, Any],
    headers: _Headers,
    path: Path,
    *,
    sizes: Mapping[str, tuple[str, int]],
    counts: Mapping[str, str],
    title: str,
) -> None:
    """Raise WeightsError if a configuration and the tensors of a file do not match."""
    missing = sorted({key for key, _ in sizes.values() if key not in headers})
    if missing and not any(key in headers for key, _ in sizes.values()):
        raise WeightsError(f"{path}: does not fit {title}: {len(missing)} missing: {', '.join(missing[:5])}")
    for name in (*sizes, *counts):
        _check_whole(fields, name, path)
    for name, start in counts.items():
        stated, layers = _number_at(fields, name), layers_of(headers, start)
        if layers and stated is not None and stated != len(layers):
            raise WeightsError(
                f"{path}: does not fit {title}: config.json says {name} {stated}, the file holds {len(layers)}"
            )
        check_alike(layers, start, path, title)
    for name, (key, axis) in sizes.items():
        if key not in headers:
            continue  # possibly an older name that transformers accepts; loading checks every tensor
        shape, stated = headers[key].shape, _number_at(fields, name)
        if len(shape) <= axis or (stated is not None and stated != shape[axis]):
            said = f"config.json says {name} {stated}, the tensor {key} has the shape {shape}"
            raise WeightsError(f"{path}: does not fit {title}: {said}")


def _check_whole(fields: Mapping[str, Any], name: str, path: Path) -> None:
    """Raise WeightsError if a size in a configuration is not an integer."""
    value = _value_at(fields, name)
    if value is not None and _number_at(fields, name) is None:
        raise WeightsError(f"{path}: config.json says {name} {str(value)[:80]!r}; wanted a whole number")


def _value_at(fields: Mapping[str, Any], name: str) -> Any:
    value: Any = fields
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _number_at(fields: Mapping[str, Any], name: str) -> int | None:
    """Return the integer at a dotted name of a configuration, None if missing."""
    value = _value_at(fields, name)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def layers_of(headers: _Headers, start: str) -> dict[int, set[str]]:
    """Return the numbered layers below a name, with the names of their tensors."""
    found: dict[int, set[str]] = {}
    pattern = re.compile(rf"{re.escape(start)}(\d{{1,4}})\.(.+)")
    for key in headers:
        if match := pattern.match(key):
            found.setdefault(int(match[1]), set()).add(match[2])
    return found


def check_alike(layers: Mapping[int, set[str]], start: str, path: Path, title: str) -> None:
    """Raise WeightsError if a layer lacks tensors that the others have."""
    whole = set().union(*layers.values())
    lacking = [f"{start}{number}.{name}" for number, names in sorted(layers.items()) for name in sorted(whole - names)]
    if lacking:
        raise WeightsError(f"{path}: does not fit {title}: {len(lacking)} missing: {', '.join(lacking[:5])}")
