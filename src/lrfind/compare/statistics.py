"""The verdict from paired differences between arms; docs/decisions/0009-paired-intervals.md has the reasons."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import cache
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from lrfind.compare.arms import labels, renamed
from lrfind.compare.comparison import Arm, Failure, Interval, Mode, Pair, Run, Verdict
from lrfind.compare.sentences import in_words

Floats = NDArray[np.float64]

_LEVEL = 0.95
_LOOSE = 3.0  # the intervals also hold if one arm has this many times the standard deviation of the others

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
    """Return the verdict, and each arm's mean with its own 95 % interval.

    An arm with a run that ended with a non-finite metric has lost. An arm with a failed run is not compared and
    costs the others no seed; a seed that failed with every arm is left out. The rest are compared on common seeds.
    ``unsure`` names the variants whose rates the search was unsure of.
    """
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
    said = in_words(renamed(verdict, labels(arms)), metric, mode)
    return replace(verdict, sentence=said), summaries


def _failed(arms: Sequence[Arm], failures: Sequence[Failure]) -> set[str]:
    by_seed: dict[int, set[str]] = {}
    for failure in failures:
        by_seed.setdefault(failure.seed, set()).add(failure.arm)
    return set().union(*(names for names in by_seed.values() if len(names) < len(arms)))


def summary(values: Sequence[float]) -> Interval:
    """Return the mean of finite values with its 95 % interval (Student's t)."""
    mean, seeds = float(np.mean(values)), len(values)
    half = critical(seeds, 2) * float(np.std(values, ddof=1)) / math.sqrt(seeds) if seeds > 1 else 0.0
    return Interval(mean, mean - half, mean + half)


def pair(names: Sequence[str], table: Floats, one: str, other: str) -> Pair:
    """Compare two columns of a table (seeds, arms), lower is better; the interval holds for all its pairs at once."""
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
    """Return the half-width, in standard errors, of intervals that hold for all pairs at once; both counts from 2 up.

    It is simulated: the 95 % quantile of the greatest difference between equal arms, for arms of one variance or with
    one arm of three times the standard deviation, whichever is greater. With two arms it is Student's t.

    Example:
        >>> [round(critical(3, arms), 1) for arms in (2, 8)]
        [4.3, 4.7]
    """
    draws = max(_DRAWS, 400_000 // arms**2)
    normal = np.random.default_rng(_SEED).standard_normal((draws, seeds, arms))
    loose = normal * np.array([_LOOSE, *[1.0] * (arms - 1)])
    return max(float(np.quantile(_greatest(each), _LEVEL)) for each in (normal, loose))


def _greatest(tables: Floats) -> Floats:
    """Return the greatest difference within each table (tables, seeds, arms), in standard errors."""
    means, variances = _differences(tables)
    found: Floats = (np.abs(means) / np.sqrt(variances / tables.shape[1])).max(axis=1)
    return found


def _differences(tables: Floats) -> tuple[Floats, Floats]:
    """Return the mean and the variance of each pair's differences, both of shape (tables, pairs).

    A variance is raised to that of the median pair: with few seeds, one that is small by chance would settle anything.
    """
    first, second = np.triu_indices(tables.shape[2], 1)
    means = tables.mean(axis=1)
    centred = tables - means[:, None]
    shared = centred.transpose(0, 2, 1) @ centred / (tables.shape[1] - 1)  # covariances of (tables, arms, arms)
    own = np.diagonal(shared, axis1=1, axis2=2)
    variances = np.maximum(own[:, first] + own[:, second] - 2 * shared[:, first, second], 0.0)
    return means[:, first] - means[:, second], np.maximum(variances, np.median(variances, axis=1, keepdims=True))


def _complete(scores: Mapping[str, Mapping[int, float]]) -> tuple[list[str], Floats]:
    """Return arms and a row per seed that all have, dropping arms with few seeds until they have one in common."""
    names = list(scores)
    while names:
        common = sorted(set.intersection(*(set(scores[name]) for name in names)))
        if common:
            return names, np.array([[scores[name][seed] for name in names] for seed in common])
        names.remove(min(reversed(names), key=lambda name: len(scores[name])))
    return [], np.empty((0, 0))


def _kinds(arms: Sequence[Arm], names: Sequence[str], table: Floats) -> Pair | None:
    """Compare the best fixed arm with the best scheduled one."""
    means = dict(zip(names, table.mean(axis=0), strict=True)) if names else {}
    fixed, moving = ([arm.name for arm in arms if arm.is_fixed is kind and arm.name in means] for kind in (True, False))
    if not (fixed and moving):
        return None
    return pair(names, table, min(fixed, key=means.__getitem__), min(moving, key=means.__getitem__))


def _seeds_needed(mean: float, spread: float, seeds: int, arms: int) -> int | None:
    """Return the least number of seeds whose interval would exclude 0, with the critical value taken from ``_GRID``."""
    for first, after in zip(_GRID, (*_GRID[1:], _MOST_SEEDS + 1), strict=True):
        if after > seeds + 1:
            needed = max(math.floor((critical(first, arms) * spread / mean) ** 2) + 1, first, seeds + 1)
            if needed < after:
                return needed
    return None
