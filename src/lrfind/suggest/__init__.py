"""Reading rules: from a curve to a learning rate. To add one, write its file and name it in ``RULES``."""

from __future__ import annotations

from collections.abc import Callable

from lrfind.curves import Curve
from lrfind.errors import BadInputError
from lrfind.suggest.calibrated import calibrated
from lrfind.suggest.minimum import minimum
from lrfind.suggest.slide import slide
from lrfind.suggest.steepest import steepest
from lrfind.suggest.valley import valley

Rule = Callable[[Curve], float]

RULES: dict[str, Rule] = {"steepest": steepest, "valley": valley, "minimum": minimum, "slide": slide}

METHODS = ("calibrated", *RULES)


def to_rule(method: str, final_fraction: float, passes: float | None = None, steps: float | None = None) -> Rule:
    """Return the rule of that name; ``"calibrated"`` is bound to what training will be, the others know nothing of it.

    Args:
        method: One of ``METHODS``.
        final_fraction: Mean of rate / peak over the last fifth of training; ``lrfind.schedules.remaining``.
        passes: How often training goes over the data; None where that is not known.
        steps: How many optimizer steps it takes; None where that is not known.

    Raises:
        BadInputError: If there is no such method.
    """
    if method == "calibrated":
        return lambda curve: calibrated(curve, final_fraction, passes, steps)
    if method not in RULES:
        raise BadInputError(f"method must be one of {METHODS}, got {method!r}.")
    return RULES[method]
