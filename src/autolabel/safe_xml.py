"""Parse untrusted XML."""

from __future__ import annotations

from xml.etree import ElementTree

Element = ElementTree.Element


class _WithoutDoctype(ElementTree.TreeBuilder):
    """Refuses a document type, which could define entities that expand without limit."""

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        """Refuse."""
        raise ValueError("a document type is not allowed")


def parse(text: bytes | str) -> Element:
    """Return the root of a document; raises ParseError, ValueError or LookupError if it cannot be read."""
    return ElementTree.fromstring(text, ElementTree.XMLParser(target=_WithoutDoctype()))
