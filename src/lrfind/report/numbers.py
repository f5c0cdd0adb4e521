"""Numbers as a report shows them: each knows where in ``report.json`` it stands, or what it is made of."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote

How = Literal["", "mean", "least", "greatest", "sum", "difference"]

HOW: dict[str, Callable[[Sequence[float]], float]] = {
    "": lambda values: values[0],
    "mean": lambda values: sum(value / len(values) for value in values),
    "least": min,
    "greatest": max,
    "sum": sum,
    "difference": lambda values: values[0] - values[1],
}
"""What is done with the numbers that one is made of."""

NAMED = 3
"""A number made of more than this many others does not name them all to people."""


@dataclass(frozen=True, slots=True)
class Number:
    """A number and its origin.

    Attributes:
        value: The number.
        text: How it is shown.
        sources: Where in ``report.json`` the numbers stand that it is made of: JSON pointers as URI fragments.
        how: What was done with them; empty where it is the one that stands there.
    """

    value: float
    text: str
    sources: tuple[str, ...]
    how: How = ""

    @property
    def origin(self) -> str:
        """Where it comes from, for people."""
        named = ", ".join(self.sources[:NAMED])
        more = f" and {len(self.sources) - NAMED} more" if len(self.sources) > NAMED else ""
        return f"{self.how + ' of ' if self.how else ''}report.json {named}{more}"


@dataclass(frozen=True, slots=True)
class Source:
    """A number of ``report.json``, with the place where it stands."""

    value: float
    pointer: str


def source(value: float | None, *path: str | int) -> Source:
    """Return a number of ``report.json`` with its place there; None is a number that is not finite.

    Example:
        >>> source(0.3, "summaries", "found, linear", "mean").pointer
        '#/summaries/found%2C%20linear/mean'
    """
    steps = (str(step).replace("~", "~0").replace("/", "~1") for step in path)
    return Source(math.nan if value is None else value, "#/" + "/".join(quote(step, safe="~") for step in steps))


def number(sources: Source | Sequence[Source], show: Callable[[float], str], how: How = "") -> Number:
    """Make a number to show of one that stands in ``report.json``, or of several."""
    several = (sources,) if isinstance(sources, Source) else tuple(sources)
    value = HOW[how]([one.value for one in several])
    return Number(value, show(value), tuple(one.pointer for one in several), how)


def figure(value: float) -> str:
    """Write a metric with four digits that count.

    Example:
        >>> figure(0.3), figure(1234.56), figure(float("inf"))
        ('0.3000', '1235', 'not finite')
    """
    return _signed(f"{value:#.4g}".rstrip(".")) if math.isfinite(value) else "not finite"


def as_fine_as(reference: float, digits: int = 3) -> Callable[[float], str]:
    """Return how to write a number with as many decimals as so many digits of another take.

    Example:
        >>> as_fine_as(0.02881)(-0.0086391), as_fine_as(12.0)(123.456)
        ('−0.0086', '123.5')
    """
    if not math.isfinite(reference) or reference == 0:
        return figure
    decimals = digits - 1 - math.floor(math.log10(abs(reference)))
    if not 0 <= decimals <= 6:
        return figure
    return lambda value: _signed(f"{value:.{decimals}f}") if math.isfinite(value) else "not finite"


def rate(value: float) -> str:
    """Write a rate with three digits.

    Example:
        >>> rate(0.0041234), rate(1e-5)
        ('0.00412', '1e-5')
    """
    return f"{value:.3g}".replace("e-0", "e-").replace("e+0", "e+")


def count(value: float) -> str:
    """Write a whole number, its thousands apart.

    Example:
        >>> count(12345.0)
        '12,345'
    """
    return f"{value:,.0f}"


def duration(seconds: float) -> str:
    """Write a time in the unit that people would use.

    Example:
        >>> duration(6.21), duration(754.0), duration(7260.0)
        ('6.2 s', '12 min 34 s', '2 h 1 min')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def _signed(text: str) -> str:
    return text.replace("-", "−", 1) if text.startswith("-") else text
