"""Confirm winners with complete prompts, because the other phrases in a prompt affect scores."""

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
    """Return comparisons with winners confirmed in the spec's complete prompt.

    Runs each image twice, with the current and the new prompt; none if no winner is better.
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
    """Return a comparison with its winner's confirmation."""
    today = ground.judge(one.name, before).found(one.today.phrases)
    then = ground.judge(one.name, after).found(one.wordings[one.winner].phrases)
    once = np.ones(len(today.true))
    bounds = then.better_by(today)
    return replace(
        one,
        confirmed=Confirmation(today=today.average_precision(once), ap=then.average_precision(once), difference=bounds),
        better=above(bounds, one.penalty),
    )
