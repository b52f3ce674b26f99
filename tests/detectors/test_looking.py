"""A detector that sees an image in several looks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from autolabel.detectors import Consensus, Looking, Tiled, Tiles, composed
from autolabel.registry import Registry
from autolabel.strategies import Detector, Look, Strategy
from autolabel.testing import check_detector, example_sample
from autolabel.types import Instances, Prompt, Rle, Sample

PHRASES = ("red", "blue")
CHOSEN: dict[str, tuple[str, dict[str, Any]]] = {
    "plain": ("plain", {}),
    "mirror": ("mirror", {}),
    "flip": ("flip", {}),
    "quarter": ("rotate", {"degrees": 90}),
    "zoom_out": ("zoom_out", {"factor": 1.25}),
}


@pytest.fixture
def looks(registry: Registry) -> dict[str, Look]:
    return {name: registry.make("look", kind, params) for name, (kind, params) in CHOSEN.items()}


def asked(detector: Detector, samples: Sequence[Sample], *looks: str | None) -> list[Instances]:
    """The answers to each sample in each look, asked in one go."""
    detector.load("cpu")
    items = detector.prepare([detector.preprocess(sample) for sample in samples])
    pairs = [(item, Prompt(PHRASES, look=look)) for look in looks for item in items]
    found = detector.detect([item for item, _ in pairs], [prompt for _, prompt in pairs], 0.1)
    return [one for one in found if isinstance(one, Instances)]


pytestmark = pytest.mark.usefixtures("example_path")


def colors() -> Detector:
    from autolabel_colors import Colors

    return Colors(Colors.Params())


def test_boxes_come_back_to_where_things_are(looks: dict[str, Look]) -> None:
    samples = [example_sample(0, phrases=PHRASES), example_sample(1, size=(80, 40), phrases=PHRASES)]
    answers = asked(Looking(colors(), looks, ahead=1), samples, None, *looks)
    for sample, *found in zip(
        samples, *(answers[start : start + 2] for start in range(0, len(answers), 2)), strict=True
    ):
        truth = sample.instances.boxes.tolist()
        assert len(found) == len(looks) + 1
        assert all(sorted(one.boxes.tolist()) == sorted(truth) for one in found)


class Painter(Detector):
    """Finds the red pixels of a sample, as a mask."""

    name = "painter"
    gives = "masks"

    def load(self, device: str) -> None:
        pass

    def prepare(self, batch: Sequence[Sample]) -> Sequence[Sample]:
        return batch

    def detect(self, prepared: Sequence[Sample], prompts: Sequence[Prompt], floor: float) -> Sequence[Instances]:
        out = []
        for sample in prepared:
            assert sample.image.size == sample.pixels.shape[:2], "a look is a sample of its own size"
            inside = (sample.pixels == (255, 0, 0)).all(axis=2)
            rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
            box = [[columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]]
            out.append(Instances.build(box, scores=[0.9], labels=[0], masks=[Rle.encode(inside)]))
        return out


def triangle() -> Sample:
    """A sample with a red thing that no symmetry leaves as it is."""
    sample = example_sample(0, phrases=PHRASES)
    pixels = np.zeros_like(sample.pixels)
    rows, columns = np.mgrid[: pixels.shape[0], : pixels.shape[1]]
    pixels[(rows > 5) & (columns > 3) & (rows + 2 * columns < 60)] = (255, 0, 0)
    return Sample(image=sample.image, pixels=pixels, prompt=sample.prompt, instances=Instances.empty())


def test_masks_come_back_to_the_pixel(looks: dict[str, Look]) -> None:
    detector = Looking(Painter(Strategy.Params()), looks, ahead=len(looks))
    assert detector.gives == "masks"
    plain, *others = asked(detector, [triangle()], None, *looks)
    assert plain.masks is not None and plain.masks[0] is not None and plain.masks[0].area() > 100
    assert all(other.masks == plain.masks and other.boxes.tolist() == plain.boxes.tolist() for other in others)


def test_a_look_of_a_tile_and_a_look_by_several_labelers(looks: dict[str, Look]) -> None:
    sample = example_sample(2, size=(90, 200), phrases=PHRASES)
    tiles = Tiles(size=100, overlap=0.4, whole=False, batch=3)
    detector = composed([colors(), colors()], tiles, looks=looks, ahead=1)
    assert isinstance(detector, Tiled) and isinstance(detector.detector, Looking)
    assert isinstance(detector.detector.detector, Consensus)
    plain, *others = asked(detector, [sample], None, *looks)
    assert set(plain.sources or ()) == {("colors",), ("colors-2",)}
    for other in others:
        assert sorted(other.boxes.tolist()) == sorted(plain.boxes.tolist()) != []


def test_what_is_not_asked_is_not_prepared(looks: dict[str, Look]) -> None:
    inner = colors()
    detector = Looking(inner, looks, ahead=1)
    [item] = detector.prepare([detector.preprocess(example_sample(0, phrases=PHRASES))])
    assert inner.counters() == {"prepared": 0, "forwards": 0}
    for look, prepared in (("plain", 1), ("plain", 1), ("mirror", 2), ("plain", 2)):
        detector.detect([item], [Prompt(PHRASES, look=look)], 0.1)
        assert detector.counters()["prepared"] == prepared
    assert detector.passes(Prompt(PHRASES, look="flip")) == inner.passes(Prompt(PHRASES))


def test_looks_of_one_batch_key_share_a_batch(looks: dict[str, Look]) -> None:
    from autolabel_colors import Colors

    class Counting(Colors):
        """Notes how many it is asked about at a time."""

        calls: list[int] = []

        def detect(self, prepared: Sequence[Any], prompts: Sequence[Prompt], floor: float) -> Sequence[Instances]:
            assert all(prompt.look is None for prompt in prompts), "the detector knows of no looks"
            self.calls.append(len(prepared))
            return super().detect(prepared, prompts, floor)

    asked(Looking(Counting(Colors.Params()), looks, ahead=0), [example_sample(0)], "plain", "mirror", "quarter", "flip")
    assert Counting.calls == [3, 1]


def test_a_look_that_shows_another_shape_than_it_says_is_named() -> None:
    class Liar(Look):
        """Shows less than it says."""

        name = "liar"

        def apply(self, pixels: Any) -> Any:
            return pixels[1:]

    detector = Looking(colors(), {"liar": Liar(Look.Params())}, ahead=0)
    with pytest.raises(ValueError, match=r"look 'liar' gives \(47, 64, 3\) uint8, not \(48, 64, 3\) uint8"):
        asked(detector, [example_sample(0)], "liar")


class MirroredColors(Looking):
    """``colors`` behind a mirror, as a strategy of its own."""

    name = "mirrored_colors"

    def __init__(self, params: Any) -> None:
        from autolabel_looks.symmetry import Mirror

        super().__init__(colors(), {"mirror": Mirror(Look.Params())}, ahead=1)

    def detect(self, prepared: Any, prompts: Sequence[Prompt], floor: float) -> Any:
        return super().detect(prepared, [Prompt(prompt.phrases, look="mirror") for prompt in prompts], floor)


def test_it_is_a_detector_like_any_other() -> None:
    check_detector(MirroredColors, {}, samples=[example_sample(i, phrases=PHRASES) for i in range(3)])
