"""The default reading: so far below the edge as the schedule asks for."""

from __future__ import annotations

from lrfind.curves import Curve
from lrfind.schedules import Shape
from lrfind.suggest.edges import edge

STEADY = 8.0
"""How far below the edge the best rate lies when the rate stays constant."""

ANNEALED = 4.4
"""How far below the edge the best peak lies when the rate falls to zero."""


def calibrated(curve: Curve, shape: Shape) -> float:
    """Return the edge of the falling loss divided by what the schedule asks for.

    A schedule that anneals forgives a higher rate. Between a constant rate and one that ends at zero, the divisor
    is taken, in log, by how much of the peak is left over the last fifth of training.

    Source:
        docs/decisions/0003-default-reading.md has the tasks and the numbers of the prototype it was fitted on.
    """
    left = sum(shape(0.8 + 0.2 * (step + 0.5) / 20) for step in range(20)) / 20
    return edge(curve) / divisor(left)


def divisor(left: float) -> float:
    """Return the divisor for a schedule that ends at a share ``left``, in [0, 1], of its peak.

    Example:
        >>> [round(divisor(left), 1) for left in (0.0, 1.0)]
        [4.4, 8.0]
    """
    return float(ANNEALED * (STEADY / ANNEALED) ** left)
