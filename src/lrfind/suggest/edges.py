"""What a curve shows, as Smith reads it: where the loss starts to fall, and where it stops falling."""

from __future__ import annotations

import numpy as np

from lrfind.curves import PATIENCE, START, Array, Curve, spread_of
from lrfind.errors import ProbeError

SHARE = 0.05
"""The loss has started to fall once this share of its whole fall is behind it."""

AS_LOW = 0.25
"""Smoothed losses this close to the least one, in units of the noise, count as equally low."""

AS_LOW_WEAK = 1.0
"""The same for a curve that falls by little more than its noise: where its least lies is chance, where it rises is
not."""

LATE = 0.5
"""Octaves by which that is later, on falls of one to two times the noise."""

FLAT = 2.0
"""A fall below this, in units of the noise, is what a flat curve shows by chance."""

OPEN = 6.0
"""Octaves from where half of the fall is behind to the edge above which no edge was seen; on the benchmark's first
tasks there are about 4."""

BEYOND = 4.0
"""Octaves that the edge then is taken to lie beyond there."""

TURN = 0.15
"""A trend that has risen by this share of its fall, and by ``AGAIN`` times the noise, has left its first valley."""

AGAIN = 4.0


def onset(curve: Curve) -> float:
    """Return the rate at which the loss starts to fall for good.

    Raises:
        ProbeError: If the loss never falls.

    Source:
        Smith, arXiv 1506.01186, section 3.3, on the loss instead of the accuracy.
    """
    _check(curve)
    before = curve.smooth[: int(np.argmin(_known(curve))) + 1]
    line = before.max() - SHARE * (before.max() - before[-1])
    return float(curve.lrs[np.flatnonzero(before >= line)[-1]])


def edge(curve: Curve) -> float:
    """Return the rate at which the loss stops falling.

    Of rates that are equally low within the noise, the highest: a minimum that is noise then lies at most a
    little too high, never octaves too low. On a curve whose fall is weak, it is read back from where the loss rises.
    Where the loss saturates, the ramp ends without an edge: it then is taken to lie as far beyond the fall as usual.

    Raises:
        ProbeError: If the loss never falls.

    Source:
        Smith, arXiv 1506.01186, section 3.3, on the loss instead of the accuracy.
    """
    _check(curve)
    known, least = _known(curve), _least(curve)
    rate = float(curve.lrs[_last_as_low(curve, least)])
    if is_weak(curve):
        return max(rate / 2**LATE, float(curve.lrs[0]))
    middle = float(curve.lrs[np.flatnonzero(known <= (least + curve.level) / 2)[0]])
    return middle * 2**BEYOND if _is_whole(curve) and rate > middle * 2**OPEN else rate


def is_saturated(curve: Curve) -> bool:
    """Say whether the loss ends below its start: no rate of the ramp is shown to be too high."""
    return _is_whole(curve) and bool(curve.smooth[-1] < curve.level)


def density(curve: Curve) -> float:
    """Return how many steps a ramp takes per octave of the rate, at the edge.

    Raises:
        ProbeError: If the loss never falls.
    """
    octaves = np.log2(curve.lrs)
    at = int(np.clip(np.searchsorted(curve.lrs, edge(curve)), 1, len(octaves) - 2))
    return float(2.0 / (octaves[at + 1] - octaves[at - 1]))


def fall(curve: Curve) -> float:
    """Return how far the loss falls, from its start and from whatever it is just before its least."""
    before = curve.smooth[: int(np.argmin(_known(curve))) + 1]
    return min(curve.level, float(before.max())) - float(before[-1])


def is_weak(curve: Curve) -> bool:
    """Say whether the fall of the loss is no more than a flat curve might show by chance."""
    return fall(curve) <= FLAT * curve.noise


def has_edge(curve: Curve) -> bool:
    """Say whether there is a fall to read the end of.

    A weak fall still counts where the loss rose afterwards: the rise shows that the rate matters. So does none at all,
    unless the loss rises from the start; where it diverged and its first steps are low by chance, the later ones count.
    """
    falls = fall(curve) > 1e-9 * abs(curve.level)
    if not is_weak(curve):
        return falls
    diverged, lowest = not _is_whole(curve), float(_known(curve).min())
    rose = diverged or float(curve.smooth[-1]) > curve.level + FLAT * curve.noise
    late = _last_as_low(curve, lowest) >= START or (diverged and _last_as_low(curve, _least(curve)) >= 2 * START)
    return rose and (falls or late)


def no_fall(curve: Curve) -> ProbeError:
    """Return the error that says that there is nothing to read."""
    remedy = "raise max_lr" if _is_whole(curve) else "lower min_lr"
    return ProbeError(
        f"the loss did not fall between lr={curve.lrs[0]:.3g} and lr={curve.lrs[-1]:.3g}: it started at "
        f"{curve.level:.4g} with noise {curve.noise:.2g} and fell by no more than {max(fall(curve), 0.0):.2g}; check "
        f"that the loss depends on the model's parameters, {remedy} or take more steps."
    )


def drift(curve: Curve) -> float:
    """Return the range of the losses at the start: by so much they differ before the rate matters."""
    return spread_of(curve.losses[np.isfinite(curve.losses)][:START])


def _is_whole(curve: Curve) -> bool:
    """Say whether the ramp came to its end, and its steps were not skipped from some rate on, as a scaler does."""
    return curve.stop == "done" and bool(np.isfinite(curve.losses[-PATIENCE:]).any())


def _check(curve: Curve) -> None:
    """Refuse a curve without a fall to read the end of."""
    if not has_edge(curve):
        raise no_fall(curve)


def _least(curve: Curve) -> float:
    """Return the least of the trend; on a weak fall not one of its first steps, where a trend says least."""
    known = _known(curve)
    if not is_weak(curve) or len(known) <= 2 * START:
        return float(known.min())
    return max(float(known.min()), min(float(known[START:].min()), curve.level))


def _last_as_low(curve: Curve, least: float) -> int:
    """Index of the last loss above a level by no more than the noise allows."""
    tolerance = (AS_LOW_WEAK if is_weak(curve) else AS_LOW) * curve.noise
    return int(np.flatnonzero(_known(curve) <= least + tolerance)[-1])


def _known(curve: Curve) -> Array:
    """The trend up to the last finite loss, or to where it turns up after its first valley: beyond is nothing to read.

    A loss that saturates may fall again where the model is lost, to what a constant answer earns. What lies within the
    range of the losses at the start is no valley yet: a loss may drift before the rate matters.
    """
    known = curve.smooth[: int(np.flatnonzero(np.isfinite(curve.losses))[-1]) + 1]
    fallen = curve.level - np.minimum.accumulate(known)
    risen = known - curve.level + fallen
    has_fallen = fallen > max(AGAIN * curve.noise, drift(curve), 1e-9 * abs(curve.level))
    turns = np.flatnonzero(has_fallen & (risen > np.maximum(TURN * fallen, AGAIN * curve.noise)))
    return known[: int(turns[0]) + 1] if len(turns) else known
