"""A finding in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lrfind.records import Finding


def sentences(finding: Finding) -> list[str]:
    """Return what to use, how sure that is, what it rests on and cost, and what else a person should know."""
    low, high = finding.interval
    if finding.method == "calibrated":
        sure = (
            f"The best rate of a grid search should lie between {low:.2g} and {high:.2g} (so it does on nine in ten of "
            f"the benchmark's tasks), and most of these rates are often as good."
        )
    else:
        sure = f"With other seeds the {finding.method} reading would mostly lie between {low:.2g} and {high:.2g}."
    ramps = f"{len(finding.records)} range tests" if len(finding.records) > 1 else "one range test"
    return [
        _use(finding),
        sure,
        f"A cyclical schedule may go from {finding.base_lr:.2g} to {finding.max_lr:.2g}.",
        f"This is the {finding.method} reading of {ramps}: {finding.cost.steps} steps in {finding.cost.seconds:.1f} s.",
        *finding.notes,
    ]


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
