"""The strategy: every box comes back, with its mask where it can have one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from autolabel.registry import discover
from autolabel.testing import check_segmenter
from autolabel.types import Image, Instances, Prompt, Rle, Sample
from autolabel_mal.labeler import Mal
from autolabel_mal.network import MalNetwork


def sample(
    boxes: Sequence[tuple[float, ...]], size: tuple[int, int] = (70, 90), seed: int = 0, **columns: Any
) -> Sample:
    count = len(boxes)
    filled: dict[str, Any] = {"scores": [0.5] * count, "labels": list(range(count)), "rounds": -1} | columns
    return Sample(
        image=Image(id=f"{seed}.png", path="", size=size),
        pixels=np.random.default_rng(seed).integers(0, 255, (*size, 3), np.uint8),
        prompt=Prompt(("a", "b")),
        instances=Instances.build(boxes, **filled),
    )


@pytest.fixture(scope="module")
def make(checkpoint: Path) -> Callable[..., Mal]:
    def build(**params: Any) -> Mal:
        mal = Mal(Mal.Params(checkpoint=str(checkpoint), **params))
        mal.load("cpu")
        return mal

    return build


@pytest.fixture(scope="module")
def mal(make: Callable[..., Mal]) -> Mal:
    return make(mask_thres=0.5)


BOXES = [(10.0, 10.0, 40.0, 50.0), (0.0, 0.0, 90.0, 70.0), (50.5, 20.2, 60.1, 33.0), (3.0, 3.0, 5.0, 4.0)]


def test_it_is_found_by_name() -> None:
    assert discover().get("labeler", "mal").strategy is Mal


def test_it_keeps_the_contract_of_a_segmenter(checkpoint: Path) -> None:
    check_segmenter(Mal, {"checkpoint": str(checkpoint), "mask_thres": 0.5, "batch_size": 3})


def test_crops_of_several_images_share_a_batch_and_answer_as_alone(make: Callable[..., Mal]) -> None:
    mal = make(mask_thres=0.5, batch_size=4)
    samples = [sample(BOXES), sample([], seed=1), sample(BOXES[:2], (40, 200), seed=2), sample(BOXES[1:], seed=3)]
    before = mal.counters()["forwards"]
    together = mal.segment(samples)
    assert mal.counters()["forwards"] - before == 3
    assert mal.counters()["crops"] == 9
    for one, result in zip(samples, together, strict=True):
        alone = mal.segment([one])[0]
        assert alone.masks is not None
        assert result.masks is not None
        assert len(result.masks) == len(one.instances)
        for mask, other in zip(result.masks, alone.masks, strict=True):
            assert mask is not None
            assert other is not None
            assert (mask.decode() ^ other.decode()).mean() < 0.001


def test_a_cpu_takes_one_crop_at_a_time_unless_told_otherwise(make: Callable[..., Mal]) -> None:
    mal = make()
    mal.segment([sample(BOXES)])
    assert mal.counters() == {"crops": 4, "forwards": 4}


def test_masks_lie_in_their_boxes_by_the_originals_inclusive_edge(mal: Mal) -> None:
    masks = mal.segment([sample(BOXES)])[0].masks
    assert masks is not None
    for (x1, y1, x2, y2), mask in zip(BOXES, masks, strict=True):
        assert mask is not None
        assert mask.size == (70, 90)
        left, top, right, bottom = mask.bounds()
        if mask.area():
            assert left >= int(x1) - 1
            assert top >= int(y1) - 1
            assert right <= int(x2) + 2
            assert bottom <= int(y2) + 2
    assert sum(mask.area() > 0 for mask in masks if mask) >= 3


def test_columns_are_kept(mal: Mal) -> None:
    given = [{"id": 7, "iscrowd": 0, "colour": "red"}, {"id": 9, "iscrowd": 0}]
    one = sample(BOXES[:2], scores=[0.25, 0.75], labels=[1, 0], rounds=[2, -1], given=given)
    (result,) = mal.segment([one])
    assert np.array_equal(result.boxes, one.instances.boxes)
    assert result.scores.tolist() == [0.25, 0.75]
    assert result.labels.tolist() == [1, 0]
    assert result.rounds.tolist() == [2, -1]
    assert result.given == tuple(given)


def test_boxes_across_the_border_are_cut_and_labelled(mal: Mal) -> None:
    across, inside = (-20.0, 30.0, 25.0, 95.0), (0.0, 30.0, 25.0, 70.0)
    result = mal.segment([sample([across, inside])])[0]
    assert result.masks is not None
    assert result.masks[0] == result.masks[1]
    assert result.boxes[0].tolist() == list(across)


def test_boxes_without_area_inside_come_back_without_a_mask(mal: Mal) -> None:
    outside = [(95.0, 5.0, 120.0, 20.0), (5.0, 5.0, 5.0, 20.0), (-9.0, 0.0, 0.0, 5.0), (float("nan"), 0.0, 5.0, 5.0)]
    result = mal.segment([sample([*outside, BOXES[0]])])[0]
    assert result.masks is not None
    assert result.masks[:4] == (None,) * 4
    assert result.masks[4] is not None


def test_crowds_keep_the_region_they_were_given(mal: Mal, caplog: pytest.LogCaptureFixture) -> None:
    region = Rle.encode(np.eye(70, 90, dtype=bool))
    given = [
        {"iscrowd": 1, "segmentation": region.as_coco()},
        {"iscrowd": 1},
        {"iscrowd": 1, "segmentation": {"size": [70, 90], "counts": [3]}},
        {"iscrowd": 0, "segmentation": region.as_coco()},
    ]
    before = mal.counters()["crops"]
    result = mal.segment([sample(BOXES, given=given)])[0]
    assert result.masks is not None
    assert result.masks[:3] == (region, None, None)
    assert result.masks[3] not in (None, region)
    assert mal.counters()["crops"] - before == 1
    assert "0.png: the region of a crowd is left out: an RLE is too short" in caplog.text


def test_no_boxes_need_no_forward_pass(make: Callable[..., Mal]) -> None:
    mal = make()
    (result,) = mal.segment([sample([])])
    assert (len(result), result.masks, mal.counters()) == (0, (), {"crops": 0, "forwards": 0})
    assert list(mal.segment([])) == []


def test_the_threshold_is_that_of_the_boxs_size(make: Callable[..., Mal]) -> None:
    size = (200, 200)
    boxes = [(5.0, 5.0, 30.0, 30.0), (50.0, 50.0, 110.0, 110.0), (10.0, 10.0, 190.0, 190.0)]
    none_of_medium = make(mask_thres=(0.0, 1.0, 0.0)).segment([sample(boxes, size)])[0].masks
    assert none_of_medium is not None
    areas = [mask.area() for mask in none_of_medium if mask]
    assert areas[1] == 0
    assert areas[0] >= 25 * 25
    assert areas[2] >= 180 * 180


def test_the_mirrored_crop_is_asked_too(make: Callable[..., Mal]) -> None:
    mal = make(flip=True, mask_thres=0.5)
    plain = make(mask_thres=0.5).segment([sample(BOXES)])[0].masks
    flipped = mal.segment([sample(BOXES)])[0].masks
    assert mal.counters() == {"crops": 4, "forwards": 8}
    assert plain != flipped


def test_pixels_are_left_alone(mal: Mal) -> None:
    one = sample(BOXES)
    before = one.pixels.copy()
    one.pixels.setflags(write=False)
    mal.segment([one])
    assert np.array_equal(one.pixels, before)


def test_all_images_may_share_a_batch(mal: Mal) -> None:
    assert mal.batch_key((10, 20)) == mal.batch_key((700, 3))


def test_files_and_licence(checkpoint: Path, network: MalNetwork, save: Callable[..., Path]) -> None:
    mal = Mal(Mal.Params(checkpoint=str(checkpoint)))
    assert list(mal.files()) == [checkpoint]
    assert (mal.licence().name, mal.licence().commercial) == ("apache-2.0", True)
    silent = save(network.state_dict())
    assert Mal(Mal.Params(checkpoint=str(silent))).licence().commercial is None
    pickled = save({"state_dict": network.state_dict()}, "mal.pth")
    assert Mal(Mal.Params(checkpoint=str(pickled))).licence().commercial is False
    (pickled.parent / "LICENSE").write_text("Apache License\nVersion 2.0, January 2004")
    assert Mal(Mal.Params(checkpoint=str(pickled))).licence().name == "apache-2.0"


@pytest.mark.parametrize(
    ("params", "message"),
    [
        (
            {"arch": "fan_tiny_12_p16_224"},
            "FAN .* not supported, got 'fan_tiny_12_p16_224'; supported: vit-deit-",
        ),
        ({"arch": "resnet"}, "vit-mae-base/16"),
        ({"mask_thres": (0.1, 0.2)}, "mask_thres"),
        ({"mask_thres": 1.5}, "mask_thres"),
        ({"test_margin_rate": (0.6,)}, "test_margin_rate"),
        ({"batch_size": 0}, "batch_size"),
        ({"crop_size": 8}, "crop_size"),
        ({"which": "both"}, "student"),
        ({"wich": "student"}, "wich"),
    ],
)
def test_params_are_checked(params: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Mal.Params(checkpoint="x.pth", **params)


def test_one_threshold_or_three() -> None:
    assert Mal.Params(checkpoint="x.pth", mask_thres=0.3).mask_thres == (0.3,)
    assert Mal.Params(checkpoint="x.pth", mask_thres=[0.3]).mask_thres == (0.3,)
    assert Mal.Params(checkpoint="x.pth", mask_thres=[0.1, 0.2, 0.3]).mask_thres == (0.1, 0.2, 0.3)
