"""A server of the free labeler, asked without a network."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

import autolabel
from autolabel.predict import Predictor
from autolabel.registry import Registry
from autolabel.serve.app import Service, make_app
from autolabel.serve.limits import RequestLimits
from tests.specs import make_spec

TOKEN = "the-token-of-tests"
HOST = "127.0.0.1:9090"


@pytest.fixture
def photos(tmp_path: Path, example_path: str) -> Path:
    """Six pictures of one red rectangle and a blue one each, the last one empty."""
    from autolabel_colors import Rectangle, save

    for index in range(6):
        rectangles = [Rectangle(2 + index, 3, 20 + index, 20, "red", 0.9), Rectangle(30, 30, 50, 60, "blue", 0.8)]
        save(tmp_path / "photos" / f"{index}.png", rectangles if index < 5 else [])
    return tmp_path / "photos"


@pytest.fixture
def spec(photos: Path) -> dict[str, Any]:
    return make_spec(photos, photos.parent / "run", classes=["red", "blue"], export=[])


@pytest.fixture
def predictor(registry: Registry, spec: dict[str, Any]) -> Iterator[Predictor]:
    with autolabel.open(spec, registry=registry) as opened:
        yield opened


@pytest.fixture
def limits() -> RequestLimits:
    return RequestLimits(body=100_000, images=4, tasks=8, queue=3, seconds=30)


@pytest.fixture
def service(predictor: Predictor, limits: RequestLimits) -> Service:
    return Service(predictor, limits)


@pytest.fixture
def client(service: Service) -> Iterator[TestClient]:
    app = make_app(service, token=TOKEN, hosts={HOST})
    headers = {"authorization": f"Bearer {TOKEN}"}
    with TestClient(app, base_url=f"http://{HOST}", headers=headers, raise_server_exceptions=False) as asking:
        yield asking
