"""The loop: what is held out, what is learnt from, what is accepted, what stays of a person's work."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from PIL import Image
from typer.testing import CliRunner

from autolabel.certify.drawing import CertificateRequest
from autolabel.cli.app import app
from autolabel.duplicates import Groups
from autolabel.errors import DataError, MachineError, SpecError
from autolabel.improve.holdout import hold_out
from autolabel.improve.improve import _drawn, improve_run
from autolabel.improve.rounds import ImproveHistory, ImproveRound, read_history, read_request
from autolabel.plan.compile import compile_plan
from autolabel.registry import Registry
from autolabel.results import failpoints
from autolabel.results.decision import Decision, Review, encode_review
from autolabel.results.journal import read_decisions
from autolabel.results.select import measured
from autolabel.results.store import RunStore, finished
from autolabel.run.certify import certify_run, next_units
from autolabel.run.duplicates import find_groups, group_run
from autolabel.run.generate import generate
from autolabel.run.outputs import review_run
from autolabel.spec.load import spec_from_mapping
from tests.specs import make_spec

Check = Callable[[Path, Sequence[int]], None]
CHECKED = range(20)


def improved(run: Path, registry: Registry, **changes: Any) -> ImproveHistory:
    asked: dict[str, Any] = {"settings": {"skill": 1.0}, **changes}
    return improve_run(run, registry=registry, told=lambda record: None, **asked)


def names(numbers: Sequence[int]) -> set[str]:
    return {f"{number:02d}.png" for number in numbers}


def test_a_better_detector_is_accepted_on_images_that_it_did_not_see(
    run: Path, learning: Registry, check: Check
) -> None:
    check(run, CHECKED)
    [one] = improved(run, learning).rounds
    assert one.accepted and one.said.startswith("accepted: AP at IoU 0.5 went from 0.")
    assert one.gain.ap50.after.value == one.gain.recall.after.value == 1.0
    assert one.gain.recall.before.value is not None and one.gain.recall.before.value < 0.75
    assert set(one.held_out) | set(one.trained_on) == names(CHECKED) and not set(one.held_out) & set(one.trained_on)
    assert len(one.held_out) == one.gain.images == 6
    after = Path(one.after)
    assert after == run.with_name("shapes-2")
    seen = json.loads((after / "improve" / "training" / "seen.json").read_text())
    assert {*seen["train"], *seen["dev"]} == set(one.trained_on)
    assert (after / "diff" / "index.html").exists() and (after / "improve" / "index.html").exists()
    assert set(one.check_next) == names(range(20, 30))
    assert read_history(run).rounds == read_history(after).rounds == (one,)


@pytest.mark.parametrize(
    ("skill", "said"), [(0.5, "the lower bound is not above zero"), (0.1, "the new labels are worse")]
)
def test_what_is_not_better_is_not_accepted(
    run: Path, learning: Registry, check: Check, skill: float, said: str
) -> None:
    check(run, CHECKED)
    [one] = improved(run, learning, settings={"skill": skill}).rounds
    assert not one.accepted and said in one.said


def test_a_handful_of_images_can_tell_nothing_however_good_they_look(
    run: Path, learning: Registry, check: Check
) -> None:
    check(run, range(8))
    [one] = improved(run, learning).rounds
    assert one.gain.groups == 4 and one.gain.ap50.gain.interval is not None and one.gain.ap50.gain.interval[0] > 0
    assert not one.accepted and "4 images held out are too few to tell: 6 or more are needed" in one.said


def test_decisions_stay_and_what_was_checked_is_handed_out_as_it_was_decided(
    run: Path, learning: Registry, check: Check, tmp_path: Path
) -> None:
    """Photo 25 is not checked, but one of its boxes was rejected, which the new weights find again."""
    check(run, CHECKED)
    row = next(one for one in measured(run)[0] if one.image.id == "25.png")
    box, name = row.instances.boxes[0].tolist(), row.prompt.phrases[row.instances.labels[0]]
    said = Decision(image="25.png", phrase=name, bbox=tuple(box), verdict="reject")
    file = tmp_path / "more.json"
    file.write_bytes(encode_review(Review(version=2, plan="other", decisions=(said,))))
    review_run(run, file, registry=learning)
    [one] = improved(run, learning, settings={"skill": 0.0}).rounds
    after = {one.image.id: one.instances.boxes.tolist() for one in measured(Path(one.after))[0]}
    before = {one.image.id: one.instances.boxes.tolist() for one in measured(run)[0]}
    checked = names(CHECKED)
    assert {name: sorted(after[name]) for name in checked} == {name: sorted(before[name]) for name in checked}
    assert all(len(after[name]) == 4 for name in checked) and not after["21.png"]
    standing = [read_decisions(RunStore(place)) for place in (run, Path(one.after))]
    assert standing[0] is not None and standing[1] is not None
    kept = [[(one.key, one.verdict) for one in some.decisions] for some in standing if some is not None]
    assert kept[0] == kept[1]
    coco = json.loads((Path(one.after) / "coco" / "annotations.json").read_text())
    assert len(coco["annotations"]) == 4 * len(checked)


def test_rounds_follow_one_another_and_what_was_held_out_stays_so(run: Path, learning: Registry, check: Check) -> None:
    check(run, CHECKED)
    [first] = improved(run, learning, settings={"skill": 0.8}).rounds
    after = Path(first.after)
    check(after, range(20, 30))
    rounds = improved(after, learning, settings={"skill": 1.0}).rounds
    assert rounds[0] == first and rounds[1].after == str(run.with_name("shapes-3").resolve())
    assert set(first.held_out) < set(rounds[1].held_out) and not set(first.trained_on) & set(rounds[1].held_out)
    assert [one.checked for one in rounds] == [20, 30]
    recall = rounds[1].gain.recall.before.value
    assert recall is not None and recall >= 0.7
    page = (run.with_name("shapes-3") / "improve" / "index.html").read_text()
    assert page.index("shapes-2") < page.index("shapes-3") and "30 checked" in page and "<svg" in page


def test_a_held_out_image_that_turns_out_to_show_a_learnt_scene_is_neither_learnt_nor_measured(
    run: Path, learning: Registry, check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    check(run, CHECKED)
    [first] = improved(run, learning).rounds
    pair = (first.held_out[0], first.trained_on[0])
    monkeypatch.setattr("autolabel.improve.improve.find_groups", lambda *_: Groups((tuple(sorted(pair)),)))
    check(run, [20, 21, 22])
    last = improved(run, learning).rounds[-1]
    assert last.after != first.after and pair[1] in last.trained_on
    assert pair[0] not in {*last.trained_on, *last.held_out}


def test_the_same_round_is_told_again_and_another_goes_beside_it(run: Path, learning: Registry, check: Check) -> None:
    check(run, CHECKED)
    first = improved(run, learning)
    assert improved(run, learning) == first
    other = improved(run, learning, settings={"skill": 0.2}).rounds
    assert [Path(one.after).name for one in read_history(run).rounds] == ["shapes-2", "shapes-3"]
    assert Path(other[-1].after).name == "shapes-3"
    assert improved(run, learning).rounds == first.rounds
    check(run, range(20, 22))
    assert Path(improved(run, learning).rounds[-1].after).name == "shapes-4"


@pytest.mark.parametrize("name", ["2024-11-29", "first-3", "50% #-9"])
def test_a_number_that_is_part_of_a_runs_own_name_is_left_alone(
    run: Path, learning: Registry, check: Check, name: str
) -> None:
    check(run, CHECKED)
    run = run.rename(run.with_name(name))
    after = Path(improved(run, learning).rounds[-1].after)
    assert after.name == f"{name}-2"
    [link] = re.findall('href="([^"]*)"', (run / "improve" / "index.html").read_text())
    assert (run / "improve" / unquote(urlsplit(link).path)).is_file()
    check(after, range(20, 22))
    assert Path(improved(after, learning).rounds[-1].after).name == f"{name}-3"


def test_images_in_several_folders_are_found(tmp_path: Path, photos: Path, learning: Registry) -> None:
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "skill.json").write_text('{"skill": 1.0}')
    for folder, numbers in (("a", range(12)), ("b", range(12, 24))):
        (tmp_path / folder).mkdir()
        for place, number in enumerate(numbers):
            (photos / f"{number:02d}.png").rename(tmp_path / folder / f"{place:02d}.png")
    stage = {"labeler": {"type": "learner", "checkpoint": str(tmp_path / "weights")}}
    spec = make_spec(tmp_path / "a", tmp_path / "run", classes=("red", "blue"), stages=[stage])
    spec["data"]["images"].append(str(tmp_path / "b"))
    made = spec_from_mapping(spec, root=tmp_path, registry=learning)
    generate(compile_plan(made, registry=learning), registry=learning)
    rows = list(measured(tmp_path / "run")[0])
    said = [
        Decision(image=row.image.id, phrase=row.prompt.phrases[label], bbox=tuple(box), verdict="keep")
        for row in rows
        for box, label in zip(row.instances.boxes.tolist(), row.instances.labels, strict=True)
    ]
    said += [Decision(image=row.image.id, verdict="checked") for row in rows]
    file = tmp_path / "said.json"
    file.write_bytes(encode_review(Review(version=2, plan="other", decisions=tuple(said))))
    review_run(tmp_path / "run", file, registry=learning)
    [one] = improved(tmp_path / "run", learning).rounds
    assert one.checked == 24 and {name.partition("/")[0] for name in one.held_out} == {"a", "b"}
    assert one.gain.ap50.before.value == one.gain.ap50.after.value == 1.0 and not one.accepted and not one.notes


def test_the_sample_of_a_certificate_is_known(run: Path, learning: Registry, check: Check, tmp_path: Path) -> None:
    """Ten photos are looked at for the certificate, then all that are checked come home: the ten are held out first."""
    check(run, range(20))
    units = [unit for unit in next_units(run, CertificateRequest(), 60) if "bbox" not in unit]
    assert units
    answers = tmp_path / "answers.jsonl"
    waiting = next_units(run, CertificateRequest(), 60)
    lines = [{"id": one["id"], **({"verdict": "yes"} if "bbox" in one else {"missed": 0})} for one in waiting]
    answers.write_text("".join(json.dumps(line) + "\n" for line in lines))
    certify_run(run, CertificateRequest(), answers=answers)
    drawn = {unit["image"] for unit in units}
    assert _drawn(run) == drawn
    held = set(improved(run, learning).rounds[-1].held_out)
    assert drawn & names(CHECKED) <= held or held <= drawn


def test_near_duplicates_are_never_parted() -> None:
    images = [f"{number:02d}" for number in range(20)]
    pairs = tuple((f"{number:02d}", f"{number + 1:02d}") for number in range(0, 20, 2))
    apart = hold_out(images, with_boxes=images, groups=Groups(pairs), share=0.3, seed=0)
    assert len(apart) == 10 and all((one in apart) == (other in apart) for one, other in pairs)


def test_the_certificates_sample_is_held_out_first_and_seeds_differ() -> None:
    images = [f"{number:02d}" for number in range(40)]
    alone: dict[str, Any] = {"groups": Groups(), "with_boxes": images, "share": 0.3}
    drawn = images[5:11]
    assert set(drawn) < hold_out(images, seed=0, drawn=drawn, **alone)
    chosen = [hold_out(images, seed=seed, **alone) for seed in range(5)]
    assert all(len(one) == 12 for one in chosen) and len(set(chosen)) == 5
    assert chosen[0] == hold_out(list(reversed(images)), seed=0, **alone)


@pytest.mark.parametrize(
    ("boxes", "empty", "held"), [(20, 0, (6, 0)), (7, 13, (3, 4)), (4, 30, (2, 9)), (12, 8, (6, 2))]
)
def test_images_with_boxes_and_without_are_held_out_by_the_same_share(
    boxes: int, empty: int, held: tuple[int, int]
) -> None:
    shown, bare = ([f"{kind}-{number:02d}" for number in range(count)] for kind, count in (("a", boxes), ("b", empty)))
    apart = hold_out(shown + bare, with_boxes=shown, groups=Groups(), share=0.3, seed=0)
    assert (len(apart & set(shown)), len(apart & set(bare))) == held


def test_images_that_were_learnt_from_are_never_held_out() -> None:
    images = [f"{number:02d}" for number in range(20)]
    learnt, earlier = images[:14], images[12:16]
    apart = hold_out(images, with_boxes=images, groups=Groups(), share=0.5, seed=0, earlier=earlier, trained_on=learnt)
    assert apart == set(images[14:])


def test_a_runs_own_groups_count(run: Path, learning: Registry, check: Check, photos: Path) -> None:
    (photos / "29.png").write_bytes((photos / "00.png").read_bytes())
    with pytest.raises(DataError):
        improved(run, learning)  # nothing is checked
    check(run, [*CHECKED])
    group_run(run, registry=learning)
    request = read_request(Path(improved(run, learning).rounds[-1].after))
    assert request is not None
    assert all(len(set(some) & set(request.held_out)) in (0, len(some)) for some in request.groups)


def test_copies_are_never_parted_even_if_there_is_nothing_to_see(tmp_path: Path, learning: Registry) -> None:
    (tmp_path / "grey").mkdir()
    for number in range(4):
        Image.new("RGB", (64, 64), (90, 90, 90)).save(tmp_path / "grey" / f"{number}.png")
    made = spec_from_mapping(make_spec(tmp_path / "grey", tmp_path / "run"), root=tmp_path, registry=learning)
    generate(compile_plan(made, registry=learning), registry=learning)
    found = find_groups(*finished(tmp_path / "run"), ["0.png", "1.png", "3.png"])
    assert found.members == (("0.png", "1.png", "3.png"),)


def test_too_little_to_go_by_is_told_with_what_to_do(run: Path, learning: Registry, check: Check) -> None:
    with pytest.raises(DataError, match="no image of this run is checked"):
        improved(run, learning)
    check(run, [1, 2])
    with pytest.raises(DataError, match="1 with boxes to measure on: 2 or more are needed"):
        improved(run, learning)
    assert not run.with_name("shapes-2").exists()
    check(run, CHECKED)
    with pytest.raises(SpecError, match="skil: unknown"):
        improved(run, learning, settings={"skil": 1})
    with pytest.raises(DataError, match="contains something other"):
        improved(run, learning, out=run)
    with pytest.raises(DataError, match="not a finished run"):
        improved(run.with_name("none"), learning)
    assert sorted(path.name for path in run.parent.iterdir()) == ["shapes"]


def test_a_detector_that_does_not_learn_is_told(tmp_path: Path, photos: Path, learning: Registry) -> None:
    made = spec_from_mapping(make_spec(photos, tmp_path / "plain"), root=tmp_path, registry=learning)
    generate(compile_plan(made, registry=learning), registry=learning)
    with pytest.raises(MachineError, match="colors cannot be trained"):
        improved(tmp_path / "plain", learning)


def test_a_strangers_run_names_no_files(run: Path, learning: Registry, check: Check, caplog: Any) -> None:
    check(run, CHECKED)
    (run / ".seal").unlink()
    with pytest.raises(DataError, match="are unknown on this machine"):
        improved(run, learning)


def test_the_command_prints_the_round_and_exits_1_where_it_is_not_accepted(
    run: Path, learning: Registry, check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(run.parent)
    run = run.rename("my shapes")
    check(run, CHECKED)
    outcome = CliRunner().invoke(app, ["improve", "my shapes", "skill=1.0"], catch_exceptions=False)
    assert outcome.exit_code == 0
    for line in (
        "6 checked images of 20 held out, with 24 objects:",
        "accepted: AP at IoU 0.5",
        "new run: my shapes-2",
    ):
        assert line in outcome.stdout
    assert "check next: autolabel review 'my shapes-2' --next doubts" in outcome.stdout
    outcome = CliRunner().invoke(app, ["improve", "my shapes", "skill=0.1", "--json"], catch_exceptions=False)
    assert outcome.exit_code == 1
    [_, last] = json.loads(outcome.stdout)["rounds"]
    assert last["accepted"] is False and last["after"].endswith("my shapes-3")


def settled(place: Path) -> tuple[bytes, ImproveRound]:
    return (place / "labels.jsonl").read_bytes(), read_history(place).rounds[-1]


@pytest.mark.parametrize(
    "failpoint",
    ["improve.renamed:kill:1", "learnt:kill", "shard.written:kill", "diff.synced:kill", "improve.written:kill:4"],
)
def test_killed_anywhere_the_same_command_ends_as_if_nothing_had_been(
    run: Path, learning: Registry, check: Check, learner_path: str, failpoint: str
) -> None:
    check(run, CHECKED)
    words = [sys.executable, "-m", "autolabel", "improve", str(run), "skill=0.9", "--quiet"]
    environment = os.environ | {"PYTHONPATH": learner_path, "AUTOLABEL_FAILPOINT": failpoint}
    assert subprocess.run(words, env=environment, check=False).returncode == -signal.SIGKILL
    del environment["AUTOLABEL_FAILPOINT"]
    done = subprocess.run(words, env=environment, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    labels, last = settled(run.with_name("shapes-2"))
    again = improved(run, learning, settings={"skill": 0.9}, out=run.with_name("again")).rounds[-1]
    assert again.gain == last.gain and again.held_out == last.held_out
    assert (run.with_name("again") / "labels.jsonl").read_bytes() == labels
    reviews = [read_decisions(RunStore(run.with_name(name))) for name in ("shapes-2", "again")]
    assert reviews[0] is not None and reviews[1] is not None
    assert [one.key for one in reviews[0].decisions] == [one.key for one in reviews[1].decisions]


@pytest.mark.soak
@pytest.mark.timeout(3000)
def test_killed_at_any_failpoint_on_the_way_the_same_call_ends_alike(
    run: Path, learning: Registry, check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every visit of every failpoint of a round is killed once, and the round resumed."""
    check(run, CHECKED)
    visits: list[str] = []
    with monkeypatch.context() as patch:
        patch.setattr(failpoints, "_armed", "all")
        patch.setattr(failpoints, "_fail", visits.append)
        [whole] = improved(run, learning, settings={"skill": 0.9}, out=run.with_name("whole")).rounds
    assert len(visits) > 20
    wanted = standing(run.with_name("whole"))
    for number, name in enumerate(visits):
        place = run.with_name(f"killed-{number}")
        child = os.fork()
        if not child:
            failpoints.arm(f"{name}:kill:{visits[: number + 1].count(name)}")
            try:
                improved(run, learning, settings={"skill": 0.9}, out=place)
            finally:
                os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL, name
        last = improved(run, learning, settings={"skill": 0.9}, out=place).rounds[-1]
        assert (last.gain, last.held_out, last.accepted) == (whole.gain, whole.held_out, whole.accepted), name
        assert standing(place) == wanted, name


def standing(place: Path) -> tuple[bytes, list[Any]]:
    """Return the labels of a run, and the decisions about it."""
    review = read_decisions(RunStore(place))
    assert review is not None
    return (place / "labels.jsonl").read_bytes(), [(one.key, one.verdict) for one in review.decisions]
