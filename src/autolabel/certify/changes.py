"""The changes of a run since a certificate's draw."""

from __future__ import annotations

from dataclasses import dataclass

from autolabel.certify.session import CertificateSession
from autolabel.certify.units import Units


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """The differences, in words."""

    reason: str | None
    holds: bool
    """Whether only mistakes found by checks were corrected, so that "after review" describes the current labels."""


def between(session: CertificateSession, now: Units) -> Changes:
    """Compare the run's exported labels with those that the sample was drawn from.

    Removed boxes that were found wrong, and at most as many new boxes per image as were found missing, are corrections:
    the certificate still holds for the original labels, and its "after review" part for the corrected ones.
    """
    drawn, checks = session.units, session.checks
    if now.digest == drawn.digest:
        return Changes(reason=None, holds=True)
    gone = [place for key, place in drawn.place_of_box.items() if key not in now.place_of_box]
    mended = sum(checks.boxes.get(place) == "no" for place in gone)
    rows = {(row.image, row.caption_index): place for place, row in enumerate(drawn.rows)}
    keys_now = {(row.image, row.caption_index) for row in now.rows}
    lost = sum(row not in keys_now for row in rows)
    new: dict[int, int] = {}
    strange = 0
    for key, place in now.place_of_box.items():
        if key not in drawn.place_of_box:
            row = now.rows[now.box_rows[place]]
            image = rows.get((row.image, row.caption_index))
            strange += image is None
            if image is not None:
                new[image] = new.get(image, 0) + 1
    boxed = sum(min(count, len(checks.images.get(image) or ())) for image, count in new.items())
    others = len(gone) - mended + sum(new.values()) - boxed + strange
    parts = [
        _counted(mended, "wrong box was removed", "wrong boxes were removed"),
        _counted(boxed, "missed object got a box", "missed objects got a box"),
        _counted(others, "box changed without a check", "boxes changed without a check"),
        _counted(lost, "image is left out", "images are left out"),
    ]
    reason = "; ".join(part for part in parts if part) or "scores or images changed"
    return Changes(reason=reason, holds=bool(mended or boxed) and not others and not lost)


def _counted(count: int, one: str, many: str) -> str:
    return f"{count:,} {one if count == 1 else many}" if count else ""
