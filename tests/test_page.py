"""The report's page in a real browser, with and without a mouse, wide and narrow, light and dark."""

import itertools
import math
import re
import shutil
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from comparisons import ARMS, FINDING, HOSTILE, made_up_comparison, made_up_run

from lrfind.compare.arms import label
from lrfind.compare.comparison import Arm
from lrfind.compare.verdict import judge
from lrfind.report.texts import render, write_finding_page

sync_api = pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install playwright")

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
WIDTHS = (320, 390, 768, 1280)
CHARTS = ("metric-loss", "metric-accuracy", "rates", "finding")
LABELS = {arm.name: label(arm) for arm in ARMS}
LONG = "a-name-without-any-space-" * 6


@pytest.fixture(scope="module")
def browser():
    """The Chromium that is installed, or the one that Playwright installed."""
    with sync_api.sync_playwright() as playwright:
        own = Path(playwright.chromium.executable_path)
        program = next(filter(None, map(shutil.which, NAMES)), own if own.exists() else None)
        if program is None:
            pytest.skip("needs Chromium: apt install chromium, or: playwright install chromium")
        browser = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        yield browser
        browser.close()


def written(comparison, folder):
    """The page alone, without the figures beside it."""
    path = folder / "report.html"
    path.write_text(render(comparison), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """The page of the usual made-up comparison."""
    return written(made_up_comparison(), tmp_path_factory.mktemp("report"))


@contextmanager
def opened(browser, path, *, width=1280, scheme="light", touch=False):
    """Open a page; once done with it, there was no error and no request but for the page."""
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, has_touch=touch, is_mobile=touch
    )
    page = context.new_page()
    requests, wrong = [], []
    page.on("request", lambda request: requests.append(request.url))
    page.on("console", lambda message: wrong.append(message.text))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("dialog", lambda dialog: (wrong.append(dialog.message), dialog.dismiss()))
    page.goto(path.as_uri())
    yield page
    context.close()
    assert (requests, wrong) == ([path.as_uri()], [])


def overflow(page):
    return page.evaluate("document.documentElement.scrollWidth - window.innerWidth")


def drawn(page, chart, kinds="line, best, dashed"):
    """How many paths of these kinds a chart has that are really seen."""
    chosen = ", ".join(f"#{chart} path.{kind}[d^=M]:not([hidden])" for kind in kinds.split(", "))
    return page.locator(chosen).count()


def arms_in_order(page):
    return page.locator("#arms tbody th").evaluate_all("cells => cells.map(cell => cell.dataset.sort)")


@pytest.mark.parametrize(("scheme", "touch"), [("light", False), ("dark", True)])
def test_the_page_fits_and_asks_nobody_for_anything(browser, report, scheme, touch):
    with opened(browser, report, width=WIDTHS[-1], scheme=scheme, touch=touch) as page:
        for width in reversed(WIDTHS):
            page.set_viewport_size({"width": width, "height": 900})
            page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
            assert overflow(page) <= 0
            for name in CHARTS:
                box = page.locator(f"#{name} svg").bounding_box()
                assert (box["width"] > 0.6 * min(width, 400), box["height"] > 200) == (True, True)
            assert page.locator("#finals svg").first.bounding_box()["width"] > 0.5 * min(width, 400)


@pytest.mark.parametrize("width", WIDTHS)
def test_no_label_of_an_axis_covers_another_or_is_too_small(browser, report, width):
    with opened(browser, report, width=width) as page:
        for axis in page.locator(".along, .levels").all():
            labels = [label.bounding_box() for label in axis.locator("span:visible").all()]
            size = axis.evaluate("axis => parseFloat(getComputedStyle(axis).fontSize)")
            assert (len(labels) >= 2, size >= 12) == (True, True)
            for one, other in itertools.pairwise(sorted(labels, key=lambda box: (box["x"], box["y"]))):
                apart = one["x"] + one["width"] <= other["x"] or abs(one["y"] - other["y"]) >= 12
                assert apart, axis.evaluate("axis => axis.closest('figure').id")


def test_the_table_of_arms_fits_a_laptop(browser, report):
    with opened(browser, report) as page:
        assert page.locator("#arms").evaluate("table => table.scrollWidth <= table.parentNode.clientWidth")


def test_a_row_of_the_final_values_has_its_name_on_its_mark(browser, report):
    for width in (390, 1280):
        with opened(browser, report, width=width) as page:
            rows = page.locator("#finals .row[data-arm]")
            assert rows.count() == len(ARMS)
            for row in rows.all():
                name, strip = row.locator(".name").bounding_box(), row.locator("svg").bounding_box()
                middle = name["y"] + name["height"] / 2
                if width == 390:  # above it
                    assert name["y"] + name["height"] <= strip["y"] + 1
                else:  # beside it
                    assert strip["y"] < middle < strip["y"] + strip["height"]


@pytest.mark.parametrize("width", WIDTHS)
def test_the_words_of_an_arm_beyond_the_chart_are_whole_and_cover_no_other(browser, tmp_path, width):
    far = tuple(Arm(f"exp_range 9e-5 to 0.0029 at {at}", 0.1 * at, "exp_range", 0.01, 4) for at in range(1, 4))
    arms = (*far, ARMS[1], *ARMS[3:])
    runs = [made_up_run(arm, seed, end=2.1 if arm in far else None) for arm in arms for seed in (0, 1)]
    last = runs[0].rows[-1]
    lost = replace(last, metrics={**last.metrics, "val_loss": math.nan})
    runs[0] = replace(runs[0], rows=(*runs[0].rows[:-1], lost))
    verdict, summaries = judge(arms, runs, "val_loss", "min")
    changes = {"runs": tuple(runs), "verdict": verdict, "summaries": summaries}
    whole = made_up_comparison(arms, 2, failed=None, **changes)
    with opened(browser, written(whole, tmp_path), width=width) as page:
        beyond = page.locator("#finals .row").filter(has=page.locator(".beyond"))
        assert beyond.count() == len(far)
        for row in beyond.all():
            words = [row.locator(".name > span:last-child"), row.locator(".result"), row.locator(".beyond")]
            if width < 640:
                assert words[0].evaluate("name => name.scrollWidth <= name.clientWidth")
            boxes = [word.bounding_box() for word in words]
            for one, other in itertools.combinations(boxes, 2):
                across = min(one["x"] + one["width"], other["x"] + other["width"]) - max(one["x"], other["x"])
                down = min(one["y"] + one["height"], other["y"] + other["height"]) - max(one["y"], other["y"])
                assert min(across, down) <= 0


def test_pointing_says_the_numbers_there(browser, report):
    with opened(browser, report) as page:
        area = page.locator("#metric-loss .area")
        box = area.bounding_box()
        tip = area.locator(".tip")
        assert not tip.is_visible()
        area.hover(position={"x": 0.5 * box["width"], "y": 50})
        said = tip.inner_text().split()
        assert said[:3] == ["optimizer", "steps:", "600"]
        run = [run for run in made_up_comparison().runs if run.arm == "linear"]
        mean = sum(row.metrics["val_loss"] for one in run for row in one.rows if row.step == 600) / len(run)
        assert float(said[said.index("linear") + 2]) == pytest.approx(mean, rel=1e-3)
        assert len(tip.locator("span > b").all()) == len(ARMS) - 1  # one has blown up by then
        page.get_by_role("button", name="linear 0.0024", exact=True).click()
        area.hover(position={"x": 0.5 * box["width"], "y": 60})
        assert "linear" not in tip.inner_text()
        assert tip.evaluate(
            "tip => [...tip.querySelectorAll('b')].every((b) => b.getBoundingClientRect().right <= "
            "tip.getBoundingClientRect().right)"
        )
        page.mouse.move(0, 0)
        assert not tip.is_visible()


def test_the_charts_need_no_script(browser, report):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(report.as_uri())
    assert drawn(page, "metric-loss") == 2 * len(ARMS)
    assert page.locator("#finals .row[data-arm]").count() == len(ARMS)
    context.close()


def test_the_page_of_a_finding(browser, tmp_path):
    path = write_finding_page(FINDING, tmp_path / "finding.html")
    for width in (320, 1280):
        with opened(browser, path, width=width) as page:
            assert overflow(page) <= 0
            assert page.locator("h1").inner_text() == FINDING.headline
            assert drawn(page, "finding", "trend, again") == len(FINDING.records)
            area = page.locator("#finding .area")
            area.hover(position={"x": 20, "y": 50})
            assert "learning rate" in area.locator(".tip").inner_text()
            on_line = area.locator("path.found").bounding_box()["x"]
            flag = area.locator(".flag.found").bounding_box()
            assert min(abs(on_line - flag["x"]), abs(on_line - flag["x"] - flag["width"])) < 6


def test_every_curve_is_drawn(browser, report):
    with opened(browser, report) as page:
        for name in ("metric-loss", "metric-accuracy"):
            assert drawn(page, name) == 2 * len(ARMS)
            assert drawn(page, name, "band") == len(ARMS)
            assert drawn(page, name, "best") == 1
        assert (drawn(page, "rates"), drawn(page, "rates", "dots")) == (len(ARMS), len(ARMS))
        dots = page.locator("#rates path.dots").evaluate_all("paths => paths.map((path) => path.getAttribute('d'))")
        assert [path.count("M") for path in dots] == [24] * len(ARMS)
        assert drawn(page, "finals", "mean") == len(ARMS) - 2  # one has diverged, one lies beyond
        assert drawn(page, "finals", "seed") == 3 * len(ARMS) - 2 * 3 - 1  # and a seed of another failed
        assert page.locator("#finals .result").all_inner_texts()[2] == "not finite"
        assert page.locator("#finals .result").first.inner_text() == "0.9511"
        assert "→" in page.locator("#finals .row").first.locator(".beyond").inner_text()
        assert drawn(page, "finding", "trend, again") == drawn(page, "finding", "losses") == len(FINDING.records)
        assert drawn(page, "finding", "found, interval, band") == 3


def test_the_table_sorts_by_click_and_by_key(browser, report):
    with opened(browser, report) as page:
        assert arms_in_order(page) == list(LABELS.values())
        heading = page.get_by_role("columnheader", name="val_loss", exact=True)
        by_loss = [LABELS[name] for name in ("linear", "triangular", "found", "0.01", "1e-05")]
        heading.get_by_role("button").click()
        assert (arms_in_order(page), heading.get_attribute("aria-sort")) == ([*by_loss, "lr 0.1"], "ascending")
        page.keyboard.press("Enter")
        assert arms_in_order(page) == [*reversed(by_loss), "lr 0.1"]  # what has no value is last either way
        assert heading.get_attribute("aria-sort") == "descending"
        assert page.get_by_role("status").inner_text() == "Sorted by val_loss, descending."
        page.keyboard.press("Shift+Tab")
        page.keyboard.press("Space")
        assert arms_in_order(page) == sorted(LABELS.values(), key=lambda name: name.replace("1e-5", "1"))
        assert page.locator("[aria-sort]").count() == 1


def test_an_arm_hides_and_shows_by_click_and_by_key(browser, report):
    with opened(browser, report) as page:
        chip = page.get_by_role("button", name=LABELS["found"], exact=True)
        every = "line, best, dashed, band, dots, trend, again"
        before = {name: drawn(page, name, every) for name in CHARTS}
        chip.click()
        assert chip.get_attribute("aria-pressed") == "false"
        after = {name: drawn(page, name, every) for name in before}
        assert {name: before[name] - after[name] for name in before} == {
            "metric-loss": 3,  # solid, dashed, band
            "metric-accuracy": 3,
            "rates": 2,  # line, dots
            "finding": 0,
        }
        assert page.locator("#finals .row[data-arm]:visible").count() == len(ARMS) - 1
        page.keyboard.press("Space")
        assert chip.get_attribute("aria-pressed") == "true"
        assert {name: drawn(page, name, every) for name in before} == before


def test_all_arms_can_be_hidden(browser, report):
    with opened(browser, report) as page:
        for chip in page.locator(".legend button").all():
            chip.click()
        assert [drawn(page, name) for name in ("metric-loss", "rates")] == [0, 0]


def test_the_keyboard_reaches_all_that_can_be_used_and_shows_where_it_is(browser, report):
    with opened(browser, report) as page:
        wanted = page.locator("button:visible, summary:visible, [tabindex='0']:visible").count()
        seen = set()
        for _ in range(wanted + 5):
            page.keyboard.press("Tab")
            at = page.evaluate("""() => {
                const all = [...document.querySelectorAll("button, summary, [tabindex='0']")];
                const style = getComputedStyle(document.activeElement);
                return [all.indexOf(document.activeElement), style.outlineStyle, parseFloat(style.outlineWidth)];
            }""")
            if at[0] >= 0:
                assert (at[1], at[2] >= 2) == ("solid", True)
                seen.add(at[0])
        assert len(seen) == wanted


def test_colours_follow_the_reader_also_while_the_page_is_open(browser, report):
    def colours(page):
        return page.evaluate("""() => [
            getComputedStyle(document.body).backgroundColor,
            getComputedStyle(document.body).color,
            getComputedStyle(document.querySelector("#metric-loss path.line")).stroke,
            getComputedStyle(document.querySelector("#metric-loss .levels")).color,
        ]""")

    with opened(browser, report) as page:
        light = colours(page)
        page.emulate_media(color_scheme="dark")
        dark = colours(page)
        assert all(one != other for one, other in zip(light, dark, strict=True))
    with opened(browser, report, scheme="dark") as page:
        assert colours(page) == dark


def test_text_can_be_told_from_its_ground(browser, report):
    """The contrast of WCAG AA: 4.5 for text."""
    for scheme in ("light", "dark"):
        with opened(browser, report, scheme=scheme) as page:
            tokens = page.evaluate("""() => Object.fromEntries(
                ["--ink", "--soft", "--accent", "--yes", "--yes-paper", "--no-paper", "--card", "--paper"].map(
                    (name) => [name, getComputedStyle(document.documentElement).getPropertyValue(name).trim()]))""")
            arms = page.evaluate("""() => [...Array(12).keys()].map(
                (place) => getComputedStyle(document.documentElement).getPropertyValue(`--arm-${place}`).trim())""")
        text = [("--ink", "--card"), ("--ink", "--paper"), ("--ink", "--no-paper"), ("--soft", "--card")]
        text += [("--soft", "--paper"), ("--accent", "--paper"), ("--yes", "--yes-paper")]
        assert [pair for pair in text if contrast(*(tokens[name] for name in pair)) < 4.5] == []
        assert [colour for colour in arms if contrast(colour, tokens["--card"]) < 3] == []


def contrast(one, other):
    def light(colour):
        parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((light(one), light(other)))
    return (high + 0.05) / (low + 0.05)


def test_fingers_hit_what_they_aim_at(browser, report):
    with opened(browser, report, width=390, touch=True) as page:
        for chosen in (".legend button", "th > button", "summary"):
            heights = [one.bounding_box()["height"] for one in page.locator(chosen).all()]
            assert min(heights) >= 40, chosen


def test_paper_is_light_and_holds_the_charts(browser, report):
    with opened(browser, report, scheme="dark") as page:
        ink = "getComputedStyle(document.querySelector('#metric-loss .levels')).color"
        dark = page.evaluate(ink)
        page.emulate_media(media="print")
        page.set_viewport_size({"width": 718, "height": 900})  # A4 between Chromium's margins
        assert overflow(page) <= 0
        assert page.evaluate(ink) != dark
        assert page.locator("#metric-loss svg").bounding_box()["width"] > 550
        assert page.locator("#arms").evaluate("table => table.scrollWidth <= table.parentNode.clientWidth")
        page.emulate_media(media="screen")
        pages = re.findall(rb"/Type\s*/Page\b", page.pdf(format="A4"))
        assert 2 <= len(pages) <= 8


def hostile_comparison(name):
    """Every text that a user can give, given by one who means harm."""
    arms = (*ARMS[3:5], Arm(name, 0.01))
    runs = [made_up_run(arm, seed) for arm in arms for seed in (0, 1)]
    rows = [tuple(replace(row, metrics={**row.metrics, name: 0.5}) for row in run.rows) for run in runs]
    runs = tuple(replace(run, rows=own, tested={f"test {name}": 1.0}) for run, own in zip(runs, rows, strict=True))
    comparison = made_up_comparison(arms, 2, runs=runs, title=name, setting=name, notes=(name,))
    verdict = replace(comparison.verdict, sentence=f"{name} wins.")
    failures = tuple(replace(one, arm=name, error=name) for one in comparison.failures)
    return replace(comparison, verdict=verdict, environment={name: name}, failures=failures)


def test_a_hostile_name_stays_text(browser, tmp_path):
    path = written(hostile_comparison(HOSTILE), tmp_path)
    with opened(browser, path) as page:
        assert page.title() == f"lrfind: {HOSTILE}".replace("  ", " ")
        assert page.locator("img, iframe, main script, main b, [onerror]").count() == 0
        assert page.locator("script").count() == 2
        assert page.locator("h1").inner_text() == f"{HOSTILE} wins."
        assert page.locator(".legend span:last-child").all_inner_texts() == [
            LABELS["found"],
            LABELS["linear"],
            HOSTILE,
        ]
        assert page.locator("#finals .name").last.inner_text() == HOSTILE
        page.locator("#metric-loss .area").hover(position={"x": 200, "y": 50})
        assert HOSTILE in page.locator("#metric-loss .tip").inner_text()
        page.locator(".legend button").last.click()
        assert page.locator("#finals .row[data-arm]:visible").count() == 2


def test_a_long_name_does_not_burst_the_page(browser, tmp_path):
    path = written(hostile_comparison(LONG), tmp_path)
    for width in (320, 1280):
        with opened(browser, path, width=width) as page:
            assert overflow(page) <= 0


def test_one_seed_has_no_bands_and_no_intervals(browser, tmp_path):
    path = written(made_up_comparison(seeds=1, failed=None), tmp_path)
    with opened(browser, path) as page:
        assert drawn(page, "metric-loss") == 2 * len(ARMS)
        assert drawn(page, "metric-loss", "band") + drawn(page, "finals", "whisker, seed") == 0
        assert page.locator("#pairs td").filter(has_text="–").count() == len(ARMS) - 2  # one diverged, one is best
        assert "One seed" in page.locator("#finals-caption").inner_text()


@pytest.mark.parametrize("changes", [{"finding": None}, {"runs": (), "summaries": {}}, {"arms": (), "runs": ()}])
def test_what_there_is_is_shown(browser, tmp_path, changes):
    whole = made_up_comparison()
    if "runs" in changes:
        changes["verdict"] = replace(whole.verdict, best=None, winner=None, pairs=(), kinds=None)
    path = written(replace(whole, **changes), tmp_path)
    with opened(browser, path) as page:
        assert page.locator("#finding").count() == (0 if "finding" in changes else 1)
        assert page.locator("#rates").count() == (0 if "runs" in changes else 1)
        assert page.locator("#arms tbody tr").count() == len(changes.get("arms", ARMS))
