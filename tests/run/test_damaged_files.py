"""Files of a run that were damaged: found, mended or refused by name, never taken for what they are not."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from autolabel import read_labels
from autolabel.certify.drawing import CertificateRequest
from autolabel.errors import AutolabelError, DataError
from autolabel.evaluate import evaluate
from autolabel.plan import plan_file
from autolabel.plan.compile import Compiled, compile_plan
from autolabel.registry import Registry, discover
from autolabel.results import checksum
from autolabel.results.status import read_status
from autolabel.run.certify import certify_run
from autolabel.run.diff import diff_runs
from autolabel.run.export import export_run
from autolabel.run.generate import generate, merge
from autolabel.run.outputs import report_run
from autolabel.run.prepare import planned_run
from autolabel.spec.load import spec_from_mapping
from autolabel.spec.model import Spec
from tests.specs import make_spec

IMAGES = 11
FILES = [
    "plan.json",
    "inputs.jsonl",
    "labels.jsonl",
    "labels.jsonl.sha256",
    "stages/0-colors/shard-000001.jsonl",
    "stages/1-filled/shard-000000.jsonl",
    "stages/1-filled/shard-000003.jsonl",
    "coco/annotations.json",
    "report/index.html",
    ".lock",
]
OUTPUTS = ("coco/annotations.json", "report/index.html")
"""What nobody reads again: written anew by the commands that write them."""
Damage = Callable[[bytes], bytes]


def rows(data: bytes) -> list[bytes]:
    return data.splitlines(keepends=True)


def changed(change: Callable[[dict[str, Any]], object]) -> Damage:
    """Change the first row that is an object with instances."""

    def work(data: bytes) -> bytes:
        lines = rows(data)
        for number, line in enumerate(lines):
            try:
                row = json.loads(line)
            except ValueError:
                continue
            if isinstance(row, dict) and row.get("instances"):
                change(row)
                lines[number] = json.dumps(row, separators=(",", ":")).encode() + b"\n"
                return b"".join(lines)
        return data.replace(b"0", b"1", 1)

    return work


def middle(data: bytes, change: Callable[[list[bytes], int], object]) -> bytes:
    lines = rows(data)
    change(lines, len(lines) // 2)
    return b"".join(lines)


def swap(lines: list[bytes], place: int) -> None:
    lines[place - 1 : place + 1] = lines[place - 1 : place + 1][::-1]


DAMAGES: dict[str, Damage] = {
    "cut to half": lambda data: data[: len(data) // 2],
    "emptied": lambda data: b"",
    "NULs at the end": lambda data: data[:-9] + b"\0" * 9,
    "NULs throughout": lambda data: b"\0" * len(data),
    "NULs after the end": lambda data: data + b"\0" * 4096,
    "garbage": lambda data: random.Random(7).randbytes(len(data)),
    "a line cut out": lambda data: middle(data, lambda lines, place: lines.pop(place)),
    "the last line cut out": lambda data: b"".join(rows(data)[:-1]),
    "the last bytes cut": lambda data: data[:-5],
    "the last newline cut": lambda data: data[:-1],
    "a line doubled": lambda data: middle(data, lambda lines, place: lines.insert(place, lines[place])),
    "two lines swapped": lambda data: middle(data, swap),
    "an object dropped": changed(lambda row: row["instances"].pop()),
    "a state changed": changed(lambda row: row.update(state="empty")),
    "a score changed": changed(lambda row: row["instances"][0].update(score=0.123456)),
    "a box changed": changed(lambda row: row["instances"][0].update(bbox=[1.0, 1.0, 9.0, 9.0])),
    "a bit turned": lambda data: (
        data[: len(data) // 3] + bytes([data[len(data) // 3] ^ 1]) + data[len(data) // 3 + 1 :]
    ),
    "deleted": lambda data: b"",
}
"""``deleted`` removes the file."""


@dataclass
class Run:
    """A finished run, with what brings it back."""

    out: Path
    whole: Path
    spec: Spec
    compiled: Compiled
    registry: Registry
    expected: dict[str, bytes]

    def restore(self) -> None:
        shutil.rmtree(self.out)
        shutil.copytree(self.whole, self.out)

    def files(self) -> dict[str, bytes]:
        return {str(path.relative_to(self.out)): path.read_bytes() for path in self.out.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def run(hazards_path: str, draw_photos: Any, tmp_path_factory: pytest.TempPathFactory) -> Run:
    registry, folder = discover(), tmp_path_factory.mktemp("damage")
    (folder / "photos").mkdir()
    photos = draw_photos(folder / "photos", IMAGES)
    spec = spec_from_mapping(
        make_spec(
            photos,
            folder / "run",
            classes=["red", "blue"],
            stages=[{"labeler": {"type": "colors"}}, {"labeler": {"type": "filled"}}],
            run={"shard_size": 3, "batch_size": 2, "num_workers": 1},
            export=[{"type": "coco"}],
            report=True,
        ),
        root=folder,
        registry=registry,
    )
    compiled = compile_plan(spec, registry=registry)
    generate(compiled, registry=registry)
    shutil.copytree(folder / "run", folder / "whole")
    made = Run(folder / "run", folder / "whole", spec, compiled, registry, {})
    made.expected = {name: data for name, data in made.files().items() if name != ".lock"}
    assert set(FILES) <= {*made.expected, ".lock"}
    return made


@pytest.fixture(autouse=True)
def restored(run: Run) -> Iterator[None]:
    run.restore()
    yield


COMMANDS: dict[str, Callable[[Run], object]] = {
    "generate": lambda run: generate(run.compiled, registry=run.registry),
    "generate --planned": lambda run: generate(
        planned_run(run.spec, registry=run.registry), registry=run.registry, mode="planned"
    ),
    "merge": lambda run: merge(run.out, registry=run.registry),
    "export": lambda run: export_run(run.out, "coco", [], registry=run.registry),
    "report": lambda run: report_run(run.out),
    "status": lambda run: read_status(run.out),
    "read_labels": lambda run: list(read_labels(run.out)),
    "evaluate": lambda run: evaluate(read_labels(run.out), run.whole / "coco/annotations.json"),
}
UNREAD = {
    ("export", "inputs.jsonl"),
    ("report", "inputs.jsonl"),
    ("export", "stages"),
    ("report", "stages"),
    ("merge", "stages/0-colors"),
    ("read_labels", "inputs.jsonl"),
    ("read_labels", "stages"),
    ("evaluate", "inputs.jsonl"),
    ("evaluate", "stages"),
}
"""What a command has no need of, and leaves alone."""
WRITERS = ("generate", "generate --planned", "merge")


def damage(run: Run, file: str, kind: str) -> None:
    path = run.out / file
    before = path.read_bytes()
    after = DAMAGES[kind](before)
    if kind == "deleted":
        path.unlink()
    else:
        path.write_bytes(after)


def says_the_same(run: Run, file: str) -> bool:
    """Tell whether a plan, or a sum, says what it said: its lines in another order, a newline less, NULs behind it."""
    if file.endswith(".sha256"):
        ledger = (run.out / file).with_suffix("")
        return checksum.stated_checksum(ledger) == checksum.stated_checksum((run.whole / file).with_suffix(""))
    if file != "plan.json" or not (run.out / file).exists():
        return False
    return plan_file.read_plan(run.out / file) == plan_file.read_plan(run.whole / file)


def verdict(run: Run, file: str, command: str) -> str:
    """Run a command on a damaged run; say what came of it, and fail where that is silently wrong."""
    damaged = run.files().get(file)
    try:
        answer = COMMANDS[command](run)
    except AutolabelError as error:
        assert Path(file).name in str(error) or damaged is None, error
        assert error.exit_code not in (0, 70)
        return "refused"
    if (
        command == "status"
        and not says_the_same(run, file)
        and file not in OUTPUTS
        and damaged != run.expected.get(file, damaged)
    ):
        if damaged is not None:
            assert any(Path(file).name.removesuffix(".sha256") in one for one in answer.damaged), answer  # type: ignore[attr-defined]
        assert not answer.finished  # type: ignore[attr-defined]
        return "told"
    now = run.files()
    if says_the_same(run, file) or (file == "plan.json" and damaged is None):
        now[file] = run.expected[file]
    wrong = {name for name, data in run.expected.items() if now.get(name) != data}
    if command in WRITERS:
        spared = {
            name for name in wrong if any((command, part) in UNREAD and name.startswith(part) for part in FOLDERS)
        }
        assert wrong <= spared, f"silently wrong: {wrong}"
        return "mended" if not wrong else "not read"
    assert wrong <= {file}, f"silently wrong: {wrong}"
    if wrong and file not in OUTPUTS and file != ".lock":
        assert any((command, part) in UNREAD and file.startswith(part) for part in FOLDERS), "read as if it were whole"
    return "mended" if not wrong else "not read"


FOLDERS = ("inputs.jsonl", "stages/0-colors", "stages")
SMALL = (
    [("stages/0-colors/shard-000001.jsonl", kind, "generate") for kind in DAMAGES]
    + [
        ("stages/1-filled/shard-000003.jsonl", kind, command)
        for kind in ("emptied", "the last line cut out", "a line doubled", "a score changed", "garbage", "deleted")
        for command in ("merge", "generate --planned", "status")
    ]
    + [
        ("labels.jsonl", kind, command)
        for kind, command in zip(
            DAMAGES, ["export", "report", "status", "read_labels", "evaluate", "merge"] * 3, strict=True
        )
    ]
    + [
        ("inputs.jsonl", kind, command)
        for kind in ("cut to half", "two lines swapped", "a bit turned", "deleted")
        for command in ("generate", "generate --planned", "merge", "status")
    ]
    + [
        ("plan.json", kind, command)
        for kind in ("cut to half", "a bit turned", "a line cut out", "emptied")
        for command in ("merge", "export", "status")
    ]
    + [("labels.jsonl.sha256", "garbage", "export"), ("labels.jsonl.sha256", "deleted", "read_labels")]
)


@pytest.mark.parametrize(("file", "kind", "command"), SMALL)
def test_damage_is_found(run: Run, file: str, kind: str, command: str) -> None:
    damage(run, file, kind)
    verdict(run, file, command)


@pytest.mark.soak
@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("file", FILES)
def test_every_damage_to_every_file_is_found_by_every_command(run: Run, file: str, command: str) -> None:
    for kind in DAMAGES:
        run.restore()
        damage(run, file, kind)
        verdict(run, file, command)


def test_a_damaged_shard_is_named_and_labelled_again(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    name = "stages/0-colors/shard-000001.jsonl"
    (run.out / name).write_bytes(b"")
    labelled: list[int] = []
    generate(run.compiled, registry=run.registry, watch=counting(labelled))
    assert labelled == [3, 0]
    assert f"{name}: is damaged: it is empty; it is labelled again" in caplog.text
    assert (run.out / name).read_bytes() == run.expected[name]


def counting(labelled: list[int]) -> Any:
    from autolabel.run.worker import Watch

    class Counting(Watch):
        def stage_started(self, plan: Any, stage: Any, *, rows: int, left: int) -> None:
            labelled.append(left)

    return Counting()


def test_a_shard_of_another_place_or_plan_is_found(run: Run) -> None:
    stage = run.out / "stages" / "1-filled"
    one, other = stage / "shard-000000.jsonl", stage / "shard-000001.jsonl"
    one.write_bytes(other.read_bytes())
    with pytest.raises(DataError, match=r"shard-000000\.jsonl: is damaged: it holds shard 1 of 1-filled"):
        merge(run.out, registry=run.registry)
    run.restore()
    lines = rows(one.read_bytes())
    footer = json.loads(lines[-1])
    one.write_bytes(
        b"".join(lines[:-1]) + json.dumps({**footer, "plan": "0" * 64}, separators=(",", ":")).encode() + b"\n"
    )
    with pytest.raises(DataError, match=r"shard-000000\.jsonl: is damaged: it belongs to another plan"):
        merge(run.out, registry=run.registry)


def test_a_ledger_is_checked_by_sha256sum_too(run: Run) -> None:
    import hashlib

    digest, name = (run.out / "labels.jsonl.sha256").read_text().split()
    assert (name, digest) == ("labels.jsonl", hashlib.sha256((run.out / "labels.jsonl").read_bytes()).hexdigest())


def age(run: Run) -> None:
    """Turn a run into one of autolabel 0.1.0: a plan of version 1, no last lines, no sums."""

    (run.out / "labels.jsonl.sha256").unlink()
    for shard in run.out.glob("stages/*/*.jsonl"):
        shard.write_bytes(b"".join(rows(shard.read_bytes())[:-1]))
    plan = json.loads((run.out / "plan.json").read_bytes())
    recipe, manifest, outputs = (plan[name] for name in ("recipe", "manifest", "outputs"))
    passes = manifest.pop("most_passes")
    old = {
        **{name: plan[name] for name in ("digest", "autolabel", "execution", "notices")},
        "results": {name: recipe.pop(name) for name in ("shard_size", "threads")},
        **recipe,
        "stages": [{**stage, "most_passes": most} for stage, most in zip(recipe["stages"], passes, strict=True)],
        "inputs": manifest.pop("fingerprint"),
        **manifest,
        "shards": [shard[:4] for shard in manifest["shards"]],
        "output": {"filter": outputs.pop("filter"), "thresholds": outputs.pop("thresholds")},
        **{name: outputs[name] for name in ("results_dir", "exports", "report", "visualize")},
    }
    (run.out / "plan.json").write_text(json.dumps({**old, "version": 1}))


def test_a_run_of_an_older_version_is_read_with_a_note(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    age(run)
    assert read_status(run.out).finished
    assert len(list(read_labels(run.out))) == IMAGES
    export_run(run.out, "coco", [], registry=run.registry)
    assert (run.out / "coco/annotations.json").read_bytes() == run.expected["coco/annotations.json"]
    assert "older autolabel, without checksums" in caplog.text


def test_a_run_of_an_older_version_is_resumed_and_its_worst_damage_found(run: Run) -> None:
    age(run)
    (run.out / "stages" / "1-filled" / "shard-000002.jsonl").unlink()
    (run.out / "stages" / "1-filled" / "shard-000000.jsonl").write_bytes(b"")
    labelled: list[int] = []
    generate(run.compiled, registry=run.registry, watch=counting(labelled))
    assert labelled == [0, 6]
    assert (run.out / "coco/annotations.json").read_bytes() == run.expected["coco/annotations.json"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda row: row["instances"][0].update(phrase="green"), "label 0 is not the place of 'green'"),
        (lambda row: row["instances"][0].update(label=7), "label 7 is not the place"),
        (lambda row: row["instances"][0].update(label=-1), "/instances/0/label: -1 is less than the minimum of 0"),
        (lambda row: row["instances"][0].update(score=9), "9 is greater than the maximum of 1"),
        (lambda row: row["instances"][0].update(score=-0.1), "-0.1 is less than the minimum of 0"),
        (lambda row: row["instances"][0].update(score=None), "None is not of type 'number'"),
        (lambda row: row["instances"][0].update(bbox=[9, 9, 1, 1]), "wanted x1 < x2 and y1 < y2"),
        (
            lambda row: row["instances"][0].update(bbox=[0, 0, 1e300, 1]),
            "1e+300 is greater than the maximum of 1000000000",
        ),
        (lambda row: row["instances"][0].update(bbox=[0, 0, 1]), "[0, 0, 1] is too short"),
        (lambda row: row["instances"][0].update(round=99999), "99999 is greater than the maximum of 32767"),
        (lambda row: row["instances"][0].update(segmentation={"size": [4, 4], "counts": "`0"}), "a mask of [4, 4]"),
        (lambda row: row["instances"][0]["segmentation"].update(counts="ooooooo1"), "/instances/0/segmentation"),
        (lambda row: row.update(state="empty"), "says 'empty'"),
        (lambda row: row.update(state="fine"), "/state: 'fine' is not one of"),
        (lambda row: row.update(width=-1), "/width: -1 is less than the minimum of 0"),
        (lambda row: row.update(caption_index="0"), "is not of type 'integer'"),
        (lambda row: row.update(phrases=["red", "red"]), "a phrase appears twice"),
        (lambda row: [row["phrases"].append("green")], "'green' is not a class of this run"),
        (lambda row: row.pop("instances"), "'instances' is a required property"),
    ],
)
@pytest.mark.parametrize("form", ["coco", "odvg", "yolo", "kitti", "voc", "cvat", "labelme", "label_studio"])
def test_a_row_that_no_run_would_write_is_named_with_its_line(
    run: Run, change: Callable[[dict[str, Any]], object], told: str, form: str
) -> None:
    ledger = run.out / "labels.jsonl"
    lines = rows(ledger.read_bytes())
    row = json.loads(lines[4])
    change(row)
    lines[4] = json.dumps(row).encode() + b"\n"
    ledger.write_bytes(b"".join(lines))
    summed = checksum.Sum()
    list(summed.over([ledger.read_bytes()]))
    checksum.checksum_file(ledger).write_bytes(summed.line("labels.jsonl"))
    with pytest.raises(DataError) as caught:
        export_run(run.out, form, [], registry=run.registry)
    assert "labels.jsonl:5:1: " in str(caught.value)
    assert told in str(caught.value)


def reseal(ledger: Path, lines: list[bytes]) -> None:
    """Write a ledger and its sum as somebody would who knows how they are made."""
    summed = checksum.Sum()
    ledger.write_bytes(b"".join(summed.over(lines)))
    checksum.checksum_file(ledger).write_bytes(summed.line("labels.jsonl"))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda lines: lines.clear(), "labels.jsonl:1:1: the ledger has 0 rows, and its plan has 11"),
        (lambda lines: lines.pop(), "labels.jsonl:11:1: the ledger has 10 rows, and its plan has 11"),
        (lambda lines: lines.append(lines[-1]), "labels.jsonl:12:1: "),
        (lambda lines: lines.insert(3, lines[3]), "labels.jsonl:5:1: "),
        (lambda lines: lines.reverse(), "labels.jsonl:2:1: "),
        (lambda lines: swap(lines, 4), "labels.jsonl:5:1: "),
    ],
)
def test_a_ledger_whose_rows_are_not_those_of_its_plan_is_named_with_its_line(
    run: Run, tmp_path: Path, change: Callable[[list[bytes]], object], told: str
) -> None:
    ledger = run.out / "labels.jsonl"
    lines = rows(ledger.read_bytes())
    change(lines)
    reseal(ledger, lines)
    other = tmp_path / "other"
    shutil.copytree(run.out, other)
    for work in (
        lambda: export_run(run.out, "coco", [], registry=run.registry),
        lambda: report_run(run.out),
        lambda: list(read_labels(run.out)),
        lambda: diff_runs(run.out, other),
        lambda: certify_run(run.out, CertificateRequest()),
    ):
        with pytest.raises(DataError) as caught:
            work()
        assert told in str(caught.value)
