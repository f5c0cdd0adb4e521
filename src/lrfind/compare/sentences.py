"""The verdict in words."""

from __future__ import annotations

import math
from collections.abc import Sequence

from lrfind.compare.comparison import Comparison, Pair, Verdict


def in_words(verdict: Verdict, metric: str, mode: str) -> str:
    """Return the verdict as a few plain sentences.

    Args:
        verdict: All of it but its sentence.
        metric: What was compared.
        mode: Whether the least or the greatest is best.
    """
    said = [_answer(verdict, metric, mode)]
    if verdict.best is not None and verdict.lost:
        counts = "counts" if len(verdict.lost) == 1 else "count"
        said.append(f"{_listed(verdict.lost)} did not end every run with a finite {metric} and {counts} as worse.")
    if verdict.not_compared:
        verb = "is" if len(verdict.not_compared) == 1 else "are"
        said.append(f"{_listed(verdict.not_compared)} {verb} not compared: not every run was finished.")
    kinds = verdict.kinds
    if kinds is not None and kinds.seeds > 1 and {kinds.first, kinds.second} != {verdict.best, verdict.pairs[0].second}:
        said.append(_question(kinds))
    return " ".join(said)


def _answer(verdict: Verdict, metric: str, mode: str) -> str:
    if verdict.best is None and not verdict.lost:
        return "No winner: no arm finished all its runs."
    if verdict.best is None:
        return f"No winner: no arm ended every run with a finite {metric}."
    if not verdict.pairs:
        return _alone(verdict, metric)
    if verdict.winner is not None:
        return _winning(verdict.pairs, verdict.best, metric, mode)
    return _close(verdict.pairs, verdict.best, metric, mode)


def closing(comparison: Comparison) -> str:
    """Say what to take from a comparison: the best arm; beside a guess the best found one, else the best guess."""
    means = {name: summary.mean for name, summary in comparison.summaries.items() if math.isfinite(summary.mean)}
    arms = {arm.name: arm for arm in comparison.arms if arm.name in means}
    best = arms.get(comparison.verdict.best or "")
    if best is None:
        return "No rate trained to the end; try lower ones."
    is_guess = best.origin == "given"
    others = [name for name, arm in arms.items() if (arm.origin == "given") is not is_guess]
    better = min if comparison.mode == "min" else max
    other = better(others, key=means.__getitem__) if others else None
    which = "the best of those that were found" if is_guess else "the best of the guesses"
    beside = "" if other is None else f", against {means[other]:.4g} with {other}, {which}"
    schedule = "" if best.is_fixed else f" under the schedule {best.schedule}"
    variant = f" and {best.variant}" if best.variant else ""
    return f"Train this with lr {best.lr:.3g}{variant}{schedule}: {comparison.metric} {means[best.name]:.4g}{beside}."


def _alone(verdict: Verdict, metric: str) -> str:
    """One arm is left to compare."""
    if not verdict.lost:
        return f"No winner: only {verdict.best} finished all its runs, so there is nothing to compare it with."
    if verdict.winner is None:
        return f"No winner: {verdict.best} alone ended with a finite {metric}, but one seed settles nothing."
    return f"{verdict.best} wins: it alone ended every run with a finite {metric}."


def _winning(pairs: Sequence[Pair], best: str, metric: str, mode: str) -> str:
    closest = pairs[0]
    others = "the other arm" if len(pairs) == 1 else f"each of the {len(pairs)} other arms"
    which = "" if len(pairs) == 1 else f", the closest being {closest.second}"
    return (
        f"{best} wins: its {metric} is {'lower' if mode == 'min' else 'higher'} than that of {others}{which}: "
        f"by {_span(closest)} over {closest.seeds} seeds."
    )


def _close(pairs: Sequence[Pair], best: str, metric: str, mode: str) -> str:
    degree = "lowest" if mode == "min" else "highest"
    if pairs[0].seeds == 1:
        behind = sorted(pairs, key=lambda pair: pair.difference.mean)
        order = ", ".join(f"{pair.second} ({pair.difference.mean:.3g} behind)" for pair in behind)
        return f"One seed: no interval. In order of {metric}: {best}, {order}. Take three seeds or more."
    rivals = [pair for pair in pairs if not pair.is_settled]
    closest = rivals[0]
    return (
        f"Too close to call: {best} has the {degree} mean {metric}, but over {closest.seeds} seeds "
        f"{_listed([pair.second for pair in rivals])} cannot be told from it. "
        f"{closest.second} is behind by {_span(closest)}; {_remedy(rivals)}."
    )


def _remedy(rivals: Sequence[Pair]) -> str:
    needed = [pair.seeds_needed for pair in rivals]
    known = [count for count in needed if count is not None]
    if len(known) == len(needed):
        return f"about {max(known)} seeds in all would settle it"
    if all(pair.difference.low == pair.difference.high for pair in rivals if pair.seeds_needed is None):
        return "the seeds do not differ, so that nothing is known about chance"
    alike = [pair.second for pair in rivals if pair.seeds_needed is None]
    return f"no number of seeds within reason would tell {_listed(alike)} from it, so either will do"


def _question(kinds: Pair) -> str:
    told = "beats" if kinds.is_settled else "is too close to"
    end = "" if kinds.is_settled else " to call"
    return f"Fixed or scheduled: {kinds.first} {told} {kinds.second}{end}, {_span(kinds)}."


def _span(pair: Pair) -> str:
    difference = pair.difference
    return f"{difference.mean:.3g} (95 % interval {difference.low:.3g} to {difference.high:.3g})"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
