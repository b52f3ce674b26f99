"""The GPU benchmark resumes, keeps what it measured, and says where there is no device."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmarks.gpu import __main__ as command
from benchmarks.gpu.part import Part, Row, Setting, as_json, file_of, from_json, is_finished, read, run
from benchmarks.gpu.table import failures, written

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def setting(tmp_path: Path) -> Setting:
    return Setting(device="cpu", reduced=True, out=str(tmp_path), oracles=str(tmp_path / "none"))


def part(*rows: Row, error: Exception | None = None) -> Part:
    def measure(setting: Setting) -> Iterator[Row]:
        yield from rows
        if error:
            raise error

    return Part(name="made", title="Made up", measure=measure, seconds=9)


def test_a_finished_part_is_finished_under_its_own_setting_only(setting: Setting) -> None:
    made = part({"case": "a", "images_a_second": 3.0})
    assert not is_finished(made, setting)
    run(made, setting)
    assert is_finished(made, setting)
    assert not is_finished(made, replace(setting, reduced=False))
    assert not is_finished(made, replace(setting, device="cuda:0"))


def test_what_was_measured_before_an_error_is_kept_and_the_part_runs_again(setting: Setting) -> None:
    made = part({"case": "a", "holds": True}, {"case": "b", "holds": False}, error=RuntimeError("no kernel image"))
    run(made, setting)
    kept = read("made", setting.out)
    assert [row["case"] for row in kept["rows"]] == ["a", "b", "the part itself"]
    assert not is_finished(made, setting)
    assert failures(kept) == ["made: does not hold: b", "made: RuntimeError: no kernel image"]
    run(part({"case": "a"}), setting)
    assert is_finished(made, setting) and failures(read("made", setting.out)) == []


def test_a_torn_file_counts_as_nothing(setting: Setting) -> None:
    made = part({"case": "a"})
    run(made, setting)
    file_of(setting.out, "made").write_text('{"part": "ma')
    assert read("made", setting.out) == {} and not is_finished(made, setting)


def test_the_table_tells_figures_checks_and_goals(setting: Setting) -> None:
    rows = ({"case": "x | y", "images_a_second": 99.0, "goal": 100.0}, {"case": "z", "boxes": 4, "holds": True})
    run(part(*rows), setting)
    text = written([read("made", setting.out), {}])
    assert "| x \\| y | images a second 99 | goal 100: **missed** |" in text
    assert "| z | boxes 4 | holds |" in text
    assert "reduced: the figures mean nothing" in text
    assert written([{}]) == "nothing was measured\n"


def test_only_what_is_left_is_run(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[str] = []
    monkeypatch.setattr(command, "_in_process", lambda part, setting, seconds: begun.append(part.name) or [])
    first, second = part({"case": "a"}), replace(part({"case": "b"}), name="other")
    run(first, setting)
    assert command.measure([first, second], setting, seconds=60, fresh=False) == []
    assert begun == ["other"]
    assert command.measure([first, second], setting, seconds=60, fresh=True) == []
    assert begun == ["other", "made", "other"]
    assert command.measure([first, second], setting, seconds=1, fresh=True) == [
        "made: not begun, time is over; the same command goes on with it",
        "other: not begun, time is over; the same command goes on with it",
    ]


def test_settings_pass_to_processes_of_their_own(setting: Setting) -> None:
    assert from_json(as_json(setting)) == setting


def test_without_a_card_it_says_so(
    setting: Setting, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert command.main(["--out", setting.out]) == command.NO_DEVICE
    last = capsys.readouterr().err.splitlines()[-1]  # some versions of torch warn of a missing Triton before it
    assert last.startswith("no device: torch sees no CUDA card")
    assert not list(Path(setting.out).iterdir())
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert command.main(["--out", setting.out, "--device", "cuda:4"]) == command.NO_DEVICE
    assert "cuda:4 is not there" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        command.main(["nonsense"])


@pytest.mark.soak
@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_the_reduced_form_runs_every_part_to_its_end(device: str, tmp_path: Path) -> None:
    words = ["--device", device, "--reduced", "--out", str(tmp_path), "--minutes", "30"]
    for turn in ("first", "again"):
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.gpu", *words], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert ("finished before" in done.stdout) == (turn == "again")
    names = {"shapes"} if device == "meta" else set(command.parts())
    assert {path.stem for path in tmp_path.glob("*.json")} == names
    assert all(json.loads(path.read_text())["finished"] for path in tmp_path.glob("*.json"))
