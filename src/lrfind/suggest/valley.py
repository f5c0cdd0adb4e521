"""The middle of the longest descent."""

from __future__ import annotations

import numpy as np

from lrfind.curves import Curve
from lrfind.errors import ProbeError


def valley(curve: Curve) -> float:
    """Return the rate half the longest decreasing subsequence of the smoothed loss before its end.

    Raises:
        ProbeError: If the smoothed loss never falls.

    Source:
        fastai's ``valley``, which counts by index; here the curve is first read at even log-rates, so that it is
        the same for an exponential ramp and stays right for a linear one.
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
