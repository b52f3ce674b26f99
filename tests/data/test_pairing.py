"""Names that other tools write, and the images that they mean."""

from __future__ import annotations

import unicodedata

import pytest

from autolabel.data.pairing import nearest_names, pair

IMAGES = [
    "a.jpg", "x/Foto 1.JPG", "x/b.png", "café.jpg", "site1/0001.jpg", "site2/0001.jpg", "deep/IMG_7.jpeg", "q/one.jpg",
    "q/two.jpg", "100%25.jpg", "деревья.webp",
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "image", "how"),
    [
        ("a.jpg", "a.jpg", ""),
        (".//a.jpg", "a.jpg", ""),
        ("100%25.jpg", "100%25.jpg", ""),
        ("/home/me/photos/a.jpg", "a.jpg", "folder"),
        ("C:\\photos\\a.jpg", "a.jpg", "folder"),
        ("..\\photos\\a.jpg", "a.jpg", "folder"),
        ("/data/local-files/?d=x/b.png", "x/b.png", "folder"),
        ("s3://bucket/photos/x/b.png", "x/b.png", "folder"),
        (unicodedata.normalize("NFD", "café.jpg"), "café.jpg", "Unicode"),
        ("foto 1.jpg", "x/Foto 1.JPG", "case"),
        (unicodedata.normalize("NFD", "CAFÉ.JPG"), "café.jpg", "case"),
        ("Foto%201.JPG", "x/Foto 1.JPG", "percent"),
        ("100%2525.jpg", "100%25.jpg", "percent"),
        ("%D0%B4%D0%B5%D1%80%D0%B5%D0%B2%D1%8C%D1%8F.webp", "деревья.webp", "percent"),
        ("https://host/my%20photos/b.png?token=1", "x/b.png", "percent"),
        ("1a2b3c4d-Foto_1.JPG", "x/Foto 1.JPG", "another tool"),
        ("upload/3/1a2b3c4d-Foto_1.JPG", "x/Foto 1.JPG", "another tool"),
        ("IMG_7_jpeg.rf.0123456789abcdef0123456789abcdef.jpg", "deep/IMG_7.jpeg", "another tool"),
        ("Foto-1_JPG.rf.AbC123xyz.jpg", "x/Foto 1.JPG", "another tool"),
        ("1b4e28ba-2fa1-11d2-883f-0016d3cca427_b.png", "x/b.png", "another tool"),
        ("site1_0001.jpg", "site1/0001.jpg", "joined"),
        ("train/site2-0001.jpg", "site2/0001.jpg", "joined"),
        ("IMG_7.png", "deep/IMG_7.jpeg", "extension"),
        ("IMG_7", "deep/IMG_7.jpeg", "extension"),
        ("b.png.jpg", "x/b.png", "extension"),
        ("1a2b3c4d-two.xml", "q/two.jpg", "extension"),
    ],
)
def test_a_name_finds_the_image_that_it_means(name: str, image: str, how: str) -> None:
    pairing = pair(IMAGES, [name])
    assert dict(pairing.image_of) == {name: image}
    assert how in pairing.inexact.get(name, "") and bool(how) == (name in pairing.inexact)
    assert bool(pairing.notes()) == bool(how)


@pytest.mark.parametrize(
    "name", ["onee.jpg", "", "/", "..", "%", "http://[", "?d=", "three.jpg", ".jpg", "1a2b3c4d-.jpg"]
)
def test_a_name_that_means_none_finds_none(name: str) -> None:
    pairing = pair(IMAGES, [name])
    assert not pairing.image_of and not pairing.ambiguous


def test_a_name_that_could_mean_several_finds_none() -> None:
    pairing = pair(IMAGES, ["0001.jpg"])
    assert not pairing.image_of
    assert set(pairing.ambiguous["0001.jpg"]) == {"site1/0001.jpg", "site2/0001.jpg"}


def test_two_names_never_share_an_image() -> None:
    pairing = pair(["a.jpg"], ["train/a.jpg", "val/a.jpg"])
    assert not pairing.image_of and pairing.ambiguous.keys() == {"train/a.jpg", "val/a.jpg"}


def test_what_one_name_has_exactly_is_left_to_no_other() -> None:
    pairing = pair(["train/a.jpg"], ["train/a.jpg", "val/a.jpg"])
    assert dict(pairing.image_of) == {"train/a.jpg": "train/a.jpg"}
    assert not pairing.ambiguous


def test_the_image_whose_whole_path_ends_the_name_comes_first() -> None:
    assert pair(["a.jpg", "x/a.jpg"], ["y/a.jpg"]).image_of == {"y/a.jpg": "a.jpg"}
    assert pair(["p/x/a.jpg", "p/y/a.jpg"], ["/d/x/a.jpg"]).image_of == {"/d/x/a.jpg": "p/x/a.jpg"}


def test_images_may_carry_what_names_do_not() -> None:
    images = ["up/1a2b3c4d-dog.jpg", "cat_jpg.rf.00112233.jpg", "a%20b.png", "site3_0009.jpg"]
    wanted = {"dog.jpg": images[0], "cat.jpg": images[1], "a b.png": images[2], "site3/0009.jpg": images[3]}
    assert pair(images, wanted).image_of == wanted


def test_the_nearest_names_are_offered() -> None:
    assert nearest_names("x/onee.jpg", IMAGES)[0] == "q/one.jpg"
    assert nearest_names("zzzzzzzz", IMAGES) == []
    assert nearest_names("one.jpg", [f"{number}.jpg" for number in range(30_000)]) == []


def test_a_name_of_several_images_that_others_name_exactly_is_ambiguous() -> None:
    pairing = pair(["a/x.png", "b/x.png"], ["a/x.png", "b/x.png", "x.png"])
    assert pairing.ambiguous == {"x.png": ("a/x.png", "b/x.png")}
