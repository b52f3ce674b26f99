"""The labeler keeps autolabel's contract and finds what it should."""

from __future__ import annotations

from autolabel.testing import check_detector, example_sample

from autolabel_starter.labeler import StarterLabeler


def test_it_keeps_the_contract() -> None:
    check_detector(StarterLabeler, {"contrast": 100})


def test_a_box_is_found_to_the_pixel() -> None:
    sample = example_sample()
    labeler = StarterLabeler(StarterLabeler.Params())
    labeler.load("cpu")
    [found] = labeler.detect(labeler.prepare([sample]), [sample.prompt], 0.5)
    assert found.boxes.tolist() == sample.instances.boxes.tolist()
    assert [sample.prompt.phrases[label] for label in found.labels] == ["red square", "blue square"]
    assert found.scores.tolist() == [1, 1]
