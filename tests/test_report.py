import json
import math
import re
from collections import Counter
from dataclasses import replace

import pytest
from curves_with_answers import made_up

from lrfind.compare.runs import Row, Run, best
from lrfind.errors import LRFindError
from lrfind.plots import plot_finding, plot_runs
from lrfind.report import Results, forget_report, write_report
from lrfind.strategies.range_test import RangeTest

FINDING = RangeTest().propose([made_up()])


def run(name="found", lr=0.01, loss=0.3):
    rows = tuple(Row(step, step / 10, lr, loss + 0.1, 0.8, loss, 0.9) for step in (5, 10))
    return Run(name, lr, (lr, lr), "constant", 1, 1.0, 0.35, 0.87, rows)


def results(*runs, **changes):
    about = {"dataset": "digits", "title": "A net on digits", "setting": "All alike.", "seed": 0}
    return replace(Results(**about, finding=FINDING, runs=runs, environment={"Python": "3"}), **changes)


def page(tmp_path, *runs, **changes):
    return write_report(results(*runs, **changes), tmp_path).read_text()


def hostile(place):
    return f"<script>{place}</script> & $\\frac$"


def test_texts_are_shown_escaped(tmp_path):
    text = page(
        tmp_path,
        run(loss=2.0),
        run(hostile("name"), 0.1),
        title=hostile("title"),
        setting=hostile("setting"),
        notes=(hostile("note"),),
        finding=replace(FINDING, notes=(hostile("finding"),), schedule=hostile("schedule")),
        environment={hostile("package"): hostile("version")},
    )
    shown = Counter(re.findall(r"&lt;script&gt;(\w+)&lt;/script&gt; &amp; \$\\frac\$", text))
    assert shown == {  # the name in the verdict and in the table, the title in the tab and on the page
        **dict.fromkeys(("setting", "note", "finding", "schedule", "package", "version"), 1),
        **dict.fromkeys(("name", "title"), 2),
    }
    assert "<script" not in text


def test_the_page_names_what_its_results_name(tmp_path):
    text = page(tmp_path, run(), title="A perceptron on wines", setting="Each run: one epoch.")
    assert "<title>lrfind: A perceptron on wines</title>" in text
    assert "<h1>A perceptron on wines: " in text
    assert "Each run: one epoch." in text
    assert not re.search("LeNet|MNIST|Adam|cross-entropy", text)


def test_runs_at_close_rates_can_be_told_apart(tmp_path):
    close = [run("0.12341", 0.12341), run("0.12342", 0.12342)]
    text = page(tmp_path, run(), *close)
    labels = [label.get_text() for label in plot_runs(close, "loss").get_legend().get_texts()]
    assert ("<td>0.12341</td>" in text, "<td>0.12342</td>" in text) == (True, True)
    assert {"0.12341", "0.12342"} <= set(labels)


def test_every_run_has_its_figures_on_the_test_data(tmp_path):
    text = page(tmp_path, run())
    assert ("<td>0.3500</td>" in text, "<td>87.00 %</td>" in text) == (True, True)
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["runs"][0]["test_loss"], report["runs"][0]["test_accuracy"]) == (0.35, 0.87)


def test_a_report_that_is_forgotten_leaves_nothing_but_what_is_not_its_own(tmp_path):
    page(tmp_path, run())
    mine = (tmp_path / "mine.json", tmp_path / "figures" / "mine.png")
    for file in mine:
        file.touch()
    forget_report(tmp_path)
    assert {file for file in tmp_path.rglob("*") if file.is_file()} == set(mine)
    forget_report(tmp_path / "never written")


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


def test_repeated_range_tests_are_drawn_and_counted(tmp_path):
    again = tuple(made_up(steps=48, seed=seed, low=1e-4) for seed in (1, 2))
    finding = replace(FINDING, records=(*FINDING.records, *again))
    lines = {line.get_label(): line for line in plot_finding(finding).get_lines()}
    assert "loss of each step, repeated" not in [line.get_label() for line in plot_finding(FINDING).get_lines()]
    assert len(lines["loss of each step, repeated"].get_xdata()) == 48
    text = page(tmp_path, run(), finding=finding)
    assert "reading of 3 range tests," in text
    assert text.count("and of 2 more over the rates that matter") == 2  # the caption, and for who cannot see


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
