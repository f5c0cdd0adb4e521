"""The report's files, from data; ``test_page`` opens the page in a browser."""

import csv
import io
import json
import math
import re
import sys
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
from comparisons import ARMS, FINDING, HOSTILE, made_up_comparison, made_up_run
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from lrfind.charts import PALETTE
from lrfind.compare.arms import label
from lrfind.compare.comparison import Arm, Verdict
from lrfind.compare.verdict import closing
from lrfind.errors import BadInputError, LRFindError, MissingExtraError, ProbeError
from lrfind.numbers import span
from lrfind.plots import plot_finding
from lrfind.report import forget_report, plot_finals, plot_rates, plot_runs, to_csv, to_markdown, write_report
from lrfind.report.rows import arm_rows, file_names, labelled
from lrfind.report.texts import escape, render, write_finding_page

FILES = {"report.html", "report.json", "report.md", "runs.csv"}
NAMES = [label(arm) for arm in ARMS]
FIGURES = {"finals", "finding", "metric-accuracy", "metric-loss", "rates"}


@pytest.fixture(scope="module")
def whole():
    return made_up_comparison()


@pytest.fixture(scope="module")
def out(whole, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    assert write_report(whole, folder) == folder / "report.html"
    return folder


class Words(HTMLParser):
    """Counts the texts of a page, and collects the cells of its tables."""

    def __init__(self, text):
        super().__init__()
        self.words, self.cells = Counter(), []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        if tag == "tr":
            self.cells.append([])
        if tag in ("td", "th") and self.cells:
            self.cells[-1].append("")

    def handle_data(self, text):
        self.words[text.strip()] += 1
        if self.cells and self.cells[-1]:
            self.cells[-1][-1] += text.strip() + " "


def test_report_json_is_the_comparison(whole, out):
    assert json.loads((out / "report.json").read_text()) == whole.to_dict()


def test_the_table_of_arms_is_what_the_runs_say(whole, out):
    rows = [row for row in Words((out / "report.html").read_text()).cells if len(row) == 10][1:]
    assert len(rows) == len(ARMS)
    for row, arm in zip(rows, ARMS, strict=True):
        runs = whole.runs_of(arm.name)
        for metric, place in {"val_loss": 1, "val_accuracy": 2, "test_loss": 3, "train_accuracy": 6}.items():
            mean = sum(run.final(metric) for run in runs) / len(runs)
            shown = row[place].split()
            if math.isnan(mean):
                assert shown[:2] == ["not", "finite"]
            else:
                assert float(shown[0]) == pytest.approx(mean, rel=1e-3)
        applied = [end for run in runs for end in run.lr_applied]
        assert float(row[7].split()[0]) == pytest.approx(max(applied), rel=0.01)
        assert row[8].replace(",", "").strip() == "1200"


def test_the_page_says_what_was_found_and_what_it_means(whole, out):
    words = Words((out / "report.html").read_text()).words
    sentence, rest = labelled(whole).verdict.sentence.split(". ", 1)
    assert words[sentence + "."] == words[rest] == words[closing(labelled(whole))] == 1
    assert words[whole.setting] == words["LeNet on Fashion-MNIST"] == words["RuntimeError: CUDA out of memory"] == 1
    assert words["settled"] >= 1
    assert words["The rate was found by the calibrated reading of 3 range tests, for a constant schedule."] == 1
    assert all(words[note] == 1 for note in (*whole.notes, *FINDING.notes))


def test_the_page_is_small_also_where_a_lot_was_run(whole, out):
    assert (out / "report.html").stat().st_size < 120_000
    arms = tuple(Arm(f"arm {number}", 0.01 * (1 + number)) for number in range(16))
    runs = tuple(made_up_run(arm, seed, evaluations=400) for arm in arms for seed in (0, 1))
    many = replace(whole, arms=arms, runs=runs, verdict=Verdict("", None, arms[0].name, ()))
    assert len(render(many)) < 500_000


def test_arms_are_called_by_their_rates_unless_a_person_has_named_them(whole):
    shown = labelled(whole)
    names = ["lr 1e-5", "lr 0.01", "lr 0.1", f"found {FINDING.lr:.3g}", "linear 0.0024"]
    assert [arm.name for arm in shown.arms][:5] == names
    assert {run.arm for run in shown.runs} == {arm.name for arm in shown.arms}
    assert shown.verdict.best == "linear 0.0024"
    assert shown.verdict.sentence.startswith("linear 0.0024 wins")
    assert labelled(shown) == shown
    alike = made_up_comparison((Arm("0.012341", 0.012341), Arm("0.012342", 0.012342)), failed=None)
    assert labelled(alike) == alike
    mine = made_up_comparison((Arm("mine", 0.5), Arm("yours", 0.1)), failed=None)
    assert labelled(mine) == mine


def test_a_finding_has_a_page_of_its_own(tmp_path):
    adam = replace(FINDING, records=tuple(replace(one, optimizer="Adam") for one in FINDING.records), epochs=5.0)
    page = write_finding_page(replace(adam, notes=("<b>note</b>",)), tmp_path / "finding.html")
    words = Words(page.read_text()).words
    assert words[adam.headline] == words["Adam"] == words["held constant, 5 epochs"] == words["<b>note</b>"] == 1
    assert words[f"found {FINDING.lr:.3g}"] == 1
    assert page.stat().st_size < 60_000
    write_finding_page(replace(FINDING, records=()), page)
    assert "Loss against learning rate" not in page.read_text()


def test_what_is_close_names_the_seeds_that_would_settle_it():
    whole = made_up_comparison()
    close = replace(whole.verdict.pairs[0], is_settled=False, seeds_needed=9)
    text = render(replace(whole, verdict=replace(whole.verdict, pairs=(close,), kinds=None)))
    assert "too close to call</span> about 7 more seeds, 9 in all" in text


def test_a_seed_that_is_not_finite_is_told(tmp_path):
    lost = made_up_run(ARMS[2], 1)
    runs = tuple(lost if run == made_up_run(ARMS[3], 1) else run for run in made_up_comparison().runs)
    runs = tuple(replace(run, arm="found") if run is lost else run for run in runs)
    whole = replace(made_up_comparison(), runs=runs)
    assert render(whole).count("2 of 3 finite") == 2  # in the chart and in the table
    assert to_markdown(whole).count("2 of 3 finite") == 1


def test_a_notebook_shows_the_verdict_the_arms_and_their_results(whole):
    text = whole._repr_html_()
    shown, page = labelled(whole), Words(text)
    assert page.words[shown.verdict.sentence.split(". ", 1)[0] + "."] == page.words[closing(shown)] == 1
    rows = [row for row in page.cells if row]
    assert [row[0].strip() for row in rows[1:]] == NAMES
    assert [float(row[1].split()[0]) for row in rows[4:]] == pytest.approx([0.3117, 0.2745, 0.2858], abs=1e-4)
    assert '<img alt="val_loss at the end"' in text
    assert not re.search(r'(src|href)="(?!data:)|https?:|url\(|<script', text)
    assert len(text) < 60_000


def test_a_notebook_shows_a_comparison_without_runs_and_hostile_names_as_text():
    empty = made_up_comparison((), 0, failed=None, finding=None, verdict=Verdict(HOSTILE, None, None, ()))
    text = empty._repr_html_()
    assert Words(text).words[HOSTILE] == 1
    assert "<img" not in text


def test_a_notebook_shows_the_text_of_a_comparison_where_jinja_is_missing(whole, monkeypatch):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    assert whole._repr_html_() is None


def test_a_finding_without_a_curve_has_a_report(whole, tmp_path):
    few = replace(FINDING.records[0], lrs=FINDING.records[0].lrs[:4], losses=FINDING.records[0].losses[:4])
    for records in ((), (few,)):
        one = replace(FINDING, records=records)
        assert 'id="finding"' not in render(replace(whole, finding=one))
        assert 'id="finding"' not in write_finding_page(one, tmp_path / "finding.html").read_text()
        with pytest.raises(ProbeError):
            one.plot()


def test_texts_are_shown_escaped(whole):
    def hostile(place):
        return f"<script>{place}</script> & $\\frac$"

    text = render(
        replace(
            whole,
            title=hostile("title"),
            setting=hostile("setting"),
            notes=(hostile("note"),),
            finding=replace(FINDING, notes=(hostile("finding"),), schedule=hostile("schedule")),
            environment={hostile("package"): hostile("version")},
            failures=(replace(whole.failures[0], error=hostile("error")),),
            verdict=replace(whole.verdict, sentence=hostile("verdict")),
        )
    )
    shown = Counter(re.findall(r"&lt;script&gt;(\w+)&lt;/script&gt; &amp; \$\\frac\$", text))
    once = ("setting", "note", "finding", "package", "version", "error", "verdict")
    # the title in the tab too, the schedule in the card of the rate too
    assert shown == {**dict.fromkeys(once, 1), "title": 2, "schedule": 2}
    assert text.count("<script") == 2


def test_the_page_works_where_it_lies(out):
    text = (out / "report.html").read_text()
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', text)[1]
    assert policy.startswith("default-src 'none'; ")
    markup = re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL)
    assert not re.search(r'(src|href)="(?!data:)|https?:|url\(', markup)


@pytest.mark.parametrize("name", ["</script><script>alert(1)", "<!--<script>", "\u2028 & '\""])
def test_the_numbers_of_a_page_cannot_leave_their_element(name):
    text = render(made_up_comparison((Arm(name, 0.01), ARMS[3]), 1, failed=None))
    (data,) = re.findall(r'<script type="application/json" id="hover">(.*?)</script>', text, re.DOTALL)
    assert not set("<>&") & set(data)
    assert {each[0] for each in json.loads(data)["metric-loss"]["series"]} == {name, NAMES[3]}


def test_the_csv_has_every_evaluation_of_every_run(whole, out):
    rows = list(csv.DictReader(io.StringIO((out / "runs.csv").read_text())))
    assert len(rows) == sum(len(run.rows) for run in whole.runs)
    written = iter(rows)
    for run in whole.runs:
        for row in run.rows:
            cells = next(written)
            assert (cells["arm"], int(cells["seed"]), int(cells["step"])) == (run.arm, run.seed, row.step)
            assert (float(cells["lr"]), float(cells["epoch"])) == (row.lr, row.epoch)
            assert {name: float(cells[name]) for name in row.metrics} == pytest.approx(row.metrics, nan_ok=True)
            tested = run.tested if row is run.last else dict.fromkeys(run.tested)
            assert {name: float(cells[name]) if cells[name] else None for name in tested} == pytest.approx(
                tested, nan_ok=True
            )


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", '=HYPERLINK("http://x","y")'])
def test_no_name_is_a_formula_in_a_spreadsheet(name):
    arm = Arm(name, 0.01)
    run = made_up_run(arm, 0)
    run = replace(run, rows=(replace(run.rows[0], metrics={name: 0.5}),))
    head, row = csv.reader(io.StringIO(to_csv(made_up_comparison((arm,), 1, runs=(run,)))))
    assert (head[6], row[0]) == (f"'{name}", f"'{name}")


def shown_by_markdown(text):
    """What a reader of rendered Markdown sees, on one line."""
    words = []

    class Words(HTMLParser):
        def handle_data(self, data):
            words.append(data)

    Words().feed(MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(text))
    return " ".join("".join(words).replace("\u200b", "").split())


@given(st.text(st.characters(exclude_categories=("Cs", "Cc"))))
def test_markdown_shows_a_text_as_it_is(text):
    assert shown_by_markdown(f"x {escape(text)} x") == " ".join(f"x {text} x".replace("\u200b", "").split())


@pytest.mark.parametrize("text", ["# a", "- a", "+ a", "1. a", "12) a", "> a", "=== a", "@team", "see #12", "~~a~~"])
def test_markdown_makes_nothing_of_the_start_of_a_text(text):
    html = MarkdownIt("commonmark").enable("strikethrough").render(escape(text))
    assert re.findall("<(h1|ul|ol|blockquote|s)\\b", html) == []
    assert shown_by_markdown(escape(text)) == text
    assert not re.search(r"[@#]\w", escape(text))


def test_the_markdown_is_short_and_holds_verdict_and_table(whole, out):
    text = (out / "report.md").read_text()
    assert len(text.splitlines()) < 40
    shown = shown_by_markdown(text)
    assert all(part in shown for part in (*labelled(whole).verdict.sentence.split(". ", 1), closing(labelled(whole))))
    html = MarkdownIt("commonmark").enable("table").render(text)
    assert html.count("<tr>") == 1 + len(ARMS)
    assert "Trained: 20,400 steps." in shown
    assert "Failed: lr 0.01, seed 2: RuntimeError: CUDA out of memory" in shown


def test_a_hostile_name_stays_in_its_cell_of_the_markdown():
    name = "a | b\n| c `d` <img src=x>"
    html = MarkdownIt("commonmark").enable("table").render(to_markdown(made_up_comparison((Arm(name, 0.01),))))
    assert (html.count("<tr>"), html.count("<img"), html.count("<code>")) == (2, 0, 0)


def test_the_figures_are_there_as_png_and_as_svg(out):
    assert {file.stem for file in (out / "figures").iterdir()} == FIGURES
    for name in FIGURES:
        assert (out / "figures" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert ElementTree.parse(out / "figures" / f"{name}.svg").getroot().tag.endswith("svg")


def test_a_report_is_the_same_when_it_is_written_again(whole, out, tmp_path):
    write_report(whole, tmp_path)
    for file in out.rglob("*.*"):
        if file.is_file():
            assert (tmp_path / file.relative_to(out)).read_bytes() == file.read_bytes()


def test_names_that_no_file_or_font_can_have(tmp_path):
    run = made_up_run(ARMS[3], 0)
    names = ("../../学习率", "a/b", "A b", HOSTILE)
    rows = tuple(replace(row, metrics={"val_loss": 1.0, **dict.fromkeys(names, 0.5)}) for row in run.rows)
    whole = made_up_comparison(ARMS[3:4], 1, runs=(replace(run, rows=rows),))
    write_report(whole, tmp_path)
    figures = {file.stem for file in (tmp_path / "figures").glob("metric-*.svg")}
    assert len(figures) == 1 + len(names)
    assert all(re.fullmatch(r"metric-[\w.+-]+", name) for name in figures)


@given(st.lists(st.text(max_size=80), unique=True), st.sets(st.text()))
def test_names_of_files_are_safe_and_differ_even_where_case_does_not_count(names, taken):
    files = file_names(names, taken)
    assert list(files) == names
    assert all(re.fullmatch(r"[\w+][\w.+-]*", file) and len(file) < 70 for file in files.values())
    assert len({file.lower() for file in files.values()} - {name.lower() for name in taken}) == len(names)


def test_a_report_that_is_forgotten_leaves_nothing_but_what_is_not_its_own(tmp_path):
    write_report(made_up_comparison(ARMS[3:4], 1), tmp_path)
    mine = (tmp_path / "mine.json", tmp_path / "figures" / "mine.png")
    for file in mine:
        file.touch()
    forget_report(tmp_path)
    assert {file for file in tmp_path.rglob("*") if file.is_file()} == set(mine)
    forget_report(tmp_path / "never written")


def test_a_figure_of_an_earlier_comparison_does_not_outlive_it(tmp_path):
    write_report(made_up_comparison(ARMS[3:4], 1), tmp_path)
    write_report(replace(made_up_comparison(ARMS[3:4], 1), finding=None), tmp_path)
    assert not (tmp_path / "figures" / "finding.png").exists()


def test_a_comparison_without_runs_or_finding(tmp_path):
    empty = made_up_comparison((), 0, failed=None, finding=None, verdict=Verdict("Nothing ran.", None, None, ()))
    write_report(empty, tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == FILES
    assert "Nothing ran." in (tmp_path / "report.md").read_text()


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "figures").touch()
    with pytest.raises(LRFindError, match=r"figures cannot be written \(.*\); choose another place"):
        write_report(made_up_comparison(ARMS[3:4], 1), tmp_path)


def test_what_is_missing_is_named_before_anything_is_written(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(MissingExtraError, match=r"jinja2 is not installed.*lrfind\[compare\]"):
        write_report(made_up_comparison(ARMS[3:4], 1), tmp_path)
    assert list(tmp_path.iterdir()) == []


def labels(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_the_rate_figure_is_labelled_and_marks_rate_and_range():
    ax = plot_finding(FINDING)
    assert ax.get_xscale() == "log"
    assert all((ax.get_title(), ax.get_xlabel(), ax.get_ylabel()))
    assert any(f"{FINDING.lr:.3g}" in label for label in labels(ax))
    assert any(span(FINDING.base_lr, FINDING.max_lr) in label for label in labels(ax))


def test_repeated_range_tests_are_drawn_and_counted():
    once = replace(FINDING, records=FINDING.records[:1])
    lines = {line.get_label(): line for line in plot_finding(FINDING).get_lines()}
    assert "loss of each step, repeated" not in [line.get_label() for line in plot_finding(once).get_lines()]
    assert len(lines["loss of each step, repeated"].get_xdata()) == 48
    assert "of 3 range tests;" in render(made_up_comparison())


def test_finding_plot_draws_on_the_axes_it_is_given():
    ax = plot_finding(FINDING)
    assert FINDING.plot(ax) is ax


@pytest.mark.parametrize(("metric", "scale"), [("val_loss", "log"), ("val_accuracy", "linear")])
def test_the_run_figures_name_every_arm_and_show_the_seeds(whole, metric, scale):
    ax = plot_runs(whole, metric)
    family = metric.removeprefix("val")
    assert sorted(labels(ax)[: len(ARMS)]) == sorted(NAMES)
    assert labels(ax)[len(ARMS) :] == [metric, f"train{family}"]
    assert (ax.get_yscale(), "(log scale)" in ax.get_ylabel()) == (scale, scale == "log")
    assert len(ax.patches) == len(ARMS)  # the bands
    assert plot_runs(whole, metric, ax) is ax


def test_the_run_figures_are_not_flattened_by_what_blew_up(whole):
    greatest = max(run.rows[8].metrics["val_loss"] for run in whole.runs)
    assert plot_runs(whole, "val_loss").get_ylim()[1] < 10 < 1e4 < greatest


def test_one_seed_has_no_band():
    assert len(plot_runs(made_up_comparison(seeds=1), "val_loss").patches) == 0


def test_the_rates_are_drawn_as_planned_and_as_read_back(whole):
    ax = plot_rates(whole)
    lines, dots = ax.get_lines()[: len(ARMS)], ax.get_lines()[len(ARMS) :]
    assert (sorted(labels(ax)), len(dots)) == (sorted(NAMES), len(ARMS))
    assert {len(line.get_xdata()) for line in lines} == {400}
    assert {len(dot.get_xdata()) for dot in dots} == {24}
    assert ax.get_yscale() == "log"


def test_the_final_values_are_drawn_with_interval_and_seeds(whole):
    ax = plot_finals(whole)
    assert [label.get_text() for label in ax.get_yticklabels()] == NAMES
    texts = [text.get_text().strip() for text in ax.texts]
    lost = "not finite"
    assert texts == ["0.9511", "beyond the chart →", "0.3471", lost, "0.3117", "0.2745", "0.2858"]
    whiskers = [line for line in ax.get_lines() if len(line.get_xdata()) == 2 and line.get_linestyle() == "-"]
    spans = [(one.low, one.high) for arm in ARMS[1:] if (one := whole.summaries.get(arm.name))]
    assert [tuple(line.get_xdata()) for line in whiskers] == spans


def test_the_best_arm_stands_out_and_no_two_arms_look_alike(whole):
    drawn = {line.get_label(): line.get_color() for line in plot_runs(whole, "val_loss").get_lines()}
    assert drawn["linear 0.0024"] == PALETTE[0]
    assert len({drawn[name] for name in NAMES}) == len(ARMS)
    for each in (whole, replace(whole, arms=whole.arms[::-1])):
        assert {row.colour: row.name for row in arm_rows(each)}[0] == "linear"


def test_a_metric_that_no_run_has(whole):
    with pytest.raises(BadInputError, match=r"val_loss, train_loss.*got 'f1'"):
        plot_runs(whole, "f1")
