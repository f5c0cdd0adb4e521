import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrfind.errors import BadInputError
from lrfind.schedules import SCHEDULES, ramp, to_shape


@given(st.floats(1e-10, 1.0), st.floats(1.001, 1e8), st.integers(2, 200), st.sampled_from(["exponential", "linear"]))
def test_a_ramp_rises_evenly_from_end_to_end(low, factor, steps, kind):
    high = low * factor
    rates = ramp(low, high, steps, kind=kind)
    assert (len(rates), rates[0], rates[-1]) == (steps, low, high)
    gaps = [b - a if kind == "linear" else b / a for a, b in pairwise(rates)]
    expected = (high - low) / (steps - 1) if kind == "linear" else factor ** (1 / (steps - 1))
    assert all(math.isclose(gap, expected, rel_tol=1e-6, abs_tol=1e-9 * high) for gap in gaps)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((1.0, 0.1, 10), "min_lr must be below max_lr, got min_lr=1.0 and max_lr=0.1"),
        ((0.1, 0.1, 10), "min_lr must be below max_lr"),
        ((0.0, 0.1, 10), "positive and finite"),
        ((1e-3, math.inf, 10), "positive and finite"),
        ((math.nan, 0.1, 10), "positive and finite"),
        ((1e-3, 0.1, 1), "steps must be at least 2, got steps=1"),
    ],
)
def test_a_ramp_refuses(arguments, message):
    with pytest.raises(BadInputError, match=message):
        ramp(*arguments)


def test_a_ramp_of_another_kind():
    with pytest.raises(BadInputError, match="ramp must be one of"):
        ramp(1e-3, 0.1, 10, kind="cubic")


@pytest.mark.parametrize("name", SCHEDULES)
@given(fraction=st.floats(0, 1, exclude_max=True))
def test_schedules_start_at_their_peak_and_stay_within_it(name, fraction):
    shape = to_shape(name)
    assert shape(0.0) == 1.0
    assert 0.0 <= shape(fraction) <= 1.0


def test_a_callable_is_a_schedule():
    assert to_shape(lambda fraction: 1.0 - fraction / 2)(0.5) == 0.75


def test_schedules_that_are_refused():
    with pytest.raises(BadInputError, match="schedule must be one of"):
        to_shape("sawtooth")
    with pytest.raises(BadInputError, match=r"multiplier in \[0, 1\], got 2\.0"):
        to_shape(lambda fraction: 2.0)
