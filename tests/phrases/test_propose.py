"""Which phrases are compared: forms, synonyms, what was tried, and what may not stand for a class."""

from __future__ import annotations

import pytest

from autolabel.errors import ImageError
from autolabel.phrases.forms import article, forms, is_plural, plural, singular
from autolabel.phrases.propose import Proposal, propose, readable, without_conflicts
from autolabel.phrases.synonyms import GROUPS, synonyms
from autolabel.registry import Registry
from autolabel.strategies import Detector, Reading
from autolabel.types import Prompt
from autolabel.types.ontology import ClassPrompts


@pytest.mark.parametrize(
    ("one", "several"),
    [
        ("car", "cars"),
        ("red blood cell", "red blood cells"),
        ("bus", "buses"),
        ("box", "boxes"),
        ("bench", "benches"),
        ("berry", "berries"),
        ("toy", "toys"),
        ("person", "people"),
        ("fire hydrant", "fire hydrants"),
        ("wine glass", "wine glasses"),
        ("knife", "knives"),
        ("nucleus", "nuclei"),
        ("house", "houses"),
        ("horse", "horses"),
        ("vase", "vases"),
        ("cherry", "cherries"),
    ],
)
def test_number(one: str, several: str) -> None:
    assert plural(one) == several and singular(several) == one
    assert plural(several) == several and singular(one) == one
    assert is_plural(several) and not is_plural(one)


@pytest.mark.parametrize("word", ["fish", "sheep", "scissors", "grass", "octopus", "gas", "tennis"])
def test_words_that_are_no_plural_are_left(word: str) -> None:
    assert singular(word) == word


def test_forms_of_a_phrase() -> None:
    assert list(forms("red blood cell")) == [
        "red blood cells",
        "a photo of a red blood cell",
        "small red blood cell",
        "large red blood cell",
        "blood cell",
        "cell",
    ]
    assert list(forms("apples"))[:2] == ["apple", "a photo of apples"]
    assert article("orange") == "an" and article("pear") == "a"


def test_synonyms_keep_number_and_attributes() -> None:
    assert list(synonyms("car")) == ["automobile", "vehicle", "sedan"]
    assert list(synonyms("cars")) == ["automobiles", "vehicles", "sedans"]
    assert list(synonyms("Red car")) == ["red automobile", "red vehicle", "red sedan"]
    assert "human" in list(synonyms("people")) or "humans" in list(synonyms("people"))
    assert list(synonyms("gadget")) == []


def test_the_list_of_synonyms_is_small_and_sound() -> None:
    words = [word for group in GROUPS for word in group]
    assert len(words) < 400 and all(word == word.strip().lower() and word for word in words)
    assert all(len(set(group)) == len(group) > 1 for group in GROUPS)


def test_each_phrase_is_proposed_once_by_the_first_who_does() -> None:
    ontology = {"car": ClassPrompts(phrases=("car", "van"))}
    listed = propose("car", ontology, tried=["Automobile", "lorry"], suggested=["CAR", "jeep"], built_in=True)
    assert [(one.phrase, one.origin) for one in listed][:4] == [
        ("car", "today"),
        ("van", "today"),
        ("Automobile", "tried"),
        ("lorry", "tried"),
    ]
    assert Proposal(phrase="jeep", origin="model") in listed and listed[-1].phrase == "jeep"
    names = [one.phrase.lower() for one in listed]
    assert len(names) == len(set(names)) and "vans" in names and "vehicle" in names
    bare = propose("car", ontology, tried=["jeep"], suggested=[], built_in=False)
    assert [one.phrase for one in bare] == ["car", "van", "jeep"]


def test_a_phrase_stands_for_one_class() -> None:
    ontology = {"cat": ClassPrompts(phrases=("cat",), negatives=("statue",)), "dog": ClassPrompts(phrases=("dog",))}
    listed = {
        name: propose(name, ontology, tried=tried, suggested=[], built_in=False)
        for name, tried in {"cat": ["Dog", "statue", "pet", "kitty"], "dog": ["pet", "hound"]}.items()
    }
    kept, notes = without_conflicts(listed, ontology)
    assert [one.phrase for one in kept["cat"]] == ["cat", "kitty"]
    assert [one.phrase for one in kept["dog"]] == ["dog", "hound"]
    assert notes == [
        "'Dog' is not tried for 'cat': it stands for 'dog'",
        "'statue' is not tried for 'cat': it speaks against a class",
        "'pet' is not tried for 'cat': it is proposed for several classes",
        "'pet' is not tried for 'dog': it is proposed for several classes",
    ]


def test_what_a_detector_cannot_read_or_tell_apart_is_left_out(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    detector = registry.make("labeler", "colors", {})
    assert isinstance(detector, Detector)

    def read(phrase: str) -> Reading:
        return Reading(pieces=(phrase.replace("-", "").lower(),), readable=phrase != "???")

    def passes(prompt: Prompt) -> int:
        if len(prompt.phrases[0]) > 20:
            raise ImageError("phrase_too_long", "the phrase is too long")
        return 1

    monkeypatch.setattr(detector, "read", read)
    monkeypatch.setattr(detector, "passes", passes)
    tried = [Proposal(phrase=one, origin="tried") for one in ("redcell", "???", "x" * 30, "disc")]
    told = list(readable([Proposal(phrase="red-cell", origin="today"), *tried], detector, seen={}))
    assert [one.phrase for one in told if isinstance(one, Proposal)] == ["red-cell", "disc"]
    assert [one for one in told if isinstance(one, str)] == [
        "'redcell' is not tried: it reads the same as 'red-cell'",
        "'???' is not tried: the detector can read nothing of it",
        f"'{'x' * 30}' is not tried: the phrase is too long",
    ]
    silent = [Proposal(phrase="???", origin="form")]
    assert list(readable(silent, detector, seen={})) == [], "only what a person tried is told"
