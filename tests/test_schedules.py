import math
import pickle
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.optim.lr_scheduler import CosineAnnealingWarmRestarts, CyclicLR, OneCycleLR

from lrfind.errors import BadInputError
from lrfind.schedules import SCHEDULES, Cyclical, name_of, ramp, remaining, to_shape

CYCLES = ("triangular", "triangular2", "exp_range", "restarts")


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
def test_schedules_come_to_their_peak_and_stay_within_it(name, fraction):
    shape = to_shape(name)
    assert shape({"cosine-warmup": 0.1, "one-cycle": 0.3}.get(name, 0.0)) == 1.0
    assert 0.0 <= shape(fraction) <= 1.0


@pytest.mark.parametrize("steps", [100, 1003])
def test_one_cycle_is_the_default_of_torch(steps):
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    scheduler = OneCycleLR(optimizer, max_lr=1.0, total_steps=steps)
    for step in range(steps):
        # OneCycleLR counts so that its peak and its end fall on steps, and ends at 1/25 * 1e-4
        assert scheduler.get_last_lr()[0] == pytest.approx(to_shape("one-cycle")(step / (steps - 1)), abs=4.0 / steps)
        optimizer.step()
        scheduler.step() if step < steps - 1 else None


@pytest.mark.parametrize("kind", ["triangular", "triangular2"])
def test_cycles_are_those_of_torch(kind):
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    scheduler = CyclicLR(optimizer, 0.2, 1.0, step_size_up=20, mode=kind, cycle_momentum=False)
    shape = Cyclical(kind, cycles=3, low=0.2)
    for step in range(120):
        assert scheduler.get_last_lr()[0] == pytest.approx(shape(step / 120))
        optimizer.step()
        scheduler.step()


def test_exp_range_is_torchs_from_the_first_peak_on():
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    gamma = 0.5 ** (1 / 40)
    scheduler = CyclicLR(optimizer, 0.2, 1.0, 20, mode="exp_range", gamma=gamma, cycle_momentum=False)
    shape = Cyclical("exp_range", cycles=3, low=0.2)
    for step in range(120):
        if step >= 20:
            height = (scheduler.get_last_lr()[0] - 0.2) / gamma**20
            assert 0.2 + height == pytest.approx(shape(step / 120))
        optimizer.step()
        scheduler.step()


def test_restarts_are_those_of_torch():
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    scheduler = CosineAnnealingWarmRestarts(optimizer, 40, eta_min=0.2)
    shape = Cyclical("restarts", cycles=3, low=0.2)
    for step in range(120):
        assert scheduler.get_last_lr()[0] == pytest.approx(shape(step / 120))
        optimizer.step()
        scheduler.step()


@given(st.sampled_from(CYCLES), st.integers(1, 400), st.floats(0, 0.999), st.floats(0, 1, exclude_max=True))
def test_a_cyclical_schedule_comes_to_its_peak_and_stays_between_it_and_low(kind, cycles, low, fraction):
    shape = Cyclical(kind, cycles=cycles, low=low)
    assert to_shape(shape) is shape
    assert low <= shape(fraction) <= 1.0
    assert shape(0.0 if kind == "restarts" else 0.5 / cycles) == pytest.approx(1.0)
    assert name_of(pickle.loads(pickle.dumps(shape))) == kind


@pytest.mark.parametrize("cycles", [1, 4, 7, 100, 500])
def test_what_is_left_of_a_cyclical_schedule_does_not_depend_on_where_it_is_looked_at(cycles):
    shape = Cyclical("triangular", cycles=cycles, low=0.1)
    exact = sum(shape(0.8 + 0.2 * step / 99_991) for step in range(99_991)) / 99_991
    assert remaining(shape) == pytest.approx(exact, abs=0.01)


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("square", {"cycles": 1, "low": 0.1}, "kind must be one of .*'square'"),
        ("triangular", {"cycles": 0, "low": 0.1}, "cycles must be a whole number from 1 up, got 0"),
        ("triangular", {"cycles": 1.5, "low": 0.1}, "cycles must be a whole number from 1 up, got 1.5"),
        ("restarts", {"cycles": 1, "low": 1.0}, "low must be base_lr / max_lr, .* got 1.0"),
        ("restarts", {"cycles": 1, "low": -0.1}, "low must be base_lr / max_lr"),
        ("restarts", {"cycles": 1, "low": math.nan}, "low must be base_lr / max_lr"),
    ],
)
def test_cyclical_schedules_that_are_refused(kind, options, message):
    with pytest.raises(BadInputError, match=message):
        Cyclical(kind, **options)


def test_schedules_have_names_and_say_what_is_left_at_their_end():
    cycles = Cyclical("restarts", cycles=2, low=0.0)
    names = [name_of(schedule) for schedule in ("one-cycle", to_shape("one-cycle"), cycles, lambda fraction: 1.0)]
    assert names == ["one-cycle", "one-cycle", "restarts", "custom"]
    left = [remaining(to_shape(name)) for name in ("constant", "linear", "cosine", "one-cycle")]
    assert left == pytest.approx([1.0, 0.1, 0.032, 0.064], abs=5e-4)
    shapes = (Cyclical("triangular", cycles=cycles, low=0.0) for cycles in (1, 4, 100))
    assert [round(remaining(shape), 2) for shape in shapes] == [0.2, 0.58, 0.5]


def test_a_callable_is_a_schedule():
    assert to_shape("linear")(0.25) == 0.75
    assert to_shape(lambda fraction: 1.0 - fraction / 2)(0.5) == 0.75


def test_schedules_that_are_refused():
    with pytest.raises(BadInputError, match="schedule must be one of"):
        to_shape("sawtooth")
    with pytest.raises(BadInputError, match=r"multiplier in \[0, 1\], got 2\.0"):
        to_shape(lambda fraction: 2.0)


def test_a_schedule_must_come_within_a_tenth_of_its_peak():
    assert to_shape(lambda fraction: 0.91)(0.0) == 0.91
    for wrong in (lambda fraction: 0.89, lambda step: min(step / 100, 1.0)):  # the second is one of LambdaLR
        with pytest.raises(BadInputError, match=r"must reach 1 .* got at most 0\.\d+; .*pass the scheduler"):
            to_shape(wrong)


def test_a_schedule_may_round():
    to_shape(lambda fraction: 1.0000000000000002 - fraction)
    to_shape(lambda fraction: 1.0 if fraction < 0.9 else -1e-12)
    with pytest.raises(BadInputError, match="multiplier"):
        to_shape(lambda fraction: 1.001 - fraction)
