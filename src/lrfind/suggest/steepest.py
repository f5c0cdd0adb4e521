"""Where the loss falls fastest."""

from __future__ import annotations

import numpy as np

from lrfind.curves import Curve


def steepest(curve: Curve) -> float:
    """Return the rate at which the smoothed loss falls most per unit of log-rate.

    Source:
        The rule of most finders (for example fastai's ``steep``), with the slope taken per log-rate: taken per
        rate, an exponential ramp divides the noise of its first steps by next to nothing.
    """
    return float(curve.lrs[np.argmin(np.gradient(curve.smooth, curve.log_lrs))])
