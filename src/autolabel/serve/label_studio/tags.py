"""Parse the tags of a labeling config: images, shapes, labels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal
from xml.etree.ElementTree import ParseError

from autolabel import safe_xml
from autolabel.safe_xml import Element
from autolabel.serve.refusal import Refusal

_Shape = Literal["rectangle", "brush", "polygon"]
_SHAPES: tuple[_Shape, ...] = ("rectangle", "brush", "polygon")
_LONGEST = 1_000_000
"""Characters of a config."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """A tag with labels that draws one kind of shape."""

    shape: _Shape
    name: str
    """The name of the tag with the labels."""
    drawn_by: str
    """The name of the tag that draws: the same one, or another beside ``Labels``."""
    labels: Mapping[str, str]
    """The label of a region for each ``plain`` class name: the label's value, alias and predicted values."""

    def label_of(self, phrase: str) -> str | None:
        """Return the label of a class, None if the tag has none."""
        return self.labels.get(plain(phrase))


@dataclass(frozen=True, slots=True, kw_only=True)
class TaggedPicture:
    """An image tag with the tags that draw on it."""

    name: str
    key: str
    """The key of the image in the task's data."""
    controls: Sequence[Control]

    def asked(self, classes: Sequence[str]) -> Sequence[str] | None:
        """Return the classes of the prompt: None (the spec's) if any label matches a class of the spec.

        Otherwise the labels themselves.
        """
        known = set(map(plain, classes))
        if any(name in known for control in self.controls for name in control.labels):
            return None
        return list(dict.fromkeys(label for control in self.controls for label in control.labels.values()))


def read_config(text: object) -> list[TaggedPicture]:
    """Return the images of a config that have drawing tags; raises Refusal if there are none."""
    if not isinstance(text, str) or len(text) > _LONGEST:
        raise Refusal(422, "label_config: wanted the project's labeling config")
    try:
        root = safe_xml.parse(text)
    except (ParseError, ValueError, LookupError) as error:
        raise Refusal(422, f"label_config: not XML: {error}") from None
    pictures = [
        TaggedPicture(
            name=one.get("name", ""), key=one.get("value", "")[1:], controls=list(_controls(root, one.get("name")))
        )
        for one in root.iter("Image")
        if one.get("value", "").startswith("$")
    ]
    drawn_on = [one for one in pictures if one.controls]
    if not drawn_on:
        hint = 'add <RectangleLabels>, <BrushLabels> or <PolygonLabels> to an <Image value="$image">'
        raise Refusal(422, "label_config: no tag draws labelled regions on an image", hint=hint)
    return drawn_on


def _controls(root: Element, image: str | None) -> Iterator[Control]:
    """Yield the tags that draw on an image."""
    for tag in root.iter():
        if tag.get("toName") != image or not isinstance(tag.tag, str):
            continue
        labels, name = _labels_in(tag), tag.get("name", "")
        for shape in _SHAPES:
            if tag.tag == f"{shape.capitalize()}Labels" and labels:
                yield Control(shape=shape, name=name, drawn_by=name, labels=labels)
        if tag.tag == "Labels" and labels:
            for other in root.iter():
                if other.get("toName") == image and other.tag in ("Rectangle", "Brush", "Polygon"):
                    yield Control(shape=_shape_of(other), name=name, drawn_by=other.get("name", ""), labels=labels)


def _shape_of(tag: Element) -> _Shape:
    """Return the shape that a tag without labels draws."""
    return next(shape for shape in _SHAPES if shape.capitalize() == tag.tag)


def _labels_in(tag: Element) -> dict[str, str]:
    """Map normalised class names to labels; the first of several labels for one name counts."""
    found: dict[str, str] = {}
    for one in tag.iter("Label"):
        value, alias = one.get("value", ""), one.get("alias", "")
        said = alias or value
        names = [value, alias, *one.get("predicted_values", "").split(",")]
        for name in names:
            if said and plain(name):
                found.setdefault(plain(name), said)
    return found


def plain(name: str) -> str:
    """Return a name normalised in case and spaces."""
    return " ".join(name.split()).casefold()
