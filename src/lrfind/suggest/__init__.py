"""Reading rules: from a curve and a training to a rate. To add one, name it in ``RULES``."""

from collections.abc import Callable

from lrfind.curves import Curve
from lrfind.errors import BadInputError
from lrfind.suggest.calibrated import calibrated
from lrfind.suggest.published import minimum, slide, steepest, valley
from lrfind.suggest.training import Training

Rule = Callable[[Curve, Training], float]

RULES: dict[str, Rule] = {rule.__name__: rule for rule in (calibrated, steepest, valley, minimum, slide)}
METHODS = tuple(RULES)


def to_rule(method: str) -> Rule:
    """Return the rule of this name; raise a ``BadInputError`` if there is none."""
    if method not in RULES:
        raise BadInputError(f"method must be one of {METHODS}, got {method!r}.")
    return RULES[method]
