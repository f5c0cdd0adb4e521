"""From a record to a curve: loss against rate, cleaned for reading; and when a probe has diverged."""

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
"""The number of first steps whose median and range are the level and the noise of a probe."""

PATIENCE = 3
"""This many bad losses in a row end a probe; fewer are a gap or a spike."""

GAPS = 24
"""This many non-finite losses in a row end it if the parameters are finite: training skips such batches."""

SURE = 8
"""After spikes, this many losses in a row end a probe, all of them above three quarters of the earlier ones: by chance
that happens once in 65,000 steps, with any noise."""

BANDWIDTH = 1.0
"""Standard deviation of the smoothing kernel, in octaves of the learning rate."""


class DivergenceWatch:
    """Says, loss by loss, whether a probe should stop.

    A probe has diverged when the median of its last three losses is above the starting level by more than the starting
    noise allows and by more than it had fallen below it. Since that is relative to the start, losses may be negative,
    zero, scaled or shifted. If losses have jumped so high and come back before, that is noise: only the last ``SURE``
    losses together count. A loss that has risen steadily drifts (a weight of it warms up, say): the level follows it.

    Attributes:
        level: The loss that a probe is judged against.

    Example:
        >>> watch = DivergenceWatch()
        >>> [watch.observe(loss) for loss in [-1.0, -1.1] * 4 + [-2.0, 9.0, 9.0]][-3:]
        [None, None, 'diverged']
    """

    def __init__(self) -> None:
        self._losses: list[float] = []
        self.level = self._start = self._noise = math.nan
        self._lowest = self._bound = math.inf
        self._gaps = 0

    def observe(self, loss: float, *, is_sound: bool = False) -> Stop | None:
        """Take the loss of one more step; return why to stop, or None to go on.

        ``is_sound`` says that the parameters are finite though the loss is not.
        """
        if not math.isfinite(loss):
            self._gaps += 1
            return "non-finite" if self._gaps >= (GAPS if is_sound else PATIENCE) else None
        self._gaps = 0
        losses = self._losses
        losses.append(loss)
        if len(losses) == START:
            self.level = self._start = median(losses)
            self._noise = spread_of(losses)
        if len(losses) <= START:
            return None
        now = sorted(losses[-PATIENCE:])[1]
        if now < self._lowest:
            self._bound_from(now)
        if now > self._bound and self._is_drift(now):
            self.level = now
            self._bound_from(now)
        return "diverged" if now > self._bound and self._is_sure() else None

    def _bound_from(self, lowest: float) -> None:
        self._lowest = lowest
        self._bound = self.level + max(2.0 * self._noise, self.level - lowest, 1e-6 * abs(self.level))

    def _is_drift(self, now: float) -> bool:
        """Say whether a straight line through the earlier losses predicts the rise: at least half of it."""
        before = np.clip(self._losses[:-3], self._lowest, self._bound)
        slope, first = np.polyfit(np.arange(len(before)), before, 1)
        foreseen = first + slope * (len(before) + 1)
        noise = max(self._noise, 3.0 * _deviation(before))
        return bool(now - foreseen <= max(noise, 0.5 * (now - self._start)))

    def _is_sure(self) -> bool:
        """Say whether losses above the bound are more than spikes."""
        before, last = self._losses[:-SURE], self._losses[-SURE:]
        early = before[: max(2 * START, len(before) // 2)]
        if len(before) < START or not (sorted(early)[-2] > self._bound or is_heavy(early)):
            return True
        return min(last) > float(np.quantile(before, 0.75)) and median(last) > self._bound


def is_heavy(losses: Sequence[float] | Array) -> bool:
    """Say whether noise has heavy tails: 2 losses (one is an accident) lie 4 interquartile ranges above the median."""
    low, middle, high = np.quantile(losses, (0.25, 0.5, 0.75))
    return len(losses) >= 2 * START and bool(sorted(losses)[-2] - middle > 4.0 * (high - low))


def spread_of(losses: Sequence[float] | Array) -> float:
    """Return the range of losses; a single one, which may be no noise, makes it at most six times as wide."""
    values = sorted(map(float, losses))
    without_one = min(values[-1] - values[1], values[-2] - values[0]) if len(values) > 2 else 0.0
    whole = values[-1] - values[0]
    return min(whole, 6.0 * without_one) if without_one > 0 else whole


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """Loss against learning rate, one point per step that ran, rates ascending; arrays have the shape (n,)."""

    lrs: Array
    losses: Array  # raw; NaN where not finite
    smooth: Array  # the trend, finite everywhere
    noise: float  # standard deviation of raw losses around the trend, near the start
    level: float  # the loss at the start: what an untrained model has
    stop: Stop = "done"  # this and the next four are the record's
    optimizer: str = ""
    is_fresh: bool = True
    reply: Reply | None = None
    used: float = 0.0
    is_spiky: bool = False  # whether the noise has heavy tails

    @property
    def log_lrs(self) -> Array:
        """Natural logarithms of the rates; every rule takes its slopes against these."""
        return np.log(self.lrs)


def to_curve(record: Record, *, octaves: float = BANDWIDTH) -> Curve:
    """Clean the record of a range test for reading; ``octaves`` is the kernel's width, 0 keeps the raw losses.

    Losses far above the start (a probe's last, diverging steps) count as just above it, so that they mark the edge
    but do not distort the trend before it. A loss that drifts up before it falls counts as level until then.

    Raises:
        ProbeError: If fewer than ``START`` losses are finite, or the last ones are not and none before had moved.
    """
    lrs, losses = np.asarray(record.lrs), np.asarray(record.losses)
    finite = np.isfinite(losses)
    if finite.sum() < START:
        raise ProbeError(_unreadable(record, int(finite.sum())))
    level, noise, capped, is_spiky = _judged(losses[finite])
    at, known = np.log2(lrs), np.log2(lrs[finite])
    smooth = smoother(known, at, octaves) @ capped if octaves > 0 else np.interp(at, known, capped)
    if not is_spiky:
        level, smooth = _without_drift(level, smooth, noise)
    is_early = record.stop == "non-finite" and not finite[-1] and lrs[finite][-1] < 1e-3
    if is_early and _is_flat(smooth[finite], losses[finite], level, noise):  # a fault of the data, not of the rate
        raise ProbeError(_unreadable(record, int(finite.sum())))
    told = {name: getattr(record, name) for name in ("stop", "optimizer", "is_fresh", "reply", "used")}
    return Curve(lrs, np.where(finite, losses, np.nan), smooth, noise, level, is_spiky=is_spiky, **told)


def smoother(x: Array, at: Array, width: float) -> Array:
    """Return the matrix, shape (m, n), of local linear regression from ``x``, shape (n,), to ``at``, shape (m,).

    It is unbiased for a straight line and has no lag. The weights are Gaussian; their standard deviation is ``width``,
    in units of x, or the distance to the nearest point if that is larger.

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
    """Return level and noise of the start, the losses capped, and whether their noise is spiky.

    They are capped at what the noise allows above the start, which with spikes is two interquartile ranges.
    """
    early, quarter = losses[: max(2 * START, len(losses) // 4)], max(START, len(losses) // 4)
    if is_spiky := is_heavy(early):
        low, middle, high = np.quantile(early, (0.25, 0.5, 0.75))
        room = 2.0 * (high - low)
    else:
        watch = DivergenceWatch()
        for loss in losses.tolist():
            watch.observe(loss)
        middle, room = watch.level, 2.0 * spread_of(losses[:START])
    capped = np.minimum(losses, middle + max(room, middle - np.min(losses)))
    if is_spiky:
        level, noise = np.mean(capped[: len(early)]), np.sqrt(np.mean(np.diff(capped[: len(early)]) ** 2) / 2)
    else:
        level, noise = np.median(losses[:START]), _deviation(capped[:quarter])
    return float(level), float(noise), capped, is_spiky


def _without_drift(level: float, smooth: Array, noise: float) -> tuple[float, Array]:
    """Return level and trend; if it rises by 3 times the noise and then falls by 2, as if it began at its peak."""
    peaks = np.maximum.accumulate(smooth)
    turned = np.flatnonzero(peaks - smooth > 2.0 * noise)
    peak = float(peaks[turned[0]]) if len(turned) else level
    return (peak, np.where(peaks < peak, peak, smooth)) if peak - level > 3.0 * noise else (level, smooth)


def _deviation(losses: Array) -> float:
    """Return the standard deviation of independent noise; the median of successive differences is 0.954 times that."""
    return float(np.median(np.abs(np.diff(losses)))) / 0.954


def _is_flat(smooth: Array, losses: Array, level: float, noise: float) -> bool:
    """Say whether the losses neither fell nor rose beyond their noise: then no rate of them was too high."""
    room = 2.0 * max(noise, spread_of(losses[:START]))
    return float(np.abs(smooth - level).max()) <= room and float(losses[-PATIENCE:].max()) <= level + room


def _unreadable(record: Record, finite: int) -> str:
    if record.stop == "non-finite" or not finite:
        last = int(np.isfinite(record.losses).nonzero()[0].max(initial=-1)) + 1
        rate = f" at lr={record.lrs[last]:.3g}" if last < len(record.lrs) else ""
        where = f"step {last + 1}{rate} on" if finite else f"the first step{rate}"
        return (
            f"the loss was not finite from {where}; check the data and the loss for NaN or infinity, or lower min_lr."
        )
    return (
        f"only {finite} of {len(record.losses)} losses were finite (the probe ended as {record.stop!r}); "
        f"at least {START} are needed: lower min_lr or take more steps."
    )
