"""The verdict, from paired differences between arms (docs/decisions/0009-paired-intervals.md), and in words."""

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import cache
from itertools import combinations, pairwise

import numpy as np
from numpy.typing import NDArray

from lrfind.compare.arms import labels, rates_of, renamed
from lrfind.compare.comparison import Arm, Comparison, Failure, Interval, Mode, Pair, Run, Verdict
from lrfind.words import certainty

Floats = NDArray[np.float64]

_GRID = (2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 15, 20, 30, 1_001)
"""Numbers of seeds that the critical value is taken at; as many as the last are never asked for."""


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
    failed_at = Counter(failure.seed for failure in failures)
    out = {*lost, *(failure.arm for failure in failures if failed_at[failure.seed] < len(arms))}
    names, table = _complete({name: of for name, of in scores.items() if of and name not in out})
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
    draws = max(20_000, 400_000 // arms**2)
    normal = np.random.default_rng(20_1708).standard_normal((draws, seeds, arms))
    loose = normal * np.array([3.0, *[1.0] * (arms - 1)])
    return max(float(np.quantile(_greatest(each), 0.95)) for each in (normal, loose))


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
    for first, after in pairwise(_GRID):
        if after > seeds + 1:
            needed = max(math.floor((critical(first, arms) * spread / mean) ** 2) + 1, first, seeds + 1)
            if needed < after:
                return needed
    return None


def in_words(verdict: Verdict, metric: str, mode: str) -> str:
    """Return a verdict, of which all but the sentence is set, as a few sentences."""
    said = [_answer(verdict, metric, mode)]
    if verdict.best is not None and verdict.lost:
        said.append(f"{_listed(verdict.lost)} lost: not every run ended with a finite {metric}.")
    if verdict.not_compared:
        verb = "is" if len(verdict.not_compared) == 1 else "are"
        said.append(f"{_listed(verdict.not_compared)} {verb} not compared: not every run finished.")
    if verdict.unsure:
        said.append(
            f"The search was unsure of the rates for {_listed(verdict.unsure)}, which may do better at another rate: "
            f"before you settle on this, compare it at several rates (lrs= or --lrs)."
        )
    kinds = verdict.kinds
    if kinds is not None and kinds.seeds > 1 and {kinds.first, kinds.second} != {verdict.best, verdict.pairs[0].second}:
        verb, end = ("beats", "") if kinds.is_settled else ("leads", ", too close to call")
        said += [f"Best fixed rate against best schedule: {kinds.first} {verb} {kinds.second} by {_span(kinds)}{end}."]
    return " ".join(said)


def closing(comparison: Comparison) -> str:
    """Say which rate to train with, and how the best guess (or, if a guess is best, the best found rate) compares."""
    means = {name: summary.mean for name, summary in comparison.summaries.items() if math.isfinite(summary.mean)}
    arms = {arm.name: arm for arm in comparison.arms if arm.name in means}
    best = arms.get(comparison.verdict.best or "")
    if best is None:
        return f"No rate trained to the end; {'try lower ones' if comparison.verdict.lost else 'see what failed'}."
    is_guess = best.origin == "given"
    finite = [name for name in arms if name not in comparison.verdict.lost]
    others = [name for name in finite if (arms[name].origin == "given") is not is_guess]
    use = [f"lr {rates_of(best)}", best.variant, "" if best.is_fixed else f"schedule {best.schedule}"]
    said = [f"Train with {', '.join(filter(None, use))}: {comparison.metric} {means[best.name]:.4g}."]
    if others:
        other = (min if comparison.mode == "min" else max)(others, key=means.__getitem__)
        said.append(f"The best {'found rate' if is_guess else 'guess'}, {other}, gives {means[other]:.4g}.")
    fixed = [arm.lr for arm in arms.values() if arm.is_fixed and arm.variant == best.variant]
    is_unsure = comparison.finding is not None and certainty(comparison.finding).startswith("unsure")
    if best.is_fixed and (is_guess or is_unsure) and best.lr in (min(fixed), max(fixed)) and len(fixed) > 1:
        end, further = ("lowest", "lower") if best.lr == min(fixed) else ("highest", "higher")
        said.append(
            f"lr {best.lr:.3g} is the {end} constant rate compared, so the best one may be far {further}: compare more."
        )
    return " ".join(said)


def _answer(verdict: Verdict, metric: str, mode: str) -> str:
    best, pairs = verdict.best, verdict.pairs
    if best is None and not verdict.lost:
        return "No winner: no arm finished all its runs."
    if best is None:
        return f"No winner: no arm ended every run with a finite {metric}."
    if not pairs and verdict.winner is not None:
        return f"{best} wins: it alone ended every run with a finite {metric}."
    if not pairs and verdict.lost:
        return f"No winner: only {best} ended with a finite {metric}, and one seed settles nothing."
    if not pairs:
        return f"No winner: only {best} finished all its runs."
    if verdict.winner is None:
        return _close(pairs, best, metric, "lowest" if mode == "min" else "highest")
    others = "the other arm" if len(pairs) == 1 else f"all {len(pairs)} other arms"
    return (
        f"{best} wins: it has a {'lower' if mode == 'min' else 'higher'} {metric} than {others}. "
        f"Over {pairs[0].seeds} seeds, {pairs[0].second} is behind by {_span(pairs[0])}."
    )


def _close(pairs: Sequence[Pair], best: str, metric: str, degree: str) -> str:
    if pairs[0].seeds == 1:
        behind = sorted(pairs, key=lambda pair: pair.difference.mean)
        order = ", ".join(f"{pair.second} ({pair.difference.mean:.3g} behind)" for pair in behind)
        return f"One seed: no interval. In order of {metric}: {best}, {order}. Train with three seeds or more."
    rivals = [pair for pair in pairs if not pair.is_settled]
    names, closest = _listed([pair.second for pair in rivals]), rivals[0]
    alike = [pair for pair in rivals if pair.seeds_needed is None]
    if not alike:
        remedy = f"About {max(pair.seeds_needed or 0 for pair in rivals)} seeds in all would settle it."
    elif all(pair.difference.low == pair.difference.high for pair in alike):
        remedy = "All seeds gave the same, so nothing is known about chance."
    else:
        remedy = f"More seeds would hardly tell {_listed([pair.second for pair in alike])} from it."
    return (
        f"Too close to call: {best} has the {degree} mean {metric}, but {closest.seeds} seeds do not tell it from "
        f"{names}. {closest.second} is behind by {_span(closest)}. {remedy}"
    )


def _span(pair: Pair) -> str:
    difference = pair.difference
    return f"{difference.mean:.3g} (95 % interval {difference.low:.3g} to {difference.high:.3g})"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
