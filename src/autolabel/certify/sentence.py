"""The statement of a certificate as one sentence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

STALE = " (The labels have changed since, and this no longer holds for them.)"


def sentence(facts: Mapping[str, Any]) -> str:
    """Return one sentence with the bounds, the population, the checks, and K; ``facts`` as in a certificate."""
    boxes, images = facts["boxes"], facts["images"]
    parts = [part for part in (_precision(facts), _recall(facts)) if part]
    if not parts:
        return "Nothing can be stated yet: nothing was checked."
    said = " and ".join(parts)
    counted = f"{boxes.checked:,} of {boxes.units:,} boxes and {images.checked:,} of {images.units:,} images"
    stated = f"{said[:1].upper()}{said[1:]}{_sure(facts, len(parts))}: {counted} were checked."
    return stated + _stood_for(images.stood_for) + _stale(facts["holds"])


def _sure(facts: Mapping[str, Any], parts: int) -> str:
    if all(facts[name].exact or facts[name].at_least is None for name in ("precision", "recall")):
        return ""
    return f", {'each ' if parts > 1 else ''}with {facts['confidence'] * 100:g} % confidence"


def _stood_for(count: int) -> str:
    return f" Of each group of near-duplicates one image was drawn; {count:,} others are left out." if count else ""


def _stale(holds: bool) -> str:
    return "" if holds else STALE


def percent(share: float) -> str:
    """Return a share as a percentage, rounded down so that it never exceeds the bound."""
    return f"{int(share * 1000 + 1e-6) / 10:g} %"


def about_minutes(minutes: float) -> str:
    """Return an estimated working time in words, with one significant digit if long."""
    whole = round(minutes)
    if whole < 1:
        return "less than a minute"
    return "about 1 minute" if whole == 1 else f"about {one_digit(whole)} minutes"


def one_digit(count: float) -> str:
    """Round an estimate to one significant digit; small ones are kept."""
    whole = max(0, round(count))
    unit = 10 ** max(0, len(str(whole)) - 1)
    return f"{whole if whole < 20 else round(whole / unit) * unit:,}"


def _precision(facts: Mapping[str, Any]) -> str:
    stated, units = facts["precision"], facts["boxes"].units
    if stated.at_least is None:
        return ""
    if stated.exact:
        return f"exactly {percent(stated.at_least)} of the {units:,} boxes are right"
    return f"at least {percent(stated.at_least)} of the {units:,} boxes are right"


def _recall(facts: Mapping[str, Any]) -> str:
    stated, units, cap = facts["recall"], facts["images"].units, facts["K"]
    if stated.at_least is None:
        return ""
    if stated.exact:
        return f"exactly {percent(stated.at_least)} of the objects in the {units:,} images have a right box"
    return (
        f"at least {percent(stated.at_least)} of the objects in the {units:,} images have a right box"
        f" (K = {cap}: of one image at most {cap} missed objects count)"
    )
