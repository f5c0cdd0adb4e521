"""Published reading rules, on stored range tests: fastai's four and pytorch-forecasting's.

Their packages are not used: fastai needs torchvision, pytorch-forecasting needs old versions of what it stands on. The
rules are their formulas, on sweeps like theirs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Reading:
    """A rule that needs rates and losses only.

    Attributes:
        name: What the tables call it.
        kind: The kind of range test it reads, a key of ``benchmarks.sweeps.RAMPS``.
        read: Given rates and raw losses, the rate.
    """

    name: str
    kind: str
    read: Callable[[Array, Array], float]


def smoothed(losses: Array) -> Array:
    """Average with a factor of 0.98, debiased, as fastai and Lightning do."""
    out, average = np.empty(len(losses)), 0.0
    for step, loss in enumerate(losses):
        average = 0.98 * average + 0.02 * loss
        out[step] = average / (1 - 0.98 ** (step + 1))
    return out


def window(lrs: Array, losses: Array) -> tuple[Array, Array]:
    """Return fastai's part of a sweep: from a tenth of the steps planned to five before the end, smoothed."""
    smooth = smoothed(losses)
    stop = int(np.argmax(np.append(~np.isfinite(smooth), True)))
    return lrs[:stop][10:-5], smooth[:stop][10:-5]


def valley(lrs: Array, losses: Array) -> float:
    """fastai: the middle of the longest strictly decreasing subsequence."""
    x, y = window(lrs, losses)
    lengths = np.ones(len(y), dtype=int)
    for end in range(1, len(y)):
        lengths[end] += lengths[:end][y[:end] > y[end]].max(initial=0)
    end = int(np.argmax(lengths))
    length = int(lengths[end])
    return float(x[end - length + length // 3 + length // 6])


def slide(lrs: Array, losses: Array) -> float:
    """fastai: an interval of 15 steps slid down until its ends slope alike."""
    x, y = window(lrs, losses)
    slopes = np.gradient(y)
    right, left = -1, -16
    pick = x[max(left, -len(x))]
    while left >= -len(x) and abs(slopes[right] - slopes[left]) > 0.005:
        pick = x[left]
        right, left = right - 1, left - 1
    return float(pick)


def minimum(lrs: Array, losses: Array) -> float:
    """fastai: a tenth of the rate of the least loss."""
    x, y = window(lrs, losses)
    return float(x[np.argmin(y)]) / 10


def steep(lrs: Array, losses: Array) -> float:
    """fastai: where the loss falls fastest per log-rate."""
    x, y = window(lrs, losses)
    return float(x[np.argmin(np.diff(y) / np.diff(np.log(x)))])


def forecasting(lrs: Array, losses: Array) -> float:
    """pytorch-forecasting: LOWESS over a tenth of the points, then the steepest."""
    finite = np.isfinite(losses)
    if not finite.any():
        raise ValueError("no loss is finite.")
    x, y = np.log10(lrs[finite]), smoothed(losses[finite])
    trend = _lowess(x, y, 0.1)
    part = slice(min(len(trend) - 3, 10), -1)
    return float(10 ** x[part][np.argmin(np.gradient(trend[part]))])


def _lowess(x: Array, y: Array, share: float) -> Array:
    """Cleveland's LOWESS, JASA 74 (1979): tricube weights, three robust rounds."""
    near = max(2, int(share * len(x) + 1e-10))
    robust = np.ones(len(x))
    trend = y.copy()
    for _ in range(4):
        for at in range(len(x)):
            distance = np.abs(x - x[at])
            reach = np.sort(distance)[near - 1]
            weights = robust * np.clip(1 - (distance / max(reach * 1.0001, 1e-12)) ** 3, 0, 1) ** 3
            if weights.sum() <= 0:
                continue
            centre, mean = np.average(x, weights=weights), np.average(y, weights=weights)
            spread = (weights * (x - centre) ** 2).sum()
            slope = (weights * (x - centre) * (y - mean)).sum() / spread if spread > 1e-12 else 0.0
            trend[at] = mean + slope * (x[at] - centre)
        residual = np.abs(y - trend)
        scale = 6 * np.median(residual)
        robust = np.clip(1 - (residual / scale) ** 2, 0, 1) ** 2 if scale > 0 else np.ones(len(x))
    return trend


READINGS = (
    Reading("fastai valley", "fastai", valley),
    Reading("fastai slide", "fastai", slide),
    Reading("fastai minimum", "fastai", minimum),
    Reading("fastai steep", "fastai", steep),
    Reading("pytorch-forecasting", "forecasting", forecasting),
)
