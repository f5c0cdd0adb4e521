"""The charts of a comparison as numbers, and in characters."""

import math
from dataclasses import replace

import pytest
from comparisons import FINDING, made_up_comparison
from hypothesis import given
from hypothesis import strategies as st

from lrfind.charts import Axis, finding_chart
from lrfind.cli.views import braille, interval_bar, rate_chart
from lrfind.compare.comparison import Arm, Comparison, Interval, Row, Run, Verdict
from lrfind.report import charts as report_charts
from lrfind.report.charts import charts_of, finals_chart


def ended(means, mode="min"):
    """Arms that end at these values, with one seed."""
    arms = tuple(Arm(f"arm {number}", 0.1) for number in range(len(means)))
    runs = tuple(
        Run(arm.name, 0, (0.1, 0.1), 4, 1.0, (Row(4, 1.0, 0.1, {"metric": mean}),))
        for arm, mean in zip(arms, means, strict=True)
    )
    summaries = {arm.name: Interval(mean, mean, mean) for arm, mean in zip(arms, means, strict=True)}
    return Comparison("", "", "metric", mode, arms, runs, Verdict("", None, None, ()), summaries=summaries)


@pytest.mark.parametrize(
    ("means", "mode", "span", "beyond"),
    [
        ([1.0, 2.0], "min", (1.0, 2.0), [0, 0]),
        ([1.0, 1.1, 1.2, 9.0], "min", (1.0, 1.6), [0, 0, 0, 1]),
        ([0.9, 0.8, 0.1], "max", (0.3, 0.9), [0, 0, -1]),
        ([1.0, 1.0, 5.0], "min", (1.0, 5.0), [0, 0, 0]),
        ([1.0, 1.1, math.nan], "min", (1.0, 1.1), [0, 0, 0]),
    ],
)
def test_one_bad_arm_does_not_squash_the_good_ones(means, mode, span, beyond):
    chart = finals_chart(ended(means, mode))
    margin = 0.05 * (span[1] - span[0])
    assert (chart.x.low, chart.x.high) == pytest.approx((span[0] - margin, span[1] + margin))
    arrows = {mark.arm: -1 if "←" in mark.label else 1 for mark in chart.marks if mark.kind == "beyond"}
    assert [arrows.get(name, 0) for name in chart.y.names] == beyond


def test_arms_that_end_alike_have_an_axis():
    x = finals_chart(ended([1.0, 1.0])).x
    assert x.low < 1.0 < x.high


@pytest.mark.parametrize(
    ("interval", "bar"),
    [
        ((2.0, 1.0, 3.0), "  ├─●─┤"),
        ((2.0, 2.0, 2.0), "    ●"),
        ((2.0, -9.0, 9.0), "├───●───┤"),
        ((9.0, 8.0, 10.0), "        →"),
        ((-9.0, -9.0, -9.0), "←"),
        (None, ""),
    ],
)
def test_an_interval_is_drawn_to_scale_and_points_beyond_the_chart(interval, bar, monkeypatch):
    monkeypatch.setattr(report_charts, "_axis", lambda label, shown: Axis(label, 0.0, 4.0))
    whole = ended([1.0])
    whole = replace(whole, runs=(*whole.runs, replace(whole.runs[0], seed=1)))
    chart = finals_chart(replace(whole, summaries={"arm 0": Interval(*interval)} if interval else {}))
    assert interval_bar(chart, "arm 0", 9).plain.rstrip() == bar


@given(st.floats(1e-9, 1e9), st.floats(1.001, 1e6), st.booleans())
def test_ticks_lie_on_the_axis(low, ratio, is_log):
    axis = Axis("", low, low * ratio, is_log)
    assert all(-1e-6 <= axis.share(tick) <= 1 + 1e-6 for tick in axis.ticks())
    assert len(axis.ticks()) <= 12


def test_every_value_that_a_chart_is_to_show_lies_on_its_axis():
    whole = made_up_comparison(failed=None)
    for chart in charts_of(whole)[1:]:
        lines = [mark for mark in chart.marks if mark.kind in ("line", "best")]
        inside = [chart.y.low <= value <= chart.y.high for line in lines for value in line.ys if value == value]
        assert sum(inside) > 0.9 * len(inside)  # all but an arm that blew up and the end of a schedule


def test_the_terminal_shows_curve_rate_and_range():
    lines = rate_chart(finding_chart(FINDING), 80).plain.splitlines()
    assert max(map(len, lines)) <= 80
    axis, labels = lines[-3:-1]
    assert axis.count("▲") == 1
    assert axis.index("═") < axis.index("▲")
    assert f"{FINDING.lr:.3g}" in labels[axis.index("▲") - 5 : axis.index("▲") + 6]
    assert sum(0x2800 < ord(character) < 0x2900 for line in lines for character in line) > 80


def test_the_line_of_the_terminal_has_no_holes():
    once = replace(FINDING, records=FINDING.records[:1])
    lines = rate_chart(finding_chart(once), 80).plain.splitlines()[1:-3]
    drawn = {column for line in lines for column, character in enumerate(line) if 0x2800 < ord(character) < 0x2900}
    assert drawn == set(range(min(drawn), max(drawn) + 1))


def test_dots_outside_of_the_terminals_chart_are_left_out():
    (row,) = braille([([0.0, 1.0, 1.1, math.nan, 0.5], [0.0, 1.0, 0.5, 0.5, -0.1], "")], 4, 1)
    assert row.plain == "⡀  ⠈"
