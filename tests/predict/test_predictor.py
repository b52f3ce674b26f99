"""A predictor's labels are those of a run, whatever way an image comes and however many come at once."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from PIL import Image as Pillow

import autolabel
from autolabel.errors import DataError, MachineError, SpecError, WeightsError
from autolabel.plan.compile import compile_plan
from autolabel.predict import Predictor
from autolabel.registry import Registry
from autolabel.results import record
from autolabel.results.ledger import read_labels
from autolabel.run.generate import generate
from autolabel.spec.load import load_spec
from autolabel.types import Labels
from tests.specs import make_spec

ROOT = Path(__file__).resolve().parents[2]
SIZES = [(64, 64), (64, 80), (200, 150), (64, 64), (80, 64), (64, 64)]
STEP = {"type": "step", "rounds": 3, "start": 0.6, "end": 0.2}
DIM = {"type": "brightness", "gain": 1.2}
STAGES: dict[str, list[dict[str, Any]]] = {
    "rounds": [{"labeler": {"type": "colors"}, "scheduler": STEP, "ask": "all"}],
    "missing": [{"labeler": {"type": "colors"}, "scheduler": STEP}],
    "looks": [{"labeler": {"type": "colors"}, "scheduler": STEP, "looks": ["plain", "mirror"]}],
    "tiles": [{"labeler": {"type": "colors"}, "tiles": {"size": 64, "overlap": 0.3}}],
    "consensus": [
        {
            "labelers": [{"type": "colors"}, {"type": "colors", "min_side": 13}],
            "scheduler": STEP,
            "combine": {"type": "vote", "votes": 2},
            "looks": ["plain", "mirror"],
        }
    ],
    "masks": [{"labeler": {"type": "colors"}, "scheduler": STEP}, {"labeler": {"type": "filled"}}],
}
CLASSES = {"thing": ["red", "blue rectangle"], "green": {"negatives": ["yellow"]}}


@pytest.fixture(scope="module")
def hazards(hazards_path: str) -> Registry:
    return autolabel.discover()


@pytest.fixture
def photos(tmp_path: Path, example_path: str) -> Path:
    from autolabel_colors import Rectangle, save

    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    for index, size in enumerate(SIZES):
        rectangles = [Rectangle(2 + index, 3, 20, 20, "red", 0.9), Rectangle(30, 30, 50, 60, "blue", 0.45)]
        rectangles += [Rectangle(3, 40, 15, 55, "green", 0.8)]
        save(folder / ("more" if index % 2 else "") / f"{index}.png", rectangles if index < 5 else [], size=size)
    (folder / "broken.png").write_bytes((folder / "0.png").read_bytes()[:60])
    return folder


def mapping(photos: Path, **changes: Any) -> dict[str, Any]:
    return (
        make_spec(
            photos,
            photos.parent / "run",
            classes=CLASSES,
            stages=STAGES["rounds"],
            run={"shard_size": 4, "batch_size": 2, "num_workers": 2, "max_failures": 9},
            export=[],
        )
        | changes
    )


def rows_of(registry: Registry, spec: dict[str, Any]) -> list[Labels]:
    compiled = compile_plan(load_spec(spec, registry=registry), registry=registry)
    return list(read_labels(generate(compiled, registry=registry).results_dir))


def line(labels: Labels) -> bytes:
    return record.encode_labels(labels, "")


@pytest.mark.parametrize("stages", STAGES)
def test_a_predictor_gives_the_rows_of_a_run(hazards: Registry, photos: Path, stages: str) -> None:
    classes = ["red", "blue", "green"] if stages == "consensus" else CLASSES
    spec = mapping(photos, stages=STAGES[stages], data={"images": [str(photos)], "classes": classes})
    wanted = rows_of(hazards, spec)
    assert sum(len(row.instances) for row in wanted) > 4
    names = [row.image.id for row in wanted]
    with autolabel.open(spec, registry=hazards) as predictor:
        one_by_one = [predictor.predict(photos / name) for name in names]
        together = list(predictor.predict_many([str(photos / name) for name in names]))
        in_bytes = [predictor.predict((photos / name).read_bytes(), name=name) for name in names]
    for found in (one_by_one, together, in_bytes):
        assert list(map(line, found)) == list(map(line, wanted))
    with autolabel.open(photos.parent / "run", registry=hazards) as predictor:
        whole = [record.encode_labels(predictor.predict(photos / name), predictor.plan.digest) for name in names]
    assert whole == (photos.parent / "run" / "labels.jsonl").read_bytes().splitlines(), "the plan's digest among it"


def test_pixels_and_pil_images_give_the_same(registry: Registry, photos: Path) -> None:
    with autolabel.open(mapping(photos), registry=registry) as predictor:
        wanted = predictor.predict(photos / "0.png", name="x")
        with Pillow.open(photos / "0.png") as image:
            pixels = np.array(image.convert("RGB"))
            given: list[Any] = [image, image.convert("RGBA"), pixels, np.asfortranarray(pixels)]
            found = [predictor.predict(one, name="x") for one in given]
    assert [line(one) for one in found] == [line(wanted)] * 4
    assert wanted.state == "labelled"


def test_exif_orientation_is_applied_to_bytes_and_pil_images(registry: Registry, photos: Path) -> None:
    with Pillow.open(photos / "2.png") as image:
        upright = image.convert("RGB")
    tag = Pillow.Exif()
    tag[0x0112] = 6
    stored = io.BytesIO()
    upright.transpose(Pillow.Transpose.ROTATE_90).save(stored, "PNG", exif=tag)
    with autolabel.open(mapping(photos), registry=registry) as predictor:
        wanted = predictor.predict(upright, name="x")
        turned = Pillow.open(io.BytesIO(stored.getvalue()))
        assert line(predictor.predict(turned, name="x")) == line(wanted)
        assert line(predictor.predict(stored.getvalue(), name="x")) == line(wanted)
        assert turned.getexif()[0x0112] == 6, "the caller's image is as it was"
    assert wanted.image.size == SIZES[2] and wanted.state == "labelled"


def test_values_of_more_than_8_bits_are_those_of_a_run(registry: Registry, photos: Path) -> None:
    values = np.full((64, 64), 100, np.uint16)
    values[10:40, 10:40] = 60000
    Pillow.fromarray(values).save(photos / "deep.png")
    spec = mapping(photos, data={"images": [str(photos)], "classes": ["white"], "value_range": [0, 65535]})
    with autolabel.open(spec, registry=registry) as predictor, Pillow.open(photos / "deep.png") as image:
        found = [predictor.predict(one, name="x") for one in (photos / "deep.png", image)]
    assert line(found[0]) == line(found[1])
    assert found[0].instances.boxes.tolist() == [[10, 10, 40, 40]]


def test_classes_of_a_request(registry: Registry, photos: Path) -> None:
    with autolabel.open(mapping(photos), registry=registry) as predictor:
        assert predictor.classes == ("thing", "green")
        red = predictor.predict(photos / "0.png", ["red"])
        assert red.prompt.phrases == ("red",) and len(red.instances) == 1
        other = predictor.predict(photos / "0.png", ["green", "thing"])
        assert other.prompt.phrases == ("green", "thing")
        assert set(other.instances.labels.tolist()) == {0, 1}, "a class of the spec is asked by its phrases"
        wrong: list[Any] = [[], "red", ["red", "red"], [" "], [1], [["red"]], {"red": []}, 7]
        for classes in wrong:
            with pytest.raises(SpecError, match="classes"):
                predictor.predict(photos / "0.png", classes)


def test_what_is_no_image_is_told(registry: Registry, photos: Path) -> None:
    with autolabel.open(mapping(photos), registry=registry) as predictor:
        reasons = [predictor.predict(one).reason for one in (photos / "none.png", b"no image", photos)]
        assert [one.code if one else "" for one in reasons] == ["missing", "unsupported_format", "unreadable"]
        with pytest.raises(TypeError, match="found list"):
            predictor.predict([1, 2])  # type: ignore[arg-type]
        wrong: list[Any] = [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32), np.zeros((4, 4, 4), np.uint8)]
        for pixels in wrong:
            with pytest.raises(DataError, match=r"wanted pixels of \(H, W, 3\) uint8"):
                predictor.predict(pixels)
        empty = predictor.predict(np.zeros((0, 4, 3), np.uint8)).reason
        assert empty is not None and empty.code == "too_large"
        assert predictor.predict(photos / "0.png").state == "labelled", "and the predictor goes on"
    with pytest.raises(ValueError, match="is closed"):
        predictor.predict(photos / "0.png")


def test_an_image_that_a_labeler_fails_at_costs_no_other(registry: Registry, photos: Path) -> None:
    stages = [{"labeler": {"type": "colors", "fail_on": ["bad"]}}]
    with autolabel.open(mapping(photos, stages=stages), registry=registry) as predictor:
        names = ["good", "bad", "fine"]
        waiting = [predictor.submit(photos / "0.png", name=name) for name in names]
        assert [one.result().state for one in waiting] == ["labelled", "failed", "labelled"]
        reason = waiting[1].result().reason
        assert reason is not None and reason.code == "labeler_error"


def test_thresholds_and_filters_are_those_of_what_a_run_hands_out(registry: Registry, photos: Path) -> None:
    spec = mapping(photos, output={"thresholds": {"thing": 0.5}, "filter": {"min_size": 14}})
    with autolabel.open(spec, registry=registry) as predictor:
        handed, raw = (predictor.predict(photos / "0.png", raw=raw) for raw in (False, True))
    assert [len(raw.instances), len(handed.instances)] == [3, 1]
    assert handed.instances.boxes.tolist() == [[2, 3, 20, 20]]


class Gate:
    """Holds a detector's first batch back until a number of images wait, and keeps the sizes of batches."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        from autolabel_colors import Colors

        self.open, self.entered, self.sizes = threading.Event(), threading.Event(), list[int]()
        prepare = Colors.prepare

        def held(detector: Colors, batch: Any) -> Any:
            self.sizes.append(len(batch))
            self.entered.set()
            assert self.open.wait(60)
            return prepare(detector, batch)

        patch.setattr(Colors, "prepare", held)


def test_requests_that_come_together_share_batches(
    registry: Registry, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = mapping(photos, run={"batch_size": 4, "num_workers": 2})
    gate = Gate(monkeypatch)
    with autolabel.open(spec, registry=registry) as predictor:
        first = predictor.submit(photos / "0.png")
        assert gate.entered.wait(60)
        others = [predictor.submit(photos / name) for name in ("0.png", "more/1.png", "more/3.png", "more/5.png") * 2]
        assert predictor.waiting == 8
        given_up = predictor.submit(photos / "0.png")
        assert given_up.cancel()
        gate.open.set()
        states = [one.result().state for one in (first, *others)]
    assert gate.sizes == [1, 4, 2, 2], "six of one shape, two of another; none for what was given up"
    assert states == ["labelled"] + ["labelled", "labelled", "labelled", "empty"] * 2


def test_many_threads_each_get_their_own(registry: Registry, photos: Path) -> None:
    names = [f"{'more/' if index % 2 else ''}{index}.png" for index in range(6)]
    with autolabel.open(mapping(photos), registry=registry) as predictor, ThreadPoolExecutor(12) as threads:
        wanted = {name: line(predictor.predict(photos / name)) for name in names}
        asked = names * 20
        found = list(threads.map(lambda name: line(predictor.predict(photos / name)), asked))
    assert found == [wanted[name] for name in asked]


def test_a_failing_device_is_told_to_whoever_waits_and_to_nobody_after(
    registry: Registry, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from autolabel_colors import Colors

    detect, broken = Colors.detect, [True]

    def failing(*arguments: Any) -> Any:
        if broken:
            raise MachineError("the device is gone")
        return detect(*arguments)

    monkeypatch.setattr(Colors, "detect", failing)
    with autolabel.open(mapping(photos), registry=registry) as predictor:
        with pytest.raises(MachineError, match="the device is gone"):
            predictor.predict(photos / "0.png")
        broken.clear()
        assert predictor.predict(photos / "0.png").state == "labelled"


def everything(folder: Path) -> dict[str, tuple[int, int]]:
    return {str(path): (path.stat().st_mtime_ns, path.stat().st_size) for path in folder.rglob("*")}


def test_nothing_is_written_and_kept_candidates_answer(
    registry: Registry, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from autolabel_colors import Colors

    run = {"shard_size": 4, "batch_size": 2, "candidates": str(photos.parent / "kept"), "max_failures": 9}
    spec = mapping(photos, run=run)
    wanted = rows_of(registry, spec)
    before = everything(photos.parent)
    asked: list[int] = []
    detect = Colors.detect
    monkeypatch.setattr(
        Colors, "detect", lambda self, items, *rest: asked.append(len(items)) or detect(self, items, *rest)
    )
    with autolabel.open(spec, registry=registry) as predictor:
        found = [predictor.predict(photos / row.image.id) for row in wanted]
        assert list(map(line, found)) == list(map(line, wanted))
        assert line(predictor.predict((photos / "0.png").read_bytes(), name="0.png")) == line(found[0])
        assert not asked, "all was answered before"
        predictor.predict(photos / "0.png", ["yellow"])
        assert asked, "and what was not is asked"
        assert not predictor._pool._waiting
    assert everything(photos.parent) == before


def test_folders_of_a_spec_need_not_be_there(registry: Registry, photos: Path, tmp_path: Path) -> None:
    spec = mapping(photos, data={"images": [str(tmp_path / "gone")], "classes": ["red"]})
    with autolabel.open(spec, registry=registry) as predictor:
        assert predictor.predict(photos / "0.png").state == "labelled"


def test_files_of_specs_and_plans(registry: Registry, photos: Path, tmp_path: Path) -> None:
    path = tmp_path / "spec.json"
    path.write_text(json.dumps(mapping(photos)))
    rows_of(registry, mapping(photos))
    plan = tmp_path / "run" / "plan.json"
    (tmp_path / "kept.json").write_bytes(plan.read_bytes())
    digests = []
    for source in (path, plan, plan.parent, str(plan), tmp_path / "kept.json"):
        with autolabel.open(source, registry=registry) as predictor:
            digests.append(predictor.plan.digest)
    assert len(set(digests[1:])) == 1 and digests[0] != digests[1]
    with autolabel.open(path, overrides=["data.classes=[blue]"], registry=registry) as predictor:
        assert predictor.classes == ("blue",)
    with pytest.raises(SpecError, match="a plan takes no overrides"):
        autolabel.open(plan, overrides=["devices=cpu"], registry=registry)
    with pytest.raises(DataError, match="no such file"):
        autolabel.open(tmp_path, registry=registry)
    with pytest.raises(SpecError, match="version: found 2"):
        autolabel.open({**mapping(photos), "version": 2}, registry=registry)
    with pytest.raises(SpecError, match="needs boxes"):
        autolabel.open(ROOT / "specs" / "masks.yaml", registry=registry)


def test_a_plan_of_another_version_or_other_weights_is_refused(
    registry: Registry, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows_of(registry, mapping(photos))
    monkeypatch.setattr(autolabel, "__version__", "9.9")
    with pytest.raises(MachineError, match=r"is of autolabel 0\.1\.0, and this is 9\.9"):
        autolabel.open(photos.parent / "run", registry=registry)
    monkeypatch.undo()
    spec = load_spec(ROOT / "specs" / "quickstart.yaml", overrides=["devices=cpu"], registry=registry)
    from autolabel.plan import plan_file
    from autolabel.plan.compile import compile_rowless

    plan = msgspec.json.decode(plan_file.encode_plan(compile_rowless(spec, registry=registry)))
    plan["recipe"]["stages"][1]["weights"]["files"][0]["sha256"] = "0" * 64
    plan["sha256"] = plan_file.sum_of(plan)
    (photos.parent / "plan.json").write_bytes(msgspec.json.encode(plan))
    with pytest.raises(WeightsError, match="1-mal: its weights differ from those of the run"):
        autolabel.open(photos.parent / "plan.json", registry=registry)


def test_a_plan_of_somebody_else_names_no_folders(registry: Registry, photos: Path) -> None:
    run = {"candidates": str(photos.parent / "kept")}
    rows_of(registry, mapping(photos, run={**run, "max_failures": 9}))
    (photos.parent / "run" / ".seal").unlink()
    with autolabel.open(photos.parent / "run", registry=registry) as predictor:
        assert predictor.plan.execution.candidates is None and not predictor.plan.manifest.roots
        assert predictor.predict(photos / "more" / "1.png").image.id == "1.png"


def test_a_device_can_be_named(registry: Registry, photos: Path) -> None:
    with pytest.raises(MachineError, match="asked for GPU 99"):
        autolabel.open(mapping(photos), device="cuda:99", registry=registry)
    with pytest.raises(SpecError, match="'gpu' is not a device"):
        autolabel.open(mapping(photos), device="gpu", registry=registry)
    with autolabel.open(mapping(photos, devices=[99]), device="cpu", registry=registry) as predictor:
        assert predictor.predict(photos / "0.png").state == "labelled"


@pytest.fixture(scope="module")
def shipped(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Predictor, list[Labels]]]:
    """The real models, and what a run of them finds in three photos."""
    out = tmp_path_factory.mktemp("shipped")
    words = ["devices=cpu", "run.threads=1", f"results_dir={out}", "report=false", "visualize=false", "export=[]"]
    spec = ROOT / "specs" / "quickstart.yaml"
    compiled = compile_plan(load_spec(spec, overrides=words, registry=registry), registry=registry, limit=3)
    generate(compiled, registry=registry)
    with autolabel.open(spec, overrides=words, registry=registry) as predictor:
        yield predictor, list(read_labels(out / "first-3"))


@pytest.mark.parametrize("give", [lambda path: path, Path.read_bytes, Pillow.open], ids=["path", "bytes", "PIL"])
def test_the_real_models_find_what_a_run_finds(
    shipped: tuple[Predictor, list[Labels]], give: Callable[[Path], Any]
) -> None:
    predictor, wanted = shipped
    folder = ROOT / "examples" / "bccd" / "images"
    names = [row.image.id for row in wanted]
    found = [predictor.predict(give(folder / name), name=name) for name in names[:1]]
    found += [one.result() for one in [predictor.submit(give(folder / name), name=name) for name in names[1:]]]
    for one, row in zip(found, wanted, strict=True):
        assert (one.image.id, one.image.size, one.prompt) == (row.image.id, row.image.size, row.prompt)
        assert one.instances.labels.tolist() == row.instances.labels.tolist() and len(one.instances) > 5
        assert one.instances.rounds.tolist() == row.instances.rounds.tolist()
        assert np.abs(one.instances.boxes - row.instances.boxes).max() < 0.02
        assert np.abs(one.instances.scores - row.instances.scores).max() < 2e-4
        for mine, theirs in zip(one.instances.masks or (), row.instances.masks or (), strict=True):
            assert mine is not None and theirs is not None
            assert (mine.decode() ^ theirs.decode()).sum() <= 0.02 * theirs.area()
