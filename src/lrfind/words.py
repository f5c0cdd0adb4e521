"""A finding in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lrfind.records import Finding


_MANY = 6
"""Of more param groups than this only the least and the greatest rate are said."""

_WIDE = 1000
"""An interval whose ends are further apart than this, as a ratio, tells next to nothing."""


def sentences(finding: Finding) -> list[str]:
    """Return what to use, how sure that is, what it rests on and cost, and what else a person should know."""
    low, high = finding.interval
    if finding.method == "calibrated":
        meaning = (
            "so wide a span that the search says little" if high > _WIDE * low else "and most of it is often as good"
        )
        sure = (
            f"The best rate of a grid search should lie between {low:.2g} and {high:.2g}, {meaning}; such intervals "
            f"hold it on nine in ten of the benchmark's tasks."
        )
    else:
        sure = f"With other seeds the {finding.method} reading would mostly lie between {low:.2g} and {high:.2g}."
    ramps = f"{len(finding.records)} range tests" if len(finding.records) > 1 else "one range test"
    return [
        _use(finding),
        *_groups(finding),
        sure,
        f"A cyclical schedule may go from {finding.base_lr:.2g} to {finding.max_lr:.2g}.",
        f"This is the {finding.method} reading of {ramps}: {finding.cost.steps} steps in {finding.cost.seconds:.1f} s.",
        *finding.notes,
    ]


def announcement(finding: Finding, *, is_applied: bool) -> str:
    """Return the line that a callback says: the rate, what it cost and whether training uses it."""
    cost = f"{finding.cost.steps} steps ({finding.cost.seconds:.1f} s)"
    return f"lrfind: lr {finding.lr:.3g} found in {cost}; training {'uses' if is_applied else 'does not use'} it."


def _groups(finding: Finding) -> list[str]:
    """Say each param group's rate, where they differ."""
    ratios = finding.records[0].ratios if finding.records else ()
    if len(set(ratios)) < 2:
        return []
    rates = [f"{finding.lr * ratio:.3g}" for ratio in ratios]
    if len(rates) > _MANY:
        least, greatest = finding.lr * min(ratios), finding.lr * max(ratios)
        return [f"The rates of its {len(rates)} param groups then go from {least:.3g} to {greatest:.3g}."]
    return [f"Its param groups then train with {', '.join(rates[:-1])} and {rates[-1]}."]


def _use(finding: Finding) -> str:
    """What to train with, and for which training."""
    name = finding.records[0].optimizer if finding.records else ""
    with_what = f"Train {name} with" if name else "Train with"
    schedule = "held constant" if finding.schedule == "constant" else f"as the peak of the {finding.schedule} schedule"
    length = " or ".join(
        f"{count:,g} {unit}{'' if count == 1 else 's'}"
        for count, unit in ((finding.horizon, "step"), (finding.epochs, "epoch"))
        if count
    )
    return f"{with_what} lr {finding.lr:.3g}, {schedule}{', for ' + length if length else ''}."
