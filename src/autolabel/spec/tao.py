"""Rewrite a TAO ``auto_label`` document as a native one that keeps the user's positions and key names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Any

from pydantic import ValidationError

from autolabel.errors import Problem, SpecError
from autolabel.spec import tao_grounding
from autolabel.spec.node import Loc, Node, Place, dotted, from_plain, problem, trace_node, walk_nodes
from autolabel.spec.overrides import COMMAND_LINE
from autolabel.spec.problems import by_place, problems
from autolabel.spec.tao_table import NATIVE, ROWS, TYPES, UNSUPPORTED, TaoKey, tao_model

_MISSING = "???"
_NOT_GIVEN = (_MISSING, None, "")
_OWN_TEXT_ENCODER = "bert-base-uncased"

_HOMES: dict[str, dict[Loc, Loc]] = {
    "grounding_dino": {
        ("data",): ("grounding_dino", "dataset"),
        ("stage",): ("grounding_dino",),
        ("stage", "labeler", "model"): ("grounding_dino", "model"),
        ("stage", "scheduler"): ("grounding_dino", "iteration_scheduler"),
    },
    "mal": {("data",): ("mal", "inference"), ("stage",): ("mal",)},
    "image_referring_expression": {
        ("data",): ("image_referring_expression", "data"),
        ("stage",): ("image_referring_expression",),
        ("stage", "labeler"): ("image_referring_expression", "vlm"),
        ("checks",): ("image_referring_expression", "workflow"),
        ("checks", "labeler"): ("image_referring_expression", "vlm"),
    },
    "image_grounding": {
        ("data",): ("image_grounding", "data"),
        ("stage",): ("image_grounding",),
        ("stage", "labeler"): ("image_grounding", "vlm"),
    },
}
"""The TAO section that corresponds to each mapping of the native document."""


_OLD_LAYOUT = ("checkpoint", "dataset", "evaluate", "inference", "iteration_scheduler", "model", "strategy", "train")
"""Keys that were at the top level before TAO 5.5, and belong to their labeler's section since."""


def is_tao(root: Node) -> bool:
    """Return whether a document is TAO's: it has ``autolabel_type``, or a section of TAO's and no ``stages``.

    A MAL document from before TAO 5.5 has neither; its ``inference`` section names annotations.
    """
    keys = root.value if isinstance(root.value, dict) else {}
    if "autolabel_type" in keys:
        return True
    if {"version", "stages"} & set(keys):
        return False
    return bool(set(TYPES) & set(keys)) or any(
        root.find(("inference", key)) is not None for key in ("ann_path", "img_dir", "label_dump_path")
    )


def _modern(root: Node) -> tuple[Node, tuple[str, ...]]:
    """Move the keys of an older layout into their section; return the document, and a notice if any were moved."""
    kind = root.find(("autolabel_type",))
    section = str(kind.value) if kind is not None and kind.value in TYPES else "mal"
    entries = root.value if isinstance(root.value, dict) else {}
    moved = {key: _named(child, (key,)) for key, child in entries.items() if key in _OLD_LAYOUT}
    if not moved or section in entries:
        return root, ()
    kept = {key: child for key, child in entries.items() if key not in moved}
    below = Node(dict(moved), next(iter(moved.values())).place, ())
    said = f"read as the layout before TAO 5.5: since then, {', '.join(moved)} belong to {section}"
    return root._replace(value={**kept, section: below}), (said,)


def _named(node: Node, words: Loc) -> Node:
    """Return a node in which every value carries the user's own path."""
    value = node.value
    if isinstance(value, dict):
        value = {key: _named(child, (*words, key)) for key, child in value.items()}
    elif isinstance(value, list):
        value = [_named(child, (*words, index)) for index, child in enumerate(value)]
    return node._replace(value=value, words=words)


def rewrite(root: Node) -> tuple[Node, tuple[str, ...]]:
    """Return the native document, and notices about keys that have no effect here.

    TAO's defaults are filled in; native execution keys take precedence over TAO's. Raises SpecError with every unknown
    key, wrong type, value out of range, and missing value (``???`` counts as missing).
    """
    root, layout = _modern(root)
    asked = root.find(("autolabel_type",))
    if asked is not None and asked.value in UNSUPPORTED:
        supported = ", ".join(TYPES)
        message = f"{asked.value} is not supported here"
        raise SpecError(problem(root, ("autolabel_type",), message, hint=f"{supported} are"))
    given = _given(root)
    kind = str(asked.value) if asked is not None and asked.value not in _NOT_GIVEN else "mal"
    wrong = _shape(given) + (_missing(root, given, kind) if kind in TYPES else [])
    if given.child("autolabel_type") is None and given.child("mal") is None:
        wrong = [_absent(root, ("autolabel_type",), hint="autolabel_type: grounding_dino")]
    if wrong:
        raise SpecError(by_place(wrong))
    return _Rewrite(given, kind).document(), (*layout, *_notices(given, kind), *tao_grounding.notices(given, kind))


def _given(node: Node) -> Node:
    """Drop values that count as not given: ``???``, null, and empty text."""
    if not isinstance(node.value, dict):
        return node
    kept = {key: _given(child) for key, child in node.value.items() if child.value not in _NOT_GIVEN}
    return node._replace(value=kept)


def _shape(given: Node) -> list[Problem]:
    try:
        tao_model().model_validate(given.plain())
    except ValidationError as error:
        return problems(error, given, tao_model())
    return []


def _missing(root: Node, given: Node, kind: str) -> list[Problem]:
    """Return problems with required keys, and with the pair of which exactly one must be given."""
    required = [row for row in ROWS if row.required and row.section in ("", kind)]
    locs = [_loc(row.path) for row in required if given.find(_loc(row.path)) is None]
    if given.find((kind, "results_dir")) is not None:
        locs = [loc for loc in locs if loc != ("results_dir",)]
    found = [_absent(root, loc) for loc in locs]
    if kind == "grounding_dino":
        found += _asked_twice(root, given)
    if kind in tao_grounding.KINDS:
        found += [_absent(root, loc, *words) for loc, *words in tao_grounding.faults(given, kind)]
    return found


def _absent(root: Node, loc: Loc, message: str = "missing", *, hint: str = "") -> Problem:
    """Return a problem with an absent or empty key, at the nearest section that exists."""
    written = root.find(loc)
    if written is not None and written.value == _MISSING:
        return problem(root, loc, "missing: ??? marks a value that must be given")
    place, _ = trace_node(root, loc)
    return Problem(file=place.file, line=place.line, column=place.column, path=dotted(loc), message=message, hint=hint)


def _asked_twice(root: Node, given: Node) -> list[Problem]:
    dataset: Loc = ("grounding_dino", "dataset")
    names, chunks = (given.find((*dataset, key)) for key in ("class_names", "noun_chunk_path"))
    if _filled(names) and _filled(chunks):
        return [problem(root, (*dataset, "noun_chunk_path"), "class_names is given too, wanted only one of the two")]
    if not _filled(names) and not _filled(chunks):
        message = "found neither class_names nor noun_chunk_path, wanted one of the two"
        return [_absent(root, dataset, message)]
    return []


def _filled(node: Node | None) -> bool:
    return node is not None and node.value not in ([], {})


def _loc(path: str) -> Loc:
    return tuple(path.split("."))


class _Rewrite:
    """Builds the native document of one TAO document."""

    def __init__(self, given: Node, kind: str) -> None:
        self.given = given
        self.kind = kind
        self.tree: dict[str, Any] = {}

    def document(self) -> Node:
        self.put("version", self.made(1))
        labeler = tao_grounding.KINDS.get(self.kind, self.kind)
        self.put("stage.labeler.type", self.made(labeler, "autolabel_type"))
        for row in ROWS:
            if row.to and row.section in ("", self.kind) and row.path not in NATIVE:
                self.move(row)
        if self.kind == "grounding_dino":
            self.put("stage.scheduler.type", self.made("fixed", "grounding_dino.iteration_scheduler"))
            self.put("stage.aggregator.type", self.made("nms", "grounding_dino.iteration_scheduler"))
            self.pair("pe_temperatureH", "pe_temperatureW")
            self.put("export", self.made([{"type": "coco"}, {"type": "odvg"}, {"type": "tao"}], "grounding_dino"))
        elif self.kind == "mal":
            self.which()
        if self.kind in tao_grounding.KINDS:
            for path, value, home in tao_grounding.native(self.given, self.kind):
                self.put(path, self.made(value, home))
        else:
            self.devices()
        self.results()
        self.native()
        return self.finished()

    def move(self, row: TaoKey) -> None:
        """Move a key to its native place, and translate its value if the native form differs."""
        node = self.given.find(_loc(row.path))
        if node is None:
            if row.default is None:
                return
            node = self.made(row.default, row.path)
        words = node.words or _loc(row.path)
        translated = _TRANSLATIONS.get(row.path, _same)(Node(node.value, node.place, words))
        if translated is not None:
            self.put(row.to, translated)

    def pair(self, one: str, other: str) -> None:
        """If one of a pair is given, set the other to TAO's default of 20."""
        values = self.tree["stage"]["labeler"].get("model", {})
        for name, partner in ((one, other), (other, one)):
            if name in values and partner not in values:
                self.put(f"stage.labeler.model.{partner}", self.made(20, f"grounding_dino.model.{partner}"))

    def which(self) -> None:
        """Choose which of MAL's networks labels: the student, the teacher, or the mean of both if both are enabled."""
        for key, which in (("use_mixed_model_test", "mixed"), ("use_teacher_test", "teacher")):
            node = self.given.find(("mal", "evaluate", key))
            if node is not None and node.value is True:
                self.put("stage.labeler.which", Node(which, node.place, ("mal", "evaluate", key)))
                return

    def devices(self) -> None:
        """Use the larger of ``num_gpus`` and the length of ``gpu_ids``; GPUs 0..n-1 if the list is shorter."""
        ids, number = self.given.child("gpu_ids"), self.given.child("num_gpus")
        listed: Any = ids.plain() if ids else [0]
        count = number.value if number else 1
        if number is not None and isinstance(count, int) and count > len(listed):
            gpus = from_plain(list(range(count)), number.place)
            self.put("devices", Node(gpus.value, number.place, ("num_gpus",)))
        else:
            self.put("devices", Node(ids.value, ids.place, ("gpu_ids",)) if ids else self.made(listed, "gpu_ids"))

    def results(self) -> None:
        """Prefer a section's own ``results_dir`` to the top-level one, unless the command line gave that."""
        top = self.given.child("results_dir")
        if top is not None and top.place.file.startswith(COMMAND_LINE):
            self.put("results_dir", Node(top.value, top.place, ("results_dir",)))

    def native(self) -> None:
        for key in NATIVE:
            node = self.given.child(key)
            if node is None:
                continue
            if key == "run" and isinstance(node.value, dict):
                for name, child in node.value.items():
                    self.put(f"run.{name}", Node(child.value, child.place, ("run", name)))
            else:
                self.put(key, Node(node.value, node.place, (key,)))

    def made(self, value: object, path: str = "") -> Node:
        """Return a value that the user did not write, with the position nearest to where it belongs."""
        place, _ = trace_node(self.given, _loc(path) if path else ())
        node = from_plain(value, place)
        return Node(node.value, place, _loc(path) if path else ())

    def put(self, path: str, node: Node) -> None:
        *parents, name = path.split(".")
        branch = self.tree
        for part in parents:
            branch = branch.setdefault(part, {})
        branch[name] = node

    def finished(self) -> Node:
        named = [name for name in ("stage", "checks") if name in self.tree]
        stages = [self.branch((name,), self.tree.pop(name)) for name in named]
        self.tree["stages"] = Node(stages, stages[0].place, stages[0].words)
        return self.branch((), self.tree)

    def branch(self, loc: Loc, entry: Node | dict[str, Any]) -> Node:
        if isinstance(entry, Node):
            return entry
        place, words = self.home(loc)
        return Node({key: self.branch((*loc, key), child) for key, child in entry.items()}, place, words)

    def home(self, loc: Loc) -> tuple[Place, Loc]:
        """Return the place and the name of the TAO section that corresponds to a mapping or to its nearest parent."""
        homes = _HOMES[self.kind]
        while loc and loc not in homes:
            loc = loc[:-1]
        section = homes.get(loc, ())
        return trace_node(self.given, section)[0], section


def _same(node: Node) -> Node:
    return node


def _instead(node: Node, value: object) -> Node:
    """Return another value with the place and words of ``node``, at every depth."""
    if isinstance(value, dict):
        return Node({key: _instead(node, child) for key, child in value.items()}, node.place, node.words)
    if isinstance(value, list):
        return Node([_instead(node, child) for child in value], node.place, node.words)
    return Node(value, node.place, node.words)  # type: ignore[arg-type]


def _padding(node: Node) -> Node:
    return _instead(node, "fixed" if node.value else "none")


def _classes(node: Node) -> Node | None:
    return node if node.value else None


def _text_encoder(node: Node) -> Node | None:
    """Drop TAO's default text encoder: the labeler has it built in."""
    return None if node.value == _OWN_TEXT_ENCODER else node


def _rounds(node: Node) -> Node:
    """Set TAO's default for each round: no suppression."""
    entries = [
        Node({"nms_threshold": Node(0.0, entry.place), **entry.value}, entry.place)
        for entry in node.value or []  # type: ignore[union-attr]
        if isinstance(entry, Node) and isinstance(entry.value, dict)
    ]
    return Node(entries, node.place, node.words)


def _decoders(node: Node) -> Node:
    """Return one thread for PyTorch's ``num_workers: 0``, which decodes images without helpers."""
    return _instead(node, 1) if node.value == 0 else node


def _dump(node: Node) -> Node:
    """Return a name below results_dir for the exporter; of an absolute path, which TAO accepts, take the last part."""
    path = PurePosixPath(str(node.value))
    name = path.name if path.is_absolute() else str(node.value)
    return _instead(node, [{"type": "coco", "path": name}, {"type": "tao", "label_dump_path": name}])


_TRANSLATIONS: dict[str, Callable[[Node], Node | None]] = {
    "grounding_dino.dataset.augmentation.fixed_padding": _padding,
    "grounding_dino.dataset.class_names": _classes,
    "grounding_dino.model.text_encoder_type": _text_encoder,
    "grounding_dino.iteration_scheduler": _rounds,
    "mal.inference.label_dump_path": _dump,
    "num_workers": _decoders,
}
"""How the value of a key is translated, if it is not copied; None drops the key."""


def _notices(given: Node, kind: str) -> tuple[str, ...]:
    """Return one line for each reason why keys have no effect, with the names of the keys."""
    others = {name for name in TYPES if name != kind}
    reasons: dict[str, list[str]] = {}
    unused = {row.path: row.unused for row in ROWS if row.unused}
    for loc, _ in walk_nodes(given):
        path = ".".join(map(str, loc))
        if path in others:
            reasons.setdefault(f"autolabel_type is {kind}", []).append(path)
        elif path in unused and loc[0] not in others:
            reasons.setdefault(unused[path], []).append(path)
    return tuple(f"no effect ({reason}): {', '.join(paths)}" for reason, paths in reasons.items())
