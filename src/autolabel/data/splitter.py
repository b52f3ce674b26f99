"""Split an English caption into phrases by word lists, without a model or grammar."""

from __future__ import annotations

import re
from collections.abc import Iterator

_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*|[^\w\s]|_")


def _words(text: str) -> frozenset[str]:
    """Return the words of a text."""
    return frozenset(text.split())


_BE = _words("am are be been being is was were 's 're")
_BREAKS = _BE | _words(
    "a an the this that these those some any each every another other its his her their our my your no "
    "and or but nor so while as than then when where which who whom whose what if because "
    "about above across after against along alongside amid among around at atop away before behind below beneath "
    "beside besides between beyond by down during for from in inside into like near of off on onto out outside over "
    "past through to toward towards under underneath up upon via with within without "
    "i you he she it we they them him us me himself herself itself themselves there here "
    "has have had having do does did can could will would may might must shall should not "
    "stand stands stood sit sits sat lie lies lay walk walks walked run runs ran ride rides rode hold holds held "
    "wear wears wore carry carries carried look looks looked play plays played eat eats ate drive drives drove "
    "hang hangs hung show shows showed shown see sees seen contain contains contained get gets got make makes made "
    "jump jumps jumped fly flies flew swim swims swam lean leans leaned rest rests rested graze grazes grazed "
    "parked seated surrounded covered filled topped placed located attached dressed taken captured "
    "very just also together next close several many few various both all one's"
)
"""Articles, pronouns, conjunctions, prepositions, and the verbs and adverbs that captions are full of."""
_VAGUE = _words(
    "image images photo photos photograph picture pictures view scene shot close-up top bottom front back side left "
    "right middle center centre background foreground distance edge end corner group groups bunch lot lots couple pair "
    "piece pieces set row type kind part variety something someone day night "
    "red green blue yellow orange purple pink brown black white grey gray silver gold dark light "
    "large small big little old young new long tall short"
)
"""Words that name nothing to look for, where they stand alone."""
_NOUNS_IN_ING = _words(
    "building buildings ceiling railing painting paintings awning clothing ring king string wing earring thing things "
    "parking dining living sling spring swing icing pudding lighting siding crossing dumpling duckling"
)


def split_caption(caption: str) -> tuple[str, ...]:
    """Return the distinct phrases of a caption, in order, in the caption's own words.

    A phrase is a sequence of words between punctuation, articles, pronouns, prepositions, conjunctions and common
    verbs. A word in -ing also ends a phrase, unless it begins one ("running shoes") or is a known noun ("building").
    Phrases that consist of vague words ("photo", "front", "red") are left out. Verbs that are not in the lists stay in
    phrases. A caption without words has no phrases.
    """
    found = [" ".join(run) for run in _runs(caption) if not all(_vague(word) for word in run)]
    return tuple({phrase.casefold(): phrase for phrase in reversed(found)}.values())[::-1]


def _runs(caption: str) -> Iterator[list[str]]:
    """Yield the sequences of words between breaks."""
    run: list[str] = []
    before = ""
    for word in (*_WORD.findall(caption), "."):
        low = word.casefold()
        if low in _BREAKS or not word[0].isalnum() or (_in_ing(low) and (run or before in _BE)):
            if run:
                yield run
            run = []
        else:
            run.append(word)
        before = low


def _in_ing(word: str) -> bool:
    """Return whether a word counts as a verb form."""
    return word.endswith("ing") and len(word) > 4 and word not in _NOUNS_IN_ING


def _vague(word: str) -> bool:
    """Return whether a word alone is too vague for a phrase."""
    low = word.casefold()
    return low in _VAGUE or _in_ing(low) or not any(letter.isalpha() for letter in low)
