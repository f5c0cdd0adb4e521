"""No sweep at all: the rate that is usual for the kind of optimizer and the schedule, fitted on the other tasks."""

from benchmarks.rule import Case, Rule


def features(case: Case) -> tuple[float, ...]:
    """Return one constant for each kind and each end of the schedule."""
    annealed, steady = case.annealing
    adaptive = float(case.kind == "adaptive")
    return (annealed * adaptive, steady * adaptive, annealed * (1 - adaptive), steady * (1 - adaptive))


RULES = (Rule("the usual rate, no sweep", lambda case: 0.0, features, (6.0, 7.0, 4.0, 5.0)),)
