"""From a record to a curve: loss against learning rate, cleaned for reading; and when a probe has diverged."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np
import numpy.typing as npt

from lrfind.errors import ProbeError
from lrfind.records import Record, Stop
from lrfind.replies import Reply

Array = npt.NDArray[np.float64]

START = 8
"""The first steps, whose median and range are the level and the noise that a probe is judged against."""

PATIENCE = 3
"""This many bad losses in a row end a probe; fewer are a gap or a spike."""

GAPS = 24
"""This many that are not finite do so where the parameters are: batches that training skips."""

SURE = 8
"""Where losses have spiked before, so many in a row end a probe, every one of them above three quarters of the losses
before: by chance that happens once in 65,000 steps, whatever the noise is like."""

HEAVY = 4.0
"""Noise has heavy tails where two losses lie this many times the range of the middle half of them above their median;
one alone is an accident."""

SPIKE = 2.0
"""Where it has, losses farther above the start than this many times that range count as that far above it."""

WILD = 6.0
"""One loss at the start that lies this many times farther out than the others do is not noise."""

BANDWIDTH = 1.0
"""Width of the smoothing kernel (its standard deviation), in octaves of the learning rate."""


class DivergenceWatch:
    """Says, loss by loss, whether a probe should stop.

    A probe has diverged when the median of its last three losses lies above the starting level by more than the
    starting noise allows and by more than it had fallen below it. That is judged against the start, so that
    losses may be negative or zero, scaled or shifted. Where losses have jumped so high and come back before, that is
    noise, and only the last ``SURE`` losses together are evidence.

    Example:
        >>> watch = DivergenceWatch()
        >>> [watch.observe(loss) for loss in [-1.0, -1.1] * 4 + [-2.0, 9.0, 9.0]][-3:]
        [None, None, 'diverged']
    """

    def __init__(self) -> None:
        self._losses: list[float] = []
        self._level = self._noise = math.nan
        self._lowest = self._bound = math.inf
        self._gaps = 0

    def observe(self, loss: float, *, is_sound: bool = False) -> Stop | None:
        """Take the loss of one more step.

        Args:
            loss: Of the step; one that is not finite says nothing of the rate but for how many come in a row.
            is_sound: Whether the parameters are finite though the loss is not.

        Returns:
            Why to stop, or None to go on.
        """
        if not math.isfinite(loss):
            self._gaps += 1
            return "non-finite" if self._gaps >= (GAPS if is_sound else PATIENCE) else None
        self._gaps = 0
        losses = self._losses
        losses.append(loss)
        if len(losses) <= START:
            self._level, self._noise = median(losses), spread_of(losses)
            return None
        low, high = losses[-3], losses[-2]
        if low > high:  # at every step, a slice and a sort would cost more than all the rest
            low, high = high, low
        now = low if loss < low else high if loss > high else loss
        if now < self._lowest:
            self._lowest = now
            self._bound = self._level + max(2.0 * self._noise, self._level - now, 1e-6 * abs(self._level))
        return "diverged" if now > self._bound and self._is_sure() else None

    def _is_sure(self) -> bool:
        """Say whether losses above the bound are more than spikes."""
        before, last = self._losses[:-SURE], self._losses[-SURE:]
        early = before[: max(2 * START, len(before) // 2)]
        if len(before) < START or not (sorted(early)[-2] > self._bound or is_heavy(early)):
            return True
        return min(last) > float(np.quantile(before, 0.75)) and median(last) > self._bound


def is_heavy(losses: Sequence[float] | Array) -> bool:
    """Say whether the noise of some losses has heavy tails: spikes.

    Example:
        >>> [is_heavy([*range(20), *last]) for last in ((20, 60), (60, 60))]
        [False, True]
    """
    low, middle, high = np.quantile(losses, (0.25, 0.5, 0.75))
    return len(losses) >= 2 * START and bool(sorted(losses)[-2] - middle > HEAVY * (high - low))


def spread_of(losses: Sequence[float] | Array) -> float:
    """Return the range of the losses at the start; one wild loss among them widens it no more than ``WILD`` times.

    Example:
        >>> [spread_of([2.0, 2.5, 3.0, wild]) for wild in (2.5, 4.0, 1e9)]
        [1.0, 2.0, 6.0]
    """
    values = sorted(map(float, losses))
    without_one = min(values[-1] - values[1], values[-2] - values[0]) if len(values) > 2 else 0.0
    whole = values[-1] - values[0]
    return min(whole, WILD * without_one) if without_one > 0 else whole


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """Loss against learning rate, one point per step that ran, rates ascending.

    Attributes:
        lrs: Rates, shape (n,).
        losses: Raw losses, shape (n,); NaN where not finite.
        smooth: The trend, shape (n,), finite everywhere.
        noise: Standard deviation of a raw loss around the trend where the loss still lies at its start.
        level: The loss at the start: what an untrained model has.
        stop: Why the probe ended.
        optimizer: As the record has it, as ``is_fresh``, ``reply`` and ``used`` are.
        is_spiky: Whether the noise has heavy tails.
    """

    lrs: Array
    losses: Array
    smooth: Array
    noise: float
    level: float
    stop: Stop = "done"
    optimizer: str = ""
    is_fresh: bool = True
    reply: Reply | None = None
    used: float = 0.0
    is_spiky: bool = False

    @property
    def log_lrs(self) -> Array:
        """Natural logarithms of the rates: every rule takes its slopes against these."""
        return np.log(self.lrs)


def to_curve(record: Record, *, octaves: float = BANDWIDTH) -> Curve:
    """Clean a range test's record for reading.

    Losses far above the start (a probe's last, diverging steps) count as just above it, so that they mark the
    edge without drowning the trend before it.

    Args:
        record: A record whose rates ascend.
        octaves: Width of the smoothing kernel; 0 keeps the raw losses.

    Raises:
        ProbeError: If fewer than ``START`` losses are finite.
    """
    lrs, losses = np.asarray(record.lrs), np.asarray(record.losses)
    finite = np.isfinite(losses)
    if finite.sum() < START:
        raise ProbeError(_unreadable(record, int(finite.sum())))
    level, noise, capped, is_spiky = _judged(losses[finite])
    at, known = np.log2(lrs), np.log2(lrs[finite])
    return Curve(
        lrs=lrs,
        losses=np.where(finite, losses, np.nan),
        smooth=smoother(known, at, octaves) @ capped if octaves > 0 else np.interp(at, known, capped),
        noise=noise,
        level=level,
        stop=record.stop,
        optimizer=record.optimizer,
        is_fresh=record.is_fresh,
        reply=record.reply,
        used=record.used,
        is_spiky=is_spiky,
    )


def smoother(x: Array, at: Array, width: float) -> Array:
    """Return the matrix that smooths by weighted straight lines: unbiased for a straight line, and without lag.

    Args:
        x: Where the values are, shape (n,).
        at: Where to read the trend, shape (m,).
        width: Standard deviation of the Gaussian weights, in units of x; at least the way to the nearest point.

    Returns:
        The matrix, shape (m, n); times the values it is the trend.

    Source:
        Cleveland, "Robust locally weighted regression", JASA 74 (1979), section 2, with Gaussian weights.
    """
    distance = np.abs(at[:, None] - x)
    nearest = distance.min(axis=1)
    weights = np.exp(-0.5 * (distance / np.maximum(width, nearest)[:, None]) ** 2)
    weights /= weights.sum(axis=1, keepdims=True)
    centre = weights @ x
    moments = weights * (x - centre[:, None])
    spread = moments @ x
    tilt = np.divide(at - centre, spread, out=np.zeros_like(spread), where=spread > 1e-12)
    return np.asarray(weights + tilt[:, None] * moments)


def _judged(losses: Array) -> tuple[float, float, Array, bool]:
    """Return level and noise of the start; the losses, none of them far above it; whether their noise is spiky."""
    early, quarter = losses[: max(2 * START, len(losses) // 4)], max(START, len(losses) // 4)
    if is_spiky := is_heavy(early):
        low, middle, high = np.quantile(early, (0.25, 0.5, 0.75))
        room = SPIKE * (high - low)
    else:
        middle, room = np.median(losses[:START]), 2.0 * spread_of(losses[:START])
    capped = np.minimum(losses, middle + max(room, middle - np.min(losses)))
    if is_spiky:
        level, noise = np.mean(capped[: len(early)]), np.sqrt(np.mean(np.diff(capped[: len(early)]) ** 2) / 2)
    else:  # successive differences of independent noise, robustly: 0.954 is their median for a deviation of 1
        level, noise = middle, np.median(np.abs(np.diff(capped[:quarter]))) / 0.954
    return float(level), float(noise), capped, is_spiky


def _unreadable(record: Record, finite: int) -> str:
    rate = f"at lr={record.lrs[0]:.3g}" if record.lrs else ""
    if finite == 0:
        return (
            f"the loss was not finite from the first step {rate}; check the data and the loss "
            f"for NaN or infinity, or lower min_lr."
        )
    return (
        f"only {finite} of {len(record.losses)} losses were finite (the probe ended as {record.stop!r}); "
        f"at least {START} are needed: lower min_lr or take more steps."
    )
