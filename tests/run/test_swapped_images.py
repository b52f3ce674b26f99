"""An image that became a link out of its folder after the run was planned is read by nothing; the others are."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest

from autolabel import read_labels
from autolabel.errors import ImageError
from autolabel.images import image_digest, leaves_root, read_pixels, read_size
from autolabel.images.inside import InsidePath
from autolabel.plan.compile import Compiled, compile_plan
from autolabel.registry import Registry
from autolabel.results.store import finished
from autolabel.review.session import ReviewSession
from autolabel.run.export import export_run
from autolabel.run.generate import generate
from autolabel.run.outputs import report_run
from autolabel.spec.load import spec_from_mapping
from tests.specs import make_spec


@pytest.fixture
def photos(draw_photos: Any, tmp_path: Path) -> Path:
    (tmp_path / "photos" / "sub").mkdir(parents=True)
    draw_photos(tmp_path / "photos", 3)
    shutil.copy(tmp_path / "photos" / "00.png", tmp_path / "photos" / "sub" / "03.png")
    shutil.copytree(tmp_path / "photos", tmp_path / "secret")
    (tmp_path / "photos" / "inner.png").symlink_to(tmp_path / "photos" / "01.png")
    return tmp_path / "photos"


def compiled_for(registry: Registry, photos: Path, **data: Any) -> Compiled:
    spec = make_spec(
        photos,
        photos.parent / "run",
        data={"classes": ["red"], **data},
        run={"num_workers": 1, "max_failures": 10, "candidates": str(photos.parent / "kept")},
    )
    root = photos.parent
    return compile_plan(spec_from_mapping(spec, root=root, registry=registry), registry=registry)


def swap(photos: Path) -> None:
    """Let a file, and a folder, become links to others of the same size."""
    (photos / "00.png").unlink()
    (photos / "00.png").symlink_to(photos.parent / "secret" / "00.png")
    shutil.rmtree(photos / "sub")
    (photos / "sub").symlink_to(photos.parent / "secret" / "sub")


def test_a_link_that_came_after_planning_is_not_followed(registry: Registry, photos: Path) -> None:
    compiled = compiled_for(registry, photos)
    swap(photos)
    generate(compiled, registry=registry)
    rows = {row.image.id: row for row in read_labels(photos.parent / "run")}
    reasons = {name: row.reason.code if row.reason else row.state for name, row in rows.items()}
    assert reasons == {
        "00.png": "outside_root",
        "01.png": "labelled",
        "02.png": "labelled",
        "inner.png": "labelled",
        "sub/03.png": "outside_root",
    }


def test_links_are_followed_where_the_spec_says_so(registry: Registry, photos: Path) -> None:
    compiled = compiled_for(registry, photos, follow_symlinks=True)
    swap(photos)
    generate(compiled, registry=registry)
    assert all(row.reason is None for row in read_labels(photos.parent / "run"))


def test_no_output_shows_what_a_later_link_leads_to(registry: Registry, photos: Path) -> None:
    run = photos.parent / "run"
    generate(compiled_for(registry, photos), registry=registry)
    swap(photos)
    export_run(run, "yolo", ["images=copy"], registry=registry)
    placed = {path.name for path in (run / "yolo" / "images").rglob("*.png")}
    assert placed == {"01.png", "02.png", "inner.png"}
    export_run(run, "yolo", ["images=link"], registry=registry)
    assert not (run / "yolo" / "images" / "00.png").exists()
    report_run(run)
    session = ReviewSession(*finished(run))
    session.index.build()
    row = session.index.find("00.png")
    assert row is not None
    with pytest.raises(ImageError, match="out of its folder"):
        session.pictures.picture(session.labels(row))
    session.index.close()


def test_every_reader_refuses_and_workers_know(photos: Path) -> None:
    path = pickle.loads(pickle.dumps(InsidePath(str(photos / "00.png"), str(photos))))
    assert isinstance(path, InsidePath) and path.root == str(photos)
    assert read_size(path) == (64, 64)
    swap(photos)
    for read in (read_size, read_pixels, image_digest):
        with pytest.raises(ImageError, match="out of its folder") as caught:
            read(path)
        assert caught.value.code == "outside_root"
    page = InsidePath(f"{photos}/00.png#page=2", str(photos))
    with pytest.raises(ImageError, match="out of its folder"):
        read_pixels(page)


@pytest.mark.parametrize("name", ["sub/../00.png", "sub/./../00.png", "inner.png", "sub/03.png#page=1", "none.png"])
def test_a_path_that_stays_inside_does_so_however_it_is_written(photos: Path, name: str) -> None:
    assert not leaves_root(InsidePath(f"{photos}/{name}", f"{photos}/"))
    swap(photos)
    outside = name.startswith("sub") or "00" in name
    assert leaves_root(InsidePath(f"{photos}/{name}", str(photos))) == outside


def test_a_plain_path_is_judged_without_resolving_it(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.path.realpath", lambda path: pytest.fail(f"{path} is resolved"))
    assert not leaves_root(InsidePath(f"{photos}/sub/03.png", str(photos)))
