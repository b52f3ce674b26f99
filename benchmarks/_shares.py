"""Mix the weights before a training into those after it, and measure what each mix finds of what is new and known."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from autolabel.duplicates import Groups
from autolabel.evaluate.paired import Estimate, PairedEstimate, RunGain, measure_gain
from autolabel.improve.improve import verdict
from autolabel.improve.rounds import read_history, read_request
from autolabel.results.select import measured

HEAD = ("set", "share", "AP50", "precision", "recall", "gain in AP50 on those held out", "", "known: AP50", "change")
BEFORE = 1.0
"""The share that leaves nothing of the training."""
_LOWEST = 0.05
"""The score from which boxes count for AP50."""

Generate = Callable[[Path, str, str, float], None]
"""Labels the photos of a folder: the folder, the checkpoint, the name of the run, the lowest score."""


@dataclass(frozen=True)
class Shares:
    """A finished round in a folder, the weights that it began with, a folder with photos of what they know."""

    folder: Path
    before: Path
    known: Path
    threshold: float
    generate: Generate

    def rows(self, shares: Sequence[float]) -> Iterator[list[str]]:
        """Yield the cells of a row for the weights before, and for each share of them in those after the round."""
        thresholds = self.folder / "thresholds.yaml"
        classes = json.loads((self.folder / "spec.yaml").read_text())["data"]["classes"]
        thresholds.write_text(json.dumps(dict.fromkeys(classes, self.threshold)))
        after = Path(read_history(self.folder / "zero-2").rounds[-1].checkpoint)
        for share in (BEFORE, *shares):
            mixed = self.folder / f"mixed-{share:g}"
            mix(self.before, after, share, mixed)
            for place in (self.folder, self.known):
                self.generate(place, str(mixed), f"share-{share:g}", _LOWEST)
            new, old = (self._apart(place, share) for place in (self.folder, self.known))
            cut = self._apart(self.folder, share, thresholds)
            name = "before" if share == BEFORE else f"{share:g}"
            figures = [_plain(new.ap50.after), _plain(cut.precision.after, 2), _plain(cut.recall.after, 2)]
            gain = ["", ""] if share == BEFORE else self._held_out(share, thresholds)
            yield [name, *figures, *gain, _plain(old.ap50.after), "" if share == BEFORE else _signed(old.ap50)]

    def _apart(self, place: Path, share: float, thresholds: Path | None = None) -> RunGain:
        """Measure the weights before and a mix on the photos kept apart."""
        runs = [place / f"share-{one:g}" for one in (BEFORE, share)]
        before, after = (measured(run, thresholds=thresholds)[0] for run in runs)
        return measure_gain(before, after, place / "apart.json", group_of=str)

    def _held_out(self, share: float, thresholds: Path) -> list[str]:
        """Return the gain on the photos that the round held out, and whether the round would be accepted by it."""
        request = read_request(self.folder / "zero-2")
        assert request is not None
        before = measured(self.folder / "zero", reviewed=False)[0]
        after = measured(self.folder / f"share-{share:g}", thresholds=thresholds)[0]
        truth = self.folder / "zero-2" / "improve" / "held-out.json"
        gain = measure_gain(before, after, truth, group_of=Groups(request.groups).key)
        accepted, _ = verdict(gain)
        return [_signed(gain.ap50), "accepted" if accepted else "**not accepted**"]


def mix(before: Path, after: Path, share: float, out: Path) -> None:
    """Write a copy of the checkpoint folder ``after`` with the weighted mean of its weights and those of ``before``."""
    old = {name: tensor for file in before.glob("*.safetensors") for name, tensor in load_file(file).items()}
    shutil.copytree(after, out)
    for file in out.glob("*.safetensors"):
        new = load_file(file)
        mixed = {name: torch.lerp(tensor.float(), old[name].float(), share) for name, tensor in new.items()}
        save_file({name: mixed[name].to(new[name].dtype) for name in new}, file, metadata={"format": "pt"})


def _plain(one: Estimate, digits: int = 3) -> str:
    if one.value is None or one.interval is None:
        return "-"
    low, high = one.interval
    return f"{one.value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def _signed(pair: PairedEstimate) -> str:
    value, interval = pair.gain.value, pair.gain.interval
    if value is None or interval is None:
        return "-"
    return f"{value:+.3f} [{interval[0]:+.3f}, {interval[1]:+.3f}]"
