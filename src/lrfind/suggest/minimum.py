"""A tenth of the rate with the least loss."""

from __future__ import annotations

import numpy as np

from lrfind.curves import Curve


def minimum(curve: Curve) -> float:
    """Return a tenth of the rate at which the smoothed loss is least.

    Source:
        fastai's ``minimum``.
    """
    return float(curve.lrs[np.argmin(curve.smooth)]) / 10.0
