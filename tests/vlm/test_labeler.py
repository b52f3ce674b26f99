"""The labeler `vlm` before a scripted server: how servers behave, and the exact rows that come of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autolabel import compile_plan, generate, load_spec
from autolabel.errors import EndpointError, MachineError, SpecError
from autolabel.registry import Registry
from autolabel.testing import check_detector
from autolabel.testing.endpoint import Script, Scripted, ScriptedEndpoint, picture_of, words_of
from autolabel.testing.samples import example_samples
from autolabel_vlm.labeler import Vlm

pytest.importorskip("httpx")
PIXELS = {"width": 60, "height": 40}
PROBABILITIES = "vlm: scores are token probabilities"
REPORTED = "vlm: scores are what the model says of itself"
NONE = "vlm: the model gives no scores: 1 is used"
CAT = {"bbox_2d": [250, 500, 500, 1000], "label": "cat", "score": 0.75}
DOG = {"bbox_2d": [0, 0, 1000, 250], "label": "dog", "score": 0.5}
CAT_ROW = ("cat", [15.0, 20.0, 30.0, 40.0], 0.75)
DOG_ROW = ("dog", [0.0, 0.0, 60.0, 10.0], 0.5)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A folder with one photo, 60 wide and 40 high."""
    return photos(tmp_path, 1)


def photos(root: Path, count: int) -> Path:
    """Fill a folder with photos that differ."""
    from PIL import Image

    (root / "images").mkdir()
    for index in range(count):
        Image.new("RGB", (60, 40), (index, 0, 0)).save(root / "images" / f"{index}.png")
    return root


def spec(root: Path, url: str, labeler: str = "", more: str = "", **words: str) -> Path:
    """Write a spec for the photos of a folder."""
    settings = {"coordinates": "unit_1000", "retry_wait": "0", **words}
    written = ", ".join([*(f"{name}: {value}" for name, value in settings.items()), *([labeler] if labeler else [])])
    path = root / "spec.yaml"
    path.write_text(f"""version: 1
data: {{images: [./images], classes: [cat, dog]}}
stages:
  - labeler: {{type: vlm, endpoint: '{url}', model: m, {written}}}
    scheduler: {{type: fixed, rounds: [{{conf_threshold: 0.3}}]}}
devices: cpu
export: []
results_dir: out
{more}
""")
    return path


def rows(path: Path, registry: Registry, mode: str = "resume") -> list[dict[str, Any]]:
    """Run a spec and return the rows of its ledger."""
    compiled = compile_plan(load_spec(path, registry=registry), registry=registry)
    generate(compiled, registry=registry, mode=mode)
    return [json.loads(line) for line in (path.parent / "out" / "labels.jsonl").read_text().splitlines()]


def boxes(row: Mapping[str, Any]) -> list[tuple[str, list[float], float]]:
    """Return what a row says of its boxes."""
    return [(one["phrase"], one["bbox"], one["score"]) for one in row["instances"]]


def says(*answers: Scripted | str) -> Script:
    """Return a script of one answer after the other; the last for ever."""
    scripted = [Scripted(text=one) if isinstance(one, str) else one for one in answers]
    return lambda request, before: scripted[min(before, len(scripted) - 1)]


def tokens(text: str, logprob: float) -> list[tuple[str, float]]:
    """Return a text as tokens of three characters."""
    return [(text[start : start + 3], logprob) for start in range(0, len(text), 3)]


GOOD = json.dumps([CAT, DOG])
SYSTEMS: dict[str, Any] = {
    "unit_1000": ([250, 500, 500, 1000], "xyxy"),
    "unit_999": ([249.75, 499.5, 499.5, 999], "xyxy"),
    "unit_1": ([0.25, 0.5, 0.5, 1], "xyxy"),
    "pixels": ([15, 20, 30, 40], "xyxy"),
}


@pytest.mark.parametrize("coordinates", SYSTEMS)
@pytest.mark.parametrize("axes", ["xyxy", "yxyx"])
def test_each_coordinate_system(photo: Path, registry: Registry, coordinates: str, axes: str) -> None:
    x1, y1, x2, y2 = SYSTEMS[coordinates][0]
    box = [x1, y1, x2, y2] if axes == "xyxy" else [y1, x1, y2, x2]
    with ScriptedEndpoint(says(json.dumps([{"bbox_2d": box, "label": "cat", "score": 0.75}]))) as server:
        path = spec(photo, server.url, coordinates=coordinates, axes=axes, resize="none")
        [row] = rows(path, registry)
    assert boxes(row) == [CAT_ROW]
    assert row["notes"] == [REPORTED]


def test_pixels_of_the_resized_image(photo: Path, registry: Registry) -> None:
    """60 x 40 becomes 56 x 28 by the rule of Qwen2.5-VL; its pixels are carried back."""
    sizes = []

    def script(request: dict[str, Any], before: int) -> Scripted:
        import io

        from PIL import Image

        with Image.open(io.BytesIO(picture_of(request))) as sent:
            sizes.append(sent.size)
        return Scripted(text='[{"bbox_2d": [14, 14, 28, 28], "label": "cat", "score": 0.75}]')

    with ScriptedEndpoint(script) as server:
        resize = "{type: multiple, of: 28, min_pixels: 784}"
        [row] = rows(spec(photo, server.url, coordinates="pixels", resize=resize), registry)
    assert sizes == [(56, 28)]
    assert boxes(row) == [CAT_ROW]


def test_code_fences(photo: Path, registry: Registry) -> None:
    with ScriptedEndpoint(says(f"```json\n{GOOD}\n```")) as server:
        [row] = rows(spec(photo, server.url), registry)
        assert len(server.requests) == 1
    assert boxes(row) == [CAT_ROW, DOG_ROW]


def test_prose_around_the_answer(photo: Path, registry: Registry) -> None:
    with ScriptedEndpoint(says(f"Sure! I looked closely.\n\n{GOOD}\n\nAnything else {{}}?")) as server:
        [row] = rows(spec(photo, server.url), registry)
    assert boxes(row) == [CAT_ROW, DOG_ROW]


def test_cut_answer_is_asked_for_the_rest_once(photo: Path, registry: Registry) -> None:
    cut = Scripted(text=GOOD[: len(GOOD) - 12], finish="length")
    with ScriptedEndpoint(says(cut, json.dumps([DOG]))) as server:
        [row] = rows(spec(photo, server.url), registry)
        first, second = server.requests
    assert boxes(row) == [CAT_ROW, DOG_ROW]
    assert row["notes"] == ["vlm: the answer was cut after 1 objects; asked again: 1 more", REPORTED]
    assert second["messages"][0] == first["messages"][0]
    assert second["messages"][1] == {"role": "assistant", "content": f"[{json.dumps(CAT)}]"}


def test_answer_that_is_cut_twice_keeps_what_is_whole(photo: Path, registry: Registry) -> None:
    with ScriptedEndpoint(says(Scripted(text=GOOD[:-12], finish="length"))) as server:
        [row] = rows(spec(photo, server.url), registry)
        assert len(server.requests) == 2
    assert boxes(row) == [CAT_ROW]
    assert "vlm: the second answer was cut as well: objects are missing" in row["notes"]


@pytest.mark.parametrize(
    ("refusal", "code", "requests"),
    [
        (Scripted(text="", refusal="I cannot help with that."), "refused", 1),
        (Scripted(text="", finish="content_filter"), "refused", 1),
        (Scripted(text="I'm sorry, I can't help with that."), "unreadable_answer", 2),
        (Scripted(text=""), "unreadable_answer", 2),
    ],
)
def test_refusals_fail_their_image_alone(
    tmp_path: Path, registry: Registry, refusal: Scripted, code: str, requests: int
) -> None:
    from PIL import Image

    photos(tmp_path, 2)
    Image.new("RGB", (30, 40)).save(tmp_path / "images" / "1.png")

    def script(request: dict[str, Any], before: int) -> Scripted:
        import io

        with Image.open(io.BytesIO(picture_of(request))) as sent:
            return refusal if sent.width == 30 else Scripted(text=GOOD)

    with ScriptedEndpoint(script) as server:
        good, bad = rows(spec(tmp_path, server.url, more="run: {max_failures: 1}"), registry)
        assert len(server.requests) == 1 + requests
    assert boxes(good) == [CAT_ROW, DOG_ROW]
    assert (bad["state"], bad["reason"]["code"]) == ("failed", code)


def test_busy_server_is_waited_for(photo: Path, registry: Registry) -> None:
    busy = Scripted(status=429, headers={"Retry-After": "0"})
    with ScriptedEndpoint(says(busy, busy, GOOD)) as server:
        [row] = rows(spec(photo, server.url), registry)
        assert len(server.requests) == 3
    assert boxes(row) == [CAT_ROW, DOG_ROW]


def test_failing_server_is_tried_again(photo: Path, registry: Registry) -> None:
    with ScriptedEndpoint(says(Scripted(status=500), Scripted(status=502), GOOD)) as server:
        [row] = rows(spec(photo, server.url), registry)
    assert boxes(row) == [CAT_ROW, DOG_ROW]


def test_outage_ends_the_run_with_all_answers_kept(tmp_path: Path, registry: Registry) -> None:
    photos(tmp_path, 6)
    down = True

    def script(request: dict[str, Any], before: int) -> Scripted:
        return Scripted(status=500, text="engine dead") if before >= 4 and down else Scripted(text=GOOD)

    with ScriptedEndpoint(script) as server:
        path = spec(tmp_path, server.url, more="run: {batch_size: 2}", retries="1")
        with pytest.raises(EndpointError, match="engine dead"):
            rows(path, registry)
        down, failed = False, len(server.requests)
        assert [boxes(row) for row in rows(path, registry)] == [[CAT_ROW, DOG_ROW]] * 6
        assert len(server.requests) - failed == 2


def test_slow_server_is_given_up_and_tried_again(photo: Path, registry: Registry) -> None:
    with ScriptedEndpoint(says(Scripted(silent=True), GOOD)) as server:
        [row] = rows(spec(photo, server.url, timeout="0.2"), registry)
        assert len(server.requests) == 2
    assert boxes(row) == [CAT_ROW, DOG_ROW]


@pytest.mark.parametrize(
    ("wrong", "requests", "found"),
    [
        (json.dumps({"objects": [CAT]}), 1, [CAT_ROW]),
        (json.dumps([CAT, {"bbox_2d": [1, 2, 3], "label": "dog"}]), 2, [CAT_ROW, DOG_ROW]),
        (json.dumps([{"location": "left", "label": "cat"}]), 2, [DOG_ROW]),
        (json.dumps({"cat": [1, 2, 3, 4]}), 2, [DOG_ROW]),
        (json.dumps([CAT, {**DOG, "label": "horse"}]), 1, [CAT_ROW]),
        (json.dumps([{**CAT, "label": " Cat. "}]), 1, [CAT_ROW]),
    ],
)
def test_wrong_schema(photo: Path, registry: Registry, wrong: str, requests: int, found: list[Any]) -> None:
    with ScriptedEndpoint(says(wrong, json.dumps([DOG]))) as server:
        [row] = rows(spec(photo, server.url), registry)
        assert len(server.requests) == requests
    assert boxes(row) == found


def test_nothing_found_is_an_empty_row(photo: Path, registry: Registry) -> None:
    with ScriptedEndpoint(says("[]")) as server:
        [row] = rows(spec(photo, server.url), registry)
        assert len(server.requests) == 1
    assert (row["state"], row["instances"]) == ("empty", [])


def test_numbers_that_cannot_be_what_the_spec_says_fail_the_image(photo: Path, registry: Registry) -> None:
    with ScriptedEndpoint(says(GOOD)) as server:
        [row] = rows(spec(photo, server.url, coordinates="unit_1", more="run: {max_failures: 1}"), registry)
    assert row["reason"]["code"] == "wrong_coordinates"
    assert "[250, 500, 500, 1000]" in row["reason"]["message"]


def test_scores_are_token_probabilities_where_there_are_any(photo: Path, registry: Registry) -> None:
    with ScriptedEndpoint(says(Scripted(text=GOOD, tokens=tokens(GOOD, float(np.log(0.64)))))) as server:
        [row] = rows(spec(photo, server.url), registry)
        assert server.requests[0]["logprobs"] is True
    assert [one[2] for one in boxes(row)] == [0.64, 0.64]
    assert row["notes"] == [PROBABILITIES]


def test_score_is_of_the_object_s_own_tokens(photo: Path, registry: Registry) -> None:
    split = [*tokens("[", 0.0), *tokens(json.dumps(CAT), float(np.log(0.9))), (", ", 0.0)]
    split += [*tokens(json.dumps(DOG), float(np.log(0.4))), ("]", 0.0)]
    assert "".join(token for token, _ in split) == GOOD
    with ScriptedEndpoint(says(Scripted(text=GOOD, tokens=split))) as server:
        [row] = rows(spec(photo, server.url), registry)
    assert [one[2] for one in boxes(row)] == [0.9, 0.4]


def test_tokens_that_do_not_spell_the_answer_give_no_score(photo: Path, registry: Registry) -> None:
    with ScriptedEndpoint(says(Scripted(text=GOOD, tokens=[("something else", -0.1)]))) as server:
        [row] = rows(spec(photo, server.url), registry)
    assert boxes(row) == [CAT_ROW, DOG_ROW]
    assert row["notes"] == [REPORTED]


def test_probabilities_are_not_asked_for_where_the_spec_says_no(photo: Path, registry: Registry) -> None:
    with ScriptedEndpoint(says(Scripted(text=GOOD, tokens=tokens(GOOD, -0.1)))) as server:
        [row] = rows(spec(photo, server.url, probabilities="false"), registry)
        assert "logprobs" not in server.requests[0]
    assert row["notes"] == [REPORTED]


def test_model_without_any_score(photo: Path, registry: Registry) -> None:
    bare = [{name: value for name, value in one.items() if name != "score"} for one in (CAT, DOG)]
    with ScriptedEndpoint(says(json.dumps(bare))) as server:
        [row] = rows(spec(photo, server.url), registry)
    assert [one[2] for one in boxes(row)] == [1.0, 1.0]
    assert row["notes"] == [NONE]


def test_long_lists_of_phrases_are_dealt_over_questions(photo: Path, registry: Registry) -> None:
    def script(request: dict[str, Any], before: int) -> Scripted:
        return Scripted(text=json.dumps([CAT] if '"cat"' in words_of(request) else [DOG]))

    with ScriptedEndpoint(script) as server:
        [row] = rows(spec(photo, server.url, phrases_per_request="1"), registry)
        assert len(server.requests) == 2
        enums = [one["response_format"]["json_schema"]["schema"]["items"] for one in server.requests]
        assert sorted(one["properties"]["label"]["enum"] for one in enums) == [["cat"], ["dog"]]
    assert boxes(row) == [CAT_ROW, DOG_ROW]


def test_own_prompt(photo: Path, registry: Registry) -> None:
    prompt = '\'Box {phrases} in {width}x{height} as {corners} {"like": "this"}\''
    with ScriptedEndpoint(says(GOOD)) as server:
        rows(spec(photo, server.url, prompt=prompt, axes="yxyx", response_format="none"), registry)
        assert words_of(server.requests[0]) == 'Box "cat", "dog" in 60x40 as y1, x1, y2, x2 {"like": "this"}'
        assert "response_format" not in server.requests[0]


def test_key_is_sent_and_stands_nowhere(
    photo: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MY_VLM_KEY", "sk-very-secret")
    caplog.set_level(0)
    answers = says(Scripted(status=400, text="sk-very-secret was seen"), "yes", Scripted(text=GOOD))
    with ScriptedEndpoint(answers) as server:
        rows(spec(photo, server.url, api_key_env="MY_VLM_KEY", more="report: true\nrun: {max_failures: 1}"), registry)
        assert {one["authorization"] for one in server.headers} == {"Bearer sk-very-secret"}
    assert "sk-very-secret" not in caplog.text
    files = [file for file in (photo / "out").rglob("*") if file.is_file()]
    assert len(files) > 5
    assert [file for file in files if b"sk-very-secret" in file.read_bytes()] == []


def test_missing_key_ends_the_run_before_anything_is_asked(photo: Path, registry: Registry) -> None:
    with ScriptedEndpoint(says(GOOD)) as server:
        with pytest.raises(MachineError, match=r"MY_VLM_KEY.* is not set"):
            rows(spec(photo, server.url, api_key_env="MY_VLM_KEY"), registry)
        assert server.requests == []


@pytest.mark.parametrize("key", ["sk-proj-123", "gsk_abcdef0123", "hf_AbCd"])
def test_key_in_place_of_its_variable_is_refused_and_not_repeated(photo: Path, registry: Registry, key: str) -> None:
    with pytest.raises(SpecError) as raised:
        load_spec(spec(photo, "http://localhost:1/v1", api_key_env=key), registry=registry)
    assert "not the name of an environment variable" in str(raised.value)
    assert key not in str(raised.value)


def test_pixels_want_the_rule_of_resizing(photo: Path, registry: Registry) -> None:
    with pytest.raises(SpecError, match="state resize"):
        load_spec(spec(photo, "http://localhost:1/v1", coordinates="pixels"), registry=registry)


def test_coordinates_are_never_guessed(photo: Path, registry: Registry) -> None:
    path = spec(photo, "http://localhost:1/v1")
    path.write_text(path.read_text().replace("coordinates: unit_1000, ", ""))
    with pytest.raises(SpecError, match="coordinates"):
        load_spec(path, registry=registry)


def test_changed_run_pays_nothing_twice(tmp_path: Path, registry: Registry) -> None:
    photos(tmp_path, 5)
    with ScriptedEndpoint(says(GOOD)) as server:
        rows(spec(tmp_path, server.url), registry)
        path = spec(tmp_path, server.url)
        path.write_text(path.read_text().replace("conf_threshold: 0.3", "conf_threshold: 0.6"))
        assert [boxes(row) for row in rows(path, registry, mode="fresh")] == [[CAT_ROW]] * 5
        assert len(server.requests) == 5
        other = f"run: {{answers: {tmp_path / 'out' / 'answers'}}}"
        rows(spec(tmp_path, server.url, more=other.replace("results_dir", "")), registry, mode="fresh")
        assert len(server.requests) == 5


def test_how_a_server_is_asked_is_no_part_of_the_plan(tmp_path: Path, registry: Registry) -> None:
    photos(tmp_path, 1)

    def digest(**words: str) -> str:
        path = spec(tmp_path, words.pop("url", "http://localhost:1/v1"), **words)
        return compile_plan(load_spec(path, registry=registry), registry=registry).plan.digest

    same = {digest(), digest(url="https://elsewhere.example/v1", timeout="3", concurrency="2", api_key_env="KEY")}
    assert len(same) == 1
    assert digest(max_tokens="100") not in same


def test_budget_stops_and_goes_on(tmp_path: Path, registry: Registry) -> None:
    photos(tmp_path, 6)
    with ScriptedEndpoint(says(GOOD)) as server:
        path = spec(tmp_path, server.url, more="run: {budget: {requests: 4}, shard_size: 2, batch_size: 1}")
        for _ in range(2):
            with pytest.raises(EndpointError, match=r"run\.budget\.requests: 4 of 4 are spent"):
                rows(path, registry)
            assert len(server.requests) == 4
        path.write_text(path.read_text().replace("requests: 4", "requests: 6"))
        assert [boxes(row) for row in rows(path, registry)] == [[CAT_ROW, DOG_ROW]] * 6
        assert len(server.requests) == 6


def test_consensus_with_another_labeler(tmp_path: Path, registry: Registry) -> None:
    photos(tmp_path, 2)
    with ScriptedEndpoint(says(GOOD)) as one, ScriptedEndpoint(says(json.dumps([CAT]))) as other:
        path = spec(tmp_path, one.url)
        member = "type: vlm, endpoint: '{}', model: m, coordinates: unit_1000"
        text = path.read_text()
        start, end = text.index("  - labeler:"), text.index("    scheduler")
        members = f"  - labelers: [{{{member.format(one.url)}}}, {{{member.format(other.url)}}}]\n"
        path.write_text(f"{text[:start]}{members}    combine: {{type: vote, votes: 2}}\n{text[end:]}")
        found = rows(path, registry)
    assert [boxes(row) for row in found] == [[CAT_ROW]] * 2
    assert found[0]["instances"][0]["sources"] == ["vlm", "vlm-2"]


def test_contract_of_a_detector() -> None:
    """Each sample is answered by its own prompt: a box for each phrase, whatever the picture."""

    def script(request: dict[str, Any], before: int) -> Scripted:
        phrases = request["response_format"]["json_schema"]["schema"]["items"]["properties"]["label"]["enum"]
        objects = [
            {"bbox_2d": [10, 20, 500 + len(phrase), 700], "label": phrase, "score": 0.4 + 0.03 * len(phrase)}
            for phrase in phrases
        ]
        return Scripted(text=json.dumps(objects))

    with ScriptedEndpoint(script) as server:
        params = {"endpoint": server.url, "model": "m", "coordinates": "unit_1000"}
        check_detector(Vlm, params, samples=example_samples())


def test_plan_says_what_is_asked_and_where_images_go(tmp_path: Path, registry: Registry) -> None:
    """60 x 40 is 4 tokens of 784 pixels; an answer is taken to be 200, the words of the question 600 / 4."""
    photos(tmp_path, 3)
    path = spec(tmp_path, "https://api.example.com/v1", more="run: {budget: {requests: 5}}")
    plan = compile_plan(load_spec(path, registry=registry), registry=registry).plan
    [asked] = plan.manifest.requests
    assert asked is not None
    assert (asked.requests, asked.images) == (3, 3)
    assert 3 * 204 < asked.tokens < 3 * 504
    assert plan.recipe.stages[0].sends_to == ("https://api.example.com/v1",)


def test_plan_counts_tiles_phrases_and_rounds(tmp_path: Path, registry: Registry) -> None:
    photos(tmp_path, 2)
    path = spec(tmp_path, "http://localhost:1/v1", phrases_per_request="1")
    text = path.read_text().replace("[{conf_threshold: 0.3}]}", "[{conf_threshold: 0.5}, {conf_threshold: 0.3}]}")
    path.write_text(text.replace("devices: cpu", "    tiles: {size: 32, overlap: 0.0}\ndevices: cpu"))
    [asked] = compile_plan(load_spec(path, registry=registry), registry=registry).plan.manifest.requests
    assert asked is not None
    tiles, questions, rounds = 4 + 1, 2, 2
    assert asked.requests == asked.images == 2 * tiles * questions * rounds


@pytest.mark.parametrize("url", ["https://api.example.com/v1", "http://192.0.2.7:8000/v1", "http://169.254.1.1/v1"])
def test_local_only_refuses_to_send_images_away(photo: Path, registry: Registry, url: str) -> None:
    loaded = load_spec(spec(photo, url, more="local_only: true"), registry=registry)
    with pytest.raises(SpecError, match="local_only: true, but images would be sent to"):
        compile_plan(loaded, registry=registry)


def test_local_only_takes_an_endpoint_on_this_machine(photo: Path, registry: Registry) -> None:
    with ScriptedEndpoint(says(GOOD)) as server:
        [row] = rows(spec(photo, server.url, more="local_only: true"), registry)
    assert boxes(row) == [CAT_ROW, DOG_ROW]


def test_local_only_refuses_pictures_at_a_store(photo: Path, registry: Registry) -> None:
    path = spec(photo, "http://localhost:1/v1", more="local_only: true\nreport: true")
    path.write_text(path.read_text().replace("results_dir: out", "results_dir: memory://out"))
    with pytest.raises(SpecError, match="report: local_only: true, but it would put pictures at memory://out"):
        compile_plan(load_spec(path, registry=registry), registry=registry)


def test_explain_asks_nothing_that_was_answered(tmp_path: Path, registry: Registry) -> None:
    from autolabel.explain.explain import explain_run

    photos(tmp_path, 1)
    with ScriptedEndpoint(says(GOOD)) as server:
        rows(spec(tmp_path, server.url), registry)
        [told] = explain_run(tmp_path / "out", "0.png", registry=registry)
        assert len(server.requests) == 1
    assert [one.phrase for one in told.boxes] == ["cat", "dog"]
    assert all(one.off < 0.01 for one in told.boxes)
