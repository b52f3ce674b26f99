"""A small list of synonyms of objects in photos."""

from __future__ import annotations

from collections.abc import Iterator

from autolabel.phrases.forms import is_plural, plural, singular

GROUPS: tuple[tuple[str, ...], ...] = (
    ("person", "human", "pedestrian", "man", "woman"),
    ("child", "kid"),
    ("face", "human face"),
    ("worker", "workman", "construction worker"),
    ("helmet", "hard hat", "safety helmet"),
    ("vest", "safety vest", "high-visibility vest"),
    ("mask", "face mask"),
    ("car", "automobile", "vehicle", "sedan"),
    ("truck", "lorry", "pickup truck"),
    ("bus", "coach"),
    ("bicycle", "bike", "cycle"),
    ("motorcycle", "motorbike", "scooter"),
    ("airplane", "aeroplane", "plane", "aircraft"),
    ("train", "locomotive", "railway carriage"),
    ("boat", "ship", "vessel"),
    ("traffic light", "traffic signal", "stoplight"),
    ("traffic sign", "road sign", "street sign"),
    ("license plate", "number plate", "licence plate"),
    ("dog", "puppy"),
    ("cat", "kitten"),
    ("cow", "cattle", "bull"),
    ("horse", "pony"),
    ("sheep", "lamb"),
    ("chicken", "hen", "rooster"),
    ("bird", "fowl"),
    ("insect", "bug"),
    ("rabbit", "bunny", "hare"),
    ("pig", "hog"),
    ("mouse", "rodent"),
    ("ray", "stingray"),
    ("starfish", "sea star"),
    ("couch", "sofa", "settee"),
    ("tv", "television", "monitor", "screen"),
    ("cell phone", "mobile phone", "smartphone", "phone"),
    ("laptop", "notebook computer", "computer"),
    ("computer mouse", "mouse"),
    ("refrigerator", "fridge"),
    ("cup", "mug"),
    ("wine glass", "goblet", "glass"),
    ("bottle", "flask"),
    ("bag", "handbag", "purse"),
    ("backpack", "rucksack"),
    ("suitcase", "luggage", "trolley case"),
    ("trash can", "garbage can", "dustbin", "bin"),
    ("garbage", "trash", "litter", "waste"),
    ("box", "carton", "cardboard box"),
    ("plant", "potted plant", "houseplant"),
    ("tree", "trunk"),
    ("flower", "blossom", "bloom"),
    ("bud", "flower bud"),
    ("fruit", "berry"),
    ("nut", "hazelnut"),
    ("eggplant", "aubergine"),
    ("pepper", "bell pepper", "capsicum"),
    ("corn", "maize"),
    ("weed", "unwanted plant"),
    ("seedling", "sprout"),
    ("house", "building"),
    ("roof", "rooftop"),
    ("solar panel", "photovoltaic panel"),
    ("swimming pool", "pool"),
    ("pothole", "hole in the road", "road damage"),
    ("crack", "fissure"),
    ("scratch", "scrape"),
    ("dent", "bump"),
    ("rust", "corrosion"),
    ("screw", "bolt"),
    ("circuit board", "board", "pcb", "microcontroller board"),
    ("chip", "integrated circuit", "microchip"),
    ("red blood cell", "erythrocyte", "red cell"),
    ("white blood cell", "leukocyte", "white cell"),
    ("platelet", "thrombocyte"),
    ("nucleus", "cell nucleus"),
    ("cell", "biological cell"),
    ("bacterium", "microbe"),
    ("tumor", "tumour", "lesion"),
    ("ace", "ace playing card"),
    ("king", "king playing card"),
    ("queen", "queen playing card"),
    ("jack", "jack playing card"),
    ("ball", "sports ball"),
    ("soccer ball", "football"),
    ("gun", "pistol", "handgun", "firearm"),
    ("fire", "flame"),
    ("smoke", "plume of smoke"),
    ("text", "lettering", "writing"),
    ("logo", "brand logo", "emblem"),
)
"""Each group is about one kind of thing; order does not matter."""


def synonyms(phrase: str) -> Iterator[str]:
    """Yield synonyms of a phrase, in its number; if the whole phrase has none, its last word is replaced.

    ``red car`` gives ``red automobile``.
    """
    several, one = is_plural(phrase), singular(phrase).lower()
    first, _, last = one.rpartition(" ")
    groups = [("", group) for group in GROUPS if one in group]
    groups = groups or [(f"{first} ", group) for group in GROUPS if first and last in group]
    for before, group in groups:
        for other in group:
            if before + other != one:
                yield plural(before + other) if several else before + other
