"""What a report says, as rows. Which of it is shown is said by page/*.jinja, markdown.py and cli/views.py."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from lrfind.compare.arms import FIXED
from lrfind.compare.comparison import Comparison, Interval, Pair
from lrfind.compare.runs import Arm, Run
from lrfind.compare.sentences import closing, in_words
from lrfind.numbers import as_fine_as, counted, duration, figure, rate, span
from lrfind.records import Finding
from lrfind.words import certainty, in_use


@dataclass(frozen=True, slots=True)
class Card:
    """One of the first things to read: a label, what it is, and what that means."""

    label: str
    value: str
    meaning: str


@dataclass(frozen=True, slots=True)
class ArmRow:
    """One line of the table of arms.

    Attributes:
        name: The arm's name.
        rates: Its rate, or the ends of its range.
        about: Where its rate comes from and its schedule, in words.
        is_best: Whether it is the best in the mean.
        mean: The judged metric's mean over the seeds where it is finite; None where it is so in none.
        interval: Its 95 % interval; None where there is none, as with one seed.
        seeds: The judged metric of each run.
        others: The other metrics' means, by name; None where the arm has none.
        applied: The least and the greatest rate read back from the optimizer; None where no run finished.
        steps: Optimizer steps of the longest run.
        seconds: Mean wall time of a run.
    """

    name: str
    rates: str
    about: str
    is_best: bool
    mean: float | None
    interval: Interval | None
    seeds: tuple[float, ...]
    others: dict[str, float | None]
    applied: tuple[float, float] | None
    steps: int | None
    seconds: float | None

    @property
    def result(self) -> str:
        """The mean in words."""
        return figure(math.nan if self.mean is None else self.mean) if self.seeds else "no run finished"

    @property
    def lost(self) -> str:
        """In how many seeds the metric is not finite; empty where it is so in none."""
        count = sum(not math.isfinite(value) for value in self.seeds)
        return f"{'not finite ' if self.mean is not None else ''}in {count} of {len(self.seeds)}" if count else ""

    @property
    def between(self) -> str:
        """The interval in words; empty where there is none."""
        if self.interval is None or self.mean is None:
            return ""
        return span(self.interval.low, self.interval.high, as_fine_as(self.mean, 4))


def labelled(comparison: Comparison) -> Comparison:
    """Return the same comparison with arms whose names say their rates, in its sentence too.

    Arms that a person has named keep their names, and all do where two would be called the same.

    Example:
        >>> [label(arm) for arm in (Arm("0.01", 0.01), Arm("found", 0.0023412), Arm("mine", 0.1))]
        ['lr 0.01', 'found 0.00234', 'mine']
    """
    labels = {arm.name: label(arm) for arm in comparison.arms}
    if len(set(labels.values())) < len(labels):
        return comparison

    def of(name: str) -> str:
        return labels.get(name, name)

    def pair(each: Pair) -> Pair:
        return replace(each, first=of(each.first), second=of(each.second))

    said, about = comparison.verdict, (comparison.metric, comparison.mode)
    verdict = replace(
        said,
        winner=said.winner and of(said.winner),
        best=said.best and of(said.best),
        pairs=tuple(map(pair, said.pairs)),
        kinds=said.kinds and pair(said.kinds),
        lost=tuple(map(of, said.lost)),
        not_compared=tuple(map(of, said.not_compared)),
    )
    if said.sentence == in_words(said, *about):
        verdict = replace(verdict, sentence=in_words(verdict, *about))
    return replace(
        comparison,
        arms=tuple(replace(arm, name=of(arm.name)) for arm in comparison.arms),
        runs=tuple(replace(run, arm=of(run.arm)) for run in comparison.runs),
        failures=tuple(replace(failure, arm=of(failure.arm)) for failure in comparison.failures),
        summaries={of(name): summary for name, summary in comparison.summaries.items()},
        verdict=verdict,
    )


def label(arm: Arm) -> str:
    """Return a name for an arm that says its rate, unless a person has named it."""
    if arm.name == repr(float(arm.lr)):
        return f"lr {rate(arm.lr)}"
    return f"{arm.name} {_rates(arm)}" if arm.name in (FIXED, arm.schedule) else arm.name


def _rates(arm: Arm) -> str:
    return rate(arm.lr) if arm.base_lr is None else span(arm.base_lr, arm.lr)


def verdict(comparison: Comparison) -> list[str]:
    """Return the verdict's first sentence, what to take from it, and the rest."""
    first, *rest = re.split(r"(?<=\.) ", comparison.verdict.sentence, maxsplit=1)
    return [first, *([closing(comparison)] if comparison.runs else []), *rest]


def notes(comparison: Comparison) -> list[str]:
    """Return what a person should know: of the comparison, then of its search."""
    return [*comparison.notes, *(comparison.finding.notes if comparison.finding else ())]


def cards(comparison: Comparison) -> list[Card]:
    """Return what to read first: the best arm, the found rate, how sure it is, its range and cost, what was trained."""
    made = []
    best, runs = comparison.verdict.best, comparison.runs
    steps = sum(run.steps for run in runs)
    if best is not None and best in comparison.summaries:
        direction = "lower" if comparison.mode == "min" else "higher"
        meaning = (
            f"Its {comparison.metric} at the end is {figure(comparison.summaries[best].mean)}; {direction} is better."
        )
        made.append(Card("Best arm", best, meaning))
    if comparison.finding is not None:
        made += finding_cards(comparison.finding)
    if runs:
        took = duration(sum(run.seconds for run in runs))
        made.append(Card("Trained", counted(steps, "step"), f"In {counted(len(runs), 'run')}, {took} in all."))
    return made


def finding_cards(finding: Finding) -> list[Card]:
    """Return what to read first of a finding: the rate, how sure it is, the rate in use, its range and cost."""
    purpose = finding.headline.partition(f"{finding.lr:.3g}")[2].lstrip(" ,")
    word, _, sure = certainty(finding).partition(": ")
    cycles = span(finding.base_lr, finding.max_lr)
    cost, took = counted(finding.cost.steps, "step"), duration(finding.cost.seconds)
    share = f", {100 * finding.cost.steps / finding.total_steps:.2g} % of one training" if finding.total_steps else ""
    return [
        Card("Found rate", rate(finding.lr), _sentence(purpose)),
        Card("Interval", span(*finding.interval), _sentence(sure if word == "interval" else f"{word}: {sure}")),
        *(Card("Your rate", rate(finding.used or 0), _sentence(line.partition(": ")[2])) for line in in_use(finding)),
        Card("Range for cycles", cycles, "base_lr and max_lr of a cyclical schedule."),
        Card("Cost of the search", took, f"{cost}{share}."),
    ]


def facts(finding: Finding) -> dict[str, str]:
    """Return how a rate was found, as far as that is known."""
    length = ((finding.total_steps, "step"), (finding.epochs, "epoch"))
    known = {
        "Optimizer": finding.records[0].optimizer if finding.records else "",
        "Schedule": finding.schedule,
        "Training": " or ".join(counted(number, unit) for number, unit in length if number),
        "Read by": f"{finding.method}, from {counted(len(finding.records), 'range test')}",
        "Exact rate": repr(finding.lr),
    }
    return {name: fact for name, fact in known.items() if fact}


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}."


def arm_rows(comparison: Comparison) -> list[ArmRow]:
    """Return the table of arms, in the order of the arms."""
    return [_arm_row(comparison, arm) for arm in comparison.arms]


def _arm_row(comparison: Comparison, arm: Arm) -> ArmRow:
    runs = comparison.runs_of(arm.name)
    seeds = tuple(run.final(comparison.metric) for run in runs)
    summary = comparison.summaries.get(arm.name)
    ends = [end for run in runs for end in run.lr_applied]
    return ArmRow(
        name=arm.name,
        rates=_rates(arm),
        about=about(arm),
        is_best=arm.name == comparison.verdict.best,
        mean=None if summary is None else summary.mean,
        interval=summary if sum(map(math.isfinite, seeds)) > 1 else None,
        seeds=seeds,
        others={name: _mean(runs, name) for name in other_metrics(comparison)},
        applied=(min(ends), max(ends)) if ends else None,
        steps=max((run.steps for run in runs), default=None),
        seconds=sum(run.seconds for run in runs) / len(runs) if runs else None,
    )


def other_metrics(comparison: Comparison) -> list[str]:
    """Return the names of the metrics at the end of training that are not judged: evaluated ones, then tested ones."""
    evaluated = {name: None for run in comparison.runs for name in run.last.metrics}
    tested = {name: None for run in comparison.runs for name in run.tested}
    ordered = sorted(evaluated, key=lambda name: name.startswith("train"))
    return [name for name in dict.fromkeys([*ordered, *tested]) if name != comparison.metric]


def about(arm: Arm) -> str:
    """Return where an arm's rate comes from and its schedule, in words; its rate too where its name lacks it.

    Example:
        >>> about(Arm("mine", 0.012, "triangular", base_lr=4e-4, cycles=3, origin="found"))
        'found, 0.0004 to 0.012, triangular, 3 cycles'
    """
    rates = _rates(arm)
    words = [arm.origin, *([] if rates in arm.name else [rates]), arm.schedule]
    return ", ".join([*words, *([counted(arm.cycles, "cycle")] if arm.cycles else [])])


def difference(pair: Pair) -> tuple[str, str]:
    """Return by how much the first arm of a pair is ahead, and the interval, empty where one seed gives none."""
    show, ends = as_fine_as(pair.difference.mean), pair.difference
    return show(ends.mean), span(ends.low, ends.high, show) if pair.seeds > 1 else ""


def remedy(pair: Pair) -> str:
    """Return how many more seeds would settle a pair; empty where it is settled or that is not known."""
    if pair.is_settled or pair.seeds_needed is None:
        return ""
    more = counted(pair.seeds_needed - pair.seeds, "more seed")
    return f"about {more}, {pair.seeds_needed:,} in all, would settle it"


def _mean(runs: Sequence[Run], metric: str) -> float | None:
    values = [run.final(metric) for run in runs if metric in run.last.metrics or metric in run.tested]
    return sum(value / len(values) for value in values) if values else None
