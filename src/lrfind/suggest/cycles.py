"""The range for a cyclical schedule: how far below the edge cycles may go up, and how far below that they begin."""

from __future__ import annotations

from lrfind.curves import Curve
from lrfind.suggest.edges import edge

CEILING = 2.0
"""Octaves from the edge down to ``max_lr``: cycles that reach the edge itself end some trainings in divergence."""

FLOOR = 5.0
"""Octaves from ``max_lr`` down to ``base_lr``."""


def cyclical_range(curve: Curve) -> tuple[float, float]:
    """Return ``base_lr`` and ``max_lr`` for a cyclical schedule.

    Smith reads both off the curve: where the accuracy starts to rise, and where it slows, turns ragged or falls. A
    short test comes further than a training may; so both are taken below its edge, as far as was measured to be best.

    Raises:
        ProbeError: If the loss never falls.

    Source:
        Smith, arXiv 1506.01186, section 3.3; docs/decisions/0010-range-below-the-edge.md (measured).
    """
    max_lr = edge(curve) / 2**CEILING
    return max_lr / 2**FLOOR, max_lr
