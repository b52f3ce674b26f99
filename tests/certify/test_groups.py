"""Near-duplicates: of each group one image is drawn by lot, and that is said."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from autolabel.certify.groups import representatives
from autolabel.duplicates import Groups
from autolabel.errors import DataError
from autolabel.results.duplicates import publish_groups
from autolabel.results.store import finished
from tests.certify.true_run import Truth

Make = Callable[..., Truth]


def groups_of(run: Truth, size: int, *, alone: int = 0, word: str = "scene") -> Path:
    """Write a file that puts ``size`` images after one another into each group; the first ``alone`` are in none."""
    names = sorted(run.missed)[alone:]
    path = run.root.parent / f"{word}.csv"
    lines = [f"{name},{word} {number // size}" for number, name in enumerate(names)]
    path.write_text("\n".join(["image,group", *lines]) + "\n")
    return path


def test_one_image_of_each_group_is_drawn_and_said(make_run: Make) -> None:
    run = make_run(40, wrong=0.2)
    state = run.certify("--groups", str(groups_of(run, 5, alone=10)), "--json")
    assert state["images"]["units"] == 10 + 6 and state["images"]["stood_for"] == 24
    assert state["boxes"]["units"] == 3 * 16
    units = run.check(500)
    images = {unit["image"] for unit in units}
    assert len(images) == 16 and len({int(name[:3]) - 10 for name in images if int(name[:3]) >= 10}) == 6
    assert len({(int(name[:3]) - 10) // 5 for name in images if int(name[:3]) >= 10}) == 6, "one of each group"
    state = run.certify("--json")
    wrong = sum(image in images for image, _ in run.wrong)
    assert state["precision"]["exact"] and state["precision"]["estimate"] == 1 - wrong / 48
    assert "Of each group of near-duplicates one image was drawn; 24 others are left out." in state["sentence"]
    assert "the other 24 are left out" in run.certify()


def test_the_stand_in_cannot_be_chosen(make_run: Make) -> None:
    """The names of groups, the order of lines, and what was decided have no part in it."""
    images = [f"{number:03}" for number in range(60)]
    one = representatives(images, {name: f"a{int(name) // 6}" for name in images}, plan="p")
    other = representatives(reversed(images), {name: f"b{9 - int(name) // 6}" for name in images}, plan="p")
    assert one == other and len(one) == 10
    assert representatives(images, {name: f"a{int(name) // 6}" for name in images}, plan="q") != one
    assert representatives(images, {}, plan="p") == frozenset(images)


def test_each_image_of_a_group_stands_for_it_equally_often() -> None:
    counts = dict.fromkeys("abc", 0)
    for number in range(600):
        [drawn] = representatives("abc", dict.fromkeys("abc", "all"), plan=str(number))
        counts[drawn] += 1
    assert all(150 < count < 250 for count in counts.values())


def test_groups_are_fixed_with_the_first_unit_and_stay_for_a_new_round(make_run: Make) -> None:
    run = make_run(40)
    groups = groups_of(run, 4)
    assert run.certify("--json")["images"]["units"] == 40
    assert run.certify("--groups", str(groups), "--json")["images"]["units"] == 10, "nothing was shown yet"
    run.check(20)
    with pytest.raises(DataError, match="the groups are not those of the sample"):
        run.certify("--groups", str(groups_of(run, 8, word="other")))
    assert run.certify("--groups", str(groups), "--json")["checked"] == 20, "the same groups"
    state = run.certify("--redraw", "--json")
    assert (state["images"]["units"], state["rounds"], state["audits"]) == (10, 2, 1)
    state = run.certify("--redraw", "--groups", str(groups_of(run, 8, word="other")), "--json")
    assert (state["images"]["units"], state["audits"]) == (5, 2) and state["images"]["stood_for"] == 35


def test_groups_that_the_run_has_found_are_used(make_run: Make) -> None:
    run = make_run(20)
    store, plan = finished(run.root)
    names = sorted(run.missed)
    publish_groups(store, plan, Groups((tuple(names[:5]), tuple(names[5:8]))))
    state = run.certify("--json")
    assert (state["images"]["units"], state["images"]["stood_for"]) == (14, 6)
    state = run.certify("--groups", "none", "--json")
    assert (state["images"]["units"], state["images"]["stood_for"]) == (20, 0), "every image, as long as none was shown"
    run.check(10)
    assert run.certify("--redraw", "--json")["images"]["units"] == 20, "a new round is about what it was about"
    with pytest.raises(DataError, match="the groups are not those of the sample"):
        run.certify("--groups", str(groups_of(run, 2)), "--json")


def test_groups_found_after_the_draw_change_nothing(make_run: Make) -> None:
    run = make_run(20)
    run.check(10)
    store, plan = finished(run.root)
    publish_groups(store, plan, Groups((tuple(sorted(run.missed)[:5]),)))
    assert run.certify("--json")["images"]["units"] == 20
    assert run.certify("--redraw", "--groups", "none", "--json")["rounds"] == 2


def test_a_mended_stand_in_still_stands(make_run: Make) -> None:
    run = make_run(30, wrong=0.3)
    run.certify("--groups", str(groups_of(run, 3)), "--json")
    run.check(100)
    state = run.certify("--mend", "--json")
    assert state["holds"] and state["after_review"]["precision_at_least"] == 1.0
    assert state["after_review"]["removed"] > 0


def test_kept_groups_are_not_changed_unnoticed(make_run: Make) -> None:
    run = make_run(12)
    run.certify("--groups", str(groups_of(run, 3)), "--json")
    kept = run.root / "certificate" / "groups.json"
    kept.write_text(kept.read_text().replace("scene 0", "scene 1"))
    with pytest.raises(DataError, match=r"groups\.json: is not the file that the sample was drawn with"):
        run.certify("--json")


@pytest.mark.parametrize(
    ("text", "said", "line"),
    [
        ("photo,group\n001.png,a\n", "has no column 'image'", 1),
        ("", "has no column 'image'", 1),
        ("image,group\n001.png,a\n01.png,a\n", "'01.png' is not an image of this run", 3),
        ("image,group\n001.png,a\n001.png,b\n", "'001.png' is in the group 'a' already", 3),
        ("image,group\n001.png,\n", "'001.png' has no group", 2),
        ("image,group\n001.png\n", "'001.png' has no group", 2),
        ('image,group\n"001.png\n', "'001.png\\n' is not an image of this run", 2),
        ("image,group\n", "names no image", 0),
    ],
)
def test_bad_groups(make_run: Make, text: str, said: str, line: int) -> None:
    run = make_run(3)
    path = run.root.parent / "groups.csv"
    path.write_text(text)
    with pytest.raises(DataError) as caught:
        run.certify("--groups", str(path))
    assert said in str(caught.value) and (f"{path}:{line}" if line else str(path)) in str(caught.value)
    assert not (run.root / "certificate").exists(), "nothing was drawn"


def test_groups_that_are_no_text(make_run: Make, tmp_path: Path) -> None:
    run = make_run(3)
    (tmp_path / "groups.csv").write_bytes(b"image,group\n\xff\xfe,a\n")
    with pytest.raises(DataError, match="is not UTF-8"):
        run.certify("--groups", str(tmp_path / "groups.csv"))
    with pytest.raises(DataError, match="cannot be read"):
        run.certify("--groups", str(tmp_path / "none.csv"))
    (tmp_path / "bom.csv").write_bytes(b"\xef\xbb\xbfgroup,image,more\r\na,001.png,x\r\na,002.png,y\r\n")
    assert run.certify("--groups", str(tmp_path / "bom.csv"), "--json")["images"]["units"] == 2


def test_calibrate_says_of_what_it_promises(make_run: Make, tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from autolabel.cli.app import app

    run = make_run(60, wrong=0)
    run.certify("--groups", str(groups_of(run, 2)), "--json")
    run.check(120)
    out = tmp_path / "t.yaml"
    done = CliRunner().invoke(app, ["calibrate", str(run.root), "--out", str(out), "--json"], catch_exceptions=False)
    assert any("one image of each group" in note for note in json.loads(done.stdout)["notes"])
