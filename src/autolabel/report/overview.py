"""The report's counts: by state, class, round and score."""

from __future__ import annotations

from collections.abc import Sequence

from autolabel.plan.model import Plan
from autolabel.report import chart
from autolabel.report.markup import Html, element, shorten
from autolabel.report.provenance import html_table
from autolabel.results.review import Review
from autolabel.results.tally import Phrase, Tally
from autolabel.types import GIVEN, Labels

MOST_CLASSES = 100
_MOST_HISTOGRAMS = 24
_MOST_ROUNDS = 64
_LONGEST_NAME = 80
_STATES = ("labelled", "empty", "failed")
Palette = dict[Phrase, str]


def palette(tally: Tally) -> Palette:
    """Give each of the most frequent classes a colour; the others share one."""
    return {phrase: f"hue-{rank}" for rank, phrase in enumerate(tally.ranked()[: chart.HUES]) if phrase is not None}


def _hue(phrase: Phrase, colours: Palette) -> str:
    """Return the colour of a class."""
    return colours.get(phrase, "hue-other")


def _name(phrase: Phrase) -> str:
    """Return a class's display name."""
    return "(all further classes)" if phrase is None else shorten(phrase, _LONGEST_NAME)


def swatch(phrase: Phrase, colours: Palette) -> Html:
    """Return a class's name with a coloured dot."""
    dot = element("span", class_=f"dot {_hue(phrase, colours)}", aria_hidden="true")
    return element("span", dot, element("bdi", _name(phrase)), class_="swatch")


def tiles(tally: Tally) -> Html:
    """Return the run's key figures."""
    facts = (
        [("images", tally.images), ("rows", tally.rows)] if tally.rows != tally.images else [("images", tally.images)]
    )
    facts += [
        ("boxes", tally.boxes),
        *([("masks", tally.masks)] if tally.masks else []),
        ("classes", len(tally.classes)),
    ]
    tile = [element("div", element("dt", word), element("dd", f"{count:,}"), class_="tile") for word, count in facts]
    return element("dl", *tile, class_="tiles")


def decided(tally: Tally, review: Review | None) -> Html:
    """Return a note that the counts include decisions, if there are any."""
    if review is None or not review.decisions:
        return Html("")
    count = len(review.decisions)
    said = f"All counts are after {count:,} decision{'s' * (count != 1)} of people."
    left = f" {tally.left_out:,} row{'s' * (tally.left_out != 1)} left out by them are not counted."
    return element("p", said + left * bool(tally.left_out), class_="note")


def states(tally: Tally) -> Html:
    """Return the rows by state, as a bar and in words."""
    parts = [(f"state-{state}", tally.states[state] / max(1, tally.rows)) for state in _STATES]
    label = ", ".join(f"{tally.states[state]:,} {state}" for state in _STATES)
    legend = [
        element(
            "li",
            element("span", class_=f"dot state-{state}", aria_hidden="true"),
            element("b", f"{tally.states[state]:,}"),
            f" {state} ({share:.1%})",
        )
        for state, (_, share) in zip(_STATES, parts, strict=True)
    ]
    return element("div", chart.bar(parts, label=label), element("ul", *legend, class_="legend"))


def classes(tally: Tally, colours: Palette) -> Html:
    """Return a row for each class: its boxes, and their distribution over rounds."""
    ranked = tally.ranked()
    most = max(tally.classes.values(), default=1)
    rows = []
    for phrase in ranked[:MOST_CLASSES]:
        count = tally.classes[phrase]
        whole = chart.bar(
            [(_hue(phrase, colours), count / most)], label=f"{count / max(1, tally.boxes):.1%} of all boxes"
        )
        rows.append(
            element(
                "tr",
                element("th", swatch(phrase, colours), scope="row"),
                element("td", f"{count:,}"),
                element("td", whole),
            )
        )
    head = element("tr", *(element("th", word, scope="col") for word in ("Class", "Boxes", "Share")))
    body = element("table", element("thead", head), element("tbody", *rows), class_="classes")
    more = (
        element("p", f"and {len(ranked) - MOST_CLASSES:,} more classes", class_="note")
        if len(ranked) > MOST_CLASSES
        else ""
    )
    return element("div", body, more, class_="scroll tall", tabindex=0, role="region", aria_label="Boxes by class")


def round_names(plan: Plan, rounds: Sequence[int]) -> list[tuple[str, str]]:
    """Return two lines for each round: its number, and its threshold if known."""
    literal = next((stage.rounds for stage in reversed(plan.recipe.stages) if stage.rounds), ())
    limits = {round.index: f"> {round.conf_threshold:.2f}" for round in literal}
    return [(round_name(round), limits.get(round, "")) for round in rounds]


def round_name(round: int) -> str:
    """Return a round's name."""
    return "given" if round == GIVEN else f"round {round}"


def asked_rounds(tally: Tally, plan: Plan) -> list[int]:
    """Return the rounds of the plan and those that found boxes, in order."""
    planned = {round.index for stage in plan.recipe.stages for round in stage.rounds}
    return sorted(planned | set(tally.rounds))[:_MOST_ROUNDS]


def found_by_round(tally: Tally, plan: Plan, colours: Palette) -> Html:
    """Plot the boxes of each round, by class."""
    rounds = asked_rounds(tally, plan)
    columns = []
    for round in rounds:
        column: dict[str, int] = {}
        for phrase in tally.ranked():
            colour = _hue(phrase, colours)
            column[colour] = column.get(colour, 0) + tally.found[phrase, round]
        columns.append({colour: count for colour, count in column.items() if count})
    captions = round_names(plan, rounds)
    description = ", ".join(
        f"{caption[0]}: {sum(column.values()):,}" for caption, column in zip(captions, columns, strict=True)
    )
    return chart.stacked_columns(columns, captions, label=f"New boxes by round. {description}")


def covered_by_round(tally: Tally, plan: Plan) -> Html:
    """Plot the share of rows that have a box after each round; failed rows do not count."""
    rounds = asked_rounds(tally, plan)
    sums = [sum(tally.first_rounds[earlier] for earlier in rounds if earlier <= round) for round in rounds]
    shares = [total / max(1, tally.usable) for total in sums]
    captions = round_names(plan, rounds)
    description = ", ".join(f"{caption[0]}: {share:.1%}" for caption, share in zip(captions, shares, strict=True))
    return chart.rising_line(shares, captions, label=f"Share of rows with a box after each round. {description}")


def round_table(tally: Tally, plan: Plan, colours: Palette) -> Html:
    """Return the numbers behind the plots: boxes of each class by round."""
    rounds = asked_rounds(tally, plan)
    head = ("Class", *(" ".join(lines).strip() for lines in round_names(plan, rounds)), "all")
    rows = [
        (
            swatch(phrase, colours),
            *(f"{tally.found[phrase, round]:,}" for round in rounds),
            f"{tally.classes[phrase]:,}",
        )
        for phrase in tally.ranked()[:MOST_CLASSES]
    ]
    return element("details", element("summary", "The numbers"), html_table(head, rows))


def histograms(tally: Tally, plan: Plan, colours: Palette) -> Html:
    """Plot the scores of each class, with the rounds' thresholds."""
    marks = sorted({round.conf_threshold for stage in plan.recipe.stages for round in stage.rounds})[:_MOST_ROUNDS]
    figures = []
    for phrase in [phrase for phrase in tally.ranked() if phrase in tally.scores][:_MOST_HISTOGRAMS]:
        bins = tally.scores[phrase]
        label = f"Scores of {_name(phrase)}: {sum(bins):,} boxes, median about {_median(bins):.2f}"
        plot = chart.histogram(bins, marks, hue=_hue(phrase, colours), label=label)
        words = element("figcaption", swatch(phrase, colours), element("span", f"{sum(bins):,} boxes", class_="faint"))
        figures.append(element("figure", words, plot))
    return (
        element("div", *figures, class_="histograms") if figures else element("p", "No box has a score.", class_="note")
    )


def _median(bins: Sequence[int]) -> float:
    """Return the centre of the median's bin."""
    total = 0
    for index, count in enumerate(bins):
        total += count
        if 2 * total >= sum(bins):
            return (index + 0.5) / len(bins)
    return 0.0


def failures(tally: Tally, rows: Sequence[Labels]) -> Html:
    """Return the failed rows by reason, then each of ``rows``."""
    if not tally.reasons:
        return element("p", "No row failed.", class_="note")
    counts = [element("li", element("b", f"{count:,}"), f" {code}") for code, count in tally.reasons.most_common(50)]
    listed = [
        (element("bdi", shorten(row.image.id, 300)), row.reason.code, element("bdi", shorten(row.reason.message, 300)))
        for row in rows
        if row.reason
    ]
    left = tally.states["failed"] - len(listed)
    more = (
        element("p", f"{left:,} more are in labels.jsonl; the ones above were drawn at random.", class_="note")
        if left
        else ""
    )
    return element(
        "div", element("ul", *counts, class_="legend"), html_table(("Image", "Reason", "Message"), listed), more
    )
