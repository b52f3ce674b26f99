"""Every export as other people's tools read it; a tool that is not installed judges nothing."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from tests.clients import scene as clients_scene
from tests.clients.readers import CHECKS, Check, difference, installed, outcome

pytestmark = pytest.mark.skipif(importlib.util.find_spec("pyarrow") is None, reason="pyarrow is not installed")


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scene")
    clients_scene.build(folder)
    return folder


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("one", CHECKS, ids=lambda one: f"{one.export}-{one.tool}")
def test_the_tool_reads_what_was_written(scene: Path, one: Check) -> None:
    if not installed(one):
        pytest.skip(f"{one.tool} is not installed")
    assert outcome(one, scene) == "right"


def test_every_format_has_a_reader() -> None:
    assert {name.partition(",")[0] for name in clients_scene.VARIANTS} - {"cvat polygons", "voc origin=1"} <= {
        one.export.partition(",")[0] for one in CHECKS
    }


@pytest.mark.filterwarnings("ignore")
def test_what_is_read_wrongly_is_seen(scene: Path) -> None:
    one = next(one for one in CHECKS if one.export == "coco" and one.tool == "pycocotools")
    read = one.read(scene / "coco")
    assert difference(read, scene, one) == ""
    assert "not read as they are" in difference(read[1:], scene, one)
    assert "too many" in difference([*read, []], scene, one)
    moved = next(found for objects in read for found in objects)
    moved.box[0] += 1
    assert "not read as they are" in difference(read, scene, one)
    moved.box[0] -= 1
    assert moved.mask is not None
    moved.mask[0, 0] ^= True
    assert "not read as they are" in difference(read, scene, one)
