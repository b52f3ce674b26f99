"""OWLv2 that is asked by examples, against transformers' own image-guided detection."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as Picture
from pydantic import ValidationError
from transformers import Owlv2ForObjectDetection, OwlViTForObjectDetection
from transformers.models.owlv2.image_processing_pil_owlv2 import Owlv2ImageProcessorPil

from autolabel.errors import SpecError, WeightsError
from autolabel.plan.compile import compile_plan
from autolabel.registry import Registry
from autolabel.run.generate import generate
from autolabel.spec.load import spec_from_mapping
from autolabel.testing import check_detector
from autolabel.types import Instances
from autolabel_transformers.owlv2 import Owlv2
from tests.labelers.tiny_models import detect, loaded, photo
from tests.since import since
from tests.specs import make_spec

SIZE = (60, 97)


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("examples") / "one.png"
    Picture.fromarray(photo(48, 48, seed=7).pixels).save(path)
    return path


def one(image: Path, *boxes: list[float], phrase: str = "cat") -> dict[str, Any]:
    return {"phrase": phrase, "image": str(image), "boxes": [list(box) for box in boxes]}


def asked(folder: Path, *phrases: str, **params: Any) -> Instances:
    (found,) = detect(loaded(Owlv2, folder, **params), photo(*SIZE, *phrases))
    return found


def in_order(found: Instances, label: int = 0) -> Any:
    """Return boxes and scores of a label, sorted by box."""
    mine = found.take(found.labels == label)
    order = np.lexsort(mine.boxes.T)
    return mine.boxes[order], mine.scores[order]


@since("transformers", "5.20", "the box of an example was not the one of highest objectness")
def test_a_whole_image_is_what_transformers_makes_of_it(owlv2: Path, example: Path) -> None:
    found = asked(owlv2, "cat", examples=[one(example)], examples_as="instead")
    model = Owlv2ForObjectDetection.from_pretrained(owlv2).eval()
    process = Owlv2ImageProcessorPil.from_pretrained(owlv2)
    pixels = process(photo(*SIZE).pixels, return_tensors="pt")["pixel_values"]
    query = process(np.asarray(Picture.open(example)), return_tensors="pt")["pixel_values"]
    with torch.inference_mode():
        expected = model.image_guided_detection(pixel_values=pixels, query_pixel_values=query)
    centre = expected.target_pred_boxes[0].numpy()
    corners = np.concatenate([centre[:, :2] - centre[:, 2:] / 2, centre[:, :2] + centre[:, 2:] / 2], 1) * max(SIZE)
    scores = expected.logits[0, :, 0].sigmoid().numpy()
    order = np.lexsort(corners.T.astype(np.float32))
    boxes, ours = in_order(found)
    assert len(ours) == 36
    assert np.allclose(boxes, corners[order], atol=5e-3) and np.allclose(ours, scores[order], atol=2e-5)


def test_a_box_is_looked_for_as_transformers_does(owlv2: Path, example: Path) -> None:
    """Its rule for a box is OWL-ViT's, which transformers has for the box of the whole image alone."""
    network = loaded(Owlv2, owlv2).network
    pixels = np.asarray(Picture.open(example), np.float32) / 255
    model: Any = Owlv2ForObjectDetection.from_pretrained(owlv2).eval()
    process = Owlv2ImageProcessorPil.from_pretrained(owlv2)
    with torch.inference_mode():
        grid = model.image_embedder(process(np.asarray(Picture.open(example)), return_tensors="pt")["pixel_values"])[0]
        embedded, _, _ = OwlViTForObjectDetection.embed_image_query(model, grid.flatten(1, 2), grid)
    expected = embedded.flatten() / embedded.norm()
    [ours] = network.show(pixels, [(0.0, 0.0, 1.0, 1.0)])
    assert torch.allclose(ours, expected, atol=1e-4)
    [other] = network.show(pixels, [(0.0, 0.0, 0.2, 0.2)])
    assert not torch.allclose(ours, other, atol=1e-2)


def test_a_box_where_nothing_lies_takes_the_nearest(owlv2: Path, example: Path) -> None:
    network = loaded(Owlv2, owlv2).network
    pixels = np.asarray(Picture.open(example), np.float32) / 255
    features = network.show(pixels, [(0.999, 0.999, 1.0, 1.0), (0.0, 0.0, 0.001, 0.001)])
    assert len(features) == 2 and all(bool(torch.isfinite(one).all()) for one in features)


def test_the_better_of_words_and_examples_counts(owlv2: Path, example: Path) -> None:
    boxes = [[0.0, 0.0, 20.0, 20.0], [10.0, 10.0, 48.0, 48.0]]
    words = asked(owlv2, "cat", "dog")
    each = [asked(owlv2, "cat", "dog", examples=[one(example, box)], examples_as="instead") for box in boxes]
    both = asked(owlv2, "cat", "dog", examples=[one(example, *boxes)], examples_as="instead")
    beside = asked(owlv2, "cat", "dog", examples=[one(example, *boxes)])
    best = np.maximum(*(in_order(alone)[1] for alone in each))
    assert np.allclose(in_order(both)[1], best, atol=1e-6)
    assert np.allclose(in_order(beside)[1], np.maximum(best, in_order(words)[1]), atol=1e-6)
    for other in (*each, both, beside):
        assert np.allclose(in_order(other, 1)[1], in_order(words, 1)[1], atol=1e-6), "other phrases keep their words"
    assert not np.allclose(in_order(each[0])[1], in_order(words)[1], atol=1e-3)


def test_phrases_that_read_the_same_share_examples(owlv2: Path, example: Path) -> None:
    found = asked(owlv2, "Cat", "dog", "cat", examples=[one(example)], examples_as="instead")
    assert np.array_equal(in_order(found, 0)[1], in_order(found, 2)[1])
    assert np.allclose(
        in_order(found, 0)[1], in_order(asked(owlv2, "cat", examples=[one(example)], examples_as="instead"))[1]
    )


def test_an_example_is_seen_once(owlv2: Path, example: Path) -> None:
    detector: Owlv2 = loaded(Owlv2, owlv2, examples=[one(example, [0, 0, 20, 20], [5, 5, 30, 30])])
    assert detector.counters()["vision_passes"] == 1
    detect(detector, photo(*SIZE, "cat"))
    detect(detector, photo(*SIZE, "cat", "dog"))
    assert detector.counters()["vision_passes"] == 3 and detector.counters()["forward_passes"] == 2


def test_it_keeps_the_contract_of_a_detector(owlv2: Path, example: Path) -> None:
    samples = [photo(64, 85, "cat", "red car"), photo(50, 20, "dog", seed=2), photo(64, 85, "cat", "dog", seed=3)]
    params = {"checkpoint": str(owlv2), "examples": [one(example, [0, 0, 20, 20])]}
    check_detector(Owlv2, params, samples=samples, floor=0.2)


@pytest.mark.parametrize(
    ("box", "message"),
    [
        ([5, 5, 5, 9], "x1 < x2 and y1 < y2"),
        ([-1, 0, 5, 9], "in pixels of the upright image"),
        ([0, 0, float("nan"), 9], "finite number"),
        ([0, 0, 5], "at least 4 items"),
    ],
)
def test_a_box_that_is_none_is_refused(owlv2: Path, example: Path, box: list[float], message: str) -> None:
    with pytest.raises(ValidationError) as raised:
        Owlv2.Params(checkpoint=str(owlv2), examples=[one(example, box)])
    assert message in str(raised.value) or "Field required" in str(raised.value)


def test_an_example_is_checked_before_any_work(owlv2: Path, example: Path, tmp_path: Path) -> None:
    def check(**params: Any) -> None:
        detector = Owlv2(Owlv2.Params(checkpoint=str(owlv2), **params))
        detector.files()
        detector.check()

    check(examples=[one(example, [0, 0, 48, 48])])
    with pytest.raises(WeightsError, match="box 0 of the example reaches beyond its 48x48 pixels"):
        check(examples=[one(example, [0, 0, 48, 49])])
    with pytest.raises(WeightsError, match=r"gone\.png: no such file; it is named as an example"):
        check(examples=[one(tmp_path / "gone.png")])
    (tmp_path / "no.png").write_bytes(b"no image")
    with pytest.raises(WeightsError, match=r"no\.png: .*; it is named as an example"):
        check(examples=[one(tmp_path / "no.png")])
    with pytest.raises(ValidationError, match="wanted a file on this machine"):
        Owlv2.Params(checkpoint=str(owlv2), examples=[{"phrase": "cat", "image": "s3://bucket/a.png"}])


def spec(folder: Path, owlv2: Path, example: Path, **params: Any) -> dict[str, Any]:
    labeler = {"type": "owlv2", "checkpoint": str(owlv2), "examples": [one(example, [0, 0, 20, 20])], **params}
    return make_spec(
        "photos",
        folder / "run",
        classes={"animal": ["cat", "dog"]},
        stages=[{"labeler": labeler, "scheduler": {"type": "fixed", "rounds": [{"conf_threshold": 0.3}]}}],
        run={"threads": 1},
        export=[],
    )


def test_examples_are_part_of_a_run_and_of_its_digest(
    owlv2: Path, example: Path, tmp_path: Path, registry: Registry
) -> None:
    (tmp_path / "photos").mkdir()
    Picture.fromarray(photo(*SIZE).pixels).save(tmp_path / "photos" / "a.png")
    copy = tmp_path / "example.png"
    copy.write_bytes(example.read_bytes())

    def plan(image: Path = copy, **params: Any) -> Any:
        return compile_plan(
            spec_from_mapping(spec(tmp_path, owlv2, image, **params), root=tmp_path, registry=registry),
            registry=registry,
        )

    digests = [plan().plan.digest, plan(examples_as="instead").plan.digest, plan(examples=[]).plan.digest]
    relative = plan(Path("example.png"))
    assert relative.plan.digest == digests[0], "a path is relative to the spec"
    generate(relative, registry=registry)
    row = json.loads((tmp_path / "run" / "labels.jsonl").read_text())
    assert row["state"] == "labelled"
    Picture.fromarray(photo(48, 48, seed=8).pixels).save(copy)
    digests.append(plan().plan.digest)
    assert len(set(digests)) == 4, "another image under the same name is another run"


def test_an_example_of_what_is_never_asked_is_an_error(
    owlv2: Path, example: Path, tmp_path: Path, registry: Registry
) -> None:
    (tmp_path / "photos").mkdir()
    Picture.fromarray(photo(*SIZE).pixels).save(tmp_path / "photos" / "a.png")
    made = spec(tmp_path, owlv2, example, examples=[one(example, phrase="animal"), one(example, phrase="Cat")])
    with pytest.raises(SpecError, match="owlv2 has examples of 'animal', and no class is asked by that"):
        compile_plan(spec_from_mapping(made, root=tmp_path, registry=registry), registry=registry)
