"""Ask once more as the spec would with other phrases: what is asked beside a phrase has a say in its scores."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from msgspec.structs import replace

from autolabel.phrases.answers import Questioner
from autolabel.phrases.comparison import ClassComparison, Confirmation
from autolabel.phrases.ground import Answers, Ground, above
from autolabel.types.ontology import ClassPrompts, _terms_of, expand_prompts


def confirmed(
    told: Sequence[ClassComparison], ground: Ground, questioner: Questioner, classes: Sequence[str]
) -> tuple[ClassComparison, ...]:
    """Return comparisons whose winners were shown to be better where the spec asks them, beside all its classes, too.

    Asks about each image twice, as the spec asks today and as it would; about none if nothing is better.
    """
    better = {one.name: one.wordings[one.winner].phrases for one in told if one.better}
    if not better:
        return tuple(told)
    changed = dict(ground.ontology)
    for name, phrases in better.items():
        against = _terms_of(name, ground.ontology).negatives
        changed[name] = ClassPrompts(
            phrases=phrases, negatives=tuple(phrase for phrase in against if phrase not in phrases)
        )
    before = dict(questioner.ask(ground.rows, expand_prompts(classes, ground.ontology)))
    after = dict(questioner.ask(ground.rows, expand_prompts(classes, changed)))
    both = before.keys() & after.keys()
    return tuple(
        _confirmation(one, ground, {place: before[place] for place in both}, {place: after[place] for place in both})
        if one.better
        else one
        for one in told
    )


def _confirmation(one: ClassComparison, ground: Ground, before: Answers, after: Answers) -> ClassComparison:
    """Return a comparison with what its winner is worth where the spec asks it."""
    today = ground.judge(one.name, before).found(one.today.phrases)
    then = ground.judge(one.name, after).found(one.wordings[one.winner].phrases)
    once = np.ones(len(today.true))
    bounds = then.better_by(today)
    return replace(
        one,
        confirmed=Confirmation(today=today.average_precision(once), ap=then.average_precision(once), difference=bounds),
        better=above(bounds, one.penalty),
    )
