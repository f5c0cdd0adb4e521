"""The shapes a learning rate follows: ramps for probes, schedules for training."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, Protocol, get_args, runtime_checkable

from lrfind.errors import BadInputError

Shape = Callable[[float], float]
"""A schedule: the fraction of training done, in [0, 1), to a multiplier of ``lr`` in [0, 1]."""


@runtime_checkable
class Stretched(Protocol):
    """A schedule whose shape is known only with the number of steps it goes over."""

    __name__: str

    def over(self, steps: int) -> Shape:
        """Return the shape over so many optimizer steps."""
        ...


_PEAK = 0.9
"""A hundred points of a schedule come at least this near to its peak of 1."""

Ramp = Literal["exponential", "linear"]


def constant(fraction: float) -> float:
    """Keep the rate as it is."""
    return 1.0


def linear(fraction: float) -> float:
    """Fall in a straight line from 1 to 0."""
    return 1.0 - fraction


def cosine(fraction: float) -> float:
    """Fall from 1 to 0 along half a cosine (Loshchilov and Hutter, arXiv 1608.03983, eq. 5, one cycle)."""
    return 0.5 * (1.0 + math.cos(math.pi * fraction))


SCHEDULES: dict[str, Shape] = {"constant": constant, "linear": linear, "cosine": cosine}


def to_shape(schedule: str | Shape) -> Shape:
    """Return the shape that a schedule's name or callable stands for.

    Args:
        schedule: A key of ``SCHEDULES``, or a callable from the fraction of training done, in [0, 1), to a
            multiplier of ``lr`` in [0, 1].

    Raises:
        BadInputError: If the name is unknown, or the callable leaves [0, 1] or never comes near 1.

    Example:
        >>> to_shape("linear")(0.25)
        0.75
    """
    if isinstance(schedule, str):
        if schedule not in SCHEDULES:
            raise BadInputError(f"schedule must be one of {sorted(SCHEDULES)} or a callable, got {schedule!r}.")
        return SCHEDULES[schedule]
    if not callable(schedule):
        raise BadInputError(f"schedule must be one of {sorted(SCHEDULES)} or a callable, got {schedule!r}.")
    peak = 0.0
    for step in range(100):
        multiplier = schedule(step / 100)
        peak = max(peak, multiplier)
        if not 0.0 <= multiplier <= 1.0:
            raise BadInputError(
                f"schedule must map the fraction of training done to a multiplier in [0, 1], "
                f"got {multiplier} at {step / 100}; divide it by its peak."
            )
    if peak < _PEAK:
        raise BadInputError(f"schedule must reach 1, since lr is its peak, got at most {peak}; divide it by its peak.")
    return schedule


def name_of(schedule: str | Shape | Stretched) -> str:
    """Return what a schedule is called; ``"custom"`` for a function without a name.

    Example:
        >>> [name_of(one) for one in ("linear", cosine, lambda fraction: 1.0)]
        ['linear', 'cosine', 'custom']
    """
    name = schedule if isinstance(schedule, str) else getattr(schedule, "__name__", "")
    return name if name.isidentifier() else "custom"


def remaining(shape: Shape) -> float:
    """Return how much of the peak is left, on average, over the last fifth of a schedule.

    Example:
        >>> [round(remaining(shape), 3) for shape in (constant, linear, cosine)]
        [1.0, 0.1, 0.032]
    """
    return sum(shape(0.8 + 0.2 * (step + 0.5) / 20) for step in range(20)) / 20


def ramp(min_lr: float, max_lr: float, steps: int, *, kind: Ramp = "exponential") -> tuple[float, ...]:
    """Return ``steps`` rates from ``min_lr`` up to ``max_lr``, both ends included.

    Args:
        min_lr: The first rate, above 0.
        max_lr: The last rate, above ``min_lr``.
        steps: How many, at least 2.
        kind: ``"exponential"`` (equal ratios) or ``"linear"`` (equal differences).

    Raises:
        BadInputError: If the ends are not 0 < min_lr < max_lr, both finite, or steps < 2.

    Example:
        >>> ramp(1.0, 3.0, 3, kind="linear")
        (1.0, 2.0, 3.0)
    """
    if not (0 < min_lr < math.inf and 0 < max_lr < math.inf):
        raise BadInputError(f"min_lr and max_lr must be positive and finite, got {min_lr=} and {max_lr=}.")
    if min_lr >= max_lr:
        raise BadInputError(f"min_lr must be below max_lr, got {min_lr=} and {max_lr=}.")
    if steps < 2:
        raise BadInputError(f"steps must be at least 2, got {steps=}.")
    if kind not in get_args(Ramp):
        raise BadInputError(f"ramp must be one of {get_args(Ramp)}, got {kind!r}.")
    fractions = [step / (steps - 1) for step in range(1, steps - 1)]
    if kind == "linear":
        inner = [min_lr + (max_lr - min_lr) * fraction for fraction in fractions]
    else:
        inner = [min_lr * (max_lr / min_lr) ** fraction for fraction in fractions]
    return (min_lr, *inner, max_lr)
