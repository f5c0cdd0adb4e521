"""The edge with other widths of the smoothing, and the bare minimum."""

from functools import partial
from math import log2

import numpy as np

from benchmarks.rule import Case, Rule, curve_of
from lrfind.suggest.edges import edge


def anchor(case: Case, octaves: float) -> float:
    """Return the edge of the curve smoothed over so many octaves."""
    return log2(edge(curve_of(case.record, octaves)))


def lowest(case: Case) -> float:
    """Return the rate of the least smoothed loss."""
    curve = case.curve
    return log2(curve.lrs[np.argmin(curve.smooth)])


RULES = (
    Rule("edge, half an octave", partial(anchor, octaves=0.5), lambda case: case.annealing, (2.0, 3.0)),
    Rule("edge, two octaves", partial(anchor, octaves=2.0), lambda case: case.annealing, (2.0, 3.0)),
    Rule("minimum / constant", lowest, lambda case: case.annealing, (2.0, 3.0)),
)
