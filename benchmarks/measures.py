"""What is measured: regret against the truth, and its summaries with bootstrap intervals."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchmarks.task import SHORT
from benchmarks.truth import Losses

Array = npt.NDArray[np.float64]

BAD = 0.05
"""A pick whose regret is above this is bad."""

BAND = 0.01
"""Rates whose regret is at most this are as good as the best."""

RESAMPLES = 2000

MOST_SEEDS = 16


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """The regret of every rate, for one task and schedule.

    Attributes:
        task: Its name.
        schedule: Its name.
        horizon: Steps of a training.
        octaves: Logarithms to the base 2 of the rates, ascending.
        regrets: The normalised regret at each.
        best: The octave whose mean loss over all seeds is least.
        losses: Per seed, the least loss by the other seeds' choice of rate, and the untrained loss.
        ends: The lowest and the highest octave of the grid that all seeds ran.
        between_seeds: The mean regret, on one seed, of the rate that is best on another, against its own best one; NaN
            where there is one seed.
    """

    task: str
    schedule: str
    horizon: int
    octaves: Array
    regrets: Array
    best: float
    losses: dict[int, tuple[float, float]]
    ends: tuple[float, float]
    between_seeds: float = math.nan

    def regret(self, lr: float | None) -> float:
        """Return the regret of a rate, interpolated in log-rate; 1 for none, or one past the grid."""
        if lr is None or not (math.isfinite(lr) and lr > 0):
            return 1.0
        octave = math.log2(lr)
        if octave > self.octaves[-1] + 1:
            return 1.0
        return float(np.interp(octave, self.octaves, self.regrets))

    def regret_of_loss(self, loss: float | None) -> float:
        """Return the regret of a loss that some other training ended with; 1 for none."""
        if loss is None:
            return 1.0
        regrets = [(loss - least) / (start - least) for least, start in self.losses.values()]
        return float(np.clip(np.mean(regrets), 0, 1))

    def scattered(self, octaves: float) -> float:
        """Return the least mean regret of picks that scatter by so many octaves (a normal's deviation) around any rate.

        So much is lost by a reading that knows, for this task, where to aim, and hits no better than that.
        """
        away = np.arange(-3 * octaves, 3 * octaves + 1e-9, 0.05)
        weights = np.exp(-0.5 * (away / octaves) ** 2)
        at = np.arange(self.octaves[0], self.octaves[-1], 0.1)[:, None] + away
        regrets = np.where(at > self.octaves[-1] + 1, 1.0, np.interp(at, self.octaves, self.regrets))
        return float(np.min(regrets @ weights / weights.sum()))

    @property
    def band(self) -> tuple[float, float]:
        """The rates around the best whose regret is at most ``BAND``."""
        fine = np.linspace(self.octaves[0], self.octaves[-1], 2000)
        good = np.interp(fine, self.octaves, self.regrets) <= BAND
        at = int(np.argmin(np.abs(fine - self.best)))
        low = at - int(np.argmin(np.append(good[: at + 1][::-1], False))) + 1
        high = at + int(np.argmin(np.append(good[at:], False))) - 1
        return float(2 ** min(fine[min(low, at)], self.best)), float(2 ** max(fine[max(high, at)], self.best))


def to_truth(task: str, schedule: str, horizon: int, losses: Losses) -> Truth:
    """Build the truth from the table.

    The best rate is chosen on all seeds but one and scored on that one; a single seed does both. It is one of the rates
    with which every seed learned something; the regret is the mean over the seeds. Losses above the untrained one count
    as it. Beyond the full runs, short runs say how much worse it gets.

    Raises:
        ValueError: If the table lacks the grid of this task and schedule.
    """
    cell = {run: loss for run, loss in losses.items() if (run.task, run.schedule) == (task, schedule)}
    start = {run.seed: loss for run, loss in cell.items() if run.steps == 0}
    full: dict[float, dict[int, float]] = {}
    for run, loss in cell.items():
        if run.steps == horizon:
            full.setdefault(run.octave, {})[run.seed] = min(loss, start[run.seed])
    grid = sorted(octave for octave, values in full.items() if len(values) == len(start))
    if not grid:
        raise ValueError(f"the truth of {task}, {schedule} is not computed yet; run make truth.")
    learned = [octave for octave in grid if all(loss < start[seed] for seed, loss in full[octave].items())]
    least = {}
    for seed in start:
        others = [other for other in start if other != seed] or [seed]
        chosen = min(learned, key=lambda octave, others=others: sum(full[octave][other] for other in others))
        least[seed] = (full[chosen][seed], start[seed])
    regrets = {
        octave: float(np.clip(np.mean([_normal(loss, *least[seed]) for seed, loss in values.items()]), 0, 1))
        for octave, values in full.items()
    }
    lowest, highest = min(regrets), max(regrets)
    short = {run.octave: loss for run, loss in cell.items() if run.steps == horizon // SHORT}
    bottom = min(short.values(), default=math.nan)
    for octave, loss in short.items():
        edge = lowest if octave < lowest else highest
        if not lowest <= octave <= highest:
            regrets[octave] = max(regrets[edge], float(np.clip(_normal(min(loss, start[0]), bottom, start[0]), 0, 1)))
    octaves = np.array(sorted(regrets))
    return Truth(
        task,
        schedule,
        horizon,
        octaves,
        np.array([regrets[octave] for octave in octaves]),
        min(learned, key=lambda octave: sum(full[octave].values())),
        least,
        (grid[0], grid[-1]),
        _between_seeds({octave: full[octave] for octave in grid}, start),
    )


def _between_seeds(losses: dict[float, dict[int, float]], start: dict[int, float]) -> float:
    """Return ``Truth.between_seeds``, from the losses by octave and seed, and the untrained ones by seed."""
    best = {seed: min(losses, key=lambda octave, seed=seed: losses[octave][seed]) for seed in start}
    regrets = [
        _normal(losses[best[other]][seed], losses[best[seed]][seed], start[seed])
        for seed in start
        for other in start
        if other != seed
    ]
    return float(np.mean(regrets)) if regrets else math.nan


def to_short_truth(task: str, schedule: str, horizon: int, losses: Losses) -> Truth:
    """Build the truth of trainings of an eighth of the steps: one seed chooses the best rate and scores it."""
    return to_truth(task, schedule, horizon // SHORT, {run: loss for run, loss in losses.items() if run.seed == 0})


def _normal(loss: float, least: float, start: float) -> float:
    return (loss - least) / (start - least)


@dataclass(frozen=True, slots=True)
class Score:
    """One suggestion, scored.

    Attributes:
        method: Who made it.
        task: For which task.
        schedule: Under which schedule.
        seed: With which search seed.
        lr: The rate; None where there is none.
        regret: Its normalised regret.
        octaves: How far it is above the best rate; NaN where there is no rate.
        cost: Steps, evaluations counted at a third.
        seconds: Wall time.
        share: Cost as a share of the horizon.
        failed: Whether it raised, or suggested nothing.
        covers: Whether the interval it states holds the best rate, and whether it reaches the band of good ones.
    """

    method: str
    task: str
    schedule: str
    seed: int
    lr: float | None
    regret: float
    octaves: float
    cost: float
    seconds: float
    share: float
    failed: bool
    covers: tuple[bool, bool] | None = None


def score(
    method: str,
    truth: Truth,
    seed: int,
    lr: float | None,
    *,
    cost: float,
    seconds: float,
    loss: float | None = None,
    interval: tuple[float, float] | None = None,
) -> Score:
    """Score a rate, or the loss of a training without one."""
    covers = None
    if interval is not None:
        (low, high), (good_low, good_high) = interval, truth.band
        covers = (low <= 2**truth.best <= high, low <= good_high and high >= good_low)
    return Score(
        method,
        truth.task,
        truth.schedule,
        seed,
        lr,
        truth.regret_of_loss(loss) if loss is not None else truth.regret(lr),
        math.log2(lr) - truth.best if lr else math.nan,
        cost,
        seconds,
        cost / truth.horizon,
        lr is None and loss is None,
        covers,
    )


Sums = tuple[Array, Array]
"""Totals of a statistic and counts of picks, each of shape (tasks, seeds)."""


def bootstrap(
    scores: Sequence[Score], of: Callable[[Array], Array], *, against: Sequence[Score] = ()
) -> tuple[float, float]:
    """Return the 95 % interval of a mean over the picks, resampling tasks and, within each, seeds.

    Args:
        scores: Of one method.
        of: What to take the mean of, from the regrets.
        against: Of another method on the same tasks; then of the difference, seeds paired where both have as many.

    Source:
        Efron and Tibshirani, "An Introduction to the Bootstrap" (1993), chapter 8, clustered data; two levels.
    """
    random = np.random.default_rng(0)
    tasks = sorted({one.task for one in scores} & {one.task for one in against or scores})
    chosen = random.integers(0, len(tasks), (RESAMPLES, len(tasks)))
    draws = random.random((RESAMPLES, len(tasks), MOST_SEEDS))
    values = _resampled(_sums(scores, tasks, of), chosen, draws)
    if against:
        values = values - _resampled(_sums(against, tasks, of), chosen, draws)
    low, high = np.quantile(values, (0.025, 0.975))
    return float(low), float(high)


def _sums(scores: Sequence[Score], tasks: list[str], of: Callable[[Array], Array]) -> Sums:
    seeds = sorted({one.seed for one in scores})
    totals, counts = np.zeros((len(tasks), len(seeds))), np.zeros((len(tasks), len(seeds)))
    values = of(np.array([one.regret for one in scores]))
    for one, value in zip(scores, values, strict=True):
        if one.task in tasks:
            totals[tasks.index(one.task), seeds.index(one.seed)] += value
            counts[tasks.index(one.task), seeds.index(one.seed)] += 1
    return totals, counts


def _resampled(sums: Sums, chosen: Array, draws: Array) -> Array:
    totals, counts = sums
    seeds = totals.shape[1]
    picks = (draws[:, :, :seeds] * seeds).astype(int)
    total = totals[chosen[:, :, None], picks].sum((1, 2))
    return np.asarray(total / np.maximum(counts[chosen[:, :, None], picks].sum((1, 2)), 1))


def summary(scores: Sequence[Score]) -> dict[str, float | list[float] | int | None]:
    """Return every measure of one method."""
    regrets = np.array([one.regret for one in scores])
    octaves = np.array([abs(one.octaves) for one in scores if math.isfinite(one.octaves)])
    covers = [one.covers for one in scores if one.covers is not None]
    return {
        "picks": len(scores),
        "mean": float(regrets.mean()),
        "mean_interval": list(bootstrap(scores, _itself)),
        "median": float(np.median(regrets)),
        "p90": float(np.quantile(regrets, 0.9)),
        "worst": float(regrets.max()),
        "bad": float(_is_bad(regrets).mean()),
        "bad_interval": list(bootstrap(scores, _is_bad)),
        "octaves": float(octaves.mean()) if len(octaves) else None,
        "failures": sum(one.failed for one in scores),
        "lost": int((regrets >= 0.99).sum()),
        "covers_best": float(np.mean([best for best, _ in covers])) if covers else None,
        "covers_band": float(np.mean([band for _, band in covers])) if covers else None,
        "steps": float(np.mean([one.cost for one in scores])),
        "share": float(np.mean([one.share for one in scores])),
        "seconds": float(np.mean([one.seconds for one in scores])),
    }


def difference(scores: Sequence[Score], reference: Sequence[Score]) -> tuple[float, float, float]:
    """Return by how much the mean regret of a method exceeds the reference's, and the interval of that."""
    tasks = {one.task for one in reference}
    kept = [one for one in scores if one.task in tasks]
    low, high = bootstrap(kept, _itself, against=reference)
    return float(np.mean([one.regret for one in kept]) - np.mean([one.regret for one in reference])), low, high


def _itself(values: Array) -> Array:
    return values


def _is_bad(values: Array) -> Array:
    return np.asarray(values > BAD, dtype=float)
