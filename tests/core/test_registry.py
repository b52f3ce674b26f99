"""Strategy packages that raise, exit, print, hang or contradict each other are told by name."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from autolabel import registry as registries
from autolabel.errors import PluginError
from autolabel.registry import discover
from tests.specs import make_spec

GOOD = """
from autolabel.hookspecs import hookimpl
from autolabel.strategies import Scheduler
from autolabel.types import Round
class Flat(Scheduler):
    name = "flat"
    def rounds(self):
        return [Round(index=0, conf_threshold=0.5)]
"""
OFFER = "@hookimpl\ndef autolabel_schedulers():\n    return [Flat]\n"
BROKEN = {
    "raises": ("1 / 0", "cannot be imported: ZeroDivisionError: division by zero"),
    "exits": ("import sys; sys.exit(0)", "cannot be imported: SystemExit: 0"),
    "exits in its hook": (GOOD + OFFER.replace("return", "raise SystemExit(7) or"), "SystemExit: 7"),
    "raises in its hook": (GOOD + OFFER.replace("[Flat]", "1 / 0"), "ZeroDivisionError: division by zero"),
    "returns no list": (GOOD + OFFER.replace("[Flat]", "5"), "TypeError: 'int' object is not iterable"),
    "returns no class": (GOOD + OFFER.replace("[Flat]", "['Flat']"), "'Flat' is not a subclass of Scheduler"),
    "misspells a hook": (GOOD + OFFER.replace("schedulers", "shedulers"), "unknown hook 'autolabel_shedulers'"),
    "doubles a name": (GOOD.replace('"flat"', '"cosine"') + OFFER, "is offered by two packages"),
    "has no name": (GOOD.replace('name = "flat"', "") + OFFER, "has no name"),
    "does not parse": ("def (", "cannot be imported: SyntaxError"),
    "imports what is not there": ("import no_such_module", "cannot be imported: ModuleNotFoundError"),
}


def install(folder: Path, code: str, *, name: str = "odd", version: str = "1.0") -> Path:
    """Make a package ``autolabel-odd`` look installed below ``folder``."""
    info = folder / f"autolabel_{name}-1.0.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: autolabel-{name}\nVersion: {version}\n")
    (info / "entry_points.txt").write_text(f"[autolabel]\n{name} = autolabel_{name}\n")
    (folder / f"autolabel_{name}.py").write_text(code)
    return folder


@pytest.fixture(autouse=True)
def forget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "autolabel_odd", raising=False)


def command(folder: Path, *words: str, seconds: float = 60) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    return subprocess.run(
        [sys.executable, "-m", "autolabel", *words], env=environment, capture_output=True, text=True, timeout=seconds
    )


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_package_is_named(tmp_path: Path, fault: str) -> None:
    code, message = BROKEN[fault]
    install(tmp_path, code)
    with pytest.raises(PluginError) as caught:
        discover()
    sys.modules.pop("autolabel_odd", None)
    assert "autolabel-odd" in str(caught.value)
    assert message in str(caught.value)


def test_all_broken_packages_are_named(tmp_path: Path) -> None:
    install(tmp_path, "1 / 0")
    install(tmp_path, "import no_such_module", name="strange")
    with pytest.raises(PluginError, match="2 installed packages of strategies are broken:") as caught:
        discover()
    assert "package 'autolabel-odd' cannot be imported: ZeroDivisionError" in str(caught.value)
    assert "package 'autolabel-strange' cannot be imported: ModuleNotFoundError" in str(caught.value)


def test_a_package_that_prints_leaves_the_answer_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    install(tmp_path, "print('imported')\n" + GOOD + OFFER.replace("    return", "    print('asked')\n    return"))
    assert "flat" in discover().names("scheduler")
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "imported\nasked\n")


def test_a_package_that_hangs_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(registries, "PATIENCE", 0.05)
    waits = (
        "import threading\n[timer.join() for timer in threading.enumerate() if isinstance(timer, threading.Timer)]\n"
    )
    install(tmp_path, waits + GOOD + OFFER)
    with caplog.at_level(logging.WARNING):
        assert "flat" in discover().names("scheduler")
    assert "package 'autolabel-odd' is still being imported after 0.05 s" in caplog.text


def test_help_and_version_load_no_package(tmp_path: Path) -> None:
    install(tmp_path, "import time; print('imported by help'); time.sleep(1000)")
    for words in (["--help"], ["--version"]):
        done = command(tmp_path, *words, seconds=200)
        assert (done.returncode, done.stderr) == (0, "")
        assert "imported by help" not in done.stdout


def test_the_command_line_ends_with_2_and_the_name(tmp_path: Path) -> None:
    install(tmp_path, "import sys; sys.exit(0)")
    done = command(tmp_path, "plugins", "--json")
    assert done.returncode == 2
    assert json.loads(done.stdout)["error"] == "package 'autolabel-odd' cannot be imported: SystemExit: 0"
    done = command(tmp_path, "plugins")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("package 'autolabel-odd' cannot be imported: SystemExit: 0\n  hint: ")


def test_json_stays_json_beside_a_package_that_prints(tmp_path: Path) -> None:
    install(tmp_path, "print('hello {')\n" + GOOD + OFFER)
    done = command(tmp_path, "plugins", "--json")
    assert done.returncode == 0
    assert "autolabel-odd" in {entry["package"] for entry in json.loads(done.stdout)}
    assert done.stderr == "hello {\n"


def test_versions_of_strategies_belong_to_the_digest(tmp_path: Path, example_path: str) -> None:
    from autolabel_colors import save

    from autolabel.plan.compile import compile_plan
    from autolabel.spec.load import spec_from_mapping

    save(tmp_path / "photos" / "a.png", [])
    labeler = GOOD.replace("Scheduler", "Detector").replace("schedulers", "labelers")
    labeler += "    def load(self, device): ...\n    def prepare(self, batch): return batch\n"
    labeler += "    def detect(self, prepared, prompts, floor): return []\n"
    install(tmp_path, labeler + OFFER.replace("schedulers", "labelers"))
    spec = make_spec(tmp_path / "photos", tmp_path / "run", stages=[{"labeler": {"type": "flat"}}])

    def digest(version: str) -> str:
        install(tmp_path, (tmp_path / "autolabel_odd.py").read_text(), version=version)
        registry = discover()
        return compile_plan(spec_from_mapping(spec, root=tmp_path, registry=registry), registry=registry).plan.digest

    assert digest("1.0") == digest("1.0") != digest("1.1")
