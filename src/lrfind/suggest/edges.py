"""What a curve shows, as Smith reads it: where the loss starts to fall, and where it stops falling."""

import numpy as np

from lrfind.curves import PATIENCE, START, Array, Curve, spread_of
from lrfind.errors import ProbeError

FLAT = 2.0
"""A fall below this, in units of the noise, is what a flat curve shows by chance."""

AGAIN = 4.0
"""A trend that has fallen by this many times the noise, and risen by as much, has left its first valley."""


def onset(curve: Curve) -> float:
    """Return the rate at which the loss starts to fall for good: 5 % of its whole fall are behind it.

    Raises:
        ProbeError: If the loss never falls.

    Source:
        Smith, arXiv 1506.01186, section 3.3, on the loss instead of the accuracy.
    """
    if not has_edge(curve):
        raise no_fall(curve)
    before = curve.smooth[: int(np.argmin(_known(curve))) + 1]
    line = before.max() - 0.05 * (before.max() - before[-1])
    return float(curve.lrs[np.flatnonzero(before >= line)[-1]])


def edge(curve: Curve) -> float:
    """Return the rate at which the loss stops falling.

    It is the highest of the rates that are equally low within the noise: a chance minimum then is at most a little too
    high, never octaves too low. If the fall is weak, the edge is read back from where the loss rises: half an octave,
    as measured on falls of one to two times the noise. If the loss saturates, the ramp ends without an edge: one more
    than 6 octaves above the middle of the fall is none, and is assumed at 4, as on the benchmark's first tasks.

    Raises:
        ProbeError: If the loss never falls.

    Source:
        Smith, arXiv 1506.01186, section 3.3, on the loss instead of the accuracy.
    """
    if not has_edge(curve):
        raise no_fall(curve)
    known, least = _known(curve), _least(curve)
    rate = float(curve.lrs[_last_as_low(curve, least)])
    if is_weak(curve):
        return max(rate / 2**0.5, float(curve.lrs[0]))
    middle = float(curve.lrs[np.flatnonzero(known <= (least + curve.level) / 2)[0]])
    return middle * 2**4 if _is_whole(curve) and rate > middle * 2**6 else rate


def is_saturated(curve: Curve) -> bool:
    """Say whether the loss ends below its start: no rate of the ramp is shown to be too high."""
    return _is_whole(curve) and bool(curve.smooth[-1] < curve.level)


def density(curve: Curve) -> float:
    """Return the steps per octave of a ramp at its edge; ``ProbeError`` if the loss never falls."""
    octaves = np.log2(curve.lrs)
    at = int(np.clip(np.searchsorted(curve.lrs, edge(curve)), 1, len(octaves) - 2))
    return float(2.0 / (octaves[at + 1] - octaves[at - 1]))


def fall(curve: Curve) -> float:
    """Return how far the loss falls to its least, from its start or its highest value before, whichever is lower."""
    before = curve.smooth[: int(np.argmin(_known(curve))) + 1]
    return min(curve.level, float(before.max())) - float(before[-1])


def is_weak(curve: Curve) -> bool:
    """Say whether the fall of the loss is no more than a flat curve might show by chance."""
    return fall(curve) <= FLAT * curve.noise


def has_edge(curve: Curve) -> bool:
    """Say whether there is a fall whose end can be read.

    A weak fall counts if the loss rose afterwards: the rise shows that the rate matters. Even no fall counts then,
    unless the loss rises from the start; if it diverged after first steps that are low by chance, later ones count.
    """
    falls = fall(curve) > 1e-9 * abs(curve.level)
    if not is_weak(curve):
        return falls
    diverged, lowest = not _is_whole(curve), float(_known(curve).min())
    rose = diverged or float(curve.smooth[-1]) > curve.level + FLAT * curve.noise
    late = _last_as_low(curve, lowest) >= START or (diverged and _last_as_low(curve, _least(curve)) >= 2 * START)
    return rose and (falls or late)


def no_fall(curve: Curve) -> ProbeError:
    """Return the error that there is nothing to read."""
    remedy = "raise max_lr" if _is_whole(curve) else "lower min_lr"
    return ProbeError(
        f"the loss did not fall between lr={curve.lrs[0]:.3g} and lr={curve.lrs[-1]:.3g}: it started at "
        f"{curve.level:.4g} with noise {curve.noise:.2g} and fell by no more than {max(fall(curve), 0.0):.2g}; check "
        f"that the loss depends on the model's parameters, {remedy} or take more steps."
    )


def drift(curve: Curve) -> float:
    """Return the range of the losses at the start, before the rate matters."""
    return spread_of(curve.losses[np.isfinite(curve.losses)][:START])


def _is_whole(curve: Curve) -> bool:
    """Say whether the ramp ran to its end, and a scaler did not skip its last steps."""
    return curve.stop == "done" and bool(np.isfinite(curve.losses[-PATIENCE:]).any())


def _least(curve: Curve) -> float:
    """Return the least value of the trend; for a weak fall not from its first steps, where the trend is uncertain."""
    known = _known(curve)
    if not is_weak(curve) or len(known) <= 2 * START:
        return float(known.min())
    return max(float(known.min()), min(float(known[START:].min()), curve.level))


def _last_as_low(curve: Curve, least: float) -> int:
    """Return the last place that is as low as the least: within a quarter of the noise.

    A weak fall is allowed the whole noise: its minimum is placed by chance, its rise is not.
    """
    tolerance = (1.0 if is_weak(curve) else 0.25) * curve.noise
    return int(np.flatnonzero(_known(curve) <= least + tolerance)[-1])


def _known(curve: Curve) -> Array:
    """Return the trend up to the last finite loss, or to where it turns up after its first valley.

    There it has risen by at least 15 % of its fall. A loss that saturates may fall again once the model is lost, to
    that of a constant output. What lies within the range of the losses at the start is no valley: a loss may drift
    before the rate matters.
    """
    known = curve.smooth[: int(np.flatnonzero(np.isfinite(curve.losses))[-1]) + 1]
    fallen = curve.level - np.minimum.accumulate(known)
    risen = known - curve.level + fallen
    has_fallen = fallen > max(AGAIN * curve.noise, drift(curve), 1e-9 * abs(curve.level))
    turns = np.flatnonzero(has_fallen & (risen > np.maximum(0.15 * fallen, AGAIN * curve.noise)))
    return known[: int(turns[0]) + 1] if len(turns) else known
