"""Numbers as charts and reports write them: rounded, with units that people use.

Example:
    >>> figure(0.3), figure(1234.56), figure(float("inf")), as_fine_as(0.02881)(-0.0086391), as_fine_as(12.0)(123.456)
    ('0.3000', '1235', 'not finite', '−0.0086', '123.5')
    >>> rate(0.0041234), rate(1e-5), span(0.001, 0.01), span(0.01, 0.01)
    ('0.00412', '1e-5', '0.001 to 0.01', '0.01')
    >>> counted(1, "seed"), counted(2.5, "epoch"), counted(1_200_000, "step")
    ('1 seed', '2.5 epochs', '1,200,000 steps')
    >>> duration(6.21), duration(754.0), duration(7260.0)
    ('6.2 s', '12 min 34 s', '2 h 1 min')
"""

import math
from collections.abc import Callable
from functools import partial

Show = Callable[[float], str]


def figure(value: float, form: str = "#.4g") -> str:
    """Write a metric, by default with four significant digits, and with a minus sign."""
    text = f"{value:{form}}".rstrip(".") if math.isfinite(value) else "not finite"
    return f"−{text[1:]}" if text.startswith("-") else text


def as_fine_as(reference: float, digits: int = 3) -> Show:
    """Return a function that writes numbers with as many decimals as ``digits`` digits of a reference need."""
    if not math.isfinite(reference) or reference == 0:
        return figure
    decimals = digits - 1 - math.floor(math.log10(abs(reference)))
    return partial(figure, form=f".{decimals}f") if 0 <= decimals <= 6 else figure


def rate(value: float, digits: int = 3) -> str:
    """Write a learning rate."""
    return f"{value:.{digits}g}".replace("e-0", "e-").replace("e+0", "e+")


rough = partial(rate, digits=2)
"""Write an end of a range of rates."""


def span(low: float, high: float, show: Show = rough) -> str:
    """Write two ends, or one number if both are written alike."""
    return " to ".join(dict.fromkeys((show(low), show(high))))


def counted(number: float, unit: str) -> str:
    """Write a number of units, in the plural unless 1."""
    count = f"{number:,}" if isinstance(number, int) else f"{number:,g}"
    return f"{count} {unit}{'' if number == 1 else 's'}"


def duration(seconds: float) -> str:
    """Write a time in suitable units."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
