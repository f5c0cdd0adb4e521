"""What a report says, in the order it is said: the page and the Markdown only write it down."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lrfind.compare.comparison import Comparison, Interval, Pair
from lrfind.compare.runs import Arm, Run
from lrfind.records import Finding
from lrfind.report.numbers import How, Number, Source, as_fine_as, count, duration, figure, number, rate, source

Indexed = tuple[int, Run]
"""A run, and its place among the runs of the comparison."""


@dataclass(frozen=True, slots=True)
class Tile:
    """One of the first things to read: a label, and numbers with the words between them."""

    label: str
    parts: tuple[str | Number, ...]


@dataclass(frozen=True, slots=True)
class ArmRow:
    """One line of the table of arms.

    Attributes:
        name: The arm's name.
        about: Its rate and schedule, in words.
        is_best: Whether it is the best in the mean.
        mean: The judged metric's mean over the seeds where it is finite; None where it is so in none.
        lost: In how many seeds it is not finite.
        interval: The ends of its 95 % interval; None where there is none, as with one seed.
        seeds: The judged metric of each run, with the run's seed.
        others: The other metrics' means, by name; None where the arm has none.
        applied: The least and the greatest rate read back from the optimizer; None where no run finished.
        steps: Optimizer steps of the longest run.
        seconds: Mean wall time of a run.
    """

    name: str
    about: str
    is_best: bool
    mean: Number | None
    lost: int
    interval: tuple[Number, Number] | None
    seeds: tuple[tuple[int, Number], ...]
    others: dict[str, Number | None]
    applied: tuple[Number, Number] | None
    steps: Number | None
    seconds: Number | None


@dataclass(frozen=True, slots=True)
class PairRow:
    """One line of the table of pairs.

    Attributes:
        first: The arm that is ahead.
        second: The other one.
        difference: By how much.
        interval: Its interval's ends; None where one seed says nothing of them.
        is_settled: Whether the interval leaves out 0.
        seeds: How many seeds both have.
        needed: How many seeds in all would settle it; None where it is settled or not known.
        more: How many beyond those there are.
    """

    first: str
    second: str
    difference: Number
    interval: tuple[Number, Number] | None
    is_settled: bool
    seeds: Number
    needed: Number | None
    more: Number | None


def verdict(comparison: Comparison) -> tuple[str, str]:
    """Return the verdict's first sentence, and what follows it; that may be empty."""
    first, *rest = re.split(r"(?<=\.) ", comparison.verdict.sentence, maxsplit=1)
    return first, " ".join(rest)


def tiles(comparison: Comparison) -> list[Tile]:
    """Return what to read first: the best arm, the found rate with interval, range and cost, and what was trained."""
    made = []
    best = comparison.verdict.best
    if best is not None and best in comparison.summaries:
        mean = number(source(comparison.summaries[best].mean, "summaries", best, "mean"), figure)
        made.append(Tile(f"Best {comparison.metric} in the mean", (mean, f" {best}")))
    if comparison.finding is not None:
        made += _finding_tiles(comparison.finding)
    steps = [source(run.steps, "runs", place, "steps") for place, run in enumerate(comparison.runs)]
    seconds = [source(run.seconds, "runs", place, "seconds") for place, run in enumerate(comparison.runs)]
    if steps:
        words = f" steps in {len(steps)} run{'s' if len(steps) > 1 else ''}, "
        made.append(Tile("Trained", (number(steps, count, "sum"), words, number(seconds, duration, "sum"))))
    return made


def _finding_tiles(finding: Finding) -> list[Tile]:
    def of(value: float, *path: str | int) -> Source:
        return source(value, "finding", *path)

    low, high = finding.interval
    return [
        Tile("Found rate", (number(of(finding.lr, "lr"), rate),)),
        Tile("Interval", _between(of(low, "interval", 0), of(high, "interval", 1), rate)),
        Tile("Range, base_lr to max_lr", _between(of(finding.base_lr, "base_lr"), of(finding.max_lr, "max_lr"), rate)),
        Tile(
            "Cost of the search",
            (
                number(of(finding.cost.steps, "cost", "steps"), count),
                " steps, ",
                number(of(finding.cost.seconds, "cost", "seconds"), duration),
            ),
        ),
    ]


def arm_rows(comparison: Comparison) -> list[ArmRow]:
    """Return the table of arms, in the order of the arms."""
    return [_arm_row(comparison, arm) for arm in comparison.arms]


def _arm_row(comparison: Comparison, arm: Arm) -> ArmRow:
    runs = [(place, run) for place, run in enumerate(comparison.runs) if run.arm == arm.name]
    summary = comparison.summaries.get(arm.name)
    lost = sum(not math.isfinite(run.final(comparison.metric)) for _, run in runs)

    def of_runs(what: str, value: Callable[[Run], float], show: Callable[[float], str], how: How) -> Number | None:
        return number([source(value(run), "runs", place, what) for place, run in runs], show, how) if runs else None

    return ArmRow(
        name=arm.name,
        about=about(arm),
        is_best=arm.name == comparison.verdict.best,
        mean=None if summary is None else number(source(summary.mean, "summaries", arm.name, "mean"), figure),
        lost=lost,
        interval=_interval(summary, as_fine_as(summary.mean, 4), "summaries", arm.name)
        if summary and len(runs) - lost > 1
        else None,
        seeds=tuple((run.seed, number(_final((place, run), comparison.metric), figure)) for place, run in runs),
        others={name: _mean(runs, name) for name in other_metrics(comparison)},
        applied=_applied(runs) if runs else None,
        steps=of_runs("steps", lambda run: run.steps, count, "greatest"),
        seconds=of_runs("seconds", lambda run: run.seconds, duration, "mean"),
    )


def other_metrics(comparison: Comparison) -> list[str]:
    """Return the names of the metrics at the end of training that are not judged: evaluated ones, then tested ones."""
    evaluated = {name: None for run in comparison.runs for name in run.last.metrics}
    tested = {name: None for run in comparison.runs for name in run.tested}
    ordered = sorted(evaluated, key=lambda name: name.startswith("train"))
    return [name for name in dict.fromkeys([*ordered, *tested]) if name != comparison.metric]


def about(arm: Arm) -> str:
    """Return an arm's rate and schedule in words.

    Example:
        >>> about(Arm("a", 0.012, "triangular", base_lr=4e-4, cycles=3, origin="found"))
        'found, 0.012, triangular from 0.0004, 3 cycles'
    """
    words = [arm.origin, rate(arm.lr), arm.schedule + (f" from {rate(arm.base_lr)}" if arm.base_lr else "")]
    if arm.cycles:
        words.append(f"{arm.cycles} cycle{'s' if arm.cycles > 1 else ''}")
    return ", ".join(words)


def pair_rows(comparison: Comparison) -> list[PairRow]:
    """Return the table of pairs: the best arm against every other one."""
    return [_pair_row(pair, "verdict", "pairs", place) for place, pair in enumerate(comparison.verdict.pairs)]


def kinds_row(comparison: Comparison) -> PairRow | None:
    """Return the best fixed arm against the best scheduled one, where there are both."""
    kinds = comparison.verdict.kinds
    return None if kinds is None else _pair_row(kinds, "verdict", "kinds")


def _pair_row(pair: Pair, *path: str | int) -> PairRow:
    show = as_fine_as(pair.difference.mean)
    have = source(pair.seeds, *path, "seeds")
    need = None if pair.seeds_needed is None else source(pair.seeds_needed, *path, "seeds_needed")
    return PairRow(
        first=pair.first,
        second=pair.second,
        difference=number(source(pair.difference.mean, *path, "difference", "mean"), show),
        interval=_interval(pair.difference, show, *path, "difference") if pair.seeds > 1 else None,
        is_settled=pair.is_settled,
        seeds=number(have, count),
        needed=None if need is None else number(need, count),
        more=None if need is None else number([need, have], count, "difference"),
    )


def _interval(interval: Interval, show: Callable[[float], str], *path: str | int) -> tuple[Number, Number]:
    low, high = source(interval.low, *path, "low"), source(interval.high, *path, "high")
    return number(low, show), number(high, show)


def _final(indexed: Indexed, metric: str) -> Source:
    place, run = indexed
    if metric in run.last.metrics:
        return source(run.last.metrics[metric], "runs", place, "rows", len(run.rows) - 1, "metrics", metric)
    return source(run.tested.get(metric), "runs", place, "tested", metric)


def _mean(runs: Sequence[Indexed], metric: str) -> Number | None:
    having = [one for one in runs if metric in one[1].last.metrics or metric in one[1].tested]
    return number([_final(one, metric) for one in having], figure, "mean") if having else None


def _applied(runs: Sequence[Indexed]) -> tuple[Number, Number]:
    ends = [[source(run.lr_applied[end], "runs", place, "lr_applied", end) for place, run in runs] for end in (0, 1)]
    return number(ends[0], rate, "least"), number(ends[1], rate, "greatest")


def _between(low: Source, high: Source, show: Callable[[float], str]) -> tuple[Number, str, Number]:
    return number(low, show), " to ", number(high, show)
