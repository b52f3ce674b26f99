"""The command line as its users meet it: exit codes, stdout, stderr."""

from __future__ import annotations

import json
import logging
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from autolabel.cli import app
from tests.since import since

Cli = Callable[..., tuple[int, str, str]]
FOR_HELP = {
    *("annotated_doc", "attr", "click", "colorama", "markdown_it", "mdurl", "pygments", "rich", "shellingham", "typer"),
    "typing_extensions",
}
"""Foreign libraries that ``--help`` may import: typer, rich, and what they bring."""
FOR_SPECS = {
    *FOR_HELP,
    *("annotated_types", "cython_runtime", "msgspec", "PIL", "pluggy", "pydantic", "pydantic_core"),
    *("ruamel", "safetensors", "tokenizers", "typing_inspection"),
}
"""What commands may import that read a spec, but load no model and label nothing."""
SLOW = {"asyncio", "multiprocessing", "ssl", "sqlite3", "xml.etree.ElementTree", "http.client", "urllib.request"}
"""Parts of the standard library that none of these commands needs."""


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, example_path: str) -> Iterator[Cli]:
    """Run ``autolabel`` in this process; return exit code, stdout, stderr."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["autolabel", *map(str, words)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as caught:
            app.main()
        out, err = capsys.readouterr()
        return int(caught.value.code or 0), out, err

    yield run
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture
def spec(tmp_path: Path, example_path: str) -> Path:
    from autolabel_colors import Rectangle, save

    for index in range(4):
        save(tmp_path / "photos" / f"{index}.png", [Rectangle(1, 2, 20, 30, "red", 0.9 - index / 5)])
    path = tmp_path / "spec.yaml"
    path.write_text(
        "version: 1\n"
        "data: {images: photos, classes: [red, blue]}\n"
        "stages:\n"
        "  - labeler: {type: colors}\n"
        "    scheduler: {type: step, rounds: 3, start: 0.6, end: 0.2}\n"
        "devices: cpu\n"
        "results_dir: run\n"
    )
    return path


def test_version_and_help(cli: Cli) -> None:
    assert cli("--version")[1].startswith("autolabel 0.")
    code, out, _ = cli("--help")
    assert code == 0
    assert all(
        word in out for word in ("validate", "plan", "generate", "export", "evaluate", "plugins", "init", "doctor")
    )


def test_generate_tells_what_was_found_and_where(cli: Cli, spec: Path) -> None:
    code, out, err = cli("generate", "-e", spec)
    assert code == 0, err
    assert [line.split() for line in out.splitlines()[:2]] == [
        ["class", "round", "0", "round", "1", "round", "2", "all"],
        ["red", "2", "1", "1", "4"],
    ]
    assert "4 images: 4 labelled, 0 empty, 0 failed; 4 boxes, 0 masks" in out
    assert "annotations.json" in out
    assert "0-colors" in err


def test_generate_as_json_keeps_stdout_clean(cli: Cli, spec: Path) -> None:
    code, out, _ = cli("generate", spec, "--json")
    answer = json.loads(out)
    assert code == 0
    assert answer["found"] == {"red": {"0": 2, "1": 1, "2": 1}}
    assert answer["states"] == {"labelled": 4, "empty": 0, "failed": 0}


def test_planned_labels_what_plan_has_written(cli: Cli, spec: Path) -> None:
    code, _, err = cli("generate", spec, "--planned")
    assert (code, "autolabel plan SPEC --write" in err) == (4, True)
    assert cli("plan", spec, "--write", "--limit", 3)[0] == 0
    assert "3 images: 3 labelled" in cli("generate", spec, "--planned", "--limit", 3)[1]
    for words in (("generate", spec, "--planned", "--fresh"), ("generate", spec, "--planned", "--extend")):
        code, _, err = cli(*words)
        assert (code, f"--planned and {words[-1]} exclude each other" in err) == (2, True)
    assert cli("plan", spec, "--extend")[0] == 2


def test_limit_labels_the_first_images_elsewhere(cli: Cli, spec: Path) -> None:
    _, out, _ = cli("generate", spec, "--limit", 2, "--json")
    assert json.loads(out)["rows"] == 2
    assert (spec.parent / "run" / "first-2" / "labels.jsonl").exists()
    assert cli("generate", spec, "--json")[0] == 0


def test_overrides_beat_the_file(cli: Cli, spec: Path) -> None:
    _, out, _ = cli("plan", spec, "stages.0.scheduler.rounds=2", "run.batch_size=3", "--json")
    plan = json.loads(out)
    assert [round["conf_threshold"] for round in plan["recipe"]["stages"][0]["rounds"]] == [0.6, 0.2]
    assert plan["recipe"]["batch_size"] == 3


def test_plan_names_everything_it_will_do(cli: Cli, spec: Path) -> None:
    _, out, _ = cli("plan", spec)
    for word in ("4 in 1 shard,", "red, blue", "cpu", "0.6", "0.4", "0.2", "at most 8", "coco/", "odvg/"):
        assert word in out, word
    assert not (spec.parent / "run").exists()


def test_validate_tells_every_problem_and_exits_2(cli: Cli, spec: Path) -> None:
    spec.write_text(spec.read_text().replace("type: step", "type: stepp").replace("photos", "nowhere"))
    code, out, err = cli("validate", spec)
    assert (code, out) == (2, "")
    assert f"{spec}:5:17: stages[0].scheduler.type: no scheduler is called 'stepp'" in err
    code, out, _ = cli("validate", spec, "--json")
    assert code == 2
    assert json.loads(out)["problems"][0]["line"] == 5


def test_validate_names_missing_files(cli: Cli, spec: Path) -> None:
    spec.write_text(spec.read_text().replace("photos", "nowhere"))
    code, _, err = cli("validate", spec)
    assert code == 2
    assert f"{spec}:2:8: data.images" in err
    assert "no such folder" in err


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (["generate"], 2, "no spec was given"),
        (["generate", "none.yaml"], 2, "none.yaml"),
        (["bogus"], 2, "No such command"),
        (["generate", "SPEC", "devices=[7]"], 3, "asked for GPU 7"),
        (["generate", "SPEC", "devices=cpu", "nonsense"], 2, "nonsense"),
        (["status", "."], 4, "no plan.json"),
        (["export", ".", "-f", "coco"], 4, "not a finished run"),
        (["schema", "bogus"], 2, "unknown schema 'bogus'"),
    ],
)
def test_mistakes_have_their_exit_codes(cli: Cli, spec: Path, words: list[str], code: int, text: str) -> None:
    found, out, err = cli(*(str(spec) if word == "SPEC" else word for word in words))
    assert found == code, out + err
    assert text in err
    assert "Traceback" not in err


def test_too_many_failures_exit_1_with_labels_written(cli: Cli, spec: Path) -> None:
    (spec.parent / "photos" / "bad.png").write_bytes(b"nothing")
    code, out, _ = cli("generate", spec)
    assert code == 1
    assert "1 x unsupported_format" in out
    assert len((spec.parent / "run" / "labels.jsonl").read_text().splitlines()) == 5
    assert cli("generate", spec, "run.max_failures=1")[0] == 0


def test_status_and_export_of_a_finished_run(cli: Cli, spec: Path) -> None:
    cli("generate", "-q", spec)
    code, out, _ = cli("status", spec.parent / "run", "--json")
    assert code == 0
    assert json.loads(out)["finished"] is True
    code, out, _ = cli("export", spec.parent / "run", "-f", "csv")
    assert code == 0
    assert Path(out.strip()).read_text().count("red") == 4
    code, _, err = cli("export", spec.parent / "run", "-f", "voc")
    assert code == 0 and "note: voc does not carry: masks, fractions of a pixel" in err
    code, _, err = cli("export", spec.parent / "run", "-f", "coco", "path=../evil.json")
    assert code == 2
    assert "path" in err


def test_a_person_decides_and_later_runs_keep_to_it(cli: Cli, spec: Path) -> None:
    cli("generate", "-q", spec, "report=true")
    run = spec.parent / "run"
    code, out, _ = cli("report", run)
    assert code == 0
    assert "<!doctype html>" in (run / "report" / "index.html").read_text()[:100].lower()
    assert "report/index.html" in out
    rows = [json.loads(line) for line in (run / "labels.jsonl").read_text().splitlines()]
    decisions = [
        {
            "image": row["image"],
            "caption_index": 0,
            "phrase": "red",
            "bbox": row["instances"][0]["bbox"],
            "verdict": verdict,
        }
        for row, verdict in zip(rows[:2], ("reject", "keep"), strict=True)
    ]
    decisions.append({"image": rows[3]["image"], "caption_index": 0, "verdict": "reject"})
    review = spec.parent / "review.json"
    review.write_text(json.dumps({"plan": rows[0]["plan"], "decisions": decisions}))
    code, out, err = cli("apply-review", run, review)
    assert code == 0, err
    assert "3 decisions" in out
    exported = lambda: json.loads((run / "coco" / "annotations.json").read_text())  # noqa: E731
    assert [image["file_name"] for image in exported()["images"]] == ["0.png", "1.png", "2.png"]
    assert len(exported()["annotations"]) == 2
    cli("generate", "-q", spec, "--fresh", "report=true", "output.filter.min_size=1000")
    assert [annotation["image_id"] for annotation in exported()["annotations"]] == [2], "kept by hand, filtered or not"
    assert len((run / "labels.jsonl").read_text().splitlines()) == 4, "the ledger tells all"


def test_init_writes_a_valid_spec_once(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "new.yaml"
    (tmp_path / "images").mkdir()
    assert cli("init", path)[0] == 0
    assert cli("init", path)[0] == 2
    code, out, err = cli("validate", path)
    assert code == 3 and "HF_HUB_OFFLINE is set" in err, out + err
    code, out, err = cli("validate", path, "stages.0.labeler.checkpoint=tiny")
    assert code == 0, out + err


def test_plugins_lists_kinds_names_and_packages(cli: Cli) -> None:
    _, out, _ = cli("plugins", "--json")
    entries = {(entry["kind"], entry["name"]): entry["package"] for entry in json.loads(out)}
    assert entries["labeler", "grounding_dino"] == entries["aggregator", "nms"] == "autolabel-vision"
    assert entries["labeler", "colors"] == "autolabel-colors"


def test_another_plan_in_the_directory_exits_5(cli: Cli, spec: Path) -> None:
    cli("generate", "-q", spec)
    code, _, err = cli("generate", "-q", spec, "data.classes=[red]")
    assert code == 5
    assert "another plan: classes: now without blue" in err
    assert cli("generate", "-q", spec, "data.classes=[red]", "--fresh")[0] == 0


def test_doctor_names_versions_and_devices(cli: Cli) -> None:
    _, out, _ = cli("doctor", "--json")
    facts = json.loads(out)
    assert facts["torch"].startswith("2.")
    assert "cpu" in facts["devices"] or "cuda" in facts["devices"] or "mps" in facts["devices"]


def test_a_bug_keeps_its_traceback_and_exits_70(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autolabel.cli.doctor.examine", lambda: 1 / 0)
    code, _, err = cli("doctor")
    assert code == 70
    assert "ZeroDivisionError" in err
    assert "bug" in err


@since("typing_extensions", "4.16", "it imports asyncio")
@pytest.mark.parametrize(
    ("words", "needs"),
    [
        (["--help"], FOR_HELP),
        (["plugins"], FOR_SPECS | {"numpy"}),
        (["validate", "specs/quickstart.yaml"], FOR_SPECS),
        (["validate", "specs/masks.yaml"], FOR_SPECS),
    ],
    ids=["help", "plugins", "validate", "validate-segmenter"],
)
def test_light_commands_import_what_is_listed_and_no_more(words: list[str], needs: set[str]) -> None:
    """Every further library costs each command that a person waits for."""
    root = Path(__file__).resolve().parents[2]
    script = f"""
import sys
before = {{name.partition(".")[0] for name in sys.modules}}
from autolabel.cli.app import main
sys.argv = ["autolabel", *{words!r}]
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
loaded = {{name for name, module in sys.modules.items() if type(module).__name__ != "_Deferred"}}
tops = {{name.partition(".")[0] for name in loaded}} - before
foreign = {{name for name in tops - sys.stdlib_module_names if not name.startswith(("_", "autolabel"))}}
print("MORE", sorted(foreign - {needs!r}), sorted({SLOW!r} & sys.modules.keys()))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=root, check=False)
    assert done.stdout.endswith("MORE [] []\n"), done.stdout + done.stderr


def test_plugins_lists_each_strategy_on_a_line_with_where_it_comes_from(cli: Cli) -> None:
    listed = json.loads(cli("plugins", "--json")[1])
    _, out, _ = cli("plugins")
    assert len(out.splitlines()) == len(listed) + 1 > 15
    for entry, line in zip(listed, out.splitlines()[1:], strict=True):
        assert Path(entry["file"]).is_file()
        assert line.split()[:4] == [entry["kind"], entry["name"], entry["package"], entry["version"]]
        assert Path(entry["file"]).name in line and ", ".join(entry["parameters"]) in line


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("words", [["--version"], ["plugins", "--json"], ["schema"], ["--help"]])
def test_an_output_that_is_full_is_no_bug(words: list[str]) -> None:
    command = [sys.executable, "-m", "autolabel", *words]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, "Traceback" in done.stderr) == (3, False), done.stderr
    assert "No space left on device" in done.stderr


def test_the_logs_of_other_libraries_are_shown_from_warnings_upwards() -> None:
    from autolabel.cli.app import is_ours_or_warns

    def record(name: str, level: int) -> logging.LogRecord:
        return logging.LogRecord(name, level, "", 0, "x-amz-security-token", (), None)

    assert not is_ours_or_warns(record("botocore.auth", logging.DEBUG))
    assert is_ours_or_warns(record("botocore.auth", logging.WARNING))
    assert is_ours_or_warns(record("autolabel.run.shard", logging.DEBUG))


def test_actions_are_pinned_by_the_hash_of_a_commit() -> None:
    workflows = list((Path(__file__).parents[2] / ".github" / "workflows").glob("*.yml"))
    used = [line for path in workflows for line in path.read_text().splitlines() if "uses:" in line]
    assert used
    assert all(re.search(r"uses: [\w./-]+@[0-9a-f]{40} # v[\d.]+$", line) for line in used), used
