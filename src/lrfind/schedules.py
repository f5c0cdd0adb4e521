"""The shapes a learning rate follows: ramps for probes, schedules for training."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal, Protocol, get_args, runtime_checkable

from lrfind.errors import BadInputError

Shape = Callable[[float], float]
"""A schedule: the fraction of training done, in [0, 1), to a multiplier of ``lr`` in [0, 1]."""


@runtime_checkable
class Stretched(Protocol):
    """A schedule whose shape is known only with the number of steps it goes over."""

    __name__: str

    def over(self, steps: int, epochs: float | None = None) -> Shape:
        """Return the shape over so many optimizer steps, which go so often over the data."""
        ...


@dataclass(frozen=True)
class AsConstant:
    """A schedule that cannot be read, taken for a constant rate.

    Attributes:
        name: What it is called.
        why: Why it cannot be read, to follow "since".
    """

    name: str
    why: str
    __name__ = "constant"

    @property
    def note(self) -> str:
        """What a person should know."""
        return f"{self.name} was read as constant, since {self.why}; pass schedule=."

    def over(self, steps: int, epochs: float | None = None) -> Shape:
        """Return a constant shape."""
        return constant


_PEAK = 0.9
"""The points at which a schedule is looked at come at least this near to its peak of 1."""

_POINTS = 211
"""How many these are: a prime, so that they do not fall in step with the cycles of a cyclical schedule."""

WARMUP = 0.1
"""Share of training for which ``cosine_warmup`` rises."""

RISE, START = 0.3, 1 / 25
"""Share of training for which ``one_cycle`` rises, and from where: the defaults of torch's ``OneCycleLR``."""

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


def cosine_warmup(fraction: float) -> float:
    """Rise in a straight line over the first tenth, then fall to 0 along half a cosine."""
    return (fraction + 1e-3) / (WARMUP + 1e-3) if fraction < WARMUP else cosine((fraction - WARMUP) / (1 - WARMUP))


def one_cycle(fraction: float) -> float:
    """Rise from 1/25 along half a cosine for three tenths, then fall to 0 along another.

    The shape of torch's ``OneCycleLR`` with its defaults, but that this ends at 0 and that at 4e-6.

    Source:
        Smith and Topin, arXiv 1708.07120, section 4 (straight lines there).
    """
    if fraction < RISE:
        return START + (1 - START) * 0.5 * (1 - math.cos(math.pi * fraction / RISE))
    return cosine((fraction - RISE) / (1 - RISE))


SCHEDULES: dict[str, Shape] = {
    "constant": constant,
    "linear": linear,
    "cosine": cosine,
    "cosine-warmup": cosine_warmup,
    "one-cycle": one_cycle,
}


def triangular(fraction: float, *, cycles: int, low: float) -> float:
    """Rise from ``low`` to 1 and fall back in straight lines, ``cycles`` times (Smith, arXiv 1506.01186, section 3.1).

    Example:
        >>> [triangular(fraction, cycles=2, low=0.5) for fraction in (0.0, 0.125, 0.25, 0.5, 0.75)]
        [0.5, 0.75, 1.0, 0.5, 1.0]
    """
    return low + (1 - low) * _tooth(fraction * cycles)


def triangular2(fraction: float, *, cycles: int, low: float) -> float:
    """As ``triangular``, and each cycle rises half as far above ``low`` as the one before (there, section 3.1).

    Example:
        >>> [triangular2(fraction, cycles=2, low=0.5) for fraction in (0.0, 0.25, 0.5, 0.75)]
        [0.5, 1.0, 0.5, 0.75]
    """
    done = fraction * cycles
    return low + (1 - low) * _tooth(done) * math.pow(0.5, math.floor(done))


def exp_range(fraction: float, *, cycles: int, low: float) -> float:
    """As ``triangular``, and the height above ``low`` falls by ``gamma**iteration`` (there, section 3.1).

    Here ``gamma`` is what halves it within a cycle, and counts from the first peak on, so that this is 1.

    Example:
        >>> [round(exp_range(fraction, cycles=2, low=0.5), 3) for fraction in (0.0, 0.25, 0.375, 0.5, 0.75)]
        [0.5, 1.0, 0.71, 0.5, 0.75]
    """
    done = fraction * cycles
    return low + (1 - low) * _tooth(done) * math.pow(0.5, max(done - 0.5, 0.0))


def restarts(fraction: float, *, cycles: int, low: float) -> float:
    """Fall from 1 to ``low`` along half a cosine, ``cycles`` times (Loshchilov and Hutter, arXiv 1608.03983, eq. 5).

    Example:
        >>> [round(restarts(fraction, cycles=2, low=0.5), 3) for fraction in (0.0, 0.25, 0.49, 0.5, 0.75)]
        [1.0, 0.75, 0.5, 1.0, 0.75]
    """
    return low + (1 - low) * cosine(fraction * cycles % 1.0)


Cycle = Literal["triangular", "triangular2", "exp_range", "restarts"]

_CYCLES: dict[str, Callable[..., float]] = {one.__name__: one for one in (triangular, triangular2, exp_range, restarts)}


def cyclical(kind: Cycle, *, cycles: int, low: float) -> Shape:
    """Return a cyclical schedule as a shape: ``lr`` is its ``max_lr``, the peak of the first cycle.

    Args:
        kind: ``"triangular"``, ``"triangular2"``, ``"exp_range"`` (Smith's three) or ``"restarts"``.
        cycles: How many whole cycles there are over training, at least 1.
        low: Where a cycle begins, or for restarts ends, as a multiple of the peak: ``base_lr / max_lr``, in [0, 1).

    Raises:
        BadInputError: If an argument is out of its range.

    Example:
        >>> shape = cyclical("triangular", cycles=4, low=0.2)
        >>> [round(shape(step / 16), 3) for step in range(5)]
        [0.2, 0.6, 1.0, 0.6, 0.2]
    """
    if kind not in _CYCLES:
        raise BadInputError(f"kind must be one of {tuple(_CYCLES)}, got {kind!r}.")
    if not isinstance(cycles, int) or cycles < 1:
        raise BadInputError(f"cycles must be a whole number from 1 up, got {cycles!r}.")
    if not 0 <= low < 1:
        raise BadInputError(f"low must be base_lr / max_lr, from 0 up and below 1, got {low!r}.")
    return partial(_CYCLES[kind], cycles=cycles, low=low)


def _tooth(done: float) -> float:
    """The height, in [0, 1], after so many cycles: ``max(0, 1 - x)`` in section 3.1 of arXiv 1506.01186."""
    return 1.0 - abs(2.0 * (done % 1.0) - 1.0)


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
    if isinstance(schedule, partial) and schedule.func in _CYCLES.values():
        return schedule  # right by construction, and its peak may be too narrow to be met
    peak = 0.0
    for step in range(_POINTS):
        multiplier = schedule(step / _POINTS)
        peak = max(peak, multiplier)
        if not 0.0 <= multiplier <= 1.0:
            raise BadInputError(
                f"schedule must map the fraction of training done to a multiplier in [0, 1], "
                f"got {multiplier} at {step / _POINTS:.3f}; divide it by its peak."
            )
    if peak < _PEAK:
        raise BadInputError(f"schedule must reach 1, since lr is its peak, got at most {peak}; divide it by its peak.")
    return schedule


def name_of(schedule: str | Shape | Stretched) -> str:
    """Return what a schedule is called; ``"custom"`` for a function without a name.

    Example:
        >>> shapes = ("one-cycle", one_cycle, cyclical("restarts", cycles=2, low=0.0), lambda fraction: 1.0)
        >>> [name_of(one) for one in shapes]
        ['one-cycle', 'one-cycle', 'restarts', 'custom']
    """
    if isinstance(schedule, str):
        return schedule
    for key, shape in SCHEDULES.items():
        if schedule is shape:
            return key
    name = getattr(schedule.func if isinstance(schedule, partial) else schedule, "__name__", "")
    return name if name.isidentifier() else "custom"


def remaining(shape: Shape) -> float:
    """Return how much of the peak is left, on average, over the last fifth of a schedule.

    Example:
        >>> [round(remaining(shape), 3) for shape in (constant, linear, cosine, one_cycle)]
        [1.0, 0.1, 0.032, 0.064]
        >>> [round(remaining(cyclical("triangular", cycles=cycles, low=0.0)), 2) for cycles in (1, 4, 100)]
        [0.2, 0.58, 0.5]
    """
    return sum(shape(0.8 + 0.2 * (step + 0.5) / _POINTS) for step in range(_POINTS)) / _POINTS


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
