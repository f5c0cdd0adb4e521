import math

import numpy as np
import pytest
from curves_with_answers import drifting, made_up
from hypothesis import given
from hypothesis import strategies as st

from lrfind.curves import START, DivergenceWatch, is_heavy, smoother, spread_of, to_curve
from lrfind.errors import ProbeError
from lrfind.records import Probe, Record

some_losses = st.lists(st.floats(-100, 100), min_size=START, max_size=60)


def verdicts(losses):
    watch = DivergenceWatch()
    return [watch.observe(loss) for loss in losses]


def record_of(losses, stop="done"):
    lrs = tuple(1e-6 * 1.3**step for step in range(len(losses)))
    return Record(Probe(lrs), lrs, tuple(losses), stop)


@given(st.floats(-1e3, 1e3), st.floats(-1e2, 1e2), st.integers(3, 60), st.floats(0.1, 3))
def test_smoothing_leaves_straight_lines_alone(level, slope, count, width):
    x = np.linspace(0, 10, count)
    np.testing.assert_allclose(smoother(x, x, width) @ (level + slope * x), level + slope * x, atol=1e-6)


def test_smoothing_does_not_lag():
    curve = to_curve(made_up(noise=0.0))
    steepest = curve.lrs[np.argmin(np.gradient(curve.smooth, curve.log_lrs))]
    assert abs(math.log2(steepest / 1e-3)) < 0.3


@pytest.mark.parametrize("noise", [0.01, 0.1])
def test_noise_is_measured(noise):
    measured = [to_curve(made_up(noise=noise, seed=seed)).noise for seed in range(20)]
    assert np.mean(measured) == pytest.approx(noise, rel=0.25)


def test_a_gap_is_marked_and_bridged():
    losses = [2.0] * 20
    losses[10] = math.nan
    curve = to_curve(record_of(losses))
    assert np.flatnonzero(np.isnan(curve.losses)).tolist() == [10]
    np.testing.assert_allclose(curve.smooth, 2.0)


def test_an_exploding_tail_does_not_drown_the_trend():
    calm, wild = [2.0] * 20 + [1.0] * 20, [2.0] * 20 + [1.0] * 20 + [1e9]
    np.testing.assert_allclose(to_curve(record_of(wild)).smooth[:30], to_curve(record_of(calm)).smooth[:30], atol=1e-3)


@pytest.mark.parametrize(
    ("losses", "message"),
    [
        ([math.nan] * 3, "not finite from the first step at lr=1e-06"),
        ([1.0] * 3 + [math.inf] * 3, "not finite from step 4 at lr=.*data"),
        ([1.0, 1.2] * 10 + [math.nan] * 3, "not finite from step 21 at lr=.*data"),
    ],
)
def test_what_cannot_be_read(losses, message):
    with pytest.raises(ProbeError, match=message):
        to_curve(record_of(losses, "non-finite"))


@pytest.mark.parametrize("last", [[1.1, 0.7, 0.5, 0.2], [1.1, 1.2, 1.4, 1.8]])
def test_losses_that_overflow_after_they_had_changed_can_be_read(last):
    assert to_curve(record_of([1.0, 1.2] * 10 + last + [math.inf] * 3, "non-finite")).stop == "non-finite"


@given(some_losses, st.integers(-50, 50), st.integers(-6, 6))
def test_divergence_does_not_depend_on_shift_or_scale(losses, shift, power):
    coarse = [round(loss * 16) / 16 for loss in losses]
    assert verdicts([loss * 2.0**power for loss in coarse]) == verdicts(coarse)
    assert verdicts([loss + shift for loss in coarse]) == verdicts(coarse)


@given(some_losses)
def test_a_loss_that_never_rises_never_diverges(losses):
    assert set(verdicts(sorted(losses, reverse=True))) == {None}


@pytest.mark.parametrize(
    ("losses", "last"),
    [
        ([2.3, 2.4] * 10 + [1.0] * 5 + [9.0] * 3, "diverged"),
        ([-2.3, -2.4] * 10 + [-9.0] * 5, None),
        ([0.0, 0.1, -0.1] * 5 + [3.0] * 3, "diverged"),
        ([2.3, 2.4] * 10 + [9.0], None),
        ([2.3, 2.4] * 10 + [math.nan, 2.3, math.nan, 2.3], None),
        ([2.3, 2.4] * 10 + [math.nan] * 3, "non-finite"),
        ([math.nan] * 3, "non-finite"),
        ([2.3, 2.4] * 10 + [math.nan, math.nan, 2.3], None),
        ([1.0] * 50, None),
        ([0.0, 1.0] * 4 + [2.45] * 3, None),  # a level of 0.5 and twice a noise of 1 above it
        ([0.0, 1.0] * 4 + [2.55] * 3, "diverged"),
        ([0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 3.0] + [4.0] * 3, None),  # the eighth loss counts as the start's
        ([0.0, 1.0] * 4 + [5.0] + [3.0] * 2, "diverged"),  # the ninth does not
    ],
)
def test_why_a_probe_stops(losses, last):
    assert verdicts(losses)[-1] == last


@pytest.mark.parametrize("shift", [0.01, 0.1, 0.3, -0.3])
@pytest.mark.parametrize("decay", [0.9, 0.99, 0.999])
@pytest.mark.parametrize("noise", [0.0, 1e-3, 0.02, 0.1])
def test_a_loss_that_drifts_before_the_rate_matters_does_not_end_a_probe(decay, shift, noise):
    """As where a running mean, or a weight that warms up, is part of it; of 40 seeds, the noise of one ends early."""
    steady, drifts = (
        sorted(len(drifting(0.5, 0.0, noise=noise, seed=seed).lrs) for seed in range(40)),
        sorted(len(drifting(decay, shift, noise=noise, seed=seed).lrs) for seed in range(40)),
    )
    assert abs(drifts[1] - steady[1]) <= 2
    assert abs(drifts[-1] - steady[-1]) <= 2


def test_the_level_and_the_trend_of_a_loss_that_drifts_are_those_before_it_falls():
    steady, drifts = (to_curve(drifting(0.99, shift)) for shift in (0.0, 0.1))
    falls = int(np.flatnonzero(steady.smooth < steady.level - 0.2)[0])
    assert drifts.level == pytest.approx(steady.level * (1 + 0.1 * (1 - 0.99**falls)), rel=0.02)
    assert drifts.smooth[0] == drifts.level
    assert np.argmin(drifts.smooth) == np.argmin(steady.smooth)


@pytest.mark.parametrize("at", range(START))
@pytest.mark.parametrize("wild", [1e6, -1e6, 50.0])
def test_one_wild_loss_at_the_start_does_not_hide_divergence(at, wild):
    losses = [2.3, 2.4] * 10 + [1.0] * 5 + [9.0] * 3
    losses[at] = wild
    assert verdicts(losses)[-1] == "diverged"
    assert set(verdicts(losses[:-3])) == {None}


@pytest.mark.parametrize(
    ("losses", "spread"),
    [
        ([2.0, 2.1] * 4, 0.1),
        ([2.0, 2.1] * 3 + [2.05, 2.55], 0.55),
        ([2.0, 2.1] * 3 + [2.05, 2.61], 0.6),
        ([2.0, 2.1] * 3 + [2.05, 1e9], 0.6),
        ([2.0, 2.1] * 3 + [2.05, -1e9], 0.6),
        ([2.0] * 7 + [3.0], 1.0),  # rare events are no noise to be measured without them
        ([2.0], 0.0),
        ([2.0, 2.5, 3.0, 2.5], 1.0),
        ([2.0, 2.5, 3.0, 1e9], 6.0),
    ],
)
def test_the_spread_at_the_start_leaves_one_wild_loss_out(losses, spread):
    assert spread_of(losses) == pytest.approx(spread)


def test_noise_with_two_spikes_is_heavy_and_one_is_an_accident():
    assert [is_heavy([*range(20), *last]) for last in ((20, 60), (60, 60))] == [False, True]


def test_a_wild_loss_at_the_start_lets_the_exploding_tail_not_drown_the_trend():
    losses = [2.0, 2.1] * 10 + [1.0] * 20 + [1e9] * 3
    losses[3] = 1e6
    assert to_curve(record_of(losses), octaves=0).smooth[-1] == pytest.approx(2.05 + 2 * 0.6)


@pytest.mark.parametrize(
    ("losses", "cap"), [([2.0] * 20 + [1.0] * 5 + [9.0], 3.0), ([2.0, 2.1] * 10 + [9.0], 2.25), ([2.0] * 20, 2.0)]
)
def test_a_loss_above_the_start_counts_as_far_as_it_fell_or_twice_the_noise(losses, cap):
    assert to_curve(record_of(losses), octaves=0).smooth[-1] == pytest.approx(cap)


def test_the_trend_is_smoothed_over_an_octave():
    lrs = 2.0 ** (np.arange(160) / 8)
    losses = np.full(160, 2.0)
    losses[80] = 1.0
    dip = 2.0 - to_curve(Record(Probe(tuple(lrs)), tuple(lrs), tuple(losses), "done")).smooth
    assert dip[80] == pytest.approx(1 / (8 * math.sqrt(2 * math.pi)), rel=0.01)
    assert dip[88] == pytest.approx(dip[80] * math.exp(-0.5), rel=0.01)


def test_the_noise_is_that_of_the_first_quarter():
    lrs = np.geomspace(1e-6, 1.0, 8000)
    noise = np.where(np.arange(8000) < 2000, 0.1, 5.0) * np.random.default_rng(0).standard_normal(8000)
    record = Record(Probe(tuple(lrs)), tuple(lrs), tuple(2.0 + noise), "done")
    assert to_curve(record, octaves=0).noise == pytest.approx(0.1, rel=0.04)
