import json
import math
from dataclasses import replace

import pytest
from curves_with_answers import made_up

from lrfind.compare.runs import Row, Run, best
from lrfind.errors import LRFindError
from lrfind.plots import plot_finding, plot_runs
from lrfind.report import Results, write_report
from lrfind.strategies.range_test import RangeTest

FINDING = RangeTest().propose([made_up()])


def run(name="found", lr=0.01, loss=0.3):
    rows = tuple(Row(step, step / 10, lr, loss + 0.1, 0.8, loss, 0.9) for step in (5, 10))
    return Run(name, lr, (lr, lr), "constant", 1, 1.0, rows)


def results(*runs, **changes):
    return replace(Results("digits", "digits", 0, FINDING, runs, {"Python": "3"}), **changes)


def page(tmp_path, *runs, **changes):
    return write_report(results(*runs, **changes), tmp_path).read_text()


def test_texts_are_escaped(tmp_path):
    hostile = "<script>alert(1)</script>"
    text = page(tmp_path, run(), run(hostile), title=hostile, notes=(hostile,))
    assert hostile not in text
    assert "&lt;script&gt;" in text


def test_the_verdict_is_what_the_numbers_say(tmp_path):
    assert "The found rate" in page(tmp_path, run(), run("0.1", 0.1, 2.0))
    assert "The run at <strong>0.1</strong> ends with the least" in page(tmp_path, run(), run("0.1", 0.1, 0.1))
    assert "No run ended with a finite" in page(tmp_path, run(loss=math.nan))


def test_a_loss_that_is_not_finite_is_null_in_json_and_never_wins(tmp_path):
    runs = (run("0.1", 0.1, math.nan), run())
    page(tmp_path, *runs)
    report = json.loads((tmp_path / "report.json").read_text())
    assert [one["val_loss"] for one in report["runs"]] == [None, 0.3]
    assert best(runs).name == "found"


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "figures").touch()
    with pytest.raises(LRFindError, match="choose another --out"):
        write_report(results(run()), tmp_path)


def test_the_rate_figure_is_labelled_and_marks_rate_and_range():
    ax = plot_finding(FINDING)
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert ax.get_xscale() == "log"
    assert ax.get_title()
    assert ax.get_xlabel()
    assert ax.get_ylabel()
    assert any(f"{FINDING.lr:.3g}" in label for label in labels)
    assert any(f"{FINDING.base_lr:.2g} to {FINDING.max_lr:.2g}" in label for label in labels)


@pytest.mark.parametrize(("metric", "scale", "unit"), [("loss", "log", "log scale"), ("accuracy", "linear", "%")])
def test_the_run_figures_are_labelled_and_name_every_run(metric, scale, unit):
    ax = plot_runs([run(), run("0.1", 0.1)], metric)
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert ax.get_yscale() == scale
    assert unit in ax.get_ylabel()
    assert {"found, 0.01", "0.1", "validation", "training"} == set(labels)


def test_finding_plot_draws_on_the_axes_it_is_given():
    ax = plot_finding(FINDING)
    assert FINDING.plot(ax) is ax
