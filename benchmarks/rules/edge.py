"""The edge of the falling loss, as the package reads it, divided by a constant that depends on the schedule."""

from math import log2

from benchmarks.rule import Case, Rule
from lrfind.suggest.edges import edge


def anchor(case: Case) -> float:
    """Return the edge."""
    return log2(edge(case.curve))


RULES = (Rule("edge / constant", anchor, lambda case: case.annealing, (2.0, 3.0)),)
