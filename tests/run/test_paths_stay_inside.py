"""Names out of data never make a file be opened or written outside the folders that a spec names: watched by Python."""

from __future__ import annotations

import json
import os
import sys
import sysconfig
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autolabel.data.collect import collect
from autolabel.errors import DataError
from autolabel.plan.compile import compile_plan
from autolabel.registry import Registry
from autolabel.report.pictures import write_pictures
from autolabel.results.ledger import read_labels
from autolabel.run.generate import generate
from autolabel.run.outputs import review_run
from autolabel.spec.data import DataSpec
from autolabel.spec.load import spec_from_mapping
from autolabel.types import Image, Instances, Labels, Prompt, Rle
from autolabel_exporters.yolo import Yolo
from tests.specs import make_spec

REPOSITORY = Path(__file__).resolve().parents[2]
TARGETS = ["secret/a.png", "photos-secret/a.png"]
CLIMBS = ["../{}", "a/../../{}", "./../{}", "a/b/../../../{}", "..//{}", "../photos/../{}", "a/./../../{}"]
CLIMBS += ["%2e%2e/../../{}"]
ABSOLUTE = ["{root}/{}", "//{root}/{}", "file://{root}/{}", "{root}/photos/../{}", "~/../..{root}/{}"]
ABSOLUTE += ["/proc/self/root{root}/{}"]
WINDOWS = ["..\\{}", "a\\..\\..\\{}", "C:\\{}", "c:/{}", "\\\\host\\{}", "..\\../{}"]
LINKS = ["out/a.png", "out/../a.png", "leaf.png", "./out/a.png"]
OTHERS = ["/etc/passwd", "../../../../../../etc/passwd", "/dev/zero", "/dev/stdin", "..", ".", "", "/", "a.png\0", "\0"]
OTHERS += [
    "../secret/a.png\0.png",
    "|cat /etc/passwd",
    "$(touch pwned).png",
    "`id`.png",
    "-rf",
    "con",
    "~root/.profile",
]


def names(root: Path) -> list[str]:
    """Return every hostile name, those that aim at ``root``'s secrets among them."""
    aimed = [form.format(target, root=root) for form in (*CLIMBS, *ABSOLUTE, *WINDOWS) for target in TARGETS]
    return [*aimed, *LINKS, *OTHERS]


@pytest.fixture
def root(tmp_path: Path, registry: Registry) -> Path:
    from autolabel_colors import save

    for place in ("photos/a/b/inner.png", *TARGETS):
        save(tmp_path / place, [(1, 2, 20, 30, "red")])
    (tmp_path / "photos" / "out").symlink_to(tmp_path / "secret")
    (tmp_path / "photos" / "leaf.png").symlink_to(tmp_path / "secret" / "a.png")
    for folder in ("data", "out", "run"):
        (tmp_path / folder).mkdir()
    return tmp_path


def watched(root: Path, work: Callable[[], object]) -> list[str]:
    """Return what a child that does ``work`` touches besides the folders it may, and Python's own files."""
    allowed = [str(root / name) for name in ("photos", "data", "out", "run")]
    allowed.append(os.environ["XDG_STATE_HOME"])  # the key of seals
    libraries = [*sysconfig.get_paths().values(), sys.base_prefix, str(REPOSITORY), "/usr", "/dev/null"]
    libraries += [entry for entry in sys.path if entry]
    touched: set[str] = set()

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if event not in ("open", "os.mkdir", "os.rename", "os.symlink", "os.link", "os.remove", "os.truncate"):
            return
        for path in arguments[:2] if event in ("os.rename", "os.link") else arguments[event == "os.symlink" :][:1]:
            if isinstance(path, str | bytes | os.PathLike):
                touched.add(os.path.realpath(os.fsdecode(path)))

    def child() -> None:
        os.chdir(root / "out")
        sys.addaudithook(watch)
        work()

    report = root / "report.json"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        process = os.fork()
    if process == 0:
        error = ""
        try:
            child()
        except BaseException as caught:
            error = f"{type(caught).__name__}: {caught}"
        limits = (f"/proc/{os.getpid()}/cgroup", "/sys/fs/cgroup")  # of cores and memory
        inside = tuple(f"{place}/" for place in (*allowed, *libraries, *limits))
        outside = sorted(path for path in touched if not f"{path}/".startswith(inside))
        report.write_text(json.dumps({"error": error, "outside": outside, "count": len(touched)}))
        os._exit(0)
    os.waitpid(process, 0)
    told = json.loads(report.read_text())
    assert not told["error"]
    assert told["count"] > 0
    return list(told["outside"])


def test_the_watch_sees_what_it_should(root: Path) -> None:
    found = watched(root, lambda: [(root / TARGETS[0]).read_bytes(), (root / "pwned").touch()])
    assert found == [str(root / "pwned"), str(root / TARGETS[0])]


def test_sixty_names_in_coco_files_open_nothing_outside(root: Path) -> None:
    assert len(set(names(root))) >= 60
    boxes = root / "data" / "boxes.json"

    def work() -> None:
        for name in names(root):
            image = {"id": 1, "file_name": name, "width": 64, "height": 64}
            rest = {"annotations": [], "categories": [{"id": 1, "name": "red"}]}
            boxes.write_text(json.dumps({"images": [image], **rest}))
            try:
                inputs = collect(DataSpec(images=[str(root / "photos")], boxes=str(boxes)), max_pixels=10**6, threads=1)
                rows = list(inputs.rows)
            except DataError as error:
                assert error.problems[0].path == "/images/0/file_name"
                continue
            assert [bool(row.code) for row in rows] == [True], name

    assert watched(root, work) == []


def spec(root: Path, **data: Any) -> dict[str, Any]:
    exports = ("coco", "odvg", "yolo", "voc", "kitti", "cvat", "labelme", "label_studio", "csv")
    return make_spec(
        root / "photos",
        root / "run",
        data={**data},
        run={"executor": "inline"},
        export=[{"type": name} for name in exports],
        report=True,
        visualize=True,
    )


def test_sixty_names_in_captions_and_reviews_open_nothing_outside(root: Path, registry: Registry) -> None:
    captions, review = root / "data" / "captions.jsonl", root / "data" / "review.json"
    lines = [{"file_name": name, "noun_chunks": ["red"]} for name in [*filter(None, names(root)), "a/b/inner.png"]]
    captions.write_text("".join(json.dumps(line) + "\n" for line in lines))
    decisions = [{"image": name, "verdict": "keep"} for name in filter(None, names(root))]
    review.write_text(json.dumps({"plan": "x", "decisions": decisions}))

    def work() -> None:
        loaded = spec_from_mapping(spec(root, captions=str(captions)), root=root, registry=registry)
        summary = generate(compile_plan(loaded, registry=registry), registry=registry)
        assert dict(summary.states) == {"failed": len(lines) - 1, "labelled": 1}
        review_run(root / "run", review, registry=registry)

    assert watched(root, work) == []


def test_sixty_image_names_are_written_inside_by_every_exporter(root: Path, registry: Registry) -> None:
    mask = Rle.encode(np.ones((64, 64), bool))
    found = Instances.build([[1, 2, 20, 30]], scores=[0.5], labels=[0], masks=[mask])
    inner = str(root / "photos" / "a" / "b" / "inner.png")
    ids = sorted(set(names(root)))
    labels = [
        Labels(image=Image(id=name, path=inner, size=(64, 64)), prompt=Prompt(("red",), "red"), instances=found)
        for name in ids
    ]

    def work() -> None:
        for entry in registry:
            if entry.kind == "exporter":
                out = root / "out" / entry.name
                out.mkdir()
                exporter: Any = entry.strategy(entry.strategy.Params())
                exporter.export(labels, ("red",), out)
        for number, one in enumerate(one for one in labels if one.image.id not in LINKS):
            out = root / "out" / str(number)
            out.mkdir()
            with suppress(DataError):  # no image of that name in the folder
                Yolo(Yolo.Params(images=str(root / "photos"))).export([one], ("red",), out)
        (root / "out" / "pictures").mkdir()
        write_pictures(labels, root / "out" / "pictures", max_pixels=10**6)

    assert watched(root, work) == []
    links = [path for path in (root / "out").rglob("*") if path.is_symlink()]
    assert all(path.resolve().is_relative_to(root / "photos") for path in links)


def test_a_run_reads_back_what_it_wrote(root: Path, registry: Registry) -> None:
    def work() -> None:
        loaded = spec_from_mapping(spec(root, classes=["red"]), root=root, registry=registry)
        generate(compile_plan(loaded, registry=registry), registry=registry)

    assert watched(root, work) == []
    states = {row.image.id: (row.state, row.reason.code if row.reason else "") for row in read_labels(root / "run")}
    assert states == {"a/b/inner.png": ("labelled", ""), "leaf.png": ("failed", "outside_root")}
