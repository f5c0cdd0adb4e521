"""What the picture of a finding shows."""

import math
from dataclasses import replace

import pytest
from curves_with_answers import made_up
from matplotlib.figure import Figure

from lrfind.numbers import span
from lrfind.plots import SIZE
from lrfind.strategies.range_test import RangeTest

TEST = RangeTest(schedule="linear", total_steps=500)
RECORDS = (made_up(), made_up(steps=48, seed=1, low=1e-4), made_up(steps=48, seed=2, low=1e-4))
FINDING = TEST.find(RECORDS)


def drawn(finding):
    axes = finding.plot(Figure(figsize=SIZE, layout="constrained").subplots())
    return axes, {line.get_label(): line for line in axes.get_lines()}


def test_it_shows_the_losses_and_the_trend_of_every_ramp():
    axes, _ = drawn(FINDING)
    dots = [
        len(line.get_xdata())
        for line in axes.get_lines()
        if line.get_marker() == "." and line.get_linestyle() == "None"
    ]
    trends = [
        len(line.get_xdata()) for line in axes.get_lines() if line.get_marker() == "None" and len(line.get_xdata()) > 8
    ]
    assert dots == trends == [48, 48, 128]  # the first one over the others
    colours = [line.get_color() for line in axes.get_lines()[:6]]
    assert colours[::2] == colours[1::2]
    assert len(set(colours)) == 3


def test_it_shows_what_each_ramp_reads_the_found_rate_and_the_interval():
    _, lines = drawn(FINDING)
    assert list(lines["each test's rate"].get_xdata()) == [TEST.read(record) for record in RECORDS]
    assert list(lines[f"found {FINDING.lr:.3g}"].get_xdata()) == [FINDING.lr] * 2
    low, high = FINDING.interval
    across = lines[f"interval {span(low, high)}"].get_xdata()
    assert sorted({x for x in across if x == x}) == [low, high]


@pytest.mark.parametrize(("used", "shown"), [(3e-4, True), (0.0, False), (1e-9, False), (100.0, False)])
def test_it_marks_the_rate_that_the_optimizer_has_where_it_is_known_and_was_tried(used, shown):
    one = replace(FINDING, records=(replace(RECORDS[0], used=used), *RECORDS[1:]))
    marked = [list(line.get_xdata()) for name, line in drawn(one)[1].items() if name.startswith("yours")]
    assert marked == ([[used, used]] if shown else [])


@pytest.mark.parametrize("change", [{"final_fraction": None}, {"method": "race"}, {"records": RECORDS[:1]}])
def test_it_shows_no_reading_of_each_ramp_where_there_is_none(change):
    assert "each test's rate" not in drawn(replace(FINDING, **change))[1]


def test_a_ramp_with_too_few_losses_is_left_out():
    short = replace(RECORDS[1], lrs=RECORDS[1].lrs[:3], losses=RECORDS[1].losses[:3])
    axes, _ = drawn(replace(FINDING, records=(RECORDS[0], short, RECORDS[2])))
    assert "2 range tests" in axes.get_title()


def test_losses_that_are_not_finite_leave_the_view_finite():
    losses = (math.nan, *RECORDS[0].losses[1:-3], math.inf, math.inf, math.inf)
    axes, _ = drawn(TEST.find([replace(RECORDS[0], losses=losses, stop="non-finite")]))
    assert all(map(math.isfinite, (*axes.get_ylim(), *axes.get_xlim())))


def test_nothing_in_it_is_hidden_by_the_legend_at_the_size_of_a_notebook():
    axes, _ = drawn(FINDING)
    canvas = axes.figure
    canvas.draw_without_rendering()
    legend = axes.get_legend().get_window_extent()
    assert legend.y1 < axes.get_window_extent().y0
    assert legend.x0 >= 0
    assert legend.x1 <= canvas.bbox.x1
    assert legend.y0 >= 0
