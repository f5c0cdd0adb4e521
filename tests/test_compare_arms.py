"""Each arm gets the rate that is best for its schedule, and ends at the end of a cycle."""

import json
import math
from dataclasses import replace

import pytest
from curves_with_answers import made_up

from lrfind.compare.arms import ARMS, check_arms, check_cycles, needs, rates, to_arms
from lrfind.compare.comparison import Comparison, Failure, Row, Run
from lrfind.compare.verdict import judge
from lrfind.errors import BadInputError
from lrfind.strategies.range_test import RangeTest

FINDINGS = {name: RangeTest(schedule=name).propose([made_up()]) for name in ("constant", "linear", "one-cycle")}
FIXED = FINDINGS["constant"]


def test_smiths_arms():
    arms = {arm.name: arm for arm in to_arms(FINDINGS, lrs=(1e-3, 0.1))}
    assert list(arms) == [
        "0.001",
        "0.1",
        "found",
        "linear",
        "one-cycle",
        "restarts",
        "triangular",
        "triangular2",
        "exp_range",
    ]
    assert [arm.origin for arm in arms.values()] == ["given"] * 2 + ["found"] * 7
    assert [arm.is_fixed for arm in arms.values()] == [True] * 3 + [False] * 6
    assert arms["found"].lr == FIXED.lr  # the best fixed rate, not the lower end of the range
    assert arms["linear"].lr == FINDINGS["linear"].lr != FIXED.lr
    assert arms["one-cycle"].lr == FINDINGS["one-cycle"].lr
    for name in ("restarts", "triangular", "triangular2", "exp_range"):
        assert (arms[name].base_lr, arms[name].lr, arms[name].cycles) == (FIXED.base_lr, FIXED.max_lr, 4)


def test_a_rate_is_searched_for_every_schedule_that_has_its_own():
    assert needs(ARMS) == ("constant", "linear", "one-cycle")
    assert needs(["one-cycle", "cosine"]) == ("one-cycle", "cosine")
    assert needs([]) == ()


@pytest.mark.parametrize("name", ARMS)
@pytest.mark.parametrize("steps", [40, 57])
def test_every_arm_stays_in_its_range_and_ends_at_the_end_of_a_cycle(name, steps):
    arm = next(arm for arm in to_arms(FINDINGS) if arm.schedule == name)
    each = rates(arm, steps)
    assert len(each) == steps
    assert 0 < min(each) <= max(each) <= arm.lr
    if arm.is_fixed:
        assert set(each) == {arm.lr}
    else:
        end, low = each[-1], arm.base_lr or 0.0
        assert end - low <= 0.25 * (arm.lr - low)  # a step or less before its lowest
        assert max(each) >= low + 0.7 * (arm.lr - low)


@pytest.mark.parametrize(
    ("lrs", "schedules", "cycles", "message"),
    [
        ((), ("constant", "steps"), 4, "schedules must be among .* got 'steps'"),
        ((0.1, 1e-1), (), 4, "0.1 is named twice"),
        ((), ("linear", "linear"), 4, "linear is named twice"),
        ((), ("linear",), 4, "two arms or more, got 1"),
        ((0.1, 0.2), (), 0, "cycles must be a whole number from 1 up, got 0"),
    ],
)
def test_bad_arms_are_refused_before_any_work(lrs, schedules, cycles, message):
    with pytest.raises(BadInputError, match=message):
        check_arms(lrs, schedules, cycles)


@pytest.mark.parametrize("lr", [0.0, -1.0, math.nan, math.inf])
def test_a_rate_that_is_none_makes_no_arm(lr):
    with pytest.raises(BadInputError, match="positive and finite"):
        to_arms({}, lrs=(lr, 0.1), schedules=())


def test_a_range_of_one_rate_cannot_be_cycled():
    narrow = {"constant": replace(FIXED, base_lr=FIXED.lr, max_lr=FIXED.lr)}
    with pytest.raises(BadInputError, match="nowhere to go"):
        to_arms(narrow, schedules=("constant", "triangular"))


def compared():
    arms = to_arms(FINDINGS, lrs=(0.1,), schedules=("constant", "linear"))
    runs = tuple(
        Run(arm.name, seed, (arm.lr, arm.lr), 10, 1.5, (Row(10, 1.0, arm.lr, {"val_loss": 0.3 + 0.01 * seed * rank}),))
        for rank, arm in enumerate(arms)
        for seed in range(3)
    )
    lost = replace(runs[-1], rows=(Row(10, 1.0, 0.1, {"val_loss": math.inf, "train_loss": 2.0}),))
    runs = (*runs[:-1], lost)
    verdict, summaries = judge(arms, runs, "val_loss", "min")
    failures = (Failure("linear", 3, "RuntimeError: no"),)
    return Comparison(
        "a net",
        "all alike",
        "val_loss",
        "min",
        arms,
        runs,
        verdict,
        FIXED,
        failures,
        summaries,
        {"torch": "2"},
        ("so",),
    )


def test_a_comparison_survives_json():
    first = compared().to_dict()
    text = json.dumps(first, allow_nan=False)
    again = Comparison.from_dict(json.loads(text))
    assert again.to_dict() == first
    assert first["schema"] == "lrfind/comparison/1"
    assert first["runs"][-1]["rows"][0]["metrics"]["val_loss"] == "inf"
    assert again == compared()
    assert again.finding == FIXED


def test_a_comparison_of_an_earlier_version_is_read():
    data = compared().to_dict()
    data["runs"][-1]["rows"][0]["metrics"]["val_loss"] = None  # what was not finite
    data["verdict"]["apart"] = data["verdict"].pop("not_compared")
    again = Comparison.from_dict(data)
    assert math.isnan(again.runs[-1].final("val_loss"))
    assert again.verdict == compared().verdict


@pytest.mark.parametrize(
    "break_it", [lambda d: d.update(schema="x"), lambda d: d.pop("arms"), lambda d: d["verdict"].clear()]
)
def test_what_is_no_comparison_is_refused(break_it):
    data = compared().to_dict()
    break_it(data)
    with pytest.raises(BadInputError):
        Comparison.from_dict(data)


def test_a_cycle_needs_a_step_up_and_one_down():
    check_cycles(("triangular",), 4, 8)
    check_cycles(("linear",), 4, 1)
    with pytest.raises(BadInputError, match="cycles=4 need at least 8 optimizer steps, got 7"):
        check_cycles(("linear", "restarts"), 4, 7)
