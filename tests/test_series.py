"""What is drawn of a comparison, as numbers."""

import math
import sys
from dataclasses import replace

import pytest
from comparisons import made_up_comparison
from hypothesis import given
from hypothesis import strategies as st

from lrfind.compare.comparison import Arm, Comparison, Row, Run, Verdict
from lrfind.report.charts import ceiling, falls, needs_log_axis, schedules_of, series_of, thinned
from lrfind.report.rows import families, metric_names

ARM = Arm("a", 0.1)


def comparison(*curves, metric="val_loss", arms=(ARM,)):
    """Runs of one arm, each given as a loss per step."""
    runs = [
        Run("a", seed, (0.1, 0.1), max(curve), 1.0, tuple(Row(at, at / 4, 0.1, {metric: y}) for at, y in curve.items()))
        for seed, curve in enumerate(curves)
    ]
    return Comparison("", "", metric, "min", tuple(arms), tuple(runs), Verdict("", None, None, ()))


def test_seeds_are_averaged_step_by_step():
    (series,) = series_of(comparison({4: 1.0, 8: 0.5}, {4: 3.0, 8: 1.5}), "val_loss")
    assert (series.row.name, [*series.steps]) == ("a", [4, 8])
    assert series.seeds.tolist() == [[1.0, 0.5], [3.0, 1.5]]
    assert series.mean.tolist() == [2.0, 1.0]


def test_a_step_that_a_seed_lacks_is_left_out():
    (series,) = series_of(comparison({4: 1.0, 8: 0.5, 12: 9.0}, {4: 3.0, 8: 1.5}), "val_loss")
    assert [*series.steps] == [4, 8]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_one_seed_that_is_not_finite_makes_a_gap(bad):
    (series,) = series_of(comparison({4: 1.0, 8: bad}, {4: 3.0, 8: 1.5}), "val_loss")
    assert series.mean[0] == 2.0
    assert all(map(math.isnan, (series.mean[1], *series.seeds[:, 1])))


def test_an_arm_without_a_run_or_the_metric_has_no_curve():
    one = comparison({4: 1.0}, arms=(ARM, Arm("b", 0.2)))
    assert [series.row.name for series in series_of(one, "val_loss")] == ["a"]
    assert series_of(one, "accuracy") == []


@given(st.lists(st.lists(st.floats(-1e9, 1e9), min_size=2, max_size=2), min_size=1, max_size=5))
def test_the_mean_lies_among_the_seeds(values):
    (series,) = series_of(comparison(*({1: a, 2: b} for a, b in values)), "val_loss")
    for low, mean, high in zip(series.seeds.min(axis=0), series.mean, series.seeds.max(axis=0), strict=True):
        slack = 1e-12 * max(abs(low), abs(high)) + sys.float_info.min  # where halves are no numbers any more
        assert low - slack <= mean <= high + slack


def test_metrics_of_a_kind_are_together_and_the_judged_one_is_first():
    whole = made_up_comparison()
    loss, accuracy = ["val_loss", "train_loss"], ["val_accuracy", "train_accuracy"]
    assert list(families(whole).items()) == [("loss", loss), ("accuracy", accuracy)]
    judged = families(replace(whole, metric="train_accuracy"))
    assert list(judged.items()) == [("accuracy", accuracy[::-1]), ("loss", loss)]


def test_the_judged_metric_is_named_first_and_training_last_and_what_was_only_tested_too():
    names = ["val_loss", "val_accuracy", "test_loss", "test_accuracy", "train_loss", "train_accuracy"]
    assert metric_names(made_up_comparison()) == names


@pytest.mark.parametrize(
    ("values", "is_log"),
    [
        ([1.0, 2.9], False),
        ([1.0, 3.0], True),
        ([0.0, 1e-3, 1e-1], True),
        ([-1.0, 5.0], False),
        ([math.nan, 1.0, 10.0], True),
        ([math.nan], False),
        ([], False),
    ],
)
def test_a_log_axis_is_for_ratios(values, is_log):
    assert needs_log_axis(values) is is_log


@pytest.mark.parametrize(
    ("values", "top"),
    [([1.0, 2.0, 3.0], 3.0), ([1.0, 1.0, 1e6], 10.0), ([-5.0, -1.0, 7.0], 7.0), ([1.0, math.inf], 1.0)],
)
def test_what_has_blown_up_does_not_flatten_the_rest(values, top):
    assert ceiling(values) == top


def test_no_value_has_no_ceiling():
    assert ceiling([math.nan]) == math.inf


def test_losses_fall_and_accuracies_rise():
    whole = made_up_comparison()
    assert falls(series_of(whole, "val_loss"))
    assert not falls(series_of(whole, "val_accuracy"))


def test_the_schedule_is_what_the_optimizer_had():
    whole = made_up_comparison(failed=None)
    planned = {series.row.name: dict(zip(series.steps, series.mean, strict=True)) for series in schedules_of(whole)}
    for used in series_of(whole):
        asked = planned[used.row.name]
        both = [(asked[at], lr) for at, lr in zip(used.steps, used.mean, strict=True) if at in asked]
        assert len(both) > 5
        assert all(lr == pytest.approx(other, rel=1e-12) for lr, other in both)


@given(st.integers(1, 3000), st.integers(1, 500))
def test_a_long_curve_is_thinned_to_its_end(count, most):
    steps = thinned(range(count), most)
    assert steps[-1] == count - 1
    assert min(count, most / 2) <= len(steps) <= most


def test_a_schedule_without_a_name_here_is_not_drawn():
    assert schedules_of(comparison({4: 1.0}, arms=(Arm("a", 0.1, "my own"),))) == []
