"""A finished run whose truth is known, and a person who answers from it through the command line."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from autolabel.cli.app import app


@dataclass
class Truth:
    """A run, and what is true of it."""

    root: Path
    wrong: set[tuple[str, tuple[float, ...]]] = field(default_factory=set)
    """Image and corners of the boxes that are wrong."""
    missed: dict[str, int] = field(default_factory=dict)
    """Objects without a right box, by image."""
    boxes: int = 0

    @property
    def precision(self) -> float:
        """The true share of right boxes."""
        return 1 - len(self.wrong) / self.boxes

    @property
    def recall(self) -> float:
        """The true share of objects that have a right box."""
        right = self.boxes - len(self.wrong)
        return right / (right + sum(self.missed.values()))

    def certify(self, *words: str, exit_code: int = 0) -> Any:
        """Run `autolabel certify`; return what it printed, as JSON where it is."""
        done = CliRunner().invoke(app, ["certify", str(self.root), *words], catch_exceptions=True)
        if exit_code == 0 and done.exception is not None:
            raise done.exception
        return json.loads(done.stdout) if "--json" in words and done.stdout else done.stdout

    def answer(self, unit: dict[str, Any]) -> dict[str, Any]:
        """Return the true answer about a unit."""
        if unit["unit"] == "box":
            wrong = (unit["image"], tuple(unit["bbox"])) in self.wrong
            return {"id": unit["id"], "verdict": "no" if wrong else "yes"}
        return {"id": unit["id"], "missed": self.missed.get(unit["image"], 0)}

    def save(self, answers: list[Any], name: str = "answers.jsonl") -> str:
        """Write answers as lines of JSON."""
        path = self.root.parent / name
        path.write_text("".join(json.dumps(one) + "\n" for one in answers))
        return str(path)

    def check(self, count: int, **more: Any) -> list[dict[str, Any]]:
        """Answer the next units truly, and return them."""
        units: list[dict[str, Any]] = self.certify("--next", str(count), "--json")
        self.certify("--answers", self.save([self.answer(unit) | more for unit in units]), "--json")
        return units
