"""The commented spec that ``autolabel init`` writes."""

from __future__ import annotations

from pathlib import Path

from autolabel.errors import SpecError

_TEMPLATE = """\
# What to label, with what, and where the labels go. Check it with `autolabel validate`, see what it would do with
# `autolabel plan`, run it with `autolabel generate -e {name}`. Every key: `autolabel schema`.
version: 1

data:
  images: [./images]              # folders, searched in subfolders
  classes: [person, car]          # or `captions: chunks.jsonl`, or `boxes: boxes.json` (COCO) to make masks only

stages:
  # A hub name, a file or a folder; `tiny` is shipped, but knows few classes (blood cells, cards: see its model card).
  - labeler: {{type: grounding_dino, checkpoint: IDEA-Research/grounding-dino-tiny}}
    # The threshold falls from round to round: cosine, exponential, step, or fixed (a list).
    scheduler: {{type: cosine, rounds: 3, start: 0.5, end: 0.3}}
    aggregator: {{type: nms, threshold: 0.5}}              # or dbscan
    ask: all                      # `missing`: stop asking for a phrase once it is found (TAO's rule)
  # - labeler: {{type: mal, checkpoint: tiny-mal}}         # masks for the boxes just found

devices: auto                     # all GPUs, or the CPU without one; or [0, 1], cpu, mps
run: {{batch_size: 4}}
export: [{{type: coco}}, {{type: odvg}}]
visualize: true                   # annotated pictures
report: true                      # one HTML file to browse, and to keep or reject boxes in
commercial: false                 # true refuses weights whose licence forbids commercial use or is unknown
results_dir: runs/first
"""


def write(path: Path, *, replace: bool) -> Path:
    """Write the template; raises SpecError if the file exists and ``replace`` is not set."""
    if path.exists() and not replace:
        raise SpecError(f"{path}: exists already", hint="--force replaces it")
    path.write_text(_TEMPLATE.format(name=path.name), encoding="utf-8")
    return path
