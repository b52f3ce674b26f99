"""`autolabel certify` from end to end: units out, answers in, a certificate that says what is true."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from typer.testing import CliRunner

from autolabel.certify.statement import certificate_schema
from autolabel.cli.app import app
from autolabel.errors import AutolabelError, DataError
from tests.certify.test_journal import rewrite
from tests.certify.true_run import Truth

Make = Callable[..., Truth]


def test_shapes_for_programs(make_run: Make) -> None:
    run = make_run()
    state = run.certify("--precision", "0.9", "--recall", "0.8", "--json")
    assert state["precision"]["at_least"] is None and state["recall"]["at_least"] is None, "nothing checked"
    assert state["checked"] == 0 and state["units"] == 120 + 40 and state["K"] == 3
    units = run.certify("--next", "30", "--json")
    boxes = [unit for unit in units if unit["unit"] == "box"]
    images = [unit for unit in units if unit["unit"] == "image"]
    assert all(set(unit) == {"id", "unit", "image", "bbox", "phrase", "score"} for unit in boxes)
    assert all(set(unit) == {"id", "unit", "image"} for unit in images)
    assert (len(boxes), len(images)) == (20, 10)
    state = run.certify("--answers", run.save([run.answer(unit) for unit in units]), "--json")
    assert state["checked"] == 30
    assert 0 < state["precision"]["at_least"] <= run.precision <= state["precision"]["at_most"] <= 1
    assert 0 < state["recall"]["at_least"] <= run.recall <= state["recall"]["at_most"] <= 1
    assert state == run.certify("--json")
    written = json.loads((run.root / "certificate" / "certificate.json").read_text())
    assert written == state
    jsonschema.validate(written, certificate_schema())
    assert f"K = {state['K']}" in state["sentence"]


def test_the_seed_is_written_before_anything_is_checked(make_run: Make) -> None:
    run = make_run()
    run.certify("--json")
    lines = (run.root / "certificate" / "journal.jsonl").read_text().splitlines()
    assert [next(iter(json.loads(line))) for line in lines] == ["draw", "round"]
    assert len(json.loads(lines[1])["round"]["seed"]) == 64


def test_units_wait_until_they_are_answered(make_run: Make) -> None:
    run = make_run()
    first = run.certify("--next", "5", "--json")
    assert run.certify("--next", "8", "--json")[:5] == first, "nothing can be skipped or drawn again"
    last = first[-1]
    run.certify("--answers", run.save([run.answer(last)]), "--json")
    assert run.certify("--json")["boxes"]["drawn"] == 0, "only the unbroken beginning of the order is evidence"
    run.certify("--answers", run.save([run.answer(unit) for unit in first[:-1]]), "--json")
    assert run.certify("--json")["boxes"]["drawn"] == 5


def test_everything_checked_is_exact(make_run: Make) -> None:
    run = make_run(12)
    run.check(1000)
    state = run.certify("--json")
    assert run.certify("--next", "5", "--json") == []
    assert state["precision"]["exact"] and state["recall"]["exact"]
    for name in ("at_least", "at_most", "estimate"):
        assert state["precision"][name] == run.precision
        assert state["recall"][name] == run.recall
    assert state["checked"] == state["units"] == 48


def test_a_person_certifies_both(make_run: Make) -> None:
    run = make_run(300, wrong=0.03, missed=0.03)
    run.certify("--precision", "0.9", "--recall", "0.8", "--json")
    state, before = run.certify("--json"), (0.0, 0.0)
    while not state["certified"]:
        run.check(40)
        state = run.certify("--json")
        after = (state["precision"]["at_least"], state["recall"]["at_least"] or 0.0)
        assert after[0] >= before[0] and after[1] >= before[1], "bounds never loosen"
        before = after
    assert state["checked"] < state["units"] / 2 and state["precision"]["at_least"] <= run.precision
    said = run.certify()
    assert "certified" in said and "with 95 % confidence" in said and "K = 3" in said


def test_the_sequence_of_answers_does_not_matter(make_run: Make, tmp_path: Path) -> None:
    one, other = make_run(name="one"), make_run(name="other")
    for run, split in ((one, 1), (other, 3)):
        units = run.certify("--next", "60", "--json")
        answers = [run.answer(unit) for unit in units]
        if split > 1:
            answers = answers[::-1]
        for start in range(split):
            run.certify("--answers", run.save(answers[start::split]), "--json")
        run.certify("--answers", run.save(answers[:7]), "--json")
    bytes_of = [(run.root / "certificate" / "certificate.json").read_bytes() for run in (one, other)]
    assert bytes_of[0] == bytes_of[1]


def test_a_goal_out_of_reach_is_said(make_run: Make) -> None:
    run = make_run(250, wrong=0.4)
    run.certify("--precision", "0.9", "--json")
    for _ in range(20):
        run.check(20)
    state = run.certify("--json")["precision"]
    assert state["impossible"] and state["more_checks"] is None and state["at_most"] < 0.9
    assert "no: it is at most" in run.certify()


def test_precision_alone_asks_for_boxes_alone(make_run: Make) -> None:
    run = make_run()
    run.certify("--precision", "0.9", "--json")
    assert {unit["unit"] for unit in run.certify("--next", "100", "--json")} == {"box"}


def test_cannot_tell_counts_against(make_run: Make) -> None:
    run = make_run(12, wrong=0, missed=0)
    units = run.certify("--next", "100", "--json")
    run.certify("--answers", run.save([{"id": unit["id"], "verdict": "cannot tell"} for unit in units]), "--json")
    state = run.certify("--json")
    assert state["precision"]["estimate"] == 0 and state["boxes"]["cannot_tell"] == 36
    assert state["images"]["cannot_tell"] == 12 and state["recall"]["estimate"] == 0
    assert state["after_review"]["removed"] == 0


def test_of_two_reviewers_the_stricter_counts(make_run: Make) -> None:
    run = make_run(12, wrong=0, missed=0)
    units = run.certify("--next", "100", "--json")
    answers = [run.answer(unit) for unit in units]
    run.certify("--answers", run.save(answers), "--reviewer", "ann", "--json")
    box = next(unit for unit in units if unit["unit"] == "box")
    image = next(unit for unit in units if unit["unit"] == "image")
    other = [{"id": box["id"], "verdict": "no"}, {"id": image["id"], "missed": [[3, 4]]}]
    state = run.certify("--answers", run.save(other), "--reviewer", "bob", "--json")
    assert state["precision"]["estimate"] == 35 / 36 and state["recall"]["estimate"] == 35 / 36
    assert {one["id"] for one in state["disagreements"]} == {box["id"], image["id"]}
    assert "people disagree about 2 units" in run.certify()
    state = run.certify("--answers", run.save([answers[0] | {"id": box["id"]}]), "--reviewer", "bob", "--json")
    assert len(state["disagreements"]) == 1, "who gives a name may change an own answer"


def test_without_names_no_answer_can_be_talked_away(make_run: Make) -> None:
    run = make_run(12, wrong=0)
    unit = run.certify("--next", "1", "--json")[0]
    for verdict in ("no", "yes"):
        state = run.certify("--answers", run.save([{"id": unit["id"], "verdict": verdict}]), "--json")
    assert state["boxes"]["wrong"] == 1 and len(state["disagreements"]) == 1


def test_missed_objects_beyond_K(make_run: Make) -> None:
    run = make_run(60, missed=0)
    run.certify("--most-missed", "2", "--json")
    units = run.certify("--next", "70", "--json")
    crowded = next(unit for unit in units if unit["unit"] == "image")
    answers = [run.answer(unit) for unit in units if unit is not crowded]
    places = [[1, 2], [3, 4, 9, 9], {"point": [5, 6], "phrase": "red"}, {"bbox": [1, 1, 9, 9], "phrase": "blue"}]
    state = run.certify("--answers", run.save([*answers, {"id": crowded["id"], "missed": places}]), "--json")
    assert state["images"]["beyond_K"] == [{"image": crowded["image"], "missed": 4}] and state["K"] == 2
    assert state["after_review"]["added"] == 2
    assert f"images that lack more than K = 2: 1: {crowded['image']} (4)" in run.certify()


def test_classes_by_themselves(make_run: Make) -> None:
    run = make_run(60, classes=("red", "blue", "green"))
    run.certify("--by-class", "--json")
    run.check(200)
    state = run.certify("--json")
    names = [one["name"] for one in state["classes"]]
    assert names == ["red", "blue", "green", "the 3 classes with fewer than 100 boxes together"]
    assert sum(one["boxes"] for one in state["classes"][:3]) == state["classes"][3]["boxes"] == 180
    for one in state["classes"][:3]:
        assert one["precision"]["at_least"] <= one["precision"]["estimate"] <= one["precision"]["at_most"]
        assert one["recall"]["at_least"] is not None, "a miss without a class counts against each"
    assert "By class" in run.certify()


def test_thresholds_choose_what_is_certified(make_run: Make, tmp_path: Path) -> None:
    run = make_run()
    (tmp_path / "t.yaml").write_text("red: 0.6\nblue: 0.6\n")
    state = run.certify("--thresholds", str(tmp_path / "t.yaml"), "--json")
    assert 0 < state["boxes"]["units"] < 120 and state["thresholds"] == {"red": 0.6, "blue": 0.6}
    assert all(unit["score"] >= 0.6 for unit in run.certify("--next", "20", "--json"))
    (tmp_path / "t.yaml").write_text("red: 0.5\n")
    with pytest.raises(DataError, match="thresholds are not those of the sample"):
        run.certify("--thresholds", str(tmp_path / "t.yaml"))


def test_failed_images(make_run: Make) -> None:
    broken = make_run(8, failed=("corrupt_image",))
    state = broken.certify("--json")
    assert (state["images"]["units"], state["images"]["unreadable"]) == (7, 1)
    assert "1 images that cannot be read" in broken.certify()
    slow = make_run(8, failed=("out_of_memory",), name="slow")
    assert slow.certify("--json")["images"]["units"] == 8, "a person can look at it"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "not JSON"),
        ("[]", "an answer is an object"),
        ('{"id": 3, "verdict": "yes"}', "id must be the text"),
        ('{"id": "ID", "verdict": "maybe"}', 'verdict must be one of yes, no, cannot tell, got "maybe"'),
        ('{"id": "ID", "missed": 3}', "is a box: its answer is a verdict"),
        ('{"id": "ID", "verdict": "yes", "missed": 0}', "either verdict"),
        ('{"id": "ID"}', "either verdict"),
        ('{"id": "ID", "verdict": "yes", "mood": 1}', "unknown field 'mood'"),
        ('{"id": "IMAGE", "missed": -1}', "missed must be a count from 0"),
        ('{"id": "IMAGE", "missed": [[1, 2, 3]]}', "a point [x, y] or a box"),
        ('{"id": "IMAGE", "missed": [[1, 900]]}', "lies outside the image of 64x64"),
        ('{"id": "IMAGE", "missed": [[9, 9, 3, 3]]}', "x1 < x2"),
        ('{"id": "IMAGE", "missed": [{"point": [1, 2], "phrase": "cat"}]}', "'cat' is not a class of this run"),
        ('{"id": "IMAGE", "verdict": "yes"}', "is an image: its answer is missed"),
        ('{"id": "deadbeef-b0123456789abcdef", "verdict": "yes"}', "a sample of another run"),
        ('{"id": "box 7", "verdict": "yes"}', "is not a unit of this run"),
        ('{"id": "PREFIX-b0123456789abcdef", "verdict": "yes"}', "is not a unit of this run"),
        ('{"id": "UNSEEN", "verdict": "yes"}', "has not been drawn yet"),
    ],
)
def test_bad_answers_are_refused_whole(make_run: Make, line: str, said: str) -> None:
    run = make_run(12)
    units = run.certify("--next", "30", "--json")
    box, image = units[0], units[-1]
    unseen = set(run_ids(run)) - {unit["id"] for unit in units}
    for word, value in (("IMAGE", image["id"]), ("PREFIX", box["id"][:8]), ("ID", box["id"])):
        line = line.replace(word, value)
    line = line.replace("UNSEEN", min(one for one in unseen if "-b" in one))
    path = run.root.parent / "bad.jsonl"
    path.write_text(json.dumps(run.answer(box)) + "\n\n" + line + "\n")
    before = (run.root / "certificate" / "journal.jsonl").read_bytes()
    with pytest.raises(DataError) as caught:
        run.certify("--answers", str(path))
    assert said in str(caught.value) and f"{path}:3:1" in str(caught.value)
    assert (run.root / "certificate" / "journal.jsonl").read_bytes() == before


def run_ids(run: Truth) -> list[str]:
    """Return the names of all units, as only the code knows them before they are drawn."""
    from autolabel.certify.opening import open_certificate

    with open_certificate(run.root) as found:
        session = found.at_work()
        return [session.name("b", place) for place in range(len(session.units.box_keys))]


def test_a_changed_seed_is_noticed(make_run: Make) -> None:
    run = make_run(12)
    run.check(5)
    journal = run.root / "certificate" / "journal.jsonl"
    text = journal.read_text()
    seed = json.loads(text.splitlines()[1])["round"]["seed"]
    journal.write_text(text.replace(seed, "0" * 64))
    with pytest.raises(DataError, match=r"journal\.jsonl:2:1: damaged: its checksum"):
        run.certify("--json")
    rewrite(run, [json.loads(line) for line in journal.read_text().splitlines()])
    with pytest.raises(DataError, match="the seed 0000000000000000 is not the one that these labels give"):
        run.certify("--json")


def test_to_begin_again_gives_the_same_order(make_run: Make) -> None:
    """Nobody draws until it pleases: who deletes what was answered is asked the same things."""
    run = make_run(40)
    first = run.check(40)
    shutil.rmtree(run.root / "certificate")
    assert run.certify("--next", "40", "--json") == first


def test_what_is_fixed_cannot_be_chosen_after_looking(make_run: Make, tmp_path: Path) -> None:
    run = make_run(12)
    run.check(5)
    (tmp_path / "t.yaml").write_text("red: 0.9\n")
    before = run.certify("--json")
    for words, said in (
        (("--most-missed", "9"), "K is 3, not 9"),
        (("--confidence", "0.5"), r"the confidence is 0\.95, not 0\.5"),
        (("--thresholds", str(tmp_path / "t.yaml")), "the thresholds are not those of the sample"),
    ):
        with pytest.raises(DataError, match=f"{said}(.|\n)*fixed by the draw"):
            run.certify(*words)
    assert run.certify("--json") == before


def test_answers_about_another_run_are_refused(make_run: Make) -> None:
    run, other = make_run(12), make_run(12, seed=1, name="other")
    run.certify("--next", "9", "--json")
    units = other.certify("--next", "9", "--json")
    with pytest.raises(DataError, match="belongs to a sample of another run") as caught:
        run.certify("--answers", run.save([other.answer(unit) for unit in units]))
    assert str(caught.value).count("belongs to a sample of another run") == 9, "each of them, by its line"
    assert run.certify("--json")["checked"] == 0


def test_the_certificate_of_another_run_states_nothing_of_this_one(make_run: Make) -> None:
    run, other = make_run(12), make_run(12, seed=1, name="other")
    other.check(30)
    other.certify("--json")
    shutil.copytree(other.root / "certificate", run.root / "certificate")
    state = run.certify("--json")
    assert not state["holds"] and not state["certified"] and "no longer holds" in state["sentence"]
    with pytest.raises(DataError, match="no longer holds"):
        run.certify("--answers", run.save([]))
    assert run.certify("--redraw", "--json")["checked"] == 0, "none of its answers is about a box of this run"


def test_two_answers_about_one_unit_in_one_file(make_run: Make) -> None:
    """Who is not named may be anybody: that is a disagreement, and the stricter answer counts."""
    run = make_run(12, wrong=0)
    box, *_ = run.certify("--next", "1", "--json")
    said = [{"id": box["id"], "verdict": verdict} for verdict in ("no", "yes", "yes", "cannot tell")]
    state = run.certify("--answers", run.save(said), "--json")
    assert (state["boxes"]["wrong"], state["boxes"]["checked"]) == (1, 1)
    assert [one["id"] for one in state["disagreements"]] == [box["id"]]


def test_people_who_count_differently(make_run: Make) -> None:
    """Of an image, the one who misses more counts; who cannot tell is stricter than any count."""
    run = make_run(12, missed=0)
    units = run.certify("--next", "60", "--json")
    image, other = [unit for unit in units if unit["unit"] == "image"][:2]
    run.certify("--answers", run.save([run.answer(unit) for unit in units]), "--reviewer", "ann", "--json")
    said = [{"id": image["id"], "missed": 2}, {"id": other["id"], "missed": "cannot tell"}]
    state = run.certify("--answers", run.save(said), "--reviewer", "bob", "--json")
    assert (state["images"]["missed"], state["images"]["cannot_tell"]) == (2, 1)
    assert {one["image"] for one in state["disagreements"]} == {image["image"], other["image"]}
    taken_back = [{"id": image["id"], "verdict": None}]
    state = run.certify("--answers", run.save(taken_back), "--reviewer", "bob", "--json")
    assert state["images"]["missed"] == 0 and len(state["disagreements"]) == 1, "each takes back only what is his own"


def test_a_torn_last_line_was_never_confirmed(make_run: Make) -> None:
    run = make_run(12)
    run.check(5)
    journal = run.root / "certificate" / "journal.jsonl"
    whole = journal.read_bytes()
    state = run.certify("--json")
    journal.write_bytes(whole + b'{"answer":{"id":"')
    assert run.certify("--json") == state
    run.check(5)
    assert journal.read_bytes().startswith(whole) and run.certify("--json")["checked"] == 10
    journal.write_bytes(whole + b"{}\n")
    with pytest.raises(DataError, match="damaged"):
        run.certify("--json")


def decide(run: Truth, *decisions: dict[str, Any]) -> None:
    plan = json.loads((run.root / "plan.json").read_text())["digest"]
    (run.root / "review.json").write_text(json.dumps({"plan": plan, "decisions": list(decisions)}))


def labels_of(run: Truth) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run.root / "labels.jsonl").read_text().splitlines()]


def test_what_was_reviewed_before_is_known_and_no_evidence(make_run: Make) -> None:
    run = make_run(40)
    rows = labels_of(run)
    kept = [
        {"image": row["image"], "bbox": box["bbox"], "phrase": box["phrase"], "verdict": "keep"}
        for row in rows[:5]
        for box in row["instances"]
    ]
    dropped = {"image": rows[6]["image"], "bbox": rows[6]["instances"][0]["bbox"], "verdict": "reject"}
    decide(
        run, *kept, dropped | {"phrase": rows[6]["instances"][0]["phrase"]}, {"image": "007.png", "verdict": "reject"}
    )
    state = run.certify("--json")
    assert state["boxes"]["known"] == 15 and state["boxes"]["units"] == 120 - 1 - 3 and state["images"]["units"] == 39
    units = run.certify("--next", "200", "--json")
    assert not {unit["image"] for unit in units if unit["unit"] == "box"} & {row["image"] for row in rows[:5]}


def test_a_review_afterwards_is_noticed(make_run: Make) -> None:
    run = make_run(40, wrong=0.2)
    units = run.check(60)
    wrong = [unit for unit in units if unit["unit"] == "box" and run.answer(unit)["verdict"] == "no"]
    mended = [{"image": u["image"], "bbox": u["bbox"], "phrase": u["phrase"], "verdict": "reject"} for u in wrong]
    decide(run, *mended)
    state = run.certify("--json")
    assert state["holds"] and f"{len(wrong)} wrong boxes were removed" in state["changes"]
    right = next(unit for unit in units if unit["unit"] == "box" and unit not in wrong)
    decide(run, *mended, {name: right[name] for name in ("image", "bbox", "phrase")} | {"verdict": "reject"})
    state = run.certify("--json")
    assert not state["holds"] and "1 box changed without a check" in state["changes"]
    assert not state["certified"] and "no longer holds" in state["sentence"]
    run.check(10)
    again = run.certify("--redraw", "--json")
    assert again["holds"] and again["audits"] == 2 and again["boxes"]["units"] == 120 - len(wrong) - 1
    assert again["boxes"]["drawn"] == 0 and again["boxes"]["known"] > 20, "what was answered stays known"


def test_other_labels_end_a_certificate(make_run: Make) -> None:
    run, other = make_run(30), make_run(30, seed=1, name="other")
    run.check(30)
    before = run.certify("--json")
    (run.root / "labels.jsonl").write_bytes((other.root / "labels.jsonl").read_bytes())
    state = run.certify("--json")
    assert not state["holds"] and state["precision"] == before["precision"]
    assert "the labels have changed" in state["changes"] and "no longer holds" in state["sentence"]
    with pytest.raises(DataError, match="no longer holds"):
        run.certify("--next", "1")
    assert run.certify("--redraw", "--json")["holds"]


def test_a_new_round_wants_all_answers(make_run: Make) -> None:
    run = make_run(40)
    run.certify("--next", "3", "--json")
    with pytest.raises(DataError, match="3 shown units have no answer"):
        run.certify("--redraw")
    run.check(3)
    state = run.certify("--redraw", "--json")
    assert state["rounds"] == 2 and state["boxes"]["drawn"] == 3 and state["audits"] == 1
    run.check(30)
    state = run.certify("--json")
    assert state["boxes"]["drawn"] == 23 and state["precision"]["at_least"] <= run.precision


def test_the_confidence_is_fixed_with_the_first_unit(make_run: Make) -> None:
    run = make_run(12)
    assert run.certify("--confidence", "0.9", "--json")["confidence"] == 0.9
    assert run.certify("--confidence", "0.99", "--json")["confidence"] == 0.99
    run.certify("--next", "1", "--json")
    with pytest.raises(DataError, match=r"the confidence is 0\.99, not 0\.9"):
        run.certify("--confidence", "0.9")


def test_no_run_no_certificate(tmp_path: Path, make_run: Make) -> None:
    with pytest.raises(DataError, match="not a finished run"):
        CliRunner().invoke(app, ["certify", str(tmp_path)], catch_exceptions=False)
    run = make_run(3)
    with pytest.raises(AutolabelError, match="precision must be above 0"):
        run.certify("--precision", "1")
    with pytest.raises(AutolabelError, match="cannot be read"):
        run.certify("--answers", str(tmp_path / "none.jsonl"))


def test_what_was_found_is_mended(make_run: Make) -> None:
    """All is checked, and every missed object boxed: after mending, what the run hands out has no mistake left."""
    from autolabel.results.journal import read_decisions
    from autolabel.results.select import handed_out
    from autolabel.results.store import finished

    run = make_run(12, wrong=0.3, missed=0.3)
    missing = {"bbox": [1, 50, 9, 62], "phrase": "blue"}
    units = run.certify("--next", "100", "--json")
    answers = []
    for unit in units:
        answer = run.answer(unit)
        if unit["unit"] == "image":
            answer["missed"] = [missing | {"bbox": [1 + 9 * n, 50, 9 + 9 * n, 62]} for n in range(answer["missed"])]
        answers.append(answer)
    run.certify("--answers", run.save(answers), "--json")
    state = run.certify("--mend", "--json")
    assert state["holds"] and state["after_review"]["removed"] == len(run.wrong) > 3
    assert state["after_review"]["precision_at_least"] == 1.0 and state["after_review"]["recall_at_least"] == 1.0
    store, plan = finished(run.root)
    review, classes = read_decisions(store), plan.manifest.classes
    left = 0
    for labels in ledger_rows(run):
        out = handed_out(labels, limits=None, thresholds=None, review=review, classes=classes)
        corners = {tuple(box) for box in out.instances.boxes.round(3).tolist()}
        assert not corners & {box for image, box in run.wrong if image == labels.image.id}
        left += len(corners)
    assert left == run.boxes - len(run.wrong) + sum(run.missed.values())


def test_images_that_were_looked_at_stay_known_after_mending(make_run: Make) -> None:
    """What they lacked, less what has got a box: nobody is asked again about an image that was only mended."""
    run = make_run(20, wrong=0.3, missed=0.4)
    answers, boxed = [], 0
    for unit in run.certify("--next", "200", "--json"):
        answer = run.answer(unit)
        if unit["unit"] == "image" and answer["missed"]:  # one of them gets a box, the others are counted
            places = [{"bbox": [1, 50, 9, 62], "phrase": "blue"}, *[[]] * (answer["missed"] - 1)]
            answer["missed"], boxed = places, boxed + 1
        answers.append(answer)
    run.certify("--answers", run.save(answers), "--json")
    before = run.certify("--json")
    run.certify("--mend", "--json")
    state = run.certify("--redraw", "--json")
    assert state["audits"] == 2 and state["images"]["known"] == state["images"]["units"] == 20
    assert state["images"]["missed"] == before["images"]["missed"] - boxed
    assert state["precision"]["exact"] and state["precision"]["estimate"] == 1.0
    right = run.boxes - len(run.wrong) + boxed
    assert state["recall"]["estimate"] == right / (right + sum(run.missed.values()) - boxed)


def test_an_image_that_was_changed_otherwise_is_asked_again(make_run: Make) -> None:
    run = make_run(20, wrong=0.3, missed=0)
    units = run.check(200)
    right = next(unit for unit in units if unit["unit"] == "box" and run.answer(unit)["verdict"] == "yes")
    added = {"image": units[-1]["image"], "bbox": [1, 50, 9, 62], "phrase": "blue", "verdict": "keep"}
    decide(run, {name: right[name] for name in ("image", "bbox", "phrase")} | {"verdict": "reject"}, added)
    state = run.certify("--redraw", "--json")
    asked = {unit["image"] for unit in run.certify("--next", "9", "--json")}
    assert asked == {right["image"], added["image"]} and state["images"]["known"] == 18


def ledger_rows(run: Truth) -> Any:
    from autolabel import read_labels

    return read_labels(str(run.root))


def test_nothing_to_mend_without_checks(make_run: Make) -> None:
    with pytest.raises(DataError, match="nothing was checked"):
        make_run(3).certify("--mend")


def test_a_budget_is_told_beforehand(make_run: Make) -> None:
    run = make_run(300, wrong=0.03, missed=0.03)
    state = run.certify("--budget", "10", "--json")
    within = state["minutes"]["within_budget"]
    assert within["boxes"] == 100 and 50 <= within["images"] <= 110 and within["precision_at_least"] is None
    run.check(60)
    within = run.certify("--json")["minutes"]["within_budget"]
    state = run.certify("--json")
    assert within["boxes"] < 100 and within["precision_at_least"] > state["precision"]["at_least"]
    assert within["recall_at_least"] > state["recall"]["at_least"]
    assert "the rest of the budget allows about" in run.certify()
    assert run.certify("--budget", "0.01", "--json")["minutes"]["within_budget"]["boxes"] == 0
