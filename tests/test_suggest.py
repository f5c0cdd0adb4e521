import math
from dataclasses import replace

import numpy as np
import pytest
from curves_with_answers import FALL, flat_then_diverging, made_up

from lrfind.curves import Curve, to_curve
from lrfind.errors import BadInputError, ProbeError
from lrfind.records import Probe, Record
from lrfind.replies import Reply
from lrfind.schedules import constant, cosine, linear, ramp, remaining
from lrfind.suggest import METHODS, to_rule
from lrfind.suggest.calibrated import (
    ADAPTIVE,
    ANNEALED,
    PACE,
    PACE_ADAPTIVE,
    PRIOR_EPOCHS,
    REPEATED,
    REPEATED_ADAPTIVE,
    STEADY,
    calibrated,
    prior_for,
    prior_rate,
    prior_weight,
    reading_of,
    rules_out,
    standard_edge,
)
from lrfind.suggest.edges import density, edge, fall, has_edge, is_saturated, is_weak, onset
from lrfind.suggest.judging import PLACES, TABLES, judge
from lrfind.suggest.published import slide, valley
from lrfind.suggest.ranges import WIDTHS, around, cyclical_range, interval
from lrfind.suggest.replies import ADAM, as_adam, highest, in_training
from lrfind.suggest.training import Training

LEAST = 10**-1.766
"""Where the made-up loss is least, read off a fine grid."""

ANSWERS = {
    "steepest": (FALL, 0.5),
    "minimum": (LEAST / 10, 1.0),
    "valley": (10**-3.6, 1.5),
    "slide": (10**-3.6, 0.5),
    "calibrated": (LEAST / 2**STEADY, 1.0),
}


def rule(method):
    return lambda curve: to_rule(method)(curve, Training())


def read_for(curve, final_fraction, passes=None, steps=None):
    return calibrated(curve, Training(steps, passes, final_fraction=final_fraction))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("seed", range(5))
def test_a_rule_finds_the_known_answer(method, seed):
    answer, octaves = ANSWERS[method]
    assert abs(math.log2(rule(method)(to_curve(made_up(seed=seed))) / answer)) < octaves


@pytest.mark.parametrize("method", METHODS)
def test_shift_and_scale_of_the_loss_change_nothing(method):
    plain = rule(method)(to_curve(made_up()))
    moved = rule(method)(to_curve(made_up(shift=-10.0, scale=100.0)))
    assert moved == pytest.approx(plain)


@pytest.mark.parametrize("method", ["steepest", "minimum", "calibrated"])
def test_a_linear_ramp_gives_the_same_answer(method):
    answer, octaves = ANSWERS[method]
    curve = to_curve(made_up(steps=2000, kind="linear", low=1e-5, high=0.3, noise=0.005))
    assert abs(math.log2(rule(method)(curve) / answer)) < octaves + 0.5


def test_noise_before_the_fall_does_not_drown_the_slope():
    """The slope is taken per log-rate: taken per rate, the noise of the first steps wins (Lightning #21141)."""
    picks = [rule("steepest")(to_curve(made_up(seed=seed, noise=0.01))) for seed in range(20)]
    assert min(picks) > FALL / 2


def test_the_edges_are_where_the_fall_starts_and_ends():
    curve = to_curve(made_up(noise=0.001))
    assert 1e-4 < onset(curve) < FALL < edge(curve) < 0.05
    assert cyclical_range(curve) == pytest.approx((edge(curve) / 128, edge(curve) / 4))


def test_annealing_schedules_get_higher_rates():
    curve = to_curve(made_up())
    steady, straight, round_ = (read_for(curve, remaining(shape)) for shape in (constant, linear, cosine))
    assert steady < straight < round_ < edge(curve)
    assert steady == pytest.approx(standard_edge(curve) / 2**STEADY)
    assert round_ < standard_edge(curve) / 2**ANNEALED


def flat(noise, steps=100):
    lrs = tuple(np.geomspace(1e-6, 1.0, steps))
    random = np.random.default_rng(0)
    return Record(Probe(lrs), lrs, tuple(1.0 + noise * random.standard_normal(steps)), "done")


@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_a_flat_curve_is_refused(noise):
    with pytest.raises(ProbeError, match="the loss did not fall between lr=1e-06 and lr=1"):
        edge(to_curve(flat(noise)))


def with_optimizer(record, name):
    return to_curve(replace(record, optimizer=name))


@pytest.mark.parametrize("name", ["Adam", "AdamW", "RMSprop"])
def test_an_adaptive_optimizer_gets_a_lower_rate_from_a_clear_curve(name):
    curve = with_optimizer(made_up(noise=0.001), name)
    assert read_for(curve, 1.0) == pytest.approx(standard_edge(curve) / 2 ** (STEADY + ADAPTIVE), rel=1e-3)


@pytest.mark.parametrize(("name", "pace"), [("SGD", PACE), ("Adam", PACE_ADAPTIVE)])
@pytest.mark.parametrize(("steps", "halvings"), [(254 + 1, -1), (127 + 1, 0), (64, 1), (32, 2), (20, 2)])
def test_what_ramps_faster_goes_further_before_it_diverges(name, pace, steps, halvings):
    lrs = np.geomspace(1e-6, 30.0, steps)
    smooth = np.where(np.arange(steps) <= steps // 2, np.linspace(2.0, 1.0, steps), 3.0)
    curve = Curve(lrs, smooth, smooth, 0.0, 2.0, "diverged", name)
    assert standard_edge(curve) == pytest.approx(lrs[steps // 2] / 2 ** (pace * halvings), rel=0.02)


@pytest.mark.parametrize(("name", "octaves"), [("SGD", REPEATED), ("Adam", REPEATED_ADAPTIVE)])
def test_what_is_seen_more_often_gets_a_lower_rate(name, octaves):
    curve = with_optimizer(made_up(noise=0.001), name)
    unknown, once, usual, twice = (read_for(curve, 1.0, passes) for passes in (None, 1, PRIOR_EPOCHS, 64))
    assert unknown == usual == pytest.approx(twice * 2**octaves, rel=1e-3)
    assert once == pytest.approx(usual * 2 ** (5 * octaves), rel=1e-3)
    assert read_for(curve, 1.0, 0.1) == once


@pytest.mark.parametrize(("steps", "halvings"), [(500, 2.0), (2_000, 0.0), (8_000, 0.0), (None, 0.0)])
def test_only_a_shorter_training_is_a_half_or_a_quarter_of_the_usual_one(steps, halvings):
    assert Training(steps).halvings == halvings


@pytest.mark.parametrize(("left", "constant"), [(0.0, 2.0), (0.5, 2.5), (1.0, 3.0)])
def test_a_constant_is_interpolated_by_how_much_of_the_rate_is_left(left, constant):
    assert Training(final_fraction=left).between(2.0, 3.0) == constant


def test_the_usual_rate_too_is_lower_for_what_is_seen_more_often():
    curve = with_optimizer(flat(0.1), "Adam")
    assert read_for(curve, 1.0, 128) == pytest.approx(prior_rate(Training()) / 2 ** (2 * REPEATED_ADAPTIVE))


def test_the_more_noise_the_more_the_reading_leans_on_the_usual_rate():
    clear, dim, dark = (with_optimizer(made_up(noise=noise), "Adam") for noise in (0.001, 0.3, 0.6))
    assert 0 < prior_weight(clear) < 0.01 < prior_weight(dim) < 0.5 < prior_weight(dark) < 1
    for curve in (clear, dim, dark):
        read = standard_edge(curve) / 2 ** (STEADY + ADAPTIVE)
        leaning = math.log(read_for(curve, 1.0) / read) / math.log(prior_rate(Training()) / read)
        assert leaning == pytest.approx(prior_weight(curve))


@pytest.mark.parametrize("left", [1.0, 0.1])
def test_a_curve_that_shows_nothing_gives_the_usual_rate_of_an_adaptive_optimizer_only(left):
    assert read_for(with_optimizer(flat(0.1), "AdamW"), left) == pytest.approx(
        prior_rate(Training(final_fraction=left))
    )
    for name in ("SGD", ""):
        with pytest.raises(ProbeError, match="did not fall"):
            read_for(with_optimizer(flat(0.1), name), left)


@pytest.mark.parametrize("name", ["Adam", "SGD"])
def test_in_the_middle_of_training_the_rate_in_use_is_usual(name):
    begun = to_curve(replace(flat(0.1), optimizer=name, is_fresh=False, used=2e-3))
    assert read_for(begun, 1.0) == 2e-3
    unknown = to_curve(replace(made_up(noise=0.3), optimizer=name, is_fresh=False))
    assert read_for(unknown, 1.0) == pytest.approx(standard_edge(unknown) / 2 ** (STEADY + ADAPTIVE * (name == "Adam")))
    with pytest.raises(ProbeError, match="did not fall"):
        read_for(to_curve(replace(flat(0.1), optimizer=name, is_fresh=False)), 1.0)


def rising(to):
    lrs = np.geomspace(1e-6, to, 60)
    losses = 1.0 + 1e4 * lrs + 0.01 * np.random.default_rng(0).standard_normal(60)
    return Record(Probe(tuple(lrs)), tuple(lrs), tuple(losses), "diverged")


@pytest.mark.parametrize("record", [flat(0.0), rising(1e-3), rising(1.0)], ids=["constant", "ends below", "worse"])
def test_the_usual_rate_is_not_given_where_the_curve_speaks_against_it(record):
    with pytest.raises(ProbeError, match="did not fall"):
        read_for(with_optimizer(record, "Adam"), 1.0)


def test_a_fall_within_the_noise_is_weak_evidence():
    assert not is_weak(to_curve(made_up()))
    assert is_weak(to_curve(flat(0.1)))


@pytest.mark.parametrize("method", METHODS)
def test_the_interval_holds_the_reading(method):
    curve = to_curve(made_up())
    low, high = interval(curve, rule(method))
    assert 0 < low <= rule(method)(curve) <= high


def test_the_interval_holds_other_seeds():
    readings = [rule("calibrated")(to_curve(made_up(seed=seed, noise=0.1))) for seed in range(12)]
    intervals = [interval(to_curve(made_up(seed=seed, noise=0.1)), rule("calibrated")) for seed in range(12)]
    inside = [low <= reading <= high for low, high in intervals for reading in readings]
    assert np.mean(inside) >= 0.85


def test_an_unknown_method():
    with pytest.raises(BadInputError, match=r"method must be one of .*'best'"):
        to_rule("best")


@pytest.mark.parametrize("rule", [edge, lambda curve: read_for(curve, 1.0)], ids=["edge", "calibrated"])
def test_nothing_is_read_where_the_loss_was_not_finite(rule):
    lrs = ramp(1e-6, 1.0, 60)
    losses = [2.3] * 30 + [2.3 - 0.2 * step for step in range(10)] + [math.nan] * 3
    record = Record(Probe(lrs), lrs[:43], tuple(losses), "non-finite")
    assert rule(to_curve(record)) <= lrs[39]


def test_a_rising_curve_has_no_valley():
    lrs, losses = np.array(ramp(1e-3, 10.0, 40)), np.linspace(1.0, 2.0, 40)
    with pytest.raises(ProbeError, match="never falls"):
        valley(Curve(lrs=lrs, losses=losses, smooth=losses, noise=0.0, level=1.0), Training())


def drawn(smooth, *, noise, level, losses=None, stop="done", optimizer="", steps=8, low=1e-3):
    """A curve as it stands, so many steps an octave."""
    smooth = np.asarray(smooth, dtype=float)
    lrs = low * 2.0 ** (np.arange(len(smooth)) / steps)
    return Curve(lrs, smooth if losses is None else np.asarray(losses), smooth, noise, level, stop, optimizer)


def at(curve, index):
    return pytest.approx(curve.lrs[index])


def test_the_fall_has_begun_at_a_twentieth_of_it():
    curve = drawn([1.0] * 20 + list(np.linspace(1.0, 0.0, 101)), noise=0.001, level=1.0)
    assert onset(curve) == at(curve, 25)


@pytest.mark.parametrize(("depth", "index", "octaves"), [(5.0, 42, 0.0), (1.5, 50, 0.5)])
def test_the_edge_is_as_low_as_the_least_within_a_quarter_of_the_noise_or_all_of_it_and_half_an_octave_less(
    depth, index, octaves
):
    smooth = (
        [2.0 + depth] * 20 + list(np.linspace(2.0 + depth, 2.0, 21))[1:] + [2.0] + [2.099 + 0.1 * n for n in range(30)]
    )
    curve = drawn(smooth, noise=1.0, level=2.0 + depth)
    assert is_weak(curve) is (depth < 2.0)
    curve = replace(curve, stop="diverged")
    assert edge(curve) == pytest.approx(curve.lrs[index] / 2**octaves)


@pytest.mark.parametrize(
    ("depth", "last", "stop", "weak", "has"),
    [
        (2.02, 3.0, "done", False, True),
        (2.0, 3.0, "done", True, False),
        (1.98, 3.0, "done", True, False),
        (1.98, 4.97, "done", True, False),
        (1.98, 5.0, "done", True, False),
        (1.98, 5.03, "done", True, True),
        (1.98, 3.0, "diverged", True, True),
        (0.0, 3.0, "diverged", True, True),
    ],
)
def test_a_fall_of_less_than_twice_the_noise_is_weak_and_an_edge_only_where_the_loss_rose(depth, last, stop, weak, has):
    curve = drawn([3.0] * 10 + [3.0 - depth] * 10 + [last], noise=1.0, level=3.0, stop=stop)
    assert (is_weak(curve), has_edge(curve)) == (weak, has)


def test_a_fall_is_from_the_start_and_from_what_is_before_the_least():
    assert fall(drawn([3.0, 9.0, 1.0, 5.0], noise=1.0, level=3.0)) == 2.0
    assert fall(drawn([2.0, 2.5, 1.0, 5.0], noise=1.0, level=3.0)) == 1.5


@pytest.mark.parametrize(
    ("optimizer", "left", "passes", "steps", "octaves"),
    [
        ("SGD", 1.0, 32, 128, STEADY),
        ("SGD", 1.0, None, 128, STEADY),
        ("SGD", 0.0, 32, 128, ANNEALED),
        ("SGD", 0.5, 32, 128, (ANNEALED + STEADY) / 2),
        ("SGD", 1.0, 64, 128, STEADY + 0.05),
        ("SGD", 1.0, 1, 128, STEADY - 0.25),
        ("SGD", 1.0, 32, 64, STEADY + 0.4),
        ("SGD", 1.0, 32, 16, STEADY + 0.8),
        ("Adam", 1.0, 32, 128, STEADY + ADAPTIVE),
        ("Adam", 0.0, 32, 128, ANNEALED + ADAPTIVE),
        ("Adam", 1.0, 64, 128, STEADY + ADAPTIVE + REPEATED_ADAPTIVE),
        ("Adam", 1.0, 32, 64, STEADY + ADAPTIVE + 0.2),
    ],
)
def test_how_far_below_the_edge_the_rate_is(optimizer, left, passes, steps, octaves):
    lrs = np.geomspace(1e-6, 30.0, steps)
    smooth = np.where(np.arange(steps) <= steps // 2, np.linspace(2.0, 1.0, steps), 3.0)
    curve = Curve(lrs, smooth, smooth, 0.0, 2.0, "diverged", optimizer)
    assert math.log2(edge(curve) / read_for(curve, left, passes)) == pytest.approx(octaves, abs=0.02)


@pytest.mark.parametrize(("times", "share"), [(3.0, 0.941), (6.0, 0.5), (12.0, 0.059)])
def test_the_doubt_that_a_fall_of_so_many_times_the_noise_leaves(times, share):
    assert prior_weight(drawn([times + 1.0, 1.0], noise=1.0, level=times + 1.0, stop="diverged")) == pytest.approx(
        share, abs=0.001
    )


@pytest.mark.parametrize(("steps", "more"), [(None, 0.0), (250, 0.0), (2_000, 0.0), (16_000, 1.5)])
@pytest.mark.parametrize("rests_on", ["edge", "edge, adaptive", "weak"])
def test_how_wide_the_interval_is(steps, more, rests_on):
    low, high = around(1.0, rests_on, steps)
    below, above = WIDTHS[rests_on]
    assert (-math.log2(low), math.log2(high)) == (pytest.approx(below + more), pytest.approx(above))


def at_rest(record, **known):
    return reading_of(to_curve(replace(record, **known)), Training()).rests_on


def test_what_a_reading_rests_on():
    adam, capped = Reply((1.0, 0.5), (math.inf,) * 2, True), Reply((0.1, 0.1), (1.0, 0.01), True)
    diverged = replace(made_up(noise=0.001), stop="diverged")
    assert at_rest(diverged, optimizer="SGD") == "edge"
    assert at_rest(diverged, optimizer="Mine", reply=adam) == "edge, adaptive"
    assert at_rest(diverged, optimizer="Mine", reply=capped) == "capped"
    assert at_rest(diverged, optimizer="Mine", reply=replace(adam, follows=False), used=0.1) == "none"
    assert at_rest(made_up(noise=0.6), optimizer="Adam") == "prior"
    assert at_rest(flat_then_diverging(), optimizer="SGD") == "weak"
    assert at_rest(flat(0.1), optimizer="SGD", is_fresh=False, used=0.1) == "in use"


def test_the_same_step_is_as_long_whatever_the_optimizer_makes_of_its_rate():
    """Adagrad's steps shrink: as long a step in the middle of training takes a higher rate than in the probe."""
    shrinking = Reply((1.0, 2**-0.5, 0.5), (math.inf,) * 3, True)
    curve = to_curve(replace(made_up(), reply=shrinking))
    lr = float(curve.lrs[63])
    assert in_training(curve, lr, 4096) == pytest.approx(lr * (2048 / 64) ** 0.5)
    assert as_adam(curve, lr, 4096) == pytest.approx(lr * ADAM * 2048**0.5)


def test_a_rate_beyond_the_cap_is_never_too_high():
    capped = Reply((0.1, 0.1, 0.1), (1.0, 2**-0.5, 0.5), True)
    curve = to_curve(replace(made_up(), reply=capped))
    assert in_training(curve, float(curve.lrs[63]), 1600) < math.inf == in_training(curve, float(curve.lrs[-1]), 1600)
    assert highest(curve, 1600) == pytest.approx(0.1)


def saturating(*, low=1.0, again=None):
    """A loss that falls around 1e-3 and then stays, or rises to ``again`` and falls once more; it never diverges."""
    lrs = np.array(ramp(1e-6, 30.0, 128))
    losses = 3.0 - (3.0 - low) / (1 + (1e-3 / lrs) ** 2)
    if again is not None:
        losses = np.where((lrs > 0.1) & (lrs < 3.0), again, np.where(lrs >= 3.0, 0.2, losses))
    losses = losses + 0.01 * np.random.default_rng(0).standard_normal(128)
    return Record(Probe(tuple(lrs)), tuple(lrs), tuple(losses), "done")


def test_a_loss_that_saturates_has_its_edge_a_little_beyond_its_fall():
    curve = to_curve(saturating())
    assert edge(curve) == pytest.approx(1e-3 * 2**4, rel=0.2)


def test_the_first_valley_counts_and_not_a_lower_one_behind_a_hill():
    curve = to_curve(saturating(again=2.5))
    assert 1e-3 < edge(curve) < 0.1


@pytest.mark.parametrize("away", [-0.03, 0.03])
def test_a_loss_that_settles_before_the_rate_matters_has_no_valley_there(away):
    record = replace(
        made_up(noise=0.0), losses=tuple(loss + away * 0.9**at for at, loss in enumerate(made_up(noise=0.0).losses))
    )
    assert edge(to_curve(record)) == pytest.approx(edge(to_curve(made_up(noise=0.0))), rel=0.3)


@pytest.mark.parametrize(
    ("losses", "is_spiky"), [([2.0, 2.2, 1.8, 2.1, 1.9, 30.0] * 10, True), ([2.0, 2.2, 1.8, 2.1, 1.9, 2.6] * 10, False)]
)
def test_spikes_are_told_and_count_as_little(losses, is_spiky):
    lrs = ramp(1e-6, 1.0, len(losses))
    curve = to_curve(Record(Probe(lrs), lrs, tuple(losses), "done"))
    assert curve.is_spiky is is_spiky
    assert curve.smooth.max() < 3.0


@pytest.mark.parametrize(
    ("octaves", "verdict", "is_sure"),
    [(0.0, "as good", False), (-8.0, "worse", True), (6.0, "worse", True), (0.5, "as good", False)],
)
def test_a_rate_is_judged_by_how_far_it_is_from_the_reading(octaves, verdict, is_sure):
    judged = judge(2.0**octaves, 1.0, 1.0, "edge, adaptive")
    assert (judged.verdict, judged.is_sure) == (verdict, is_sure)
    assert f"lr {2.0**octaves:.3g} " in judged.sentence == str(judged)


def test_a_rate_may_be_better_than_one_that_another_method_found():
    judged = judge(1.0, 2.0**-8, 1.0, "edge, adaptive")
    assert (judged.verdict, judged.regret) == ("better", pytest.approx(TABLES["edge, adaptive"][0][9]))


@pytest.mark.parametrize("kind", TABLES)
def test_the_farther_from_the_reading_the_more_is_lost(kind):
    middle = PLACES.index(0.0)
    for values in TABLES[kind]:
        assert len(values) == len(PLACES)
        assert list(values[middle:]) == sorted(values[middle:])
        assert list(values[: middle + 1]) == sorted(values[: middle + 1], reverse=True)


@pytest.mark.parametrize(("height", "is_ruled_out"), [(0.98, False), (1.98, False), (2.02, True)])
def test_how_high_a_loss_speaks_against_a_rate(height, is_ruled_out):
    curve = drawn([3.0] * 10 + [3.0 + height] * 10, noise=1.0, level=3.0)
    assert rules_out(curve, curve.lrs[15]) is is_ruled_out
    assert rules_out(curve, curve.lrs[-1] * 1.01)


@pytest.mark.parametrize(("early", "is_ruled_out"), [(3.0, True), (1.0, True), (0.9, False)])
def test_a_rise_within_the_range_of_the_first_losses_does_not_speak_against_a_rate(early, is_ruled_out):
    smooth = np.array([3.0] * 10 + [5.05] * 10)
    losses = np.where(np.arange(20) < 2, early, smooth)
    curve = drawn(smooth, noise=1.0, level=3.0, losses=losses)
    assert rules_out(curve, curve.lrs[15]) is is_ruled_out


@pytest.mark.parametrize(("depth", "low"), [(0.0, -5.0), (1.0, -2.0)])
def test_a_flat_curve_that_diverges_is_read_back_from_where_it_rises(depth, low):
    curves = [to_curve(flat_then_diverging(seed=seed, fall=depth)) for seed in range(60)]
    read = [math.log2(edge(curve) / 0.1) for curve in curves if has_edge(curve)]
    assert len(read) >= 57
    assert low < np.quantile(read, 0.05) < np.quantile(read, 0.95) < 0.0


def test_a_flat_curve_that_rises_from_its_start_has_no_edge():
    assert has_edge(drawn([3.0] * 9 + [9.0] * 3, noise=1.0, level=3.0, stop="diverged"))
    assert not has_edge(drawn([3.0] * 8 + [9.0] * 3, noise=1.0, level=3.0, stop="diverged"))


@pytest.mark.parametrize("first", [3.0, 1.5, 1.0])
def test_a_first_step_that_is_low_by_chance_hides_no_edge(first):
    curve = drawn([first, *[3.0] * 20, 9.0], noise=1.0, level=3.0, stop="diverged")
    assert edge(curve) == pytest.approx(curve.lrs[20] / 2**0.5)


@pytest.mark.parametrize(("diverges", "is_usual"), [(1e-4, False), (0.1, True)])
def test_the_usual_rate_is_not_given_where_a_flat_curve_has_diverged(diverges, is_usual):
    for seed in range(5):
        curve = with_optimizer(flat_then_diverging(seed=seed, fall=1.0, diverges=diverges), "Adam")
        if is_usual:
            assert read_for(curve, 1.0) == pytest.approx(prior_rate(Training()), rel=0.1)
        else:
            assert read_for(curve, 1.0) < diverges / 8


def test_an_interval_is_what_a_bootstrap_of_a_hundred_reads_and_half_an_octave_more():
    seen = []
    curve = to_curve(made_up())
    low, high = interval(curve, lambda one: seen.append(one) or 3.0)
    assert (low, high) == (pytest.approx(3.0 / 2**0.5), pytest.approx(3.0 * 2**0.5))
    assert len(seen) == 101
    readings = iter([1.0, *(2.0 ** (number / 10) for number in range(100))])
    low, high = interval(curve, lambda one: next(readings))
    assert math.log2(low) == pytest.approx(0.4 - 0.5, abs=0.05)
    assert math.log2(high) == pytest.approx(9.4 + 0.5, abs=0.05)


@pytest.mark.parametrize(("away", "is_moved"), [(8, True), (9, False)])
def test_a_step_is_given_the_noise_of_eight_steps_on_either_side(away, is_moved):
    smooth = np.full(64, 2.0)
    losses = np.where(np.arange(64) < 32, 2.0, 1.0)
    curve = drawn(smooth, noise=1.0, level=2.0, losses=losses)
    seen = set()
    interval(curve, lambda one: seen.add(float(one.losses[32 - away])) or 1.0)
    assert seen == ({1.0, 2.0} if is_moved else {2.0})


@pytest.mark.parametrize(("decades", "is_alike"), [(9.05, True), (8.8, False)])
def test_slide_compares_slopes_over_a_decade_and_a_fifth_within_three_hundredths_of_the_fall(decades, is_alike):
    x = np.linspace(0.0, decades, 3000)
    losses = 5.0 - x**2  # slopes differ by 2.4 over 1.2 decades, which is 0.03 of a fall of 80
    curve = Curve(10.0**x, losses, losses, 0.0, 5.0)
    assert slide(curve, Training()) == pytest.approx(10.0 ** (decades - 1.2) if is_alike else 1.0, rel=0.01)


def test_the_minimum_is_divided_by_ten():
    curve = drawn([3.0, 2.0, 1.0, 2.0], noise=0.1, level=3.0)
    assert rule("minimum")(curve) == pytest.approx(curve.lrs[2] / 10)


def test_few_passes_in_noise_do_not_raise_the_rate():
    noisy = replace(to_curve(made_up(noise=2.0)), optimizer="Adam")
    assert is_weak(noisy)
    assert prior_for(noisy, Training(epochs=1.0)) == prior_for(noisy, Training(epochs=8.0))
    assert prior_for(noisy, Training(epochs=8.0)) > prior_for(noisy, Training(epochs=32.0))


@pytest.mark.parametrize(
    ("smooth", "index"),
    [
        ([3.0] * 20 + list(np.linspace(3.0, 1.0, 101)) + [9.0], 25),
        ([3.0] * 10 + [2.95, 2.8, 1.0], 10),
    ],
)
def test_the_fall_is_from_what_is_highest_before_its_end_to_its_end(smooth, index):
    curve = drawn(smooth, noise=0.001, level=3.0, stop="diverged")
    assert onset(curve) == at(curve, index)


def test_an_edge_is_not_below_the_ramp_and_its_density_is_that_of_the_nearest_steps():
    lrs = np.array([1.0, 2.0, 8.0, 64.0, 1024.0, 2.0**15])
    flat = np.array([3.0, 2.99, 9.0, 9.0, 9.0, 9.0])
    curve = Curve(lrs, flat, flat, 1.0, 3.0, "diverged")
    assert (edge(curve), density(curve)) == (2.0 / 2**0.5, 2 / 3)
    early = replace(curve, lrs=np.array([1.0, 1.2, 8.0, 64.0, 1024.0, 2.0**15]))
    assert (edge(early), density(early)) == (1.0, 2 / 3)
    falling = np.array([6.0, 5.0, 4.0, 3.0, 2.0, 1.0])
    assert density(replace(curve, losses=falling, smooth=falling, noise=0.1, level=6.0)) == 2 / (15 - 6)


@pytest.mark.parametrize(
    ("last", "gaps", "stop", "is_so"),
    [
        ([2.0, 2.9], 0, "done", True),
        ([2.0, 2.9], 2, "done", True),
        ([2.0, 2.9], 3, "done", False),
        ([2.0, 2.9], 0, "diverged", False),
        ([2.0, 3.0], 0, "done", False),
        ([4.0, 2.9], 0, "done", True),
    ],
)
def test_a_ramp_that_came_to_its_end_below_its_start_saturates(last, gaps, stop, is_so):
    smooth = np.array([4.0, 3.0, 2.5, 2.0, 2.0, *last])
    losses = np.where(np.arange(len(smooth)) < len(smooth) - gaps, smooth, math.nan)
    assert is_saturated(drawn(smooth, noise=0.1, level=3.0, losses=losses, stop=stop)) is is_so


def test_there_is_no_edge_where_the_loss_is_zero_and_there_is_one_where_it_is_small():
    assert not has_edge(drawn([0.0] * 12, noise=0.0, level=0.0))
    assert not has_edge(drawn([0.0] * 5, noise=0.0, level=0.0, stop="diverged"))
    assert has_edge(drawn([1e-6] * 12 + [5e-7], noise=0.0, level=1e-6))


@pytest.mark.parametrize(("last", "has"), [(3.98, False), (4.0, False), (4.02, True)])
def test_a_loss_has_risen_by_twice_its_noise(last, has):
    assert has_edge(drawn([3.0] * 10 + [2.5] * 10 + [last], noise=0.5, level=3.0)) is has


@pytest.mark.parametrize(
    ("smooth", "stop", "remedy"),
    [([3.0] * 12, "done", "raise max_lr"), ([*[3.0] * 3, *[9.0] * 9], "diverged", "lower min_lr")],
)
def test_a_refusal_says_what_was_tried_how_far_the_loss_fell_and_what_helps(smooth, stop, remedy):
    said = "between lr=0.001 and lr=0.00259: it started at 3 with noise 1 and fell by no more than 0;"
    with pytest.raises(ProbeError, match=f"{said} .*{remedy} or"):
        edge(drawn(smooth, noise=1.0, level=3.0, stop=stop))


@pytest.mark.parametrize(
    ("smooth", "noise", "index"),
    [
        ([2.0, 1.5, *[3.0] * 14, 9.0], 1.0, 15),  # more than sixteen are known: those at the end say least
        ([2.0, 1.5, *[3.0] * 13, 9.0], 1.0, 1),
        ([3.0, 3.0, 1.0, *[1.5] * 20, 9.0], 0.1, 2),  # not where the fall is clear
    ],
)
def test_where_a_weak_fall_ends_does_not_hang_on_the_first_steps(smooth, noise, index):
    curve = drawn(smooth, noise=noise, level=3.0, stop="diverged")
    rate = curve.lrs[index]
    assert edge(curve) == pytest.approx(max(rate / 2**0.5, curve.lrs[0]) if noise == 1.0 else rate)


@pytest.mark.parametrize(("low_for", "rate"), [(48, 2.0 * 2**6), (49, 2.0 * 2**4)])
def test_an_edge_more_than_six_octaves_beyond_half_of_the_fall_is_taken_to_lie_at_four(low_for, rate):
    smooth = [3.0] * 8 + [2.0] + [1.0] * low_for
    assert edge(drawn(smooth, noise=0.01, level=3.0, low=1.0)) == pytest.approx(rate)


@pytest.mark.parametrize("scale", [1.0, 1e-10])
@pytest.mark.parametrize(
    ("noise", "hill", "index"),
    [
        (0.0, 2.0, 11),
        (0.0, 1.2, -1),
        (0.25, 2.0, -1),
        (0.25, 2.01, 11),
        (0.0, 1.31, 11),
        (0.5, 3.5, -1),
        (0.49, 3.5, 11),
    ],
)
def test_behind_a_hill_of_so_much_of_the_fall_and_of_the_noise_nothing_is_read(noise, hill, index, scale):
    smooth = scale * np.array([3.0] * 8 + [1.0] * 4 + [hill] + [0.5] * 8)
    curve = drawn(smooth, noise=scale * noise, level=scale * 3.0, stop="diverged")
    assert edge(curve) == at(curve, index)
