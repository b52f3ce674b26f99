"""The page as a file: what is in it, how large it is, what it can do."""

import base64
import io
import json
import re
import resource
import tracemalloc
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from autolabel.errors import DataError
from autolabel.evaluate import evaluate
from autolabel.report import gallery, sample, thumbnail
from autolabel.report.markup import csp_hash
from autolabel.report.write import write_report
from autolabel.results.review import Decision, Review
from autolabel.types import Labels, Rle
from tests.report.rows import PAYLOADS, PHRASES, draw_picture, make_plan, make_row

BOXES = [[10, 20, 60, 80], [70, 30, 130, 100], [5, 5, 25, 25]]
VOID = frozenset({"meta", "input", "img", "link", "br", "base"})
LIMIT = 15_000_000


class Page(HTMLParser):
    """A page read back: its elements, attributes and texts; fails where elements do not close in order."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str, str | None]] = []
        self.texts: list[str] = []
        self.inside: dict[str, list[str]] = {"script": [], "style": []}
        self.ids: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open, f"not closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        self.ids += [value or "" for name, value in attrs if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        (self.inside[self.open[-1]] if self.open and self.open[-1] in self.inside else self.texts).append(data)

    @property
    def data(self) -> dict[str, Any]:
        """What the script reads."""
        found: dict[str, Any] = json.loads(self.inside["script"][0])
        return found

    @property
    def text(self) -> str:
        return " ".join(self.texts)


def street(folder: Path) -> list[Labels]:
    mask = np.zeros((120, 160), bool)
    mask[20:80, 10:60] = True
    path = draw_picture(folder / "a.jpg")
    return [
        make_row(
            "a.jpg",
            BOXES,
            scores=[0.9, 0.5, 0.25],
            labels=[0, 0, 1],
            rounds=[0, 1, 2],
            masks=[Rle.encode(mask), None, None],
            path=path,
        ),
        make_row("b.jpg", path=str(folder / "gone.jpg")),
        make_row("c.jpg", failure=("corrupt_image", "c.jpg: cut <off>")),
    ]


@pytest.fixture
def page(tmp_path: Path) -> Page:
    out = write_report(street(tmp_path), make_plan(masks=True), tmp_path / "report")
    assert out == tmp_path / "report" / "index.html"
    assert [file.name for file in out.parent.iterdir()] == ["index.html"]
    return Page(out.read_text(encoding="utf-8"))


def test_only_this_script_and_style_may_run(page: Page) -> None:
    (policy,) = [value for tag, name, value in page.attributes if name == "content" and "src" in (value or "")]
    assert policy is not None
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules == {
        "default-src": "'none'",
        "script-src": f"'{csp_hash(page.inside['script'][1])}'",
        "style-src": f"'{csp_hash(page.inside['style'][0])}'",
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }


def test_nothing_is_fetched_and_nothing_is_inline(page: Page) -> None:
    assert not page.tags & {"link", "iframe", "object", "embed", "base", "img"}
    for tag, name, value in page.attributes:
        assert not name.startswith("on") and name not in {"src", "srcset", "style", "action"}, (tag, name)
        assert name != "href" or (value or "").startswith("#")
    script, style = page.inside["script"][1], page.inside["style"][0]
    assert "url(" not in style and "@import" not in style
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|Function\(|fetch\(|XMLHttp|import\(", script
    )
    assert set(re.findall(r"https?://[^\"' ]+", script + style)) == {"http://www.w3.org/2000/svg"}


def test_every_id_is_there_once_and_every_label_has_its_target(page: Page) -> None:
    assert len(set(page.ids)) == len(page.ids)
    for _, name, value in page.attributes:
        if name in {"aria-labelledby", "for"}:
            assert value in page.ids
        if name == "href":
            assert (value or "")[1:] in page.ids


def test_pictures_have_words(page: Page) -> None:
    labels = [value for tag, name, value in page.attributes if tag == "svg" and name == "aria-label"]
    assert "New boxes by round. round 0: 1, round 1: 1, round 2: 1" in labels
    assert "Share of rows with a box after each round. round 0: 50.0%, round 1: 50.0%, round 2: 50.0%" in labels
    assert "1 labelled, 1 empty, 1 failed" in labels
    assert sum(tag == "svg" for tag, name, _ in page.attributes if name == "role") == len(labels)


def test_the_facts_are_told(page: Page) -> None:
    for fact in (
        "street",
        "d" * 64,
        "c" * 64,
        "ab" * 32,
        "tiny.pth",
        "Apache-2.0",
        "grounding_dino",
        "nms",
        "0.4",
        "a key without effect",
    ):
        assert fact in page.text
    assert "cut <off>" in page.text and "corrupt_image" in page.text
    assert "/private" not in page.text + json.dumps(page.data)


def test_rows_as_the_script_reads_them(page: Page) -> None:
    data = page.data
    assert data["plan"] == "d" * 64
    assert data["classes"] == ["cell", "dot"]
    assert data["rounds"] == [[0, "round 0 > 0.60"], [1, "round 1 > 0.40"], [2, "round 2 > 0.20"]]
    first, second = data["rows"]
    assert (first["image"], first["width"], first["height"], first["total"]) == ("a.jpg", 160, 120, 3)
    boxes = {tuple(box[:4]): box[4:] for box in first["boxes"]}
    assert boxes[10, 20, 60, 80][:3] == [0, 0.9, 0]
    assert boxes[10, 20, 60, 80][3].startswith("M") and boxes[70, 30, 130, 100][3] == ""
    assert boxes[5, 5, 25, 25][:3] == [1, 0.25, 2]
    picture = Pillow.open(io.BytesIO(base64.b64decode(first["jpeg"])))
    assert (picture.format, picture.size) == ("JPEG", (160, 120))
    assert second["jpeg"] == "" and "no such file" in second["problem"]
    assert second["unfound"] == list(PHRASES)


def test_truth_and_earlier_decisions(tmp_path: Path) -> None:
    coco = {
        "images": [{"id": 1, "file_name": "a.jpg", "width": 160, "height": 120}],
        "categories": [{"id": 1, "name": "cell"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [11, 21, 50, 60]}],
    }
    (tmp_path / "gt.json").write_text(json.dumps(coco))
    review = Review(
        plan="old",
        decisions=(
            Decision(image="a.jpg", bbox=(71, 30, 130, 100), phrase="cell", verdict="reject"),
            Decision(image="b.jpg", verdict="keep"),
        ),
    )
    out = write_report(street(tmp_path), make_plan(), tmp_path, truth=tmp_path / "gt.json", review=review)
    first, second = Page(out.read_text(encoding="utf-8")).data["rows"]
    assert first["truth"] == [[11, 21, 61, 81, "cell"]] and second["truth"] is None
    by_box = {box[0]: place for place, box in enumerate(first["boxes"])}
    assert first["matched"][by_box[10]] == 0 and first["matched"][by_box[70]] == -1
    assert first["verdicts"][by_box[70]] == "reject" and first["verdicts"].count(None) == 2
    assert second["verdict"] == "keep"


def test_counts_are_those_of_what_people_decided(tmp_path: Path) -> None:
    rows = street(tmp_path)
    boxes = sum(len(row.instances) for row in rows)
    decisions = (
        Decision(image="a.jpg", bbox=(71, 30, 130, 100), phrase="cell", verdict="reject"),
        Decision(image="b.jpg", verdict="reject"),
    )
    page = write_report(rows, make_plan(), tmp_path, review=Review(plan="p", decisions=decisions)).read_text()
    assert f"<dt>boxes</dt><dd>{boxes - 1}</dd>" in page
    assert f"<dt>images</dt><dd>{len({row.image.id for row in rows}) - 1}</dd>" in page
    assert "All counts are after 2 decisions of people. 1 row left out by them are not counted." in page
    before = write_report(rows, make_plan(), tmp_path).read_text()
    assert f"<dt>boxes</dt><dd>{boxes}</dd>" in before and "decisions of people" not in before


def test_a_broken_truth_is_refused(tmp_path: Path) -> None:
    (tmp_path / "gt.json").write_text("[]")
    with pytest.raises(DataError):
        write_report(street(tmp_path), make_plan(), tmp_path, truth=tmp_path / "gt.json")


def test_equal_labels_give_equal_bytes(tmp_path: Path) -> None:
    rows = street(tmp_path)
    first = write_report(rows, make_plan(), tmp_path / "1").read_bytes()
    assert write_report(rows, make_plan(), tmp_path / "2").read_bytes() == first


def test_an_iterator_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="twice"):
        write_report(iter(street(tmp_path)), make_plan(), tmp_path)


def test_no_rows_at_all(tmp_path: Path) -> None:
    page = Page(write_report([], make_plan(), tmp_path).read_text(encoding="utf-8"))
    assert page.data["rows"] == []
    assert "No row failed." in page.text


def test_texts_that_do_harm_as_markup_stay_texts(tmp_path: Path, page: Page) -> None:
    path = draw_picture(tmp_path / "x.jpg")
    rows = [
        make_row(text, BOXES[:1], phrases=(text,), caption=text, path=path)
        if number % 2
        else make_row(text, failure=("bad_name", text))
        for number, text in enumerate(PAYLOADS)
    ]
    name = "<img src=x onerror=alert(1)>"
    attacked = Page(
        write_report(rows, make_plan(name=name, classes=PAYLOADS), tmp_path / "out").read_text(encoding="utf-8")
    )
    assert len(PAYLOADS) == 100
    assert attacked.tags <= page.tags | {"circle", "rect"}
    assert attacked.inside["script"][1] == page.inside["script"][1]
    assert {name for _, name, _ in attacked.attributes} <= {name for _, name, _ in page.attributes}
    assert {row["image"] for row in attacked.data["rows"]} == set(PAYLOADS[1::2])
    for text in PAYLOADS[::2]:
        assert text in attacked.texts
    assert name in attacked.texts


def test_lone_surrogates_do_not_stop_the_page(tmp_path: Path) -> None:
    rows = [
        make_row("a\ud800.jpg", BOXES[:1], phrases=("x\udfff",)),
        make_row("b\ud800.jpg", failure=("bad_name", "\ud800")),
    ]
    page = Page(write_report(rows, make_plan(), tmp_path).read_text(encoding="utf-8"))
    assert page.data["rows"][0]["image"] == "a\ud800.jpg"


def test_a_thumbnail_keeps_to_its_bytes(tmp_path: Path) -> None:
    path = draw_picture(tmp_path / "noise.png", size=(1200, 900))
    sizes = [
        len(thumbnail.thumbnail(path, max_pixels=10**8, max_bytes=limit).jpeg) for limit in (100_000, 30_000, 8_000)
    ]
    assert sizes[0] <= 100_000 and sizes[1] <= 30_000 and sizes[2] <= 8_000
    assert sizes[0] > sizes[1] > sizes[2] > 1000


def test_rows_stop_where_the_bytes_are_used_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gallery, "MAX_BYTES", 20_000)
    rows = [make_row(f"{number}.jpg", BOXES, caption="x" * 5000) for number in range(60)]
    page = Page(write_report(rows, make_plan(), tmp_path).read_text(encoding="utf-8"))
    shown = page.data["rows"]
    assert 5 < len(shown) < 60
    assert sum(len(json.dumps(row, separators=(",", ":"))) for row in shown) <= 20_000
    assert f"{len(shown)} of 60 rows" in page.text


class Crowd:
    """Many rows with many boxes and masks, made up while they are walked."""

    def __init__(self, count: int, *, boxes: int, phrases: int, path: str = "", masks: bool = False) -> None:
        self.count, self.path, self.boxes, self.phrases = count, path, boxes, phrases
        corner = np.random.default_rng(5).uniform(0, 80, (boxes, 2))
        self.corners = np.concatenate([corner, corner + 30], axis=1)
        blocks = np.random.default_rng(6).random((12, 16)) > 0.5
        self.masks = [Rle.encode(np.kron(blocks, np.ones((10, 10), bool)))] * boxes if masks else None

    def __iter__(self) -> Iterator[Labels]:
        for number in range(self.count):
            if number % 50 == 49:
                yield make_row(f"{number:07d}.jpg", failure=("corrupt_image", "m" * 5000), path=self.path)
                continue
            yield make_row(
                f"{number:07d}.jpg",
                self.corners,  # type: ignore[arg-type]
                scores=[(number % 97) / 100] * self.boxes,
                labels=[0] * self.boxes,
                rounds=[number % 3] * self.boxes,
                masks=self.masks,
                phrases=(f"phrase {number % self.phrases} {'y' * 400}",),
                caption="z" * 3000,
                path=self.path,
            )


def test_the_page_stays_small_whatever_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample, "ROWS", 24)  # a tenth of everything; the whole is walked by the soak test below
    for name in ("MAX_BYTES", "_PICTURE_BYTES", "_MOST_BOXES", "_OUTLINE_BYTES"):
        monkeypatch.setattr(gallery, name, getattr(gallery, name) // 10)
    path = draw_picture(tmp_path / "noise.jpg", size=(500, 600))
    out = write_report(
        Crowd(60, boxes=40, phrases=30, path=path, masks=True), make_plan(masks=True), tmp_path / "report"
    )
    data = Page(out.read_text(encoding="utf-8")).data
    assert len(data["rows"]) == 24
    assert 500_000 < len(json.dumps(data["rows"])) < 1_300_000
    assert out.stat().st_size - len(json.dumps(data["rows"], separators=(",", ":"))) < 2_000_000


def peak(rows: Crowd, out: Path) -> int:
    tracemalloc.start()
    try:
        write_report(rows, make_plan(), out)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_run(tmp_path: Path) -> None:
    small = peak(Crowd(300, boxes=1, phrases=10), tmp_path)
    large = peak(Crowd(1_200, boxes=1, phrases=10), tmp_path)
    assert large < small + 1_000_000


@pytest.mark.soak
def test_a_million_rows(tmp_path: Path) -> None:
    path = draw_picture(tmp_path / "noise.jpg", size=(700, 900))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    out = write_report(
        Crowd(1_000_000, boxes=3, phrases=200_000, path=path, masks=True), make_plan(masks=True), tmp_path
    )
    assert len(Page(out.read_text(encoding="utf-8")).data["rows"]) == sample.ROWS
    assert out.stat().st_size < LIMIT
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000
    assert "1,000,000" in out.read_text(encoding="utf-8")


def test_the_comparison_with_the_truth_is_drawn_where_there_is_one(tmp_path: Path) -> None:
    name = "<b>cell</b> & co"
    coco = {
        "images": [{"id": 1, "file_name": "a.jpg", "width": 160, "height": 120}],
        "categories": [{"id": 1, "name": name}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [10, 20, 50, 60]}],
    }
    (tmp_path / "gt.json").write_text(json.dumps(coco))
    rows = [make_row("a.jpg", [[10, 20, 60, 80], [70, 30, 90, 90]], phrases=(name,), rounds=[0, 1], scores=[0.9, 0.4])]
    evaluation = evaluate(rows, tmp_path / "gt.json")
    out = write_report(rows, make_plan(), tmp_path, truth=tmp_path / "gt.json", evaluation=evaluation)
    text = out.read_text(encoding="utf-8")
    section = text[text.index('<section id="truth"') : text.index('<section id="gallery"')]
    assert 'aria-label="Boxes by round. round 0: 1 right, 0 wrong, round 1: 0 right, 1 wrong"' in section
    assert 'aria-label="Recall after each round. round 0: 100.0%, round 1: 100.0%"' in section
    assert "<td>1</td><td>2</td><td>1</td><td>0.500</td><td>1.000</td><td>0.667</td>" in section
    assert section.count("<polyline") == 2 and "Precision over recall of boxes" in section
    assert "<b>cell" not in text and "&lt;b&gt;cell&lt;/b&gt; &amp; co" in section
    assert '<a href="#truth">' in text
    bare = write_report(rows, make_plan(), tmp_path).read_text(encoding="utf-8")
    assert 'href="#truth"' not in bare and 'id="truth"' not in bare
