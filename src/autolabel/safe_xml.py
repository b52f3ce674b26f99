"""Read XML that comes from elsewhere."""

from __future__ import annotations

from xml.etree import ElementTree

Element = ElementTree.Element


class _WithoutDoctype(ElementTree.TreeBuilder):
    """Refuses a document type, which nobody needs here and which can define text without end."""

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        """Refuse."""
        raise ValueError("a document type is not allowed")


def parse(text: bytes | str) -> Element:
    """Return the root of a document; raises ParseError, or ValueError or LookupError, if it is none that is read."""
    return ElementTree.fromstring(text, ElementTree.XMLParser(target=_WithoutDoctype()))
