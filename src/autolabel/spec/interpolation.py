"""Values that refer to others: ``${results_dir}``, ``${.sibling}``, ``${oc.env:HOME}`` (OmegaConf's grammar)."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence

from autolabel.errors import Problem, SpecError
from autolabel.paths import CommandLineText
from autolabel.spec import hydra
from autolabel.spec.node import Loc, Node, dotted, short
from autolabel.spec.problems import near

_MAX_DEPTH = 20
_PART = re.compile(r"[^.\[\]]+")


def resolve_references(root: Node) -> Node:
    """Return a document with every ``${...}`` in its texts resolved.

    ``${a.b}`` is the value at a path from the top, ``${.b}`` a sibling, ``${..b}`` a value one level up;
    ``${oc.env:NAME}`` and ``${oc.env:NAME,default}`` are environment variables, ``${oc.select:path,default}`` is a
    value that may be missing, ``${oc.decode:text}`` parses a text; ``\\${`` is a literal ``${``. A text that consists
    of one reference takes the type of the value that it refers to. Raises SpecError with every reference that has no
    value or refers to itself.
    """
    resolver = _Resolver(root)
    resolved = resolver.node(root, ())
    if resolver.problems:
        raise SpecError(resolver.problems)
    return resolved


class _LostError(Exception):
    """A reference that cannot be resolved."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class _Resolver:
    """Resolves the references of one document."""

    def __init__(self, root: Node) -> None:
        self.root = root
        self.problems: list[Problem] = []
        self.open: list[Loc] = []

    def node(self, node: Node, loc: Loc) -> Node:
        if isinstance(node.value, dict):
            return node._replace(value={key: self.node(child, (*loc, key)) for key, child in node.value.items()})
        if isinstance(node.value, list):
            return node._replace(value=[self.node(child, (*loc, index)) for index, child in enumerate(node.value)])
        if not isinstance(node.value, str) or "${" not in node.value:
            return node
        try:
            return node._replace(value=self.text(node.value, loc, 0).value)
        except _LostError as error:
            place = node.place
            self.problems.append(
                Problem(
                    file=place.file,
                    line=place.line,
                    column=place.column,
                    path=dotted(node.words or loc),
                    message=str(error),
                    hint=error.hint,
                )
            )
            return node

    def text(self, text: str, loc: Loc, deep: int) -> Node:
        """Return a text with its references resolved."""
        if deep > _MAX_DEPTH:
            raise _LostError(f"references are nested deeper than {_MAX_DEPTH}")
        pieces: list[str | Node] = []
        at = 0
        while at < len(text):
            begin = text.find("${", at)
            if begin < 0:
                pieces.append(text[at:])
                break
            slashes = len(text[at:begin]) - len(text[at:begin].rstrip("\\"))
            pieces.append(text[at : begin - slashes] + "\\" * (slashes // 2))
            end = _closing(text, begin)
            if slashes % 2:
                pieces.append(text[begin:end])
            else:
                pieces.append(self.reference(text[begin + 2 : end - 1], loc, deep))
            at = end
        whole = [piece for piece in pieces if piece != ""]
        if len(whole) == 1 and isinstance(whole[0], Node):
            return whole[0]
        return Node(_joined(whole, text), self.root.place)

    def reference(self, inner: str, loc: Loc, deep: int) -> Node:
        """Return the value of one reference; ``inner`` is the text between its braces."""
        name, colon, arguments = inner.partition(":")
        if colon and "${" not in name:
            return self.call(name.strip(), _arguments(arguments), loc, deep)
        path = self.text(inner, loc, deep + 1).value if "${" in inner else inner
        return self.at(str(path).strip(), loc, deep)

    def at(self, path: str, loc: Loc, deep: int) -> Node:
        """Return the value at a path, its own references resolved."""
        dots = len(path) - len(path.lstrip("."))
        base = loc[: max(0, len(loc) - dots)] if dots else ()
        parts = [int(part) if part.isdigit() else part for part in _PART.findall(path)]
        target = (*base, *parts)
        node, known = self.root, self.root
        for part in target:
            if (child := node.child(part)) is None and isinstance(part, int):
                child = node.child(str(part))
            if child is None:
                keys = list(known.value) if isinstance(known.value, dict) else []
                message = f"${{{path}}} has no value: {short(str(part))} does not exist"
                raise _LostError(message, near(str(part), keys))
            node = known = child
        if node.value == "???":
            raise _LostError(f"${{{path}}} refers to a value that must be given (???)")
        if target in self.open or target == loc or target == loc[: len(target)]:
            raise _LostError(f"${{{path}}} refers to itself")
        self.open.append(target)
        try:
            if isinstance(node.value, str) and "${" in node.value:
                return self.text(node.value, target, deep + 1)
            return self.node(node, target)
        finally:
            self.open.pop()

    def call(self, name: str, arguments: Sequence[str], loc: Loc, deep: int) -> Node:
        """Return the value of one of OmegaConf's resolvers."""
        texts = [str(self.text(one, loc, deep + 1).value) if "${" in one else one for one in arguments]
        if name not in _RESOLVERS:
            known = ", ".join(sorted(_RESOLVERS))
            raise _LostError(f"no resolver is named {short(name)}", f"known here: {known}")
        return _RESOLVERS[name](self, texts, loc, deep)

    def environment(self, texts: Sequence[str], loc: Loc, deep: int) -> Node:
        if not 1 <= len(texts) <= 2:
            raise _LostError("oc.env needs a name, and optionally a default")
        if (value := os.environ.get(texts[0])) is not None:
            return Node(value, self.root.place)
        if len(texts) == 1:
            raise _LostError(
                f"the environment variable {short(texts[0])} is not set",
                f"set it, or give a default: ${{oc.env:{texts[0]},DEFAULT}}",
            )
        default = hydra.parse_hydra(texts[1], self.root.place).value
        return Node(None if default is None else _shown(default), self.root.place)

    def select(self, texts: Sequence[str], loc: Loc, deep: int) -> Node:
        try:
            return self.at(texts[0] if texts else "", loc, deep)
        except _LostError:
            return hydra.parse_hydra(texts[1], self.root.place) if len(texts) > 1 else Node(None, self.root.place)

    def decode(self, texts: Sequence[str], loc: Loc, deep: int) -> Node:
        return hydra.parse_hydra(",".join(texts), self.root.place)


_RESOLVERS: dict[str, Callable[[_Resolver, Sequence[str], Loc, int], Node]] = {
    "oc.env": _Resolver.environment,
    "env": _Resolver.environment,
    "oc.select": _Resolver.select,
    "oc.decode": _Resolver.decode,
}


def _closing(text: str, begin: int) -> int:
    """Return where the reference that begins at ``begin`` ends."""
    deep = 0
    for index in range(begin, len(text)):
        deep += text[index] == "{"
        deep -= text[index] == "}"
        if deep == 0 and text[index] == "}":
            return index + 1
    raise _LostError("a '${' has no '}'", "write \\${ for a literal ${")


def _arguments(text: str) -> list[str]:
    """Split a resolver's arguments at the commas that stand outside braces and quotes."""
    found, deep, quote, begin = [], 0, "", 0
    for index, one in enumerate(text):
        if quote:
            quote = "" if one == quote else quote
        elif one in "'\"":
            quote = one
        else:
            deep += one in "{["
            deep -= one in "}]"
            if one == "," and deep == 0:
                found.append(text[begin:index])
                begin = index + 1
    return [one.strip() for one in (*found, text[begin:])] if text.strip() else []


def _joined(pieces: Sequence[str | Node], text: str) -> str:
    """Return pieces as one text; it counts as the command line's if its first piece comes from there."""
    for piece in pieces:
        if isinstance(piece, Node) and isinstance(piece.value, (dict, list)):
            raise _LostError("a list or a mapping cannot be a part of a text")
    joined = "".join(piece if isinstance(piece, str) else _shown(piece.value) for piece in pieces)
    first = pieces[0].value if pieces and isinstance(pieces[0], Node) else None
    marked = isinstance(text, CommandLineText) or isinstance(first, CommandLineText)
    return CommandLineText(joined) if marked else joined


def _shown(value: object) -> str:
    """Return a value as YAML writes it."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value)
