"""The contents of a report, for page/*.jinja, texts.py and cli/views.py."""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from statistics import fmean
from typing import NamedTuple

from lrfind.charts import PALETTE
from lrfind.compare.arms import labels, rates_of, renamed
from lrfind.compare.comparison import Arm, Comparison, Interval, Pair, Run
from lrfind.compare.verdict import closing
from lrfind.numbers import as_fine_as, counted, duration, figure, rate, span
from lrfind.records import Finding
from lrfind.words import how_sure, in_use, purpose

PARTS = ("", "val_", "valid_", "test_", "train_")  # prefixes of metrics, in the order to show


class Cell(NamedTuple):
    """A cell of the table of arms: its text, a second line, and the number to sort by."""

    text: str
    below: str = ""
    value: float | None = None


@dataclass(frozen=True, slots=True)
class ArmRow:
    """An arm with its runs and results."""

    arm: Arm
    runs: tuple[Run, ...]
    seeds: tuple[float, ...]  # the last value of the metric that decides, of each run
    summary: Interval | None  # of its finite values
    is_best: bool
    colour: int  # its index in the palette

    @property
    def name(self) -> str:
        """The arm's name."""
        return self.arm.name

    @property
    def interval(self) -> Interval | None:
        """The 95 % interval; None with one seed or no spread."""
        return self.summary if self.summary and self.summary.low < self.summary.high else None

    @property
    def result(self) -> str:
        """The mean as text."""
        return figure(self.summary.mean if self.summary else math.nan) if self.runs else "no run finished"

    @property
    def lost(self) -> str:
        """In how many seeds the metric is finite; empty where it is in all."""
        count = sum(map(math.isfinite, self.seeds))
        return f"{count} of {len(self.seeds)} finite" if 0 < count < len(self.seeds) else ""


def arm_rows(comparison: Comparison) -> list[ArmRow]:
    """Return the rows of the arms; the best arm has the first colour."""
    best = comparison.verdict.best
    names = sorted((arm.name for arm in comparison.arms), key=lambda name: name != best)
    rows = []
    for arm in comparison.arms:
        runs = comparison.runs_of(arm.name)
        seeds = tuple(run.final(comparison.metric) for run in runs)
        colour = (names.index(arm.name) + (best is None)) % len(PALETTE)
        rows.append(ArmRow(arm, runs, seeds, comparison.summaries.get(arm.name), arm.name == best, colour))
    return rows


def metric_names(comparison: Comparison) -> list[str]:
    """Return the names of all metrics: the one that decides, then in the order of ``PARTS``."""
    names = {name: None for run in comparison.runs for row in run.rows for name in row.metrics}
    names |= {name: None for run in comparison.runs for name in run.tested}
    return sorted(names, key=lambda name: (name != comparison.metric, PARTS.index(_part(name))))


def families(comparison: Comparison) -> dict[str, list[str]]:
    """Return the evaluated metrics by family, their names without prefix; the family of the one that decides is first.

    Example:
        ``{"loss": ["val_loss", "train_loss"], "accuracy": ["val_accuracy"]}``
    """
    evaluated = {name for run in comparison.runs for row in run.rows for name in row.metrics}
    found: dict[str, list[str]] = {}
    for name in filter(evaluated.__contains__, metric_names(comparison)):
        found.setdefault(name.removeprefix(_part(name)), []).append(name)
    return found


def _part(name: str) -> str:
    return next((part for part in PARTS[1:] if name.startswith(part) and name != part), "")


def arm_table(comparison: Comparison, without: tuple[str, ...]) -> tuple[list[str], list[tuple[ArmRow, list[Cell]]]]:
    """Return the titles and cells of the table of arms, leaving out metrics with the prefixes ``without``."""
    metrics = [name for name in metric_names(comparison) if name != comparison.metric and not name.startswith(without)]
    titles = [comparison.metric, *metrics, "Rate applied", "Steps", "Time of a run"]
    return titles, [(row, _cells(row, metrics)) for row in arm_rows(comparison)]


def _cells(row: ArmRow, metrics: list[str]) -> list[Cell]:
    ends = row.interval
    between = span(ends.low, ends.high, as_fine_as(ends.mean, 4)) if ends else ""
    cells = [Cell(row.result, row.lost or between, row.summary.mean if row.summary else None)]
    for name in metrics:
        values = [run.final(name) for run in row.runs if name in run.last.metrics or name in run.tested]
        cells.append(Cell(figure(fmean(values)), value=fmean(values)) if values else Cell("–"))
    if not row.runs:
        return [*cells, *[Cell("–")] * 3]
    applied = [end for run in row.runs for end in run.lr_applied]
    low, high, steps = min(applied), max(applied), max(run.steps for run in row.runs)
    seconds = fmean(run.seconds for run in row.runs)
    return [
        *cells,
        Cell(rate(high), f"from {rate(low)}" if low < high else "", high),
        Cell(f"{steps:,}", value=steps),
        Cell(duration(seconds), counted(len(row.runs), "run"), seconds),
    ]


def labelled(comparison: Comparison) -> Comparison:
    """Return the same comparison with arms whose names say their rates, as ``lrfind.compare.arms.labels`` gives."""
    names = labels(comparison.arms)
    return replace(
        comparison,
        arms=tuple(replace(arm, name=names.get(arm.name, arm.name)) for arm in comparison.arms),
        runs=tuple(replace(run, arm=names.get(run.arm, run.arm)) for run in comparison.runs),
        failures=tuple(replace(each, arm=names.get(each.arm, each.arm)) for each in comparison.failures),
        summaries={names.get(name, name): summary for name, summary in comparison.summaries.items()},
        verdict=renamed(comparison.verdict, names),
    )


def file_names(names: Iterable[str], taken: Iterable[str] = ()) -> dict[str, str]:
    """Return a valid file name for each text; all differ, also without case.

    Example:
        >>> file_names(["val/f1", "val f1", "../.."])
        {'val/f1': 'val-f1', 'val f1': 'val-f1-1', '../..': 'unnamed'}
    """
    found: dict[str, str] = {}
    used = {name.lower() for name in taken}
    for number, text in enumerate(names):
        name = re.sub(r"[^\w.+-]+", "-", text).strip("-.")[:60] or "unnamed"
        while name.lower() in used:
            name = f"{name}-{number}"
        used.add(name.lower())
        found[text] = name
    return found


def about(arm: Arm) -> str:
    """Return an arm's origin, its rate if the name lacks it, and its schedule.

    Example:
        >>> about(Arm("mine", 0.012, "triangular", base_lr=4e-4, cycles=3, origin="found"))
        'found, 0.0004 to 0.012, triangular, 3 cycles'
    """
    rates, cycles = rates_of(arm), counted(arm.cycles, "cycle") if arm.cycles else ""
    return ", ".join(filter(None, (arm.origin, "" if rates in arm.name else rates, arm.schedule, cycles)))


def verdict(comparison: Comparison) -> list[str]:
    """Return the first sentence of the verdict, the rate to train with, and the rest of the verdict."""
    first, *rest = re.split(r"(?<=\.) ", comparison.verdict.sentence, maxsplit=1)
    return [first, *([closing(comparison)] if comparison.runs else []), *rest]


def notes(comparison: Comparison) -> list[str]:
    """Return the notes of the comparison and of its search."""
    return [*comparison.notes, *(comparison.finding.notes if comparison.finding else ())]


def cards(comparison: Comparison) -> list[tuple[str, str, str]]:
    """Return the cards of a comparison as (label, value, meaning): the best arm, the search, the training."""
    metric, runs = comparison.metric, comparison.runs
    best = comparison.summaries.get(comparison.verdict.best or "")
    made = [] if comparison.finding is None else finding_cards(comparison.finding)
    if best is not None:
        direction = "lower" if comparison.mode == "min" else "higher"
        so_far = "Lowest so far" if comparison.mode == "min" else "Highest so far"
        title = "Best arm" if comparison.verdict.winner else so_far
        meaning = f"Its {metric} at the end is {figure(best.mean)}; {direction} is better."
        made.insert(0, (title, comparison.verdict.best or "", meaning))
    if runs:
        steps, took = counted(sum(run.steps for run in runs), "step"), duration(sum(run.seconds for run in runs))
        made.append(("Trained", steps, f"In {counted(len(runs), 'run')}, {took} in all."))
    return made


def finding_cards(finding: Finding) -> list[tuple[str, str, str]]:
    """Return the cards of a finding: rate, interval, rate in use, range and cost."""
    (word, sure), used, cost = how_sure(finding), in_use(finding), finding.cost
    share = f", {100 * cost.steps / finding.total_steps:.2g} % of one training" if finding.total_steps else ""
    made = [
        ("Found rate", rate(finding.lr), purpose(finding)),
        ("Interval", span(*finding.interval), sure if word == "interval" else f"{word}: {sure}"),
        ("Your rate", rate(finding.used or 0), used),
        ("Range for cycles", span(finding.base_lr, finding.max_lr), "for a cyclical schedule: base_lr and max_lr"),
        ("Cost of the search", duration(cost.seconds), f"{counted(cost.steps, 'step')}{share}"),
    ]
    return [(name, value, f"{words[:1].upper()}{words[1:]}.") for name, value, words in made if words]


def difference(pair: Pair) -> tuple[str, str]:
    """Return a pair's difference and its interval, empty with one seed, as text."""
    show, ends = as_fine_as(pair.difference.mean), pair.difference
    return show(ends.mean), span(ends.low, ends.high, show) if pair.seeds > 1 else ""


def remedy(pair: Pair) -> str:
    """Say how many more seeds would settle a pair; empty if it is settled or this is unknown."""
    if pair.is_settled or pair.seeds_needed is None:
        return ""
    more = counted(pair.seeds_needed - pair.seeds, "more seed")
    return f"about {more}, {pair.seeds_needed:,} in all, would settle it"
