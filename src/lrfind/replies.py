"""How an optimizer replies to its rate, as plain data, so that readings need no torch."""

import math
from dataclasses import dataclass

FASTEST = 0.5
"""Beyond the measured steps, a gain grows or falls no faster than by this power of the steps."""


@dataclass(frozen=True, slots=True)
class Reply:
    """How far a step of an optimizer goes.

    Attributes:
        gains: After 1, 2, 4, ... steps, how far an element moves in a step, per unit of the rate and, unless
            ``is_scale_free``, of the gradient.
        caps: After as many steps, the highest rate that still makes a step longer; infinite if there is none.
        is_scale_free: Whether the length of a step does not depend on the scale of the loss.
        follows: Whether a step gets longer when the rate is raised in the middle of training.
        age: Steps that the optimizer had taken when the search began.
    """

    gains: tuple[float, ...]
    caps: tuple[float, ...]
    is_scale_free: bool
    follows: bool = True
    age: int = 0

    def gain(self, step: float) -> float:
        """Return how far a step goes, per unit of the rate, this many steps after the search began.

        Example:
            >>> shrinking = Reply((1.0, 0.7, 0.5), (math.inf,) * 3, is_scale_free=True)
            >>> [round(shrinking.gain(step), 2) for step in (1, 4, 64)]
            [1.0, 0.5, 0.12]
        """
        return _at(self.gains, self.age + step)

    def cap(self, step: float) -> float:
        """Return the highest rate that makes a step longer, this many steps after the search began."""
        return _at(self.caps, self.age + step) if math.isfinite(self.caps[-1]) else math.inf


def _at(values: tuple[float, ...], step: float) -> float:
    """Interpolate between the known steps in log-log, and extrapolate beyond them as a power."""
    at, last = math.log2(max(step, 1.0)), len(values) - 1
    if at >= last:
        slope = math.log2(values[last] / values[last - 2]) / 2 if last >= 2 else 0.0
        return float(values[last] * 2 ** (min(max(slope, -FASTEST), FASTEST) * (at - last)))
    low = int(at)
    return float(values[low] * (values[low + 1] / values[low]) ** (at - low))
