"""The ``classes:`` block of a spec."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq

from autolabel.spec.data import DataSpec

_Node = CommentedSeq | CommentedMap


def classes_block(data: DataSpec, advised: Mapping[str, Sequence[str]]) -> str:
    """Return YAML for ``data.classes`` with the phrases in ``advised``.

    Other classes, and negatives, are unchanged.
    """
    written = data.classes if isinstance(data.classes, dict) else dict.fromkeys(data.classes or ())
    block = CommentedMap()
    for name, terms in written.items():
        today = terms.phrases if terms is not None else None
        phrases = tuple(advised.get(name, today or (name,)))
        negatives = terms.negatives if terms is not None else None
        if negatives:
            block[name] = _flow(
                CommentedMap({"phrases": _flow(CommentedSeq(phrases)), "negatives": _listed(negatives)})
            )
        else:
            block[name] = _listed(phrases)
    stream = io.StringIO()
    yaml = YAML()
    yaml.width = 10_000
    yaml.dump(CommentedMap({"classes": block}), stream)
    return stream.getvalue()


def _listed(phrases: Sequence[str]) -> _Node:
    return _flow(CommentedSeq(phrases))


def _flow(node: _Node) -> _Node:
    """Return a node that is written on one line."""
    node.fa.set_flow_style()
    return node
