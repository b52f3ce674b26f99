"""A run of very many rows opens, is searched and is corrected at once, in memory that does not grow with it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import json, resource, sys, threading, time
from pathlib import Path
from autolabel.results.store import finished
from autolabel.review import changes
from autolabel.review.order import Query
from autolabel.review.session import ReviewSession

session = ReviewSession(*finished(Path(sys.argv[1])))
session.index.rows = int(sys.argv[2])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
began = time.monotonic()
threading.Thread(target=session.index.build, daemon=True).start()
first = session.rows("one", Query(order="name"), start=0, count=50)
told = session.row_json(first["rows"][0]["row"])
opened = time.monotonic() - began
indexed_then = len(session.index)
session.index.wait(seconds=600)
count = len(session.index)
began = time.monotonic()
found = session.rows("two", Query(order="least", text="0000123"), start=0, count=50)
searched = time.monotonic() - began
row = found["rows"][0]
began = time.monotonic()
box = session.view(row["row"]).boxes[0]
ask = {"id": "12345678", "tab": "t", "row": row["row"], "image": row["image"], "whole": "checked"}
after = session.decide(changes.Request.model_validate(ask))
decided = time.monotonic() - began
grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
print(json.dumps({"rows": count, "first": len(first["rows"]), "then": indexed_then, "found": found["total"],
                  "name": row["image"], "verdict": after["verdict"], "opened": opened, "searched": searched,
                  "decided": decided, "kilobytes": grown}))
"""


@pytest.mark.parametrize("count", [3_000, pytest.param(100_000, marks=pytest.mark.soak)])
def test_it_opens_is_searched_and_is_corrected(labelled: Path, tmp_path: Path, count: int) -> None:
    run = tmp_path / "run"
    run.mkdir()
    plan = json.loads((labelled / "plan.json").read_text())
    (run / "plan.json").write_text(json.dumps(plan))
    for name in labelled.iterdir():
        if name.name.startswith("plan") and name.name != "plan.json":
            (run / name.name).write_bytes(name.read_bytes())
    (run / "plan.json").write_bytes((labelled / "plan.json").read_bytes())
    line = (labelled / "labels.jsonl").read_text().splitlines()[0]
    with (run / "labels.jsonl").open("w") as file:
        file.writelines(line.replace('"00.png"', f'"folder/{number:07}.png"', 1) + "\n" for number in range(count))
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", SCRIPT, str(run), str(count)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    told = json.loads(done.stdout)
    assert told["rows"] == count and told["first"] == 50
    assert told["found"] == 1 and told["name"] == "folder/0000123.png" and told["verdict"] == "checked"
    assert told["then"] < count or count < 10_000, "the first page does not wait for the index"
    assert told["kilobytes"] < 40_000 + count / 4
