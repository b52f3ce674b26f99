"""Which view of a photo or scene each cached number stands for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from autolabel_training.recipe import build, plain, read
from training.detector.config import Recipe, SetRecipe
from training.detector.data import Data
from training.detector.features import SCENES, Job, _jobs, make_view
from training.detector.phrases import KINDS, parse
from training.detector.pictures import SCENES_OF_KIND, dev_pictures

SECOND = Path(__file__).parents[2] / "training" / "detector-second.yaml"


def test_after_the_crops_come_whole_photos_then_shrunk_ones(recipe: Recipe, data: Data) -> None:
    chosen = replace(recipe, sets={"bccd": SetRecipe(views=3, whole=2, shrunk=2, turn=True)})
    (photo, _) = data.photos("bccd", "train")
    sides = []
    for variant in range(7):
        view = make_view(chosen, Job("bccd", "train", photo, variant), seed=variant)
        sides.append((view.boxes[0, 2:] - view.boxes[0, :2]) / [30 / 80, 20 / 60])
    assert [np.allclose(side, 1, atol=1e-5) for side in sides] == [True, False, False, True, True, False, False]
    assert all((side < 0.95).all() for side in sides[5:])


def test_mosaics_are_made_of_the_photos_of_a_set(recipe: Recipe, data: Data) -> None:
    chosen = replace(recipe, scenes=None, sets={"bccd": SetRecipe(views=1, mosaics=2, turn=False)})
    jobs = [job for job in _jobs(chosen, data) if job.split == "train"]
    known = {photo.path for photo in data.photos("bccd", "train")}
    assert [len(job.beside) for job in jobs] == [0, 3, 3] * 2
    assert {photo.path for job in jobs for photo in job.beside} <= known
    view = make_view(chosen, jobs[1], seed=0)
    assert len(view.boxes) == len(view.names) == 4
    assert (view.boxes >= 0).all() and (view.boxes <= 1).all()


def test_the_kinds_of_scenes_are_mixed_as_the_recipe_says(recipe: Recipe, data: Data) -> None:
    assert recipe.scenes is not None
    mixed = replace(recipe, scenes=replace(recipe.scenes, kinds={"size": 0.5, "texture": 0.5}))
    photo = data.photos("bccd", "train")[0]
    kinds = []
    for seed in range(20):
        said = parse(make_view(mixed, Job(SCENES, "train", photo, 0), seed=seed).names[0])
        assert (said.size is None) != (said.texture is None)
        kinds.append(said.size is None)
    assert 4 < sum(kinds) < 16


def test_every_kind_has_a_dev_set(recipe: Recipe, data: Data) -> None:
    assert recipe.scenes is not None
    recipe = replace(recipe, scenes=replace(recipe.scenes, backgrounds="bccd"))
    marks = {"scenes-size": "size", "scenes-texture": "texture", "scenes-count": "count", "scenes-relation": "relation"}
    assert {kind: name for name, kind in SCENES_OF_KIND.items()}.keys() == set(KINDS)
    for dataset, mark in marks.items():
        (picture,) = dev_pictures(recipe, data, dataset, scenes=1)
        assert len(set(picture.phrases)) == len(set(picture.names)) + 4
        assert any(getattr(parse(phrase), mark) for phrase in picture.phrases)


def test_unknown_kinds_are_named() -> None:
    raw = plain(read(Recipe, SECOND))
    raw["scenes"]["kinds"] = {"colour": 0.5, "smell": 0.5}
    with pytest.raises(ValueError, match="kinds of scenes are colour, size, texture, count, relation, not smell"):
        build(Recipe, raw)
