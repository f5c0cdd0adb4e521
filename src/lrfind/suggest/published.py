"""The published readings of other finders. They do not depend on the training."""

import numpy as np

from lrfind.curves import Curve
from lrfind.errors import ProbeError
from lrfind.suggest.training import Training


def minimum(curve: Curve, _: Training) -> float:
    """Return a tenth of the rate at which the smoothed loss is least (fastai's ``minimum``)."""
    return float(curve.lrs[np.argmin(curve.smooth)]) / 10.0


def steepest(curve: Curve, _: Training) -> float:
    """Return the rate at which the smoothed loss falls most per unit of log-rate.

    Source:
        The rule of most finders (such as fastai's ``steep``), with the slope per log-rate: on an exponential ramp, the
        slope per rate divides the noise of the first steps by nearly zero.
    """
    return float(curve.lrs[np.argmin(np.gradient(curve.smooth, curve.log_lrs))])


def valley(curve: Curve, _: Training) -> float:
    """Return the rate half the longest decreasing subsequence of the smoothed loss before its end.

    Raises:
        ProbeError: If the smoothed loss never falls.

    Source:
        fastai's ``valley``, which counts by index; here at even log-rates, which changes nothing for an exponential
        ramp and is right for a linear one too.
    """
    even = np.linspace(curve.log_lrs[0], curve.log_lrs[-1], len(curve.lrs))
    smooth = np.interp(even, curve.log_lrs, curve.smooth)
    lengths = np.ones(len(smooth), dtype=int)
    for end in range(1, len(smooth)):
        above = lengths[:end][smooth[:end] > smooth[end]]
        lengths[end] += above.max(initial=0)
    end = int(np.argmax(lengths))
    length = int(lengths[end])
    if length < 2:
        raise ProbeError("the smoothed loss never falls, so there is no valley; lower min_lr or take more steps.")
    return float(np.exp(even[end - length + length // 3 + length // 6]))


def slide(curve: Curve, _: Training) -> float:
    """Return the rate found by sliding an interval down from the highest rate until the slopes at its ends are alike.

    The interval has 1.2 decades (fastai: 15 steps of 100 over 8 decades), and slopes are alike if they differ by 3 % of
    the whole fall per decade (fastai: 0.005 a step on a fall of about 2). If they never are, the lowest rate reached is
    returned.

    Source:
        fastai's ``slide`` (after Novetta's interval slide rule), with slopes per log-rate and the tolerance
        relative to the fall, so that neither the number of steps nor the scale of the loss matters.
    """
    decades = np.log10(curve.lrs)
    slopes = np.gradient(curve.smooth, decades)
    left = np.searchsorted(decades, decades - 1.2)
    are_alike = np.abs(slopes - slopes[left]) <= 0.03 * float(curve.level - curve.smooth.min())
    return float(curve.lrs[left[np.flatnonzero(are_alike | (left == 0))[-1]]])
