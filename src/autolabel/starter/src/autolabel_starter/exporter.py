"""An exporter: a run's labels as files."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from autolabel.hookspecs import hookimpl
from autolabel.strategies import Exporter
from autolabel.types import Labels


class StarterExporter(Exporter):
    """Writes ``counts.jsonl``: for every image its state, and how many boxes each phrase has."""

    name = "starter"

    def export(self, labels: Iterable[Labels], classes: Sequence[str], out: Path) -> Sequence[Path]:
        """Write into the folder ``out`` and return every file written; ``labels`` is a stream that never fits in memory."""
        path = out / "counts.jsonl"
        with path.open("w", encoding="utf-8") as file:
            for row in labels:
                counts = Counter(row.prompt.phrases[label] for label in row.instances.labels)
                line = {"image": row.image.id, "state": row.state, "counts": counts}
                file.write(json.dumps(line, sort_keys=True) + "\n")
        return [path]


@hookimpl
def autolabel_exporters() -> list[type[Exporter]]:
    """Offer the exporter."""
    return [StarterExporter]
