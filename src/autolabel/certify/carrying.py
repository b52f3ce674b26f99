"""Carry answers over to a new draw, where they are known but not part of the sample."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from autolabel.certify.answers import Answer
from autolabel.certify.session import CertificateSession
from autolabel.certify.units import Units


def still_true(units: Units, answers: Mapping[str, Answer]) -> dict[str, Any]:
    """Return the answers about unchanged units, by their names in the new population."""
    prefix, out = units.digest[:8], {}
    for name, one in answers.items():
        rest = name.partition("-")[2]
        places = units.place_of_box if rest[:1] == "b" else units.place_of_image
        if int(rest[1:], 16) in places:
            out[f"{prefix}-{rest}"] = replace(one, id=f"{prefix}-{rest}").as_dict()
    return out


def of_mended_images(session: CertificateSession, now: Units) -> dict[str, Any]:
    """Return the answers about images whose mistakes were corrected since, by their names in the population ``now``.

    A checked image lacks what it lacked, less the objects for which a person has added a box. This holds if nothing
    else has changed: each removed box was found wrong, each new box was kept or drawn by a person, and there are at
    most as many new boxes as missed objects.
    """
    before, checks = session.units, session.checks
    gone, new = _by_row(before, now), _by_row(now, before)
    place_of = {(row.image, row.caption_index): place for place, row in enumerate(now.rows)}
    kept = set(now.kept)
    out: dict[str, Any] = {}
    for image, missed in checks.images.items():
        row = before.rows[image]
        place = place_of.get((row.image, row.caption_index))
        if missed is None or place is None or now.image_keys[place] in before.place_of_image:
            continue
        added = new.get(place, [])
        mended = all(checks.boxes.get(box) == "no" for box in gone.get(image, [])) and kept.issuperset(added)
        if mended and len(added) <= len(missed):
            name = f"{now.digest[:8]}-i{now.image_keys[place]:016x}"
            out[name] = Answer(id=name, missed=missed[len(added) :]).as_dict()
    return out


def _by_row(units: Units, other: Units) -> dict[int, list[int]]:
    """Return the boxes that are not in another population, by image."""
    out: dict[int, list[int]] = {}
    for key, box in units.place_of_box.items():
        if key not in other.place_of_box:
            out.setdefault(units.box_rows[box], []).append(box)
    return out
