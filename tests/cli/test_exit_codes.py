"""How commands end: by which code, with which line, and quietly where nobody reads on."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image as Pillow

import autolabel
from autolabel.cli.app import _run
from autolabel.executors.messages import failure
from autolabel.plan.difference import plan_differences
from autolabel.results import ownership, seal
from tests.specs import make_spec

Monkey = pytest.MonkeyPatch


def spec_of(folder: Path, *, good: int, bad: int, **changes: Any) -> Path:
    photos = folder / "photos"
    photos.mkdir(exist_ok=True)
    for index in range(good):
        Pillow.new("RGB", (32, 24)).save(photos / f"{index:03}.png")
    for index in range(bad):
        (photos / f"bad{index:03}.png").write_bytes(b"no picture")
    spec = make_spec(photos, folder / "run", run={"num_workers": 1})
    path = folder / "spec.yaml"
    path.write_text(json.dumps(spec | changes))
    return path


@pytest.fixture
def command(example_path: str) -> Any:
    def run(*words: Any, **options: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "autolabel", *map(str, words)],
            env={**os.environ, "PYTHONPATH": example_path},
            capture_output=True,
            text=True,
            check=False,
            **options,
        )

    return run


@pytest.mark.parametrize(
    ("run", "allowed"),
    [
        ({}, "a share of 0.01, 0 of them"),
        ({"max_failures": 2}, "2"),
        ({"max_failures": 0.2}, "a share of 0.2, 2 of them"),
    ],
)
def test_too_many_failures_say_so(command: Any, tmp_path: Path, run: dict[str, Any], allowed: str) -> None:
    done = command("generate", "-q", spec_of(tmp_path, good=9, bad=3, run=run))
    said = f"3 of 12 images failed; run.max_failures allows {allowed}: exit code 1"
    assert (done.returncode, done.stderr.splitlines()[-1]) == (1, said)
    as_json = command("generate", "-q", "--json", tmp_path / "spec.yaml")
    assert as_json.returncode == 1 and json.loads(as_json.stdout)["too_many_failures"]


def test_few_failures_end_with_0_and_no_such_line(command: Any, tmp_path: Path) -> None:
    done = command("generate", "-q", spec_of(tmp_path, good=9, bad=3, run={"max_failures": 3}))
    assert done.returncode == 0 and "max_failures" not in done.stderr


def test_another_plan_s_results_name_the_three_differences_that_tell_most(command: Any, tmp_path: Path) -> None:
    assert command("generate", "-q", spec_of(tmp_path, good=2, bad=0)).returncode == 0
    stage = {
        "labeler": {"type": "colors"},
        "scheduler": {"type": "step", "rounds": 3, "start": 0.6, "end": 0.2},
        "aggregator": {"type": "dbscan"},
        "ask": "all",
    }
    data = {"images": [str(tmp_path / "photos")], "classes": ["blue", "green", "black", "white", "red"]}
    run = {"num_workers": 1, "batch_size": 7, "shard_size": 9}
    other = spec_of(tmp_path, good=2, bad=0, stages=[stage], data=data, run=run)
    done = command("generate", "-q", other)
    told = done.stderr.splitlines()[0]
    assert done.returncode == 5 and len(told) < 500
    assert (
        "classes: now with blue, green, black and 1 more; stages[0].conf_thresholds was [0.5], now [0.6,0.4,0.2]"
        in told
    )
    assert "more differences, which --json lists" in told
    listed = json.loads(command("generate", "-q", "--json", other).stdout)["differences"]
    assert any("batch_size was 4, now 7" in one for one in listed)
    assert any("aggregator" in one for one in listed) and len(listed) >= 5


def stage(**changes: Any) -> dict[str, Any]:
    labeler = {"type": "d", "package": "p", "version": "1", "params": {"checkpoint": "a", "size": 3}}
    rounds = [{"index": 0, "conf_threshold": 0.5, "nms_threshold": None}]
    return {"labeler": labeler, "aggregator": None, "rounds": rounds, "ask": "all", "weights": ["00"]} | changes


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            {"stages": [stage()], "threads": 1},
            {"stages": [stage(weights=["11"])], "threads": 2},
            ["stages[0].weights are other files, or have other contents", "threads was 1, now 2"],
        ),
        ({"stages": [stage()]}, {"stages": [stage(), stage()]}, ["stages: d, now d -> d"]),
        (
            {"stages": [stage()], "classes": ["a", "b"]},
            {"stages": [stage(aggregator={"type": "nms"})], "classes": ["b", "a"]},
            ["classes were in the order a, b, now b, a", "stages[0].aggregator was None, now nms"],
        ),
        (
            {"stages": [stage()], "autolabel": "1"},
            {"stages": [stage(labeler={"type": "other"})], "autolabel": "2"},
            ["stages[0].labeler.type was d, now other", 'autolabel was "1", now "2"'],
        ),
    ],
)
def test_differences_come_in_the_order_of_what_they_tell(old: Any, new: Any, said: list[str]) -> None:
    assert plan_differences(old, new) == said
    assert plan_differences(old, old) == []


def test_any_error_is_json_where_that_is_asked_for(command: Any, tmp_path: Path) -> None:
    done = command("status", "--json", tmp_path)
    assert done.returncode == 4
    told = json.loads(done.stdout)
    assert "no plan.json here" in told["error"] and told["hint"] and told["problems"] == []


@pytest.mark.parametrize(
    "words",
    [("--help",), ("generate", "--help"), ("plugins",), ("plugins", "--json"), ("schema", "spec"), ("--version",)],
)
def test_a_reader_that_has_seen_enough_ends_it_as_other_tools(words: tuple[str, ...]) -> None:
    code = "import os, sys; os.close(0); sys.exit(0)"
    for _ in range(3):
        reader = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE)
        assert reader.stdin is not None
        reader.wait()
        writer = subprocess.Popen(
            [sys.executable, "-m", "autolabel", *words], stdout=reader.stdin, stderr=subprocess.PIPE, text=True
        )
        _, errors = writer.communicate()
        reader.stdin.close()
        assert (writer.returncode, errors) == (-signal.SIGPIPE, "")


def test_a_reader_of_errors_that_is_gone_ends_it_too(command: Any, tmp_path: Path) -> None:
    ours, theirs = os.pipe()
    os.close(ours)
    done = subprocess.run([sys.executable, "-m", "autolabel", "status", str(tmp_path)], stderr=theirs, check=False)
    os.close(theirs)
    assert done.returncode == -signal.SIGPIPE


def test_the_module_shows_its_api() -> None:
    assert {"compile_plan", "discover", "generate", "load_spec", "read_labels", "__version__"} <= set(dir(autolabel))
    code = "import autolabel, sys; dir(autolabel); sys.exit('autolabel.run.generate' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0, "and imports nothing for it"


def test_an_export_says_what_it_loses_and_not_what_was_asked_for(command: Any, tmp_path: Path) -> None:
    assert command("generate", "-q", spec_of(tmp_path, good=1, bad=0)).returncode == 0
    told = command("export", tmp_path / "run", "kitti").stderr
    assert "scores unless scores=true" in told and "rounds" in told
    told = command("export", tmp_path / "run", "kitti", "scores=true").stderr
    assert "scores" not in told and "rounds" in told


LONG, LONGER = "a" * 300, "a" * 5000


@pytest.mark.parametrize(
    "words",
    [
        ["status", LONGER],
        ["status", LONG],
        ["status", LONGER, "--json"],
        ["export", LONGER, "coco"],
        ["review", LONGER],
        ["merge", LONGER],
        ["explain", LONGER, "a.png"],
        ["new-plugin", LONG],
        ["new-plugin", "birds", "--into", "absent/../file/x"],
        ["init", "absent/x.yaml"],
        ["init", "http://x/y"],
        ["init", "file/x.yaml"],
        ["init", f"{LONG}.yaml"],
        ["schema", "--write", f"absent/{LONG}"],
        ["validate", LONGER],
        ["calibrate", LONGER, "--out", "absent/x"],
    ],
    ids=lambda words: " ".join(words)[:40],
)
def test_a_name_that_no_file_can_have_is_one_line(words: list[str], command: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = command(*words, cwd=tmp_path)
    assert done.returncode in (2, 3), done.stderr
    assert "Traceback" not in done.stderr and len(done.stderr.strip().splitlines()) <= 2
    assert len(done.stderr) < 1000 or words[0] == "validate"
    if "--json" in words:
        assert "too long" in json.loads(done.stdout)["error"]


def ends_with(monkeypatch: Monkey, error: OSError) -> int:
    """Return the exit code of a command in which the system says something."""

    def fail() -> None:
        raise error

    monkeypatch.setattr("autolabel.cli.app.app", fail)
    monkeypatch.setattr("autolabel.cli.app.os.dup2", lambda *handles: None)
    with pytest.raises(SystemExit) as left:
        _run()
    assert isinstance(left.value.code, int)
    return left.value.code


SAID = (
    "EIO ENOSPC EDQUOT EMFILE ENFILE ESTALE EROFS EINTR EBUSY EAGAIN ETIMEDOUT ENOMEM ENODEV ENXIO ENOLCK EPERM"
    " EACCES ENOTCONN EHOSTDOWN EHOSTUNREACH ECONNRESET"
)


@pytest.mark.parametrize("name", ["/a/b/run/labels.jsonl", None])
@pytest.mark.parametrize("number", SAID.split())
def test_what_a_disk_or_file_server_says_is_no_bug(number: str, name: str | None, monkeypatch: Monkey) -> None:
    code = getattr(errno, number)
    error = OSError(code, os.strerror(code), name) if name else OSError(code, os.strerror(code))
    assert ends_with(monkeypatch, error) == 3


@pytest.mark.parametrize("number", ["EBADF", "EINVAL", "EFAULT", "ENOTTY"])
def test_what_only_a_program_does_wrong_is_one(number: str, monkeypatch: Monkey) -> None:
    assert ends_with(monkeypatch, OSError(getattr(errno, number), "it", "/a/b")) == 70


def test_a_folder_that_is_gone_while_it_is_worked_on_is_told(
    tmp_path: Path, monkeypatch: Monkey, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = tmp_path / "gone" / "outputs.json"
    assert ends_with(monkeypatch, FileNotFoundError(errno.ENOENT, "No such file or directory", str(missing))) == 3
    assert "gone: was removed during the run" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OSError(errno.ENAMETOOLONG, "File name too long", f"/kept/{LONG}"), 2),
        (OSError(errno.ENAMETOOLONG, "File name too long"), 2),
        (OSError(errno.ELOOP, "Too many levels of symbolic links", b"/kept/loop"), 2),
        (OSError(errno.ESTALE, "Stale file handle", "/nfs/weights"), 3),
        (PermissionError(errno.EACCES, "Permission denied", "/kept/x"), 3),
        (OSError(errno.EBADF, "Bad file descriptor"), 70),
        (ValueError("a bug"), 70),
    ],
    ids=str,
)
def test_what_the_system_says_to_a_worker_is_no_bug_either(error: Exception, code: int) -> None:
    assert failure(error, "cpu").error.exit_code == code


def test_a_folder_for_candidates_that_cannot_be_is_told_by_workers_too(command: Any, tmp_path: Path) -> None:
    run = {"num_workers": 1, "candidates": LONG, "executor": "processes", "workers_per_device": 2}
    done = command("generate", "-q", spec_of(tmp_path, good=2, bad=0, run=run))
    assert done.returncode == 2 and "File name too long" in done.stderr and "Traceback" not in done.stderr


def test_a_name_that_is_no_text_is_no_image_of_a_run(command: Any, tmp_path: Path) -> None:
    assert command("generate", "-q", spec_of(tmp_path, good=1, bad=0)).returncode == 0
    done = command("explain", tmp_path / "run", "x\udcff.png")
    assert done.returncode == 4 and "is not an image of this run" in done.stderr


@pytest.mark.parametrize("number", ["EISDIR", "ENOTDIR", "EEXIST", "ENOTEMPTY", "EILSEQ"])
def test_what_is_in_the_way_is_no_bug(number: str, monkeypatch: Monkey) -> None:
    code = getattr(errno, number)
    assert ends_with(monkeypatch, OSError(code, os.strerror(code), "/kept/x")) == 2


@pytest.mark.parametrize("value", ["~nobody-of-that-name/x", "s3://", "https://"])
def test_a_place_that_cannot_be_is_told(value: str, command: Any, tmp_path: Path) -> None:
    done = command("generate", "-q", spec_of(tmp_path, good=1, bad=0), f"results_dir={value}")
    assert done.returncode == 2 and value.partition("/")[0] in done.stderr and "Traceback" not in done.stderr


def test_a_user_without_a_home_has_no_key(tmp_path: Path, monkeypatch: Monkey) -> None:
    def nowhere() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", nowhere)
    assert seal.key() == b""
    ownership.check_place(tmp_path / "run")
