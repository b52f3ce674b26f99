"""A run's certificate as a section of the report."""

from __future__ import annotations

from autolabel.certify.sentence import percent
from autolabel.certify.statement import Certificate, Stated
from autolabel.report.markup import Html, element
from autolabel.report.provenance import html_table

_MOST_CLASSES = 40
_MOST_CROWDED = 20


def certified(made: Certificate | None) -> Html:
    """Return the section on the certificate; empty if there is none."""
    if made is None:
        return Html("")
    return element(
        "section",
        element("h2", "Certificate", id="certificate-title"),
        element("p", made.sentence),
        element("ul", *(element("li", note) for note in _notes(made)), class_="notices"),
        element("div", _bounds(made), _classes(made), class_="card"),
        id="certificate",
        aria_labelledby="certificate-title",
    )


def _notes(made: Certificate) -> list[str]:
    after, images = made.after_review, made.images
    notes = [f"Each bound holds by itself with {made.confidence * 100:g} % confidence, however often one looks."]
    notes.append(f"Of one image at most K = {made.K} missed objects count: no sample can promise recall without a cap.")
    if after.removed or after.added:
        notes.append(
            f"Once the {after.removed:,} wrong boxes found are removed and the {after.added:,} missed objects found"
            f" have a box, precision is at least {_share(after.precision_at_least)}, recall at least"
            f" {_share(after.recall_at_least)}."
        )
    if images.beyond_K:
        shown = ", ".join(f"{one.image} ({one.missed})" for one in images.beyond_K[:_MOST_CROWDED])
        notes.append(f"Images that lack more than {made.K} objects: {len(images.beyond_K):,}: {shown}")
    if images.unreadable:
        notes.append(f"{images.unreadable:,} images cannot be read and are left out.")
    if images.stood_for:
        notes.append(f"Of each group of near-duplicates one image was drawn; {images.stood_for:,} others are left out.")
    if made.disagreements:
        notes.append(f"People disagree about {len(made.disagreements):,} units; the stricter answer counts.")
    if made.changes:
        notes.append(f"Since the draw: {made.changes}.")
    return notes


def _bounds(made: Certificate) -> Html:
    head = ("Share", "at least", "at most", "estimate", "wanted", "certified")
    shares = (
        ("precision", made.precision),
        ("recall", made.recall),
        ("images that lack nothing", made.complete),
    )
    rows = [(name, *_cells(stated), *_wanted(stated)) for name, stated in shares]
    checked = (
        "checked",
        f"{made.boxes.checked:,} of {made.boxes.units:,} boxes",
        f"{made.images.checked:,} of {made.images.units:,} images",
        "",
        "",
        "",
    )
    return html_table(head, [*rows, checked])


def _classes(made: Certificate) -> Html:
    if not made.classes:
        return Html("")
    head = ("Class, by itself", "boxes", "checked", "precision", "recall", "K")
    rows = [
        (
            one.name,
            f"{one.boxes:,}",
            f"{one.checked:,}",
            _interval(one.precision),
            _interval(one.recall),
            str(one.K or ""),
        )
        for one in made.classes[:_MOST_CLASSES]
    ]
    return html_table(head, rows)


def _cells(stated: Stated) -> tuple[str, str, str]:
    return _share(stated.at_least), _share(stated.at_most), _share(stated.estimate)


def _wanted(stated: Stated) -> tuple[str, str]:
    if stated.wanted is None:
        return "", ""
    return percent(stated.wanted), "yes" if stated.certified else "no"


def _interval(stated: Stated) -> str:
    if stated.at_least is None:
        return "not stated"
    return f"{_share(stated.at_least)} to {_share(stated.at_most)}"


def _share(value: float | None) -> str:
    return "not stated" if value is None else percent(value)
