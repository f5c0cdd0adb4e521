"""The verdict: paired differences between arms, with intervals that hold for all pairs at once.

docs/decisions/0009-paired-intervals.md says why these intervals, with their measured coverage.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from lrfind.compare.comparison import Interval, Pair, Verdict
from lrfind.compare.runs import Arm, Failure, Run
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
    arms: Sequence[Arm], runs: Sequence[Run], metric: str, mode: Mode, failures: Sequence[Failure] = ()
) -> tuple[Verdict, dict[str, Interval]]:
    """Say which arm wins, or that it is too close to call.

    An arm with a run that did not end with a finite metric has lost: it is not among the pairs. An arm with a run that
    failed is not compared, since that says nothing of its rate, and takes no seed from the others; a seed that failed
    with every arm is left out. The others are compared on the seeds that all of them have.

    Args:
        arms: The arms, in the order to show.
        runs: The finished runs.
        metric: What is compared, at the end of training.
        mode: Whether the least or the greatest is best.
        failures: The runs that ended with an error.

    Returns:
        The verdict, and the mean of each arm's finite metrics with its own 95 % interval.

    Raises:
        BadInputError: If the mode is unknown.
    """
    check_mode(mode)
    scores = {arm.name: {run.seed: run.final(metric) for run in runs if run.arm == arm.name} for arm in arms}
    summaries = {
        name: summary(list(of.values())) for name, of in scores.items() if any(map(math.isfinite, of.values()))
    }
    lost = tuple(name for name, of in scores.items() if of and not all(map(math.isfinite, of.values())))
    failed = _failed(arms, failures)
    whole = {name: of for name, of in scores.items() if of and name not in lost and name not in failed}
    names, table = _complete(whole)
    not_compared = tuple(name for name in scores if name not in names and name not in lost)
    found = _settled(arms, names, table if mode == "min" else -table)
    found = replace(found, lost=lost, not_compared=not_compared)
    found = replace(found, winner=found.winner if found.pairs or lost else None)
    return replace(found, sentence=in_words(found, metric, mode)), summaries


def _failed(arms: Sequence[Arm], failures: Sequence[Failure]) -> set[str]:
    """The arms with a failed run of a seed that did not fail with all of them."""
    by_seed: dict[int, set[str]] = {}
    for failure in failures:
        by_seed.setdefault(failure.seed, set()).add(failure.arm)
    return set().union(*(names for names in by_seed.values() if len(names) < len(arms)))


def _settled(arms: Sequence[Arm], names: Sequence[str], table: Floats) -> Verdict:
    """The best arm of a table against the others; less is better."""
    if not names:
        return Verdict("", None, None, ())
    best = names[int(np.argmin(table.mean(axis=0)))]
    pairs = tuple(sorted((pair(names, table, best, other) for other in names if other != best), key=_closeness))
    is_settled = len(table) > 1 and all(one.is_settled for one in pairs)
    return Verdict("", best if is_settled else None, best, pairs, _kinds(arms, names, table), seeds=len(table))


def check_mode(mode: str) -> None:
    """Check the name of a mode.

    Raises:
        BadInputError: If it is unknown.
    """
    if mode not in get_args(Mode):
        raise BadInputError(f'mode must be "min" or "max", got {mode!r}.')


def summary(values: Sequence[float]) -> Interval:
    """Return the mean of the finite values with its 95 % interval (Student's t).

    Example:
        >>> summary([1.0, 1.0])
        Interval(mean=1.0, low=1.0, high=1.0)
    """
    finite = np.array([value for value in values if math.isfinite(value)])
    if not len(finite):
        return Interval(math.nan, math.nan, math.nan)
    mean, half = float(finite.mean()), 0.0
    if len(finite) > 1:
        half = critical(len(finite), 2) * float(finite.std(ddof=1)) / math.sqrt(len(finite))
    return Interval(mean, mean - half, mean + half)


def pair(names: Sequence[str], table: Floats, one: str, other: str) -> Pair:
    """Compare two arms seed by seed, with an interval that holds for all pairs of the table at once.

    Args:
        names: The arms, one per column.
        table: What each seed (row) gave with each arm (column); less is better.
        one: An arm.
        other: Another one.
    """
    seeds = len(table)
    means = table.mean(axis=0)
    i, j = sorted((names.index(one), names.index(other)), key=lambda column: float(means[column]))
    mean = float(means[j] - means[i])
    if seeds == 1:
        return Pair(names[i], names[j], Interval(mean, mean, mean), False, 1, None)
    variances = _variances(_covariances(table[None]))[0]
    spread = math.sqrt(max(float(variances[i, j]), _usual(variances[None])[0]))
    half = critical(seeds, len(names)) * spread / math.sqrt(seeds)
    is_settled = mean > half > 0
    needed = None if is_settled or not (mean > 0 and spread > 0) else _seeds_needed(mean, spread, seeds, len(names))
    return Pair(names[i], names[j], Interval(mean, mean - half, mean + half), is_settled, seeds, needed)


@cache
def critical(seeds: int, arms: int) -> float:
    """Return how many standard errors an interval reaches to either side, so that all pairs hold at once.

    The standard error of a pair is that of its own paired differences, but at least the median pair's: with few seeds
    a spread is badly known, and one that is small by chance would settle anything. The factor is the one with
    which 95 % of simulated comparisons of equal arms have all their differences inside: the greater of that for arms
    that scatter alike and that for one arm that scatters three times as much. With two arms it is Student's t.

    Args:
        seeds: How many seeds every arm has, at least 2.
        arms: How many arms there are, at least 2.

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
    seeds, arms = tables.shape[1:]
    variances = _variances(_covariances(tables))
    means = tables.mean(axis=1)
    differences = np.abs(means[:, :, None] - means[:, None, :])
    spreads = np.maximum(variances, _usual(variances)[:, None, None])
    first, second = np.triu_indices(arms, 1)
    ratios: Floats = (differences[:, first, second] / np.sqrt(spreads[:, first, second] / seeds)).max(axis=1)
    return ratios


def _covariances(tables: Floats) -> Floats:
    centred = tables - tables.mean(axis=1, keepdims=True)
    found: Floats = centred.transpose(0, 2, 1) @ centred / (tables.shape[1] - 1)
    return found


def _variances(covariances: Floats) -> Floats:
    """The variance of the difference of each pair of arms."""
    own = np.einsum("nii->ni", covariances)
    found: Floats = np.maximum(own[:, :, None] + own[:, None, :] - 2 * covariances, 0.0)
    return found


def _usual(variances: Floats) -> Any:
    """The variance of the median pair of each table."""
    first, second = np.triu_indices(variances.shape[1], 1)
    return np.median(variances[:, first, second], axis=1)


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
    fixed = [arm.name for arm in arms if arm.is_fixed and arm.name in names]
    moving = [arm.name for arm in arms if not arm.is_fixed and arm.name in names]
    if not (fixed and moving):
        return None
    means = dict(zip(names, table.mean(axis=0), strict=True))
    return pair(names, table, min(fixed, key=means.__getitem__), min(moving, key=means.__getitem__))


def _seeds_needed(mean: float, spread: float, seeds: int, arms: int) -> int | None:
    """The least number of seeds whose interval would leave out 0; the factor of each stretch is its first one's."""
    for first, after in zip(_GRID, (*_GRID[1:], _MOST_SEEDS + 1), strict=True):
        needed = max(math.floor((critical(first, arms) * spread / mean) ** 2) + 1, first, seeds + 1)
        if needed < after:
            return needed
    return None


def _closeness(one: Pair) -> tuple[bool, float]:
    return one.is_settled, one.difference.low if one.is_settled else one.difference.mean
