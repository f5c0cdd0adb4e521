"""Where a share of the whole fall of the loss is behind."""

from functools import partial

import numpy as np

from benchmarks.rule import Case, Rule
from lrfind.suggest.edges import edge


def anchor(case: Case, share: float) -> float:
    """Return the lowest rate at which that share of the fall is reached for good, before the least loss."""
    curve = case.curve
    edge(curve)  # refuses a curve that does not fall
    bottom = int(np.argmin(curve.smooth))
    line = curve.level - share * (curve.level - curve.smooth[bottom])
    above = np.flatnonzero(curve.smooth[: bottom + 1] >= line)
    return float(np.log2(curve.lrs[above[-1] if len(above) else 0]))


def centroid(case: Case) -> float:
    """Return the mean log-rate of the fall, each octave weighted by how much of the fall it makes."""
    curve = case.curve
    edge(curve)
    falls = np.maximum(-np.diff(curve.smooth), 0)
    middles = (np.log2(curve.lrs[1:]) + np.log2(curve.lrs[:-1])) / 2
    return float((falls * middles).sum() / falls.sum())


RULES = (
    *(
        Rule(f"{share:.0%} of the fall", partial(anchor, share=share), lambda case: case.annealing, (1.0, 2.0))
        for share in (0.5, 0.8, 0.9)
    ),
    Rule("centre of the fall", centroid, lambda case: case.annealing, (0.0, 0.0)),
)
