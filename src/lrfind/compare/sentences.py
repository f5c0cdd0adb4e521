"""The verdict in words."""

from __future__ import annotations

from collections.abc import Sequence

from lrfind.compare.comparison import Pair


def in_words(
    pairs: Sequence[Pair],
    winner: str | None,
    best: str | None,
    kinds: Pair | None,
    lost: Sequence[str],
    metric: str,
    mode: str,
) -> str:
    """Return the verdict as a few plain sentences.

    Args:
        pairs: The best arm against the others, the closest first.
        winner: The arm that beats all others.
        best: The arm that is best in the mean.
        kinds: The best fixed arm against the best under a schedule.
        lost: Arms with a run that did not end with a finite metric.
        metric: What was compared.
        mode: Whether the least or the greatest is best.
    """
    if best is None:
        return f"No winner: no arm ended every run with a finite {metric}."
    said = [_winning(pairs, best, metric, mode) if winner else _close(pairs, best, metric, mode)]
    if lost:
        said.append(f"{_listed(lost)} did not end every run with a finite {metric} and {_counts(lost)} as worse.")
    if kinds is not None and {kinds.first, kinds.second} != {best, pairs[0].second}:
        said.append(_question(kinds))
    return " ".join(said)


def _winning(pairs: Sequence[Pair], best: str, metric: str, mode: str) -> str:
    if not pairs:
        return f"{best} wins: it alone ended every run with a finite {metric}."
    closest = pairs[0]
    others = "the other arm" if len(pairs) == 1 else f"each of the {len(pairs)} other arms"
    which = "" if len(pairs) == 1 else f", the closest being {closest.second}"
    return (
        f"{best} wins: its {metric} is {'lower' if mode == 'min' else 'higher'} than that of {others}{which}: "
        f"by {_span(closest)} over {closest.seeds} seeds."
    )


def _close(pairs: Sequence[Pair], best: str, metric: str, mode: str) -> str:
    if not pairs:
        return f"No winner: only {best} ended with a {metric}, so there is nothing to compare it with."
    degree = "lowest" if mode == "min" else "highest"
    if pairs[0].seeds == 1:
        return f"Too close to call: {best} has the {degree} {metric}, but one seed settles nothing; train 3 or more."
    rivals = [one for one in pairs if not one.is_settled]
    names = _listed([one.second for one in rivals])
    closest = rivals[0]
    which = "" if len(rivals) == 1 else f"; the closest, {closest.second},"
    verb = "is" if which or len(rivals) == 1 else "are"
    within = (
        f"{names} cannot be told from it{which} {verb} behind by {_span(closest)}"
        if which
        else (f"{names} {verb} behind by only {_span(closest)}")
    )
    return (
        f"Too close to call: {best} has the {degree} mean {metric}, but {within} over {closest.seeds} seeds; "
        f"{_remedy(rivals)}."
    )


def _remedy(rivals: Sequence[Pair]) -> str:
    needed = [one.seeds_needed for one in rivals]
    known = [count for count in needed if count is not None]
    if len(known) == len(needed):
        return f"about {max(known)} seeds in all would settle it"
    if all(one.difference.low == one.difference.high for one in rivals if one.seeds_needed is None):
        return "the seeds do not differ, so that nothing is known about chance"
    return "no number of seeds within reason would settle it, so either will do"


def _question(kinds: Pair) -> str:
    told = "beats" if kinds.is_settled else "is too close to"
    end = "" if kinds.is_settled else " to call"
    return f"Fixed or scheduled: {kinds.first} {told} {kinds.second}{end}, {_span(kinds)}."


def _span(one: Pair) -> str:
    difference = one.difference
    return f"{difference.mean:.3g} (95 % interval {difference.low:.3g} to {difference.high:.3g})"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _counts(names: Sequence[str]) -> str:
    return "counts" if len(names) == 1 else "count"
