"""Values in Hydra's override grammar (hydra.cc/docs/advanced/override_grammar/basic), for TAO users."""

from __future__ import annotations

import re
from collections.abc import Callable

from autolabel.errors import Problem, SpecError
from autolabel.spec.node import Node, Place, Scalar, short

_MAX_DEPTH = 50
_INTEGER = re.compile(r"[+-]?(0|[1-9][0-9]*(_[0-9]+)*)")
_FLOAT = re.compile(
    r"[+-]?(([0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*)([eE][+-]?[0-9]+)?|[0-9][0-9_]*[eE][+-]?[0-9]+|inf|nan)",
    re.IGNORECASE,
)
_FUNCTION = re.compile(r"([A-Za-z_]\w*)\(")
_CASTS: dict[str, Callable[[str], Scalar]] = {
    "int": int,
    "float": float,
    "str": str,
    "bool": lambda text: {"true": True, "false": False}[text.lower()],
}
_CLOSING = {"[": "]", "{": "}"}


def parse_hydra(text: str, place: Place) -> Node:
    """Return the value of an override: a quoted or bare text, a number, true, false, null, ``[...]`` or ``{...}``.

    No value means an empty text. Interpolations are not resolved. Raises SpecError for text that Hydra would refuse,
    and for sweeps (``a,b``, ``choice(a,b)``, ``range(1,9)``), which start several runs.
    """
    reader = _HydraParser(text, place)
    node = reader.element("", 0)
    if reader.rest:
        sweep = reader.rest.startswith(",")
        raise reader.error(
            "is a sweep, which defines several runs" if sweep else f"is followed by {short(reader.rest, 20)}",
            hint="put a text with a comma in quotes, or several values in brackets: [a,b]" if sweep else "",
        )
    return node


class _HydraParser:
    """Reads one text from left to right."""

    def __init__(self, text: str, place: Place) -> None:
        self.text = text
        self.at = 0
        self.place = place

    @property
    def rest(self) -> str:
        return self.text[self.at :]

    def error(self, message: str, *, hint: str = "") -> SpecError:
        found = f"the value {short(self.text, 40)} {message}"
        return SpecError(Problem(file=self.place.file, line=self.place.line, message=found, hint=hint))

    def spaces(self) -> None:
        while self.at < len(self.text) and self.text[self.at].isspace():
            self.at += 1

    def element(self, ends: str, deep: int) -> Node:
        """Read a value that ends at a comma or one of ``ends``."""
        self.spaces()
        if deep > _MAX_DEPTH:
            raise self.error(f"is nested deeper than {_MAX_DEPTH} levels")
        first = self.text[self.at : self.at + 1]
        if first in _CLOSING and first:
            return self.container(first, deep)
        if first in ("'", '"') and first:
            node = Node(self.quoted(first), self.place)
            self.spaces()
            return node
        if match := _FUNCTION.match(self.text, self.at):
            return self.call(match)
        return Node(_scalar(self.bare("," + ends).strip()), self.place)

    def container(self, opening: str, deep: int) -> Node:
        self.at += 1
        closing = _CLOSING[opening]
        items: list[Node] = []
        entries: dict[str, Node] = {}
        self.spaces()
        while not self.rest.startswith(closing):
            if opening == "{":
                key = self.key()
                entries[key] = self.element(closing, deep + 1)
            else:
                items.append(self.element(closing, deep + 1))
            self.spaces()
            if self.rest.startswith(","):
                self.at += 1
                self.spaces()
            elif not self.rest.startswith(closing):
                raise self.error(f"lacks a {closing!r}", hint="put the whole argument in quotes for the shell")
        self.at += 1
        self.spaces()
        return Node(entries if opening == "{" else items, self.place)

    def key(self) -> str:
        self.spaces()
        first = self.text[self.at : self.at + 1]
        key = self.quoted(first) if first in ("'", '"') and first else self.bare(":,}").strip()
        self.spaces()
        if not self.rest.startswith(":") or not key:
            raise self.error("has an entry without 'key:' in its braces")
        self.at += 1
        return key

    def quoted(self, mark: str) -> str:
        """Read a quoted text: before a quote, two backslashes are one, and an odd one escapes the quote."""
        out = ""
        index = self.at + 1
        while index < len(self.text):
            slashes = len(self.text[index:]) - len(self.text[index:].lstrip("\\"))
            index += slashes
            at_quote = self.text.startswith(mark, index)
            out += "\\" * (slashes // 2 if at_quote else slashes)
            if at_quote and slashes % 2 == 0:
                self.at = index + 1
                return out
            out += self.text[index : index + 1]
            index += 1
        raise self.error(f"has no closing {mark}")

    def bare(self, ends: str) -> str:
        """Read an unquoted text: a backslash escapes the next character; ``${...}`` is kept whole."""
        out = ""
        while self.at < len(self.text):
            one = self.text[self.at]
            if self.text.startswith("${", self.at):
                out += self.interpolation()
            elif one == "\\" and self.at + 1 < len(self.text) and self.text[self.at + 1] in "\\()[]{}:=, \t'\"":
                out += self.text[self.at + 1]
                self.at += 2
            elif one in ends:
                break
            elif one in "[]{}":
                raise self.error(f"has a {one!r} outside quotes", hint="put the text in quotes")
            else:
                out += one
                self.at += 1
        return out

    def interpolation(self) -> str:
        begin, deep = self.at, 0
        while self.at < len(self.text):
            deep += self.text[self.at] == "{"
            deep -= self.text[self.at] == "}"
            self.at += 1
            if deep == 0 and self.text[self.at - 1] == "}":
                return self.text[begin : self.at]
        raise self.error("has a '${' without a '}'")

    def call(self, match: re.Match[str]) -> Node:
        """Read a cast such as ``int(3)``; Hydra's other functions are sweeps, which are refused."""
        name = match[1]
        if name not in _CASTS:
            raise self.error(f"calls {name}(), which defines several runs", hint="write one value")
        self.at = match.end()
        self.spaces()
        mark = self.text[self.at : self.at + 1]
        text = self.quoted(mark) if mark in ("'", '"') and mark else self.bare("),").strip()
        self.spaces()
        if not self.rest.startswith(")"):
            raise self.error(f"lacks the ')' of {name}(")
        self.at += 1
        self.spaces()
        try:
            return Node(_CASTS[name](text), self.place)
        except (ValueError, KeyError):
            raise self.error(f"cannot be read: {name}() of {short(text, 20)}") from None


def _scalar(text: str) -> Scalar:
    lowered = text.lower()
    if lowered == "null":
        return None
    if lowered in ("true", "false"):
        return lowered == "true"
    if _INTEGER.fullmatch(text) and len(text) <= 18:
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else text
