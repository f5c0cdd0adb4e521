"""The shapes a learning rate follows: ramps for probes, schedules for training."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal, Protocol, get_args, runtime_checkable

from lrfind.errors import TYPO, BadInputError

Shape = Callable[[float], float]
"""A schedule: the fraction of training done, in [0, 1), to a multiplier of ``lr`` in [0, 1]."""


@runtime_checkable
class Stretched(Protocol):
    """A schedule whose shape depends on the number of steps."""

    __name__: str

    def over(self, steps: int, epochs: float | None = None) -> Shape:
        """Return the shape over this many optimizer steps and passes over the data."""


@dataclass(frozen=True)
class AsConstant:
    """A schedule that cannot be read, taken as constant."""

    name: str
    why: str  # the reason, to follow "since"
    __name__ = "constant"

    @property
    def note(self) -> str:
        """What a person should know."""
        return f"{self.name} was read as constant, since {self.why}; pass schedule=."

    def over(self, steps: int, epochs: float | None = None) -> Shape:
        """Return a constant shape."""
        return constant


_POINTS = 211
"""Points at which a schedule is read: a prime, to avoid falling in step with the cycles of a cyclical schedule."""

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
    return (fraction + 1e-3) / 0.101 if fraction < 0.1 else cosine((fraction - 0.1) / 0.9)


def one_cycle(fraction: float) -> float:
    """Rise from 1/25 along half a cosine for three tenths, then fall to 0 along another.

    Like torch's ``OneCycleLR`` by default, which ends at 4e-6 (Smith and Topin, arXiv 1708.07120, section 4, has
    straight lines).
    """
    if fraction >= 0.3:
        return cosine((fraction - 0.3) / 0.7)
    return 0.04 + 0.96 * 0.5 * (1 - math.cos(math.pi * fraction / 0.3))


SCHEDULES: dict[str, Shape] = {
    shape.__name__.replace("_", "-"): shape for shape in (constant, linear, cosine, cosine_warmup, one_cycle)
}

Cycle = Literal["triangular", "triangular2", "exp_range", "restarts"]


def _tooth(done: float) -> float:
    """``max(0, 1 - x)`` in section 3.1 of arXiv 1506.01186."""
    return 1.0 - abs(2.0 * (done % 1.0) - 1.0)


_HEIGHTS: dict[str, Shape] = {
    "triangular": _tooth,
    "triangular2": lambda done: _tooth(done) * 0.5 ** math.floor(done),
    "exp_range": lambda done: _tooth(done) * 0.5 ** max(done - 0.5, 0.0),
    "restarts": lambda done: cosine(done % 1.0),
}
"""The height of a cyclical schedule above its low end, in [0, 1], by the cycles done."""


@dataclass(frozen=True)
class Cyclical:
    """A cyclical schedule as a shape: ``lr`` is its ``max_lr``, the peak of the first cycle.

    Args:
        kind: Smith's three (arXiv 1506.01186, section 3.1) rise and fall in straight lines; each cycle of
            ``"triangular2"`` rises half as far as the one before, and ``"exp_range"`` decays exponentially from the
            first peak on, by half per cycle. ``"restarts"`` falls along half a cosine in every cycle (Loshchilov and
            Hutter, arXiv 1608.03983, eq. 5).
        cycles: The number of cycles over training, at least 1.
        low: Where a cycle begins, or for restarts ends, as a multiple of the peak: ``base_lr / max_lr``, in [0, 1).

    Raises:
        BadInputError: If an argument is out of its range.

    Example:
        >>> shape = Cyclical("triangular2", cycles=2, low=0.5)
        >>> [shape(fraction) for fraction in (0.0, 0.125, 0.25, 0.5, 0.75)]
        [0.5, 0.75, 1.0, 0.5, 0.75]
    """

    kind: Cycle
    cycles: int
    low: float

    def __post_init__(self) -> None:
        if self.kind not in _HEIGHTS:
            raise BadInputError(f"kind must be one of {tuple(_HEIGHTS)}, got {self.kind!r}.")
        if not isinstance(self.cycles, int) or self.cycles < 1:
            raise BadInputError(f"cycles must be a whole number from 1 up, got {self.cycles!r}.")
        if not 0 <= self.low < 1:
            raise BadInputError(f"low must be base_lr / max_lr, from 0 up and below 1, got {self.low!r}.")

    def __call__(self, fraction: float) -> float:
        """Return the multiplier of ``lr``."""
        return self.low + (1 - self.low) * _HEIGHTS[self.kind](fraction * self.cycles)


cyclical = Cyclical
"""The former name."""


def to_shape(schedule: str | Shape) -> Shape:
    """Return the shape of a name in ``SCHEDULES``, or a shape as it is.

    Raises:
        BadInputError: If the name is unknown, or the callable leaves [0, 1] or never comes near 1.
    """
    known = f"one of {sorted(SCHEDULES)} or a function of the fraction of training done"
    if isinstance(schedule, str) and schedule in SCHEDULES:
        return SCHEDULES[schedule]
    if isinstance(schedule, type):
        raise BadInputError(f"schedule must be {known}, got the class {schedule.__name__}; give an instance of it.")
    if not callable(schedule):
        names = {name.replace("-", ""): name for name in SCHEDULES}
        word = str(schedule).lower().replace("-", "").replace("_", "")
        near = get_close_matches(word, names, 1, TYPO) or [name for name in names if word and name.startswith(word)]
        hint = f"; did you mean {names[near[0]]!r}?" if near else "."
        raise BadInputError(f"schedule must be {known}, or a scheduler of torch, got {schedule!r}{hint}")
    if isinstance(schedule, Cyclical):
        return schedule  # valid by construction; its peak may lie between points
    try:
        multipliers = {step / _POINTS: float(schedule(step / _POINTS)) for step in range(_POINTS)}
    except (TypeError, AttributeError, ValueError) as error:
        raise BadInputError(f"schedule must be {known}, which returns a number; it failed: {error}.") from error
    for fraction, multiplier in multipliers.items():
        if not -1e-6 <= multiplier <= 1.0 + 1e-6:  # up to rounding
            raise BadInputError(
                f"schedule must map the fraction of training done to a multiplier in [0, 1], "
                f"got {multiplier} at {fraction:.3f}; divide it by its peak."
            )
    if (peak := max(multipliers.values())) < 0.9:
        raise BadInputError(
            f"schedule must reach 1 while the fraction of training done goes from 0 to 1, got at most {peak}; divide "
            f"it by its peak or, if it counts steps, pass the scheduler."
        )
    return schedule


def over(schedule: str | Shape | Stretched, steps: float | None, epochs: float | None) -> Shape | None:
    """Return the shape of a schedule over this many optimizer steps and passes over the data.

    It is None if the shape depends on the steps, and neither the training nor the schedule says how many there are.
    """
    if not isinstance(schedule, Stretched):
        return to_shape(schedule)
    steps = steps or getattr(schedule, "length", None)
    return schedule.over(max(round(steps), 1), epochs) if steps else None


def name_of(schedule: str | Shape | Stretched) -> str:
    """Return the name of a schedule; ``"custom"`` for a function without a name."""
    if isinstance(schedule, str):
        return schedule
    named = [name for name, shape in SCHEDULES.items() if shape is schedule]
    name = schedule.kind if isinstance(schedule, Cyclical) else getattr(schedule, "__name__", "")
    return named[0] if named else name if name.isidentifier() else "custom"


def remaining(shape: Shape) -> float:
    """Return how much of the peak is left, on average, over the last fifth of a schedule."""
    return sum(shape(0.8 + 0.2 * (step + 0.5) / _POINTS) for step in range(_POINTS)) / _POINTS


def ramp(min_lr: float, max_lr: float, steps: int, *, kind: Ramp = "exponential") -> tuple[float, ...]:
    """Return ``steps`` rates from ``min_lr`` up to ``max_lr``: in equal ratios or, if linear, in equal differences.

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
        return (min_lr, *(min_lr + (max_lr - min_lr) * fraction for fraction in fractions), max_lr)
    return (min_lr, *(min_lr * (max_lr / min_lr) ** fraction for fraction in fractions), max_lr)
