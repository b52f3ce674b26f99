"""`autolabel doctor --endpoint`: what it finds of servers whose answers are known."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from autolabel.cli.app import main
from autolabel.testing.endpoint import Script, Scripted, ScriptedEndpoint, picture_of

pytest.importorskip("httpx")
Numbers = Callable[[list[float], tuple[int, int]], list[float]]


def run_main(words: list[str]) -> int:
    """Run the command line in this process and return its exit code."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["autolabel", *words])
        patch.setattr("signal.signal", lambda number, handler: None)
        with pytest.raises(SystemExit) as ended:
            main()
    return int(ended.value.code or 0)


def square(request: dict[str, Any]) -> tuple[list[float], tuple[int, int]]:
    """Return the red square of a picture in its pixels, and the picture's (width, height)."""
    with Image.open(io.BytesIO(picture_of(request))) as opened:
        pixels = np.asarray(opened.convert("RGB"), int)
    red = (pixels[..., 0] > 170) & (pixels[..., 1] < 75)
    rows, columns = np.flatnonzero(red.any(axis=1)), np.flatnonzero(red.any(axis=0))
    box = [int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1]
    return [float(number) for number in box], (pixels.shape[1], pixels.shape[0])


def units(end: float, digits: int | None = None) -> Numbers:
    """Return what writes boxes in fractions of ``end``."""

    def write(box: list[float], size: tuple[int, int]) -> list[float]:
        return [round(number / size[index % 2] * end, digits) for index, number in enumerate(box)]

    return write


WRITE: dict[str, Numbers] = {
    "pixels": lambda box, size: box,
    "unit_1000": units(1000),
    "unit_999": units(999),
    "unit_1": units(1, 4),
}


def sees(write: Numbers, wrap: str = "%s", order: tuple[int, ...] = (0, 1, 2, 3), **words: Any) -> Script:
    """Return the script of a model that sees the square."""

    def script(request: dict[str, Any], before: int) -> Scripted:
        if not picture_of(request):
            return Scripted(text="yes")
        numbers = write(*square(request))
        objects = [{"bbox_2d": [numbers[index] for index in order], "label": "red square", "score": 0.9}]
        return Scripted(text=wrap % json.dumps(objects), **words)

    return script


def examined(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], script: Script, **words: str
) -> tuple[int, list[dict[str, Any]]]:
    """Run the doctor; return its exit code, and what it found."""
    with ScriptedEndpoint(script) as server:
        settings = {"coordinates": "unit_1000", "resize": "none", "retry_wait": "0", **words}
        written = ", ".join(f"{name}: {value}" for name, value in settings.items())
        (tmp_path / "images").mkdir(exist_ok=True)
        spec = tmp_path / "spec.yaml"
        spec.write_text(f"""version: 1
data: {{images: [./images], classes: [cat]}}
stages: [{{labeler: {{type: vlm, endpoint: '{server.url}', model: m, {written}}}}}]
results_dir: out
""")
        code = run_main(["doctor", "--endpoint", str(spec), "--json"])
    found = json.loads(capsys.readouterr().out)
    return code, found["stages[0].labeler: vlm"]


def about(found: list[dict[str, Any]], subject: str) -> dict[str, Any]:
    """Return the first finding about a subject."""
    return next(one for one in found if one["subject"] == subject)


@pytest.mark.parametrize("truth", WRITE)
@pytest.mark.parametrize("stated", WRITE)
def test_each_wrong_setting_is_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], truth: str, stated: str
) -> None:
    code, found = examined(tmp_path, capsys, sees(WRITE[truth]), coordinates=stated)
    boxes = about(found, "boxes")
    if truth == stated:
        assert (code, boxes["right"], boxes["hint"]) == (0, True, "")
        assert f"6 of 6 boxes land with coordinates: {stated}" in boxes["said"]
    else:
        assert (code, boxes["right"]) == (1, False)
        assert boxes["hint"].startswith(f"coordinates: {truth} would fit: 6 land")


def test_order_of_axes_is_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, found = examined(tmp_path, capsys, sees(units(1000), order=(1, 0, 3, 2)))
    assert about(found, "boxes")["hint"].startswith("coordinates: unit_1000, axes: yxyx would fit: 6 land")


def test_server_that_resizes_to_multiples_is_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def write(box: list[float], size: tuple[int, int]) -> list[float]:
        resized = [round(side / 28) * 28 for side in size]
        return [number / size[index % 2] * resized[index % 2] for index, number in enumerate(box)]

    code, found = examined(tmp_path, capsys, sees(write), coordinates="pixels", resize="none")
    assert code == 1
    assert about(found, "boxes")["hint"].startswith("coordinates: pixels, resize: {type: multiple, of: 28} would fit")
    rule = "{type: multiple, of: 28, max_pixels: 10000000}"
    code, found = examined(tmp_path, capsys, sees(WRITE["pixels"]), coordinates="pixels", resize=rule)
    assert (code, about(found, "boxes")["right"]) == (0, True)


@pytest.mark.parametrize(
    ("wrap", "said", "right"),
    [
        ("%s", "6 of 6 can be read: 6 JSON of the form asked for", True),
        ("```json\n%s\n```", "6 of 6 can be read: 6 in code fences", True),
        ("Here: %s", "6 of 6 can be read: 6 with text around", True),
        ('{"objects": %s}', "6 of 6 can be read: 6 JSON of another form", True),
        ("I cannot see. %.0s", "0 of 6 can be read: 6 without boxes that can be read", False),
    ],
)
def test_form_of_answers(tmp_path: Path, capsys: pytest.CaptureFixture[str], wrap: str, said: str, right: bool) -> None:
    code, found = examined(tmp_path, capsys, sees(units(1000), wrap))
    assert (about(found, "answers")["said"], about(found, "answers")["right"]) == (said, right)
    assert code == (0 if right else 1)


def test_cut_answers_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, found = examined(tmp_path, capsys, sees(units(1000), "%.20s", finish="length"))
    assert about(found, "answers")["said"] == "0 of 6 can be read: 6 cut"


def test_scores_and_cost(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, found = examined(tmp_path, capsys, sees(units(1000)))
    assert about(found, "scores")["said"] == "no token probabilities come; scores are what the model says of itself"
    assert about(found, "cost")["said"] == "one image takes about 100 tokens of question and 10 of answer"

    def spelled(request: dict[str, Any], before: int) -> Scripted:
        text = sees(units(1000))(request, before).text
        return Scripted(text=text, tokens=[(letter, -0.1) for letter in text])

    _, found = examined(tmp_path, capsys, spelled)
    assert (about(found, "scores")["said"], about(found, "scores")["right"]) == ("token probabilities come", True)


def test_server_that_refuses_a_setting_is_told_with_advice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def script(request: dict[str, Any], before: int) -> Scripted:
        return Scripted(status=400, text="response_format is not supported")

    code, found = examined(tmp_path, capsys, script)
    assert code == 1
    assert "response_format: none" in about(found, "answers")["hint"]


def test_spec_without_endpoint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "images").mkdir()
    spec = tmp_path / "spec.yaml"
    spec.write_text(
        "version: 1\ndata: {images: [./images], classes: [cat]}\n"
        "stages: [{labeler: {type: grounding_dino, checkpoint: tiny}}]\nresults_dir: out\n"
    )
    assert run_main(["doctor", "--endpoint", str(spec)]) == 2
    assert "none of its labelers asks an endpoint" in capsys.readouterr().err
