"""The last steady slope before the loss rises."""

from __future__ import annotations

import numpy as np

from lrfind.curves import Curve

DECADES = 1.2
"""How far apart the two slopes are compared: fastai's 15 steps of 100 over 8 decades."""

TOLERANCE = 0.03
"""How alike they must be, as a share of the whole fall per decade: fastai's 0.005 a step on a fall of about 2."""


def slide(curve: Curve) -> float:
    """Return the rate found by sliding an interval down from the highest rate until its ends slope alike.

    Args:
        curve: A curve; where no interval has ends that slope alike, the lowest rate it reached is returned.

    Source:
        fastai's ``slide`` (after Novetta's interval slide rule), with slopes per log-rate and the tolerance
        relative to the fall, so that neither the number of steps nor the scale of the loss matters.
    """
    decades = np.log10(curve.lrs)
    slopes = np.gradient(curve.smooth, decades)
    tolerance = TOLERANCE * float(curve.level - curve.smooth.min())
    right = len(decades) - 1
    left = int(np.searchsorted(decades, decades[right] - DECADES))
    while left > 0 and abs(slopes[right] - slopes[left]) > tolerance:
        right -= 1
        left = int(np.searchsorted(decades, decades[right] - DECADES))
    return float(curve.lrs[left])
