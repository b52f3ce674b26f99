"""A small run to review, made with the free labeler of the example package."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from autolabel.plan.compile import compile_plan
from autolabel.registry import Registry, discover
from autolabel.results.store import finished
from autolabel.review.app import make_app
from autolabel.review.session import ReviewSession
from autolabel.run.generate import generate
from autolabel.spec.load import spec_from_mapping
from tests.review.origin import HOST, TOKEN
from tests.review.page_visit import Visit
from tests.specs import make_spec
from tests.web import Server


@pytest.fixture(scope="session")
def labelled(tmp_path_factory: pytest.TempPathFactory, registry: Registry) -> Path:
    """Six pictures with one red rectangle and one blue one each, the last one empty; exported to COCO and YOLO."""
    from autolabel_colors import Rectangle, save

    folder = tmp_path_factory.mktemp("labelled")
    for index in range(5):
        rectangles = [
            Rectangle(2 + index, 3, 20 + index, 20, "red", 0.6 + index / 20),
            Rectangle(30, 30, 50, 60, "blue", 0.9),
        ]
        save(folder / "photos" / f"{index:02}.png", rectangles)
    save(folder / "photos" / "05.png", [])
    spec = make_spec(folder / "photos", folder / "run", classes=["red", "blue", "green"], export=[{"type": "coco"}])
    generate(
        compile_plan(spec_from_mapping(spec, root=folder, registry=registry), registry=registry), registry=registry
    )
    return folder / "run"


@pytest.fixture
def run(labelled: Path, tmp_path: Path) -> Path:
    """A copy of that run."""
    return Path(shutil.copytree(labelled, tmp_path / "run"))


@pytest.fixture
def open_session(run: Path) -> Iterator[Callable[..., ReviewSession]]:
    """Open a session of the run, indexed."""
    opened: list[ReviewSession] = []

    def make(**options: Any) -> ReviewSession:
        session = ReviewSession(*finished(run), **options)
        session.index.build()
        opened.append(session)
        return session

    yield make
    for session in opened:
        session.index.close()


@pytest.fixture
def session(open_session: Callable[..., ReviewSession]) -> ReviewSession:
    """A session of the run."""
    return open_session(reviewer="ann")


@pytest.fixture
def client(session: ReviewSession) -> TestClient:
    """What a page of ours sends its requests with."""
    app = make_app(session, token=TOKEN, hosts={HOST})
    headers = {"origin": f"http://{HOST}", "sec-fetch-site": "same-origin"}
    return TestClient(app, base_url=f"http://{HOST}/{TOKEN}/", headers=headers)


@pytest.fixture(scope="module")
def masked(hazards_path: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four pictures with a red and a blue rectangle each, with masks that fill them."""
    from autolabel_colors import Rectangle, save

    folder = tmp_path_factory.mktemp("masked")
    for name in ("a b.png", "ü/c.png", "d.png", "e.png"):
        save(folder / "photos" / name, [Rectangle(2, 3, 22, 23, "red", 0.7), Rectangle(30, 30, 50, 60, "blue", 0.9)])
    spec = make_spec(
        folder / "photos",
        folder / "run",
        classes=["red", "blue", "green"],
        stages=[{"labeler": {"type": "colors"}}, {"labeler": {"type": "filled"}}],
        export=[{"type": "coco"}],
    )
    registry = discover()
    generate(
        compile_plan(spec_from_mapping(spec, root=folder, registry=registry), registry=registry), registry=registry
    )
    return folder / "run"


@pytest.fixture
def masked_run(masked: Path, tmp_path: Path) -> Path:
    """A copy of that run."""
    return Path(shutil.copytree(masked, tmp_path / "run"))


@pytest.fixture
def serve(run: Path, start_server: Callable[..., Server]) -> Callable[..., Server]:
    def start(*options: str) -> Server:
        return start_server("review", str(run), "--no-browser", *options)

    return start


@pytest.fixture
def visit(browser: Any) -> Iterator[Callable[..., Visit]]:
    visits: list[Visit] = []

    def go(address: str, **options: Any) -> Visit:
        visits.append(Visit(browser, address, **options))
        return visits[-1]

    yield go
    for one in visits:
        one.context.close()
        assert one.sins == []
