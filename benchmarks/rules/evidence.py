"""The edge where the loss shows one; what adaptive optimizers usually want where it does not.

A step of Adam or RMSprop is about as long as its rate, whatever the loss is scaled by, so that their best rates lie
close together; those of SGD do not. Where a sweep of an adaptive optimizer falls by little more than its noise, the
reading gives way to the rate that is usual.
"""

from functools import partial
from math import log2

from benchmarks.rule import Case, Rule, curve_of
from lrfind.suggest.calibrated import prior_weight as doubt_about
from lrfind.suggest.calibrated import standard_edge
from lrfind.suggest.edges import has_edge

WIDTH = 1.4
"""Octaves of the smoothing."""


def prior_weight(case: Case, octaves: float = 1.0) -> float:
    """Return how much to trust the usual rate instead of the curve, in [0, 1]; always 0 for SGD."""
    if case.kind == "sgd":
        return 0.0
    curve = curve_of(case.record, octaves)
    return doubt_about(curve) if has_edge(curve) else 1.0


def anchor(case: Case, octaves: float = 1.0) -> float:
    """Return the edge, as far as it is trusted."""
    share = prior_weight(case, octaves)
    return 0.0 if share == 1.0 else (1 - share) * log2(standard_edge(curve_of(case.record, octaves)))


def features(case: Case, octaves: float = 1.0) -> tuple[float, ...]:
    """Return what goes with the constants below the edge (by schedule and kind), and with the usual rates."""
    share = prior_weight(case, octaves)
    annealed, steady = case.annealing
    trust = 1 - share
    return (trust * annealed, trust * steady, trust * (case.kind == "adaptive"), share * annealed, share * steady)


def without(case: Case) -> tuple[float, ...] | None:
    """Return the features of the usual rate alone, where there is one."""
    return None if case.kind == "sgd" else (0.0, 0.0, 0.0, *case.annealing)


def with_passes(case: Case) -> tuple[float, ...]:
    """Return the features, and how often training goes over the data, for each kind of optimizer."""
    adaptive = float(case.kind == "adaptive")
    return (*features(case), case.passes * adaptive, case.passes * (1 - adaptive))


def passes_without(case: Case) -> tuple[float, ...] | None:
    """Return these features of the usual rate alone, where there is one."""
    rest = without(case)
    return None if rest is None else (*rest, case.passes, 0.0)


START = (2.0, 3.0, 0.5, 6.0, 7.0)

RULES = (
    Rule("edge by kind, or the usual rate", anchor, features, START, without),
    Rule(
        "edge by kind, or the usual rate; 1.4 octaves",
        partial(anchor, octaves=WIDTH),
        partial(features, octaves=WIDTH),
        START,
        without,
    ),
    Rule("edge by kind and passes, or the usual rate", anchor, with_passes, (*START, 0.0, 0.0), passes_without),
    Rule("edge by kind, or the usual rate of weak curves", anchor, features, START),
)
