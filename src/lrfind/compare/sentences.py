"""The verdict in words."""

from __future__ import annotations

import math
from collections.abc import Sequence

from lrfind.compare.comparison import Comparison, Pair, Verdict
from lrfind.words import certainty


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
        how = f"{kinds.first} beats {kinds.second}" if kinds.is_settled else f"{kinds.first} leads {kinds.second}"
        end = "" if kinds.is_settled else ", too close to call"
        said.append(f"Best fixed rate against best schedule: {how} by {_span(kinds)}{end}.")
    return " ".join(said)


def closing(comparison: Comparison) -> str:
    """Say which rate to train with, and how the best guess (or, if a guess is best, the best found rate) compares."""
    means = {name: summary.mean for name, summary in comparison.summaries.items() if math.isfinite(summary.mean)}
    arms = {arm.name: arm for arm in comparison.arms if arm.name in means}
    best = arms.get(comparison.verdict.best or "")
    if best is None:
        return "No rate trained to the end; try lower ones."
    is_guess = best.origin == "given"
    finite = [name for name in arms if name not in comparison.verdict.lost]
    others = [name for name in finite if (arms[name].origin == "given") is not is_guess]
    use = [f"lr {best.lr:.3g}", best.variant, "" if best.is_fixed else f"schedule {best.schedule}"]
    said = [f"Train with {', '.join(filter(None, use))}: {comparison.metric} {means[best.name]:.4g}."]
    if others:
        other = (min if comparison.mode == "min" else max)(others, key=means.__getitem__)
        said.append(f"The best {'found rate' if is_guess else 'guess'}, {other}, gives {means[other]:.4g}.")
    fixed = [arm.lr for arm in arms.values() if arm.is_fixed and arm.variant == best.variant]
    is_unsure = comparison.finding is not None and certainty(comparison.finding).startswith("unsure")
    if best.is_fixed and (is_guess or is_unsure) and best.lr in (min(fixed), max(fixed)) and len(fixed) > 1:
        end, further = ("lowest", "lower") if best.lr == min(fixed) else ("highest", "higher")
        said.append(
            f"lr {best.lr:.3g} is the {end} rate that was compared, so the best one may be far {further}: compare more."
        )
    return " ".join(said)


def _answer(verdict: Verdict, metric: str, mode: str) -> str:
    best, pairs, is_least = verdict.best, verdict.pairs, mode == "min"
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
        return _close(pairs, best, metric, "lowest" if is_least else "highest")
    others = "the other arm" if len(pairs) == 1 else f"all {len(pairs)} other arms"
    return (
        f"{best} wins: it has a {'lower' if is_least else 'higher'} {metric} than {others}. "
        f"Over {pairs[0].seeds} seeds, {pairs[0].second} is behind by {_span(pairs[0])}."
    )


def _close(pairs: Sequence[Pair], best: str, metric: str, degree: str) -> str:
    if pairs[0].seeds == 1:
        behind = sorted(pairs, key=lambda pair: pair.difference.mean)
        order = ", ".join(f"{pair.second} ({pair.difference.mean:.3g} behind)" for pair in behind)
        return f"One seed: no interval. In order of {metric}: {best}, {order}. Train with three seeds or more."
    rivals = [pair for pair in pairs if not pair.is_settled]
    names, closest = _listed([pair.second for pair in rivals]), rivals[0]
    return (
        f"Too close to call: {best} has the {degree} mean {metric}, but {closest.seeds} seeds do not tell it from "
        f"{names}. {closest.second} is behind by {_span(closest)}. {_remedy(rivals)}"
    )


def _remedy(rivals: Sequence[Pair]) -> str:
    needed = [pair.seeds_needed for pair in rivals if pair.seeds_needed is not None]
    alike = [pair for pair in rivals if pair.seeds_needed is None]
    if not alike:
        return f"About {max(needed)} seeds in all would settle it."
    if all(pair.difference.low == pair.difference.high for pair in alike):
        return "All seeds gave the same, so nothing is known about chance."
    return f"More seeds would hardly tell {_listed([pair.second for pair in alike])} from it."


def _span(pair: Pair) -> str:
    difference = pair.difference
    return f"{difference.mean:.3g} (95 % interval {difference.low:.3g} to {difference.high:.3g})"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
