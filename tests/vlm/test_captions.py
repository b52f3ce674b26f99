"""Captions that a model writes for images without any: asked once, kept, counted, and credited."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from autolabel import compile_plan, generate, load_spec
from autolabel.errors import BusyError, DataError, EndpointError, SpecError
from autolabel.plan.model import Plan
from autolabel.registry import Registry
from autolabel.results.slices import Slice
from autolabel.run.generate import generate_slice, write_plan
from autolabel.run.prepare import planned_run
from autolabel.testing import check_captioner, example_sample
from autolabel.testing.endpoint import Scripted, ScriptedEndpoint, words_of
from autolabel_vlm.caption import VlmCaptioner

pytest.importorskip("httpx")
BOX = json.dumps([{"bbox_2d": [250, 500, 500, 1000], "label": "black cat", "score": 0.75}])


def asks_for_caption(request: dict[str, Any]) -> bool:
    """Return whether a request is for a caption."""
    return "Describe this image" in words_of(request)


def answers(request: dict[str, Any], before: int) -> Scripted:
    """Describe an image where that is asked for, and show a cat else."""
    return Scripted(text="A black cat beside a small dog." if asks_for_caption(request) else BOX)


def write_spec(root: Path, url: str, captions: str = "{labeler: vlm}", more: str = "", count: int = 3) -> Path:
    """Write a spec for photos that are asked for the phrases of their captions."""
    (root / "images").mkdir(exist_ok=True)
    for index in range(count):
        Image.new("RGB", (60, 40), (40 * index, 0, 0)).save(root / "images" / f"{index}.png")
    path = root / "spec.yaml"
    path.write_text(f"""version: 1
data: {{images: [./images], captions: {captions}}}
stages: [{{labeler: {{type: vlm, endpoint: '{url}', model: qwen, coordinates: unit_1000, retries: 0, concurrency: 1}}}}]
run: {{batch_size: 1}}
export: [{{type: odvg}}]
devices: cpu
results_dir: out
{more}
""")
    return path


def plan_of(path: Path, registry: Registry) -> Plan:
    """Return the plan of a spec, which asks nothing."""
    return compile_plan(load_spec(path, registry=registry), registry=registry).plan


def run(path: Path, registry: Registry, mode: str = "resume") -> list[dict[str, Any]]:
    """Run a spec and return its rows."""
    generate(compile_plan(load_spec(path, registry=registry), registry=registry), registry=registry, mode=mode)
    return lines(path.parent / "out" / "labels.jsonl")


def lines(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a file."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_phrases_come_from_the_photo_and_are_credited(tmp_path: Path, registry: Registry) -> None:
    with ScriptedEndpoint(answers) as server:
        path = write_spec(tmp_path, server.url)
        rows = run(path, registry)
        assert len(server.requests) == 6
        assert rows == run(path, registry) and len(server.requests) == 6, "a finished run asks nothing"
    assert [row["caption"] for row in rows] == ["A black cat beside a small dog."] * 3
    assert [row["phrases"] for row in rows] == [["black cat", "small dog"]] * 3
    assert [row["instances"][0]["phrase"] for row in rows] == ["black cat"] * 3
    assert all("its caption was written by caption (qwen)" in row["notes"] for row in rows)
    written = lines(tmp_path / "out" / "captions.jsonl")
    assert [(one["file_name"], one["model"], one["noun_chunks"]) for one in written] == [
        (f"{index}.png", "qwen", ["black cat", "small dog"]) for index in range(3)
    ]
    [first, *_] = lines(tmp_path / "out" / "odvg" / "annotations.jsonl")
    assert first["grounding"]["caption"] == "A black cat beside a small dog."
    assert first["grounding"]["regions"][0]["phrase"] == "black cat"


def test_what_is_written_is_a_file_of_captions(tmp_path: Path, registry: Registry) -> None:
    with ScriptedEndpoint(answers) as server:
        rows = run(write_spec(tmp_path, server.url), registry)
        (tmp_path / "out" / "captions.jsonl").rename(tmp_path / "mine.jsonl")
        path = write_spec(tmp_path, server.url, captions="mine.jsonl")
        path.write_text(path.read_text().replace("results_dir: out", "results_dir: again"))
        generate(compile_plan(load_spec(path, registry=registry), registry=registry), registry=registry)
    again = lines(tmp_path / "again" / "labels.jsonl")
    assert [(row["caption"], row["phrases"]) for row in again] == [(row["caption"], row["phrases"]) for row in rows]


GIVEN = [
    {"file_name": "0.png", "caption": "A red car."},
    {"file_name": "1.png", "noun_chunks": ["tree"]},
    {"file_name": "2.png"},
    {"file_name": "3.png", "caption": "  ", "noun_chunks": []},
    {"file_name": "0.png"},
]


def test_only_images_without_a_caption_are_described(tmp_path: Path, registry: Registry) -> None:
    (tmp_path / "given.jsonl").write_text("".join(json.dumps(line) + "\n" for line in GIVEN))
    with ScriptedEndpoint(answers) as server:
        path = write_spec(tmp_path, server.url, captions="{labeler: vlm, file: given.jsonl}", count=5)
        plan = plan_of(path, registry)
        assert plan.captions is not None and plan.captions.wanting == 3 and plan.manifest.rows == 5
        rows = run(path, registry)
        assert sum(map(asks_for_caption, server.requests)) == 3
    assert [row["phrases"] for row in rows] == [["red car"], ["tree"], *([["black cat", "small dog"]] * 3)]
    assert ["its caption was written" in " ".join(row["notes"]) for row in rows] == [False, False, True, True, True]


def test_plan_counts_captions_and_asks_nothing(
    tmp_path: Path, registry: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    from autolabel.cli.printed_plan import print_plan

    with ScriptedEndpoint(answers) as server:
        path = write_spec(tmp_path, server.url)
        plan = plan_of(path, registry)
        assert plan.captions is not None
        assert (plan.captions.wanting, plan.captions.asked.requests, plan.captions.asked.images) == (3, 3, 3)
        assert plan.captions.asked.tokens > 0 and plan.captions.sends_to == (server.url,)
        assert plan.manifest.requests[0] is not None and plan.manifest.requests[0].requests == 3
        print_plan(plan)
        assert "by caption qwen, 3 images to describe: at most 3 requests" in " ".join(capsys.readouterr().out.split())
        run(path, registry)
        after = plan_of(path, registry)
        assert after.captions is not None and after.captions.wanting == 0
        assert len(server.requests) == 6


def test_budget_counts_captions_and_is_given_once(tmp_path: Path, registry: Registry) -> None:
    with ScriptedEndpoint(answers) as server:
        path = write_spec(tmp_path, server.url)
        text = path.read_text()
        for most in (2, 4):
            path.write_text(text.replace("batch_size: 1", f"batch_size: 1, budget: {{requests: {most}}}"))
            for _ in range(2):
                with pytest.raises(EndpointError, match=rf"run\.budget\.requests: {most} of {most} are spent"):
                    run(path, registry)
                assert len(server.requests) == most
        path.write_text(text)
        assert len(run(path, registry)) == 3
        assert len(server.requests) == 6


def test_killed_run_asks_for_no_caption_twice(tmp_path: Path) -> None:
    running: list[subprocess.Popen[bytes]] = []

    def script(request: dict[str, Any], before: int) -> Scripted:
        if before == 2:
            running[0].kill()
            running[0].wait()
        return answers(request, before)

    with ScriptedEndpoint(script) as server:
        words = [sys.executable, "-m", "autolabel", "generate", str(write_spec(tmp_path, server.url)), "--quiet"]
        running.append(subprocess.Popen(words, env=dict(os.environ), stdout=subprocess.DEVNULL))
        assert running[0].wait() == -signal.SIGKILL
        assert subprocess.run(words, stdout=subprocess.DEVNULL, check=False).returncode == 0
        assert len(server.requests) == 6 + 1, "the question that was under way is asked again, no other"


@pytest.mark.parametrize("place", ["captions.written:kill:1", "captions.renamed:kill:1", "row.labelled:kill:2"])
def test_killed_run_asks_as_often_as_one_that_is_not(tmp_path: Path, place: str) -> None:
    with ScriptedEndpoint(answers) as server:
        words = [sys.executable, "-m", "autolabel", "generate", str(write_spec(tmp_path, server.url)), "--quiet"]
        killed = subprocess.run(words, env={**os.environ, "AUTOLABEL_FAILPOINT": place}, check=False)
        assert killed.returncode == -signal.SIGKILL
        assert 3 <= len(server.requests) < 6
        assert subprocess.run(words, stdout=subprocess.DEVNULL, check=False).returncode == 0
        assert len(server.requests) == 6
        assert sum(map(asks_for_caption, server.requests)) == 3


REFUSED = [
    (Scripted(text="", refusal="no"), "refused"),
    (Scripted(text="  "), "unreadable_answer"),
    (Scripted(status=400, text="too dark"), "endpoint_refused"),
]


@pytest.mark.parametrize(("answer", "code"), REFUSED)
def test_image_that_gets_no_caption_fails_alone(
    tmp_path: Path, registry: Registry, answer: Scripted, code: str
) -> None:
    def script(request: dict[str, Any], before: int) -> Scripted:
        return answer if before == 1 else answers(request, before)

    with ScriptedEndpoint(script) as server:
        path = write_spec(tmp_path, server.url)
        rows = run(path, registry)
        assert rows == run(path, registry)
    [failed] = [row for row in rows if row["state"] == "failed"]
    assert failed["reason"]["code"] == code and "no caption from caption (qwen)" in failed["reason"]["message"]
    assert [row["state"] for row in rows].count("labelled") == 2


SAID = [
    (Scripted(text="```\nA cat.\n```"), "A cat."),
    (Scripted(text="<think>hm, a dog?</think>\nA cat."), "A cat."),
    (Scripted(text='"A cat.\n  A dog."'), "A cat. A dog."),
    (Scripted(text="A cat. A dog beside", finish="length"), "A cat."),
]


@pytest.mark.parametrize(("answer", "caption"), SAID)
def test_captions_are_read_however_they_come(answer: Scripted, caption: str) -> None:
    with ScriptedEndpoint(lambda request, before: answer) as server:
        captioner = VlmCaptioner(VlmCaptioner.Params(endpoint=server.url, model="m"))
        captioner.load("cpu")
        assert captioner.describe([example_sample(0)]) == [caption]


def test_contract_of_captioners() -> None:
    with ScriptedEndpoint(lambda request, before: Scripted(text="A cat.")) as server:
        check_captioner(VlmCaptioner, {"endpoint": server.url, "model": "m"})


def test_other_settings_ask_again_and_start_over(tmp_path: Path, registry: Registry) -> None:
    with ScriptedEndpoint(answers) as server:
        own = f"{{labeler: {{type: caption, endpoint: '{server.url}', model: other}}}}"
        run(write_spec(tmp_path, server.url), registry)
        rows = run(write_spec(tmp_path, server.url, captions=own), registry, mode="fresh")
        asked = [request["model"] for request in server.requests if asks_for_caption(request)]
        assert asked == ["qwen"] * 3 + ["other"] * 3
    assert all("its caption was written by caption (other)" in row["notes"] for row in rows)


def test_new_images_are_described_where_the_run_is_extended(tmp_path: Path, registry: Registry) -> None:
    with ScriptedEndpoint(answers) as server:
        run(write_spec(tmp_path, server.url), registry)
        assert len(run(write_spec(tmp_path, server.url, count=4), registry, mode="extend")) == 4
        assert len(server.requests) == 8


def test_slices_share_captions_that_are_written_with_the_plan(tmp_path: Path, registry: Registry) -> None:
    with ScriptedEndpoint(answers) as server:
        spec = load_spec(write_spec(tmp_path, server.url), registry=registry)
        with pytest.raises(DataError, match="3 images have no caption yet"):
            generate_slice(compile_plan(spec, registry=registry), Slice(1, 2))
        assert write_plan(compile_plan(spec, registry=registry)).manifest.classes == ("black cat", "small dog")
        generate_slice(planned_run(spec, registry=registry), Slice(1, 1), mode="planned")
        assert len(server.requests) == 6


def test_somebody_elses_file_is_left_alone(tmp_path: Path, registry: Registry) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "captions.jsonl").write_text('{"file_name": "0.png", "caption": "Mine."}\n')
    with ScriptedEndpoint(answers) as server, pytest.raises(BusyError, match="no run of autolabel has written it"):
        run(write_spec(tmp_path, server.url), registry)
    assert "Mine." in (tmp_path / "out" / "captions.jsonl").read_text()


@pytest.mark.parametrize(
    ("captions", "said"),
    [
        ("{labeler: caption}", "no stage has a labeler of the type 'caption'"),
        ("{labeler: {type: contrast}}", "'contrast' does not describe images"),
        ("{labeler: {type: nothing}}", "nothing"),
        ("{labeler: vlm, file: missing.jsonl}", r"data\.captions\.file: no such file"),
        ("{labeler: vlm, files: missing.jsonl}", r"data\.captions\.files: unknown key"),
        ("{}", r"data\.captions\.labeler: missing"),
    ],
)
def test_wrong_specs(tmp_path: Path, registry: Registry, captions: str, said: str) -> None:
    with pytest.raises(SpecError, match=said):
        plan_of(write_spec(tmp_path, "http://localhost:1/v1", captions=captions), registry)


def test_captions_of_the_run_itself_are_not_given(tmp_path: Path, registry: Registry) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "captions.jsonl").write_text("")
    path = write_spec(tmp_path, "http://localhost:1/v1", captions="{labeler: vlm, file: out/captions.jsonl}")
    with pytest.raises(SpecError, match="is a file that the run itself writes"):
        plan_of(path, registry)


def test_captioner_is_no_stage(tmp_path: Path, registry: Registry) -> None:
    path = write_spec(tmp_path, "http://localhost:1/v1")
    path.write_text(
        "version: 1\ndata: {images: [./images], classes: [cat]}\nresults_dir: out\n"
        "stages: [{labeler: {type: caption, endpoint: 'http://localhost:1/v1', model: m}}]\n"
    )
    with pytest.raises(SpecError, match=r"describes images: it belongs in data\.captions"):
        plan_of(path, registry)


def test_local_only_covers_captions(tmp_path: Path, registry: Registry) -> None:
    elsewhere = "{labeler: {type: caption, endpoint: 'https://api.example.com/v1', model: m}}"
    path = write_spec(tmp_path, "http://localhost:1/v1", captions=elsewhere, more="local_only: true")
    with pytest.raises(SpecError, match=r"data\.captions\.labeler: .*api\.example\.com/v1 for captions"):
        plan_of(path, registry)


def test_doctor_asks_for_a_caption(tmp_path: Path) -> None:
    from autolabel.cli.doctor import examine_endpoints

    with ScriptedEndpoint(lambda request, before: Scripted(text="A red square on a grey ground.")) as server:
        found = examine_endpoints(str(write_spec(tmp_path, server.url)))
    told = found["data.captions.labeler: caption"][0]
    assert (told.right, told.said) == (True, "for an image of a red square: A red square on a grey ground.")
