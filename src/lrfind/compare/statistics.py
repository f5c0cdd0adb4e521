"""The verdict: paired differences between arms, with intervals that hold for all pairs at once.

docs/decisions/0009-paired-intervals.md says why these intervals, with their measured coverage.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import cache
from itertools import combinations
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from lrfind.compare.comparison import Arm, Failure, Interval, Pair, Run, Verdict
from lrfind.compare.sentences import in_words
from lrfind.errors import BadInputError

Mode = Literal["min", "max"]
Floats = NDArray[np.float64]

_LEVEL = 0.95
_LOOSE = 3.0
"""The intervals hold also where the seeds of one arm scatter so many times as much as those of the others."""

_DRAWS = 20_000
_SEED = 20_1708
_GRID = (2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 15, 20, 30)
_MOST_SEEDS = 1_000


def judge(
    arms: Sequence[Arm],
    runs: Sequence[Run],
    metric: str,
    mode: Mode,
    failures: Sequence[Failure] = (),
    *,
    unsure: Collection[str] = (),
) -> tuple[Verdict, dict[str, Interval]]:
    """Say which arm wins, or that it is too close to call; return also each arm's mean with its own 95 % interval.

    An arm with a run that did not end with a finite metric has lost: it is not among the pairs. An arm with a run that
    failed is not compared, since that says nothing of its rate, and takes no seed from the others; a seed that failed
    with every arm is left out. The others are compared on the seeds that all of them have.
    ``unsure`` are variants whose rates the search was unsure of.
    """
    check_mode(mode)
    scores = {arm.name: {run.seed: run.final(metric) for run in runs if run.arm == arm.name} for arm in arms}
    finite = {name: [value for value in of.values() if math.isfinite(value)] for name, of in scores.items()}
    lost = tuple(name for name, of in scores.items() if len(finite[name]) < len(of))
    failed = _failed(arms, failures)
    names, table = _complete({name: of for name, of in scores.items() if of and name not in {*lost, *failed}})
    table = table if mode == "min" else -table
    best = names[int(np.argmin(table.mean(axis=0)))] if names else None
    pairs = [pair(names, table, best, other) for other in names if best is not None and other != best]
    pairs.sort(key=lambda each: (each.is_settled, each.difference.low if each.is_settled else each.difference.mean))
    variant = next((arm.variant for arm in arms if arm.name == best), "")
    is_won = bool(pairs or lost) and len(table) > 1 and all(each.is_settled for each in pairs)
    verdict = Verdict(
        sentence="",
        winner=best if is_won else None,
        best=best,
        pairs=tuple(pairs),
        kinds=_kinds(arms, names, table),
        lost=lost,
        not_compared=tuple(name for name in scores if name not in names and name not in lost),
        seeds=len(table),
        unsure=tuple(dict.fromkeys(arm.variant for arm in arms if arm.variant in unsure and arm.variant != variant)),
    )
    summaries = {name: summary(values) for name, values in finite.items() if values}
    return replace(verdict, sentence=in_words(verdict, metric, mode)), summaries


def _failed(arms: Sequence[Arm], failures: Sequence[Failure]) -> set[str]:
    """The arms with a failed run of a seed that did not fail with all of them."""
    by_seed: dict[int, set[str]] = {}
    for failure in failures:
        by_seed.setdefault(failure.seed, set()).add(failure.arm)
    return set().union(*(names for names in by_seed.values() if len(names) < len(arms)))


def check_mode(mode: str) -> None:
    """Check the name of a mode."""
    if mode not in get_args(Mode):
        raise BadInputError(f'mode must be "min" or "max", got {mode!r}.')


def summary(values: Sequence[float]) -> Interval:
    """Return the mean of finite values with its 95 % interval (Student's t)."""
    mean, seeds = float(np.mean(values)), len(values)
    half = critical(seeds, 2) * float(np.std(values, ddof=1)) / math.sqrt(seeds) if seeds > 1 else 0.0
    return Interval(mean, mean - half, mean + half)


def pair(names: Sequence[str], table: Floats, one: str, other: str) -> Pair:
    """Compare two arms of a table (seeds, arms), less is better; the interval holds for all its pairs at once."""
    seeds, arms = table.shape
    columns = sorted((names.index(one), names.index(other)))
    better, worse = sorted(columns, key=lambda column: float(table[:, column].mean()))
    mean = float(table[:, worse].mean() - table[:, better].mean())
    if seeds == 1:
        return Pair(names[better], names[worse], Interval(mean, mean, mean), False, 1, None)
    _, variances = _differences(table[None])
    spread = math.sqrt(variances[0, list(combinations(range(arms), 2)).index((columns[0], columns[1]))])
    half = critical(seeds, arms) * spread / math.sqrt(seeds)
    is_settled = mean > half > 0
    needed = None if is_settled or not (mean > 0 and spread > 0) else _seeds_needed(mean, spread, seeds, arms)
    return Pair(names[better], names[worse], Interval(mean, mean - half, mean + half), is_settled, seeds, needed)


@cache
def critical(seeds: int, arms: int) -> float:
    """Return how many standard errors an interval reaches to either side, so that all pairs hold at once.

    It is the factor with which 95 % of simulated comparisons of equal arms have all their differences inside: the
    greater of that for arms that scatter alike and that for one arm that scatters three times as much. With two arms it
    is Student's t. There must be two seeds and two arms or more.

    Example:
        >>> [round(critical(3, arms), 1) for arms in (2, 8)]
        [4.3, 4.7]
    """
    draws = max(_DRAWS, 400_000 // arms**2)
    normal = np.random.default_rng(_SEED).standard_normal((draws, seeds, arms))
    loose = normal * np.array([_LOOSE, *[1.0] * (arms - 1)])
    return max(float(np.quantile(_greatest(each), _LEVEL)) for each in (normal, loose))


def _greatest(tables: Floats) -> Floats:
    """The greatest difference of each table (tables, seeds, arms), in standard errors."""
    means, variances = _differences(tables)
    found: Floats = (np.abs(means) / np.sqrt(variances / tables.shape[1])).max(axis=1)
    return found


def _differences(tables: Floats) -> tuple[Floats, Floats]:
    """The mean and the variance of the difference of each pair of arms, both (tables, pairs).

    A variance is at least that of the median pair: with few seeds a spread is badly known, and one that is small by
    chance would settle anything.
    """
    differences = (tables[..., i] - tables[..., j] for i, j in combinations(range(tables.shape[2]), 2))
    moments = [(each.mean(axis=1), each.var(axis=1, ddof=1)) for each in differences]
    means, variances = (np.stack(each, axis=1) for each in zip(*moments, strict=True))
    return means, np.maximum(variances, np.median(variances, axis=1, keepdims=True))


def _complete(scores: Mapping[str, Mapping[int, float]]) -> tuple[list[str], Floats]:
    """Return arms and what each gave, a row per seed that all have; arms of few seeds go where no seed is common."""
    names = list(scores)
    while names:
        common = sorted(set.intersection(*(set(scores[name]) for name in names)))
        if common:
            return names, np.array([[scores[name][seed] for name in names] for seed in common])
        names.remove(min(reversed(names), key=lambda name: len(scores[name])))
    return [], np.empty((0, 0))


def _kinds(arms: Sequence[Arm], names: Sequence[str], table: Floats) -> Pair | None:
    """The best arm of a fixed rate against the best of the others."""
    means = dict(zip(names, table.mean(axis=0), strict=True)) if names else {}
    fixed, moving = ([arm.name for arm in arms if arm.is_fixed is kind and arm.name in means] for kind in (True, False))
    if not (fixed and moving):
        return None
    return pair(names, table, min(fixed, key=means.__getitem__), min(moving, key=means.__getitem__))


def _seeds_needed(mean: float, spread: float, seeds: int, arms: int) -> int | None:
    """The least number of seeds whose interval would leave out 0; the factor of each stretch is its first one's."""
    for first, after in zip(_GRID, (*_GRID[1:], _MOST_SEEDS + 1), strict=True):
        needed = max(math.floor((critical(first, arms) * spread / mean) ** 2) + 1, first, seeds + 1)
        if needed < after:
            return needed
    return None
