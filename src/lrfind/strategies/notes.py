"""Notes on a finding: what it rests on, and what would help."""

import math
from dataclasses import replace

from lrfind.curves import Curve
from lrfind.records import Finding, Record
from lrfind.suggest.calibrated import Evidence, Reading
from lrfind.suggest.edges import edge, fall, has_edge, is_saturated
from lrfind.suggest.replies import highest, reply_to
from lrfind.suggest.training import SHORT

AROUND = 4
"""For short trainings, rates this many times lower and higher should be tried."""


def notes_on(record: Record, curve: Curve, reading: Reading, *, share: float, steps: float | None) -> list[str]:
    """Return the notes on the first ramp's reading; readings like it make a ``share`` of the found rate, in [0, 1]."""
    rests_on = reading.rests_on
    notes = [_evidence(curve, rests_on, share * reading.leaning, steps), _end(record, curve, rests_on), _gaps(record)]
    return [note for note in notes if note]


def _evidence(curve: Curve, rests_on: Evidence, leaning: float, steps: float | None) -> str:
    whose = f"what is usual for {curve.optimizer}" if curve.is_fresh else f"the {curve.used:.2g} that training has"
    leans = f"leans by {leaning if leaning == 1.0 else min(leaning, 0.99):.0%} on {whose}"  # all: only if none is read
    is_short = steps is not None and steps < SHORT  # for which there is other advice
    remedy = "" if is_short else "take larger batches" if curve.is_spiky else "take more steps or larger batches"
    if rests_on == "none":
        return (
            f"The steps of {curve.optimizer} do not follow its rate once it has begun, so that a ramp shows nothing; "
            f"its own rate is kept: compare a few rates by training."
        )
    if rests_on == "capped":
        return (
            f"{curve.optimizer} caps its steps: no rate was too high, and in this training hardly any above "
            f"{highest(curve, steps):.2g} makes a difference."
        )
    if rests_on == "saturated, adaptive" and edge(curve) < curve.lrs[-1]:
        return (
            f"The loss never rose above its start, so no rate was shown to be too high, and the rate {leans}; to be "
            f"sure, compare it by training with one four times as high."
        )
    if rests_on == "saturated, adaptive":
        return f"No rate was shown to be too high, so it {leans}."
    if rests_on in ("prior", "in use"):
        fell = f"The loss fell by {max(fall(curve), 0.0) / curve.noise:.1f} times its noise, so the rate {leans}"
        worth = ", which is mostly close to the best" if curve.is_fresh else ""
        return f"{fell}{worth}{remedy and f'; for more evidence {remedy}'}."
    if rests_on != "weak":
        return ""
    why = " Single losses lie far above the others, and more steps would not help." if curve.is_spiky else ""
    fell = "The loss fell by no more than its noise, so the rate rests on where it began to rise; the evidence is weak"
    return f"{fell}{remedy and f': {remedy}'}.{why}"


def _end(record: Record, curve: Curve, rests_on: Evidence) -> str:
    if rests_on in ("none", "capped") or not has_edge(curve) or record.stop != "done":
        return ""
    if edge(curve) >= curve.lrs[-1]:
        return (
            f"The loss was still falling at the highest rate tried, {curve.lrs[-1]:.3g}; raise max_lr to see its edge."
        )
    if is_saturated(curve) and not reply_to(curve).is_scale_free:
        return (
            "The loss saturates: it never rose above its start, so that no rate was shown to be too high; the rate "
            "rests on where the loss fell. To be sure, compare it by training with one four times as low."
        )
    return ""


def _gaps(record: Record) -> str:
    gaps = sum(not math.isfinite(loss) for loss in record.losses)
    if not gaps:
        return ""
    skipped = "" if record.stop == "non-finite" else "; they were left out"
    return f"{gaps} of {len(record.losses)} losses were not finite{skipped}."


def rates_to_try(finding: Finding) -> list[str]:
    """Return the rates to train in full at if training is too short for a finder to be sure; else none."""
    steps, cost = finding.length.steps, finding.cost.steps
    if not steps or not (finding.length.is_short or cost > steps / 2):
        return []
    return [f"{finding.lr * factor:.2g}" for factor in (1 / AROUND, 1, AROUND)]


def with_advice(finding: Finding) -> Finding:
    """Return a finding with advice on what to do if training is too short for a finder to be sure."""
    if not (lrs := rates_to_try(finding)):
        return finding
    said = (
        f"Training takes {finding.length.steps:,.0f} steps and the search took {finding.cost.steps}: that is too short "
        f"for a finder to be sure. Train in full at {lrs[0]}, {lrs[1]} and {lrs[2]} and keep the best."
    )
    return replace(finding, notes=(*finding.notes, said))
