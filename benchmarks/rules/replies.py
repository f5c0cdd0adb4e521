"""The edge or the usual rate, as rates of training: optimizers by how they reply to their rate, trainings by length."""

from math import inf, log2

from benchmarks.rule import Case, Rule
from lrfind.suggest.calibrated import has_prior, standard_edge
from lrfind.suggest.calibrated import prior_weight as doubt_about
from lrfind.suggest.closer import edge_of_slower
from lrfind.suggest.edges import has_edge
from lrfind.suggest.replies import as_adam, highest, is_adaptive


def prior_weight(case: Case) -> float:
    """Return how much to trust the usual rate instead of the curve, in [0, 1]; 0 where no rate is usual."""
    curve = case.curve
    if not has_prior(curve):
        return 0.0
    return doubt_about(curve) if has_edge(curve) else 1.0


def anchor(case: Case) -> float:
    """Return the edge, as far as it is trusted, and what is known of the usual rate without constants."""
    curve, share = case.curve, prior_weight(case)
    usual = as_adam(curve, 1.0, case.horizon) if curve.is_fresh else curve.used
    at = share * log2(usual) if share else 0.0
    if share == 1.0:
        return at
    edge = standard_edge(curve, case.horizon)
    return inf if edge == inf else at + (1 - share) * log2(edge)


def features(case: Case) -> tuple[float, ...]:
    """Return what goes with the constants below the edge, with the usual rates, with the passes and the length."""
    annealed, steady = case.annealing
    share = prior_weight(case)
    trust, usual = 1 - share, share * case.curve.is_fresh
    adaptive = float(is_adaptive(case.curve))
    known = trust + usual
    passes = (case.passes * adaptive * known, case.passes * (1 - adaptive) * known)
    below = (trust * annealed, trust * steady, trust * adaptive, usual * annealed, usual * steady)
    return (*below, *passes, -case.shorter * trust, 0.0, 0.0)


def without(case: Case) -> tuple[float, ...] | None:
    """Return the features of the usual rate alone, where it is one that is fitted."""
    if not (has_prior(case.curve) and case.curve.is_fresh):
        return None
    return (0.0, 0.0, 0.0, *case.annealing, case.passes, *(0.0,) * 4)


def closer_anchor(case: Case) -> float:
    """Return the edge of a slower ramp."""
    return log2(edge_of_slower(case.curve))


def closer_features(case: Case) -> tuple[float, ...]:
    """Return what goes with the constants below the edge of a slower ramp."""
    return (*(0.0,) * 8, *case.annealing)


def known_without(case: Case) -> float:
    """Return what is known of the usual rate without constants."""
    return log2(as_adam(case.curve, 1.0, case.horizon))


def ceiling(case: Case) -> float:
    """Return the logarithm of the highest rate that makes a difference."""
    most = highest(case.curve, case.horizon)
    return log2(most) if most < inf else inf


START = (2.0, 3.0, 0.5, 6.0, 7.0, 0.0, 0.0, 0.5, 1.5, 2.5)

RULES = (
    Rule(
        "edge or usual rate, by reply, passes and length; a closer look",
        anchor,
        features,
        START,
        without,
        known=known_without,
        ceiling=ceiling,
        later=3,
        closer=Rule("a slower ramp", closer_anchor, closer_features, START),
    ),
)
