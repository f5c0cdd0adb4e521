"""Fit the constants of a rule on all families of tasks but one, and score it on the one left out.

Run: ``python -m benchmarks.calibrate``, optionally with names of rules: prints how each scores, and its constants
fitted on every family.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import log2

import numpy as np
import numpy.typing as npt

from benchmarks.measures import BAD, Truth
from benchmarks.rule import Case, Rule, to_case
from benchmarks.sweeps import Sweep
from benchmarks.task import Task
from lrfind.errors import LRFindError
from lrfind.strategies.reading import Ramps, is_slower_than
from lrfind.suggest.edges import edge

Array = npt.NDArray[np.float64]

STEPS = (1.0, 0.5, 0.2, 0.1, 0.05)
"""How far the fit moves one constant at a time, coarse to fine, in octaves."""


CAP = 2 * BAD
"""What a regret is above this counts less in a fit (in the scores it does not)."""


@dataclass(frozen=True, slots=True)
class Blur:
    """How a fit counts the regret of a rate: as the mean over its surroundings.

    What is known of a task that is not seen is no sharper, and constants at the brink of a cliff must not look good.

    Attributes:
        beyond: How much what lies above ``CAP`` counts: a task that no constant can save must not bend it for others.
        jitter: Standard deviation of the surroundings, in octaves.
    """

    beyond: float
    jitter: float


FIRST, LATER = Blur(0.05, 1.0), Blur(1.0, 0.7)
"""For the constants that are fitted on the first families, and on those that the benchmark was widened by."""

FINE = np.arange(-26.0, 10.0, 0.05)
"""Octaves at which that mean is computed; between them it is interpolated."""


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """What a rule sees of one or more range tests, and what its answer is worth.

    Attributes:
        family: Of the task.
        group: Of the task; ``"shorter"`` for one that is trained for an eighth of its steps.
        truth: What the answer is scored against.
        seed: The search seed.
        anchor: Where the rule reads; NaN where it cannot.
        features: What its constants are multiplied with.
        without: Likewise, for the answer that needs no curve, if there is one.
        known: What that answer begins with.
        ceiling: The highest logarithm of a rate that it may answer.
        steps: What the range tests took.
        seconds: Likewise.
    """

    family: str
    group: str
    truth: Truth
    seed: int
    anchor: float
    features: tuple[float, ...]
    steps: int
    seconds: float
    without: tuple[float, ...] | None = None
    known: float = 0.0
    ceiling: float = np.inf

    def octave(self, constants: Array) -> float:
        """Return the logarithm of the rate that these constants give."""
        return min(self.anchor - float(np.dot(self.features, constants)), self.ceiling)


def samples_of(
    rule: Rule,
    groups: Iterable[Sequence[Sweep]],
    tasks: dict[str, Task],
    truths: dict[tuple[str, str], Truth],
) -> list[Sample]:
    """Return one sample per schedule and group of range tests; the readings of a group are averaged in log-rate."""
    found = []
    for group in groups:
        name, seed = group[0].task, group[0].seed
        for schedule in tasks[name].schedules if name in tasks else ():
            if (name, schedule) not in truths:
                continue
            cases = [to_case(sweep.record, tasks[name], schedule) for sweep in group]
            anchor, features = _read(rule, cases)
            records = [sweep.record for sweep in group]
            found.append(
                Sample(
                    tasks[name].family,
                    tasks[name].group,
                    truths[name, schedule],
                    seed,
                    anchor,
                    features,
                    sum(len(record.lrs) for record in records),
                    sum(record.seconds for record in records),
                    rule.without(cases[0]),
                    rule.known(cases[0]),
                    rule.ceiling(cases[0]),
                )
            )
    return found


def _read(rule: Rule, cases: Sequence[Case]) -> tuple[float, tuple[float, ...]]:
    """Return the mean anchor and features of the cases that can be read, as ``lrfind.strategies.reading`` takes it."""
    first, found, shares = cases[0], list[tuple[float, ...]](), list[float]()
    slower = rule.closer
    ramps = Ramps([case.record for case in cases], "calibrated" if slower else "another", first.training)
    for record, share in ramps.counted:
        case = replace(first, record=record)
        by = slower if slower and is_slower_than(first.record, record) and not ramps.is_noisy else rule
        try:
            row = (by.anchor(case), *by.features(case))
        except LRFindError:
            if not (ramps.is_noisy and found and record.stop == "done"):
                continue
            beyond = max(log2(record.lrs[-1] / edge(first.curve)), 0.0)
            row = (found[0][0] + beyond, *found[0][1:])
        found.append(row)
        shares.append(share)
    if not found:
        return np.nan, (0.0,) * len(rule.start)
    anchor, *features = np.average(found, axis=0, weights=shares).tolist()
    return anchor, tuple(features)


def fit(
    samples: Sequence[Sample], start: Sequence[float], places: Sequence[int] | None = None, blur: Blur = FIRST
) -> Array:
    """Return the constants that make the mean regret of the samples least, moving one at a time, or only some."""
    groups = _grouped(samples, blur)
    constants = np.array(start, dtype=float)
    least = _objective(groups, constants)
    for step in STEPS:
        is_better = True
        while is_better:
            is_better = False
            for at in range(len(constants)) if places is None else places:
                for sign in (-1, 1):
                    moved = constants.copy()
                    moved[at] += sign * step
                    now = _objective(groups, moved)
                    if now < least - 1e-9:
                        constants, least, is_better = moved, now, True
    return constants


def fit_both(samples: Sequence[Sample], rule: Rule) -> Array:
    """Return the constants fitted on the first families, and the last ones on those that came later."""
    return _fit_later(samples, rule, _fit_first(samples, rule))


def _fit_first(samples: Sequence[Sample], rule: Rule) -> Array:
    first = [one for one in samples if one.group == "seen"]
    return fit(first, rule.start) if first else np.array(rule.start, dtype=float)


def _fit_later(samples: Sequence[Sample], rule: Rule, constants: Array) -> Array:
    later = [one for one in samples if one.group in ("wider", "shorter")]
    if not (rule.later and later):
        return constants
    return fit(later, constants, range(len(rule.start) - rule.later, len(rule.start)), LATER)


def leave_one_out(samples: Sequence[Sample], rule: Rule) -> dict[str, Array]:
    """Return, for each family, constants fitted on the others; unseen families are never fitted on."""
    whole = _fit_first(samples, rule)
    everywhere = _fit_later(samples, rule, whole)
    found: dict[str, Array] = {}
    for family, group in sorted({(one.family, one.group) for one in samples if one.group != "shorter"}):
        others = [one for one in samples if one.family != family]
        if group == "seen":
            found[family] = fit_both(others, rule)
        else:
            found[family] = _fit_later(others, rule, whole) if group == "wider" else everywhere
    return found


def blurred(truth: Truth, blur: Blur = FIRST) -> Array:
    """Return the regret at ``FINE``, compressed above ``CAP``, as the mean over the surroundings of each rate."""
    regrets = np.array([truth.regret(2.0**octave) for octave in FINE])
    regrets = np.minimum(regrets, CAP) + blur.beyond * np.maximum(regrets - CAP, 0)
    away = np.arange(-3 * blur.jitter, 3 * blur.jitter + 1e-9, FINE[1] - FINE[0])
    weights = np.exp(-0.5 * (away / blur.jitter) ** 2)
    padded = np.pad(regrets, len(away) // 2, mode="edge")
    return np.asarray(np.convolve(padded, weights / weights.sum(), "valid")[: len(FINE)])


def _grouped(samples: Sequence[Sample], blur: Blur) -> list[tuple[Array, Array, Array]]:
    """Return, per truth, its blurred regrets, and the anchors and features of its samples that could be read."""
    groups: dict[int, tuple[Truth, list[float], list[tuple[float, ...]]]] = {}
    for sample in samples:
        _, anchors, features = groups.setdefault(id(sample.truth), (sample.truth, [], []))
        if np.isfinite(sample.anchor):
            anchors.append(sample.anchor)
            features.append(sample.features)
        if sample.without is not None and blur is FIRST:
            anchors.append(sample.known)
            features.append(sample.without)
    return [
        (blurred(truth, blur), np.array(anchors), np.array(features))
        for truth, anchors, features in groups.values()
        if anchors
    ]


def _objective(groups: Sequence[tuple[Array, Array, Array]], constants: Array) -> float:
    """The mean blurred regret."""
    regrets = [np.interp(anchors - features @ constants, FINE, regret) for regret, anchors, features in groups]
    return float(np.concatenate(regrets).mean())


def main() -> None:
    """Print how rules score when calibrated without the family that is scored."""
    from benchmarks.rules import RULES
    from benchmarks.scoring import Stored, calibrated_scores, designs
    from benchmarks.tasks import TASKS

    parser = argparse.ArgumentParser(description="Calibrate rules, leaving one family out.")
    parser.add_argument("rules", nargs="*", default=list(RULES))
    stored = Stored.load(TASKS)
    print(
        f"{'rule':60s} {'mean':>7s} {'bad':>6s} {'p90':>6s} {'worst':>6s} | unseen {'mean':>7s} {'bad':>6s}  constants"
    )
    for name in parser.parse_args().rules:
        for title, groups in designs(stored.sweeps).items():
            scores, constants = calibrated_scores(RULES[name], stored, groups=groups)
            seen = np.array([one.regret for one in scores if TASKS[one.task].group == "seen"])
            other = np.array([one.regret for one in scores if TASKS[one.task].group in ("unseen", "late")])
            print(f"{name + ', ' + title:60s} {_line(seen)} | {_line(other)} | {np.round(constants, 2)}", flush=True)


def _line(regrets: Array) -> str:
    if not len(regrets):
        return " " * 27
    return f"{regrets.mean():7.4f} {(regrets > BAD).mean():6.1%} {np.quantile(regrets, 0.9):6.3f} {regrets.max():6.3f}"


if __name__ == "__main__":
    main()
