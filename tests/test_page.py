"""The report's page in a real browser, with and without a mouse, wide and narrow, light and dark."""

import re
import shutil
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from comparisons import ARMS, HOSTILE, made_up_comparison, made_up_run

from lrfind.compare.runs import Arm
from lrfind.report.html import render

sync_api = pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install playwright")

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
WIDTHS = (320, 390, 768, 1280)
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


def lines(page, chart):
    """How many lines a chart has that are really drawn."""
    return page.locator(f"#{chart} path.js-line[d^=M]").count()


def arms_in_order(page):
    return page.locator("#arms tbody th").evaluate_all("cells => cells.map(cell => cell.dataset.sort)")


@pytest.mark.parametrize(("scheme", "touch"), [("light", False), ("dark", True)])
def test_the_page_fits_and_asks_nobody_for_anything(browser, report, scheme, touch):
    with opened(browser, report, width=WIDTHS[-1], scheme=scheme, touch=touch) as page:
        for width in reversed(WIDTHS):
            page.set_viewport_size({"width": width, "height": 900})
            page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
            assert overflow(page) <= 0
            for name in ("finals", "metric-0", "metric-1", "rates", "finding"):
                box = page.locator(f"#{name} svg.main-svg").first.bounding_box()
                assert box["width"] > 0.6 * min(width, 400)


def test_every_curve_is_drawn(browser, report):
    with opened(browser, report) as page:
        diverged = 1  # in the same way with every seed, so that there is no band either
        assert lines(page, "metric-0") == 2 * len(ARMS) + len(ARMS) - diverged
        assert page.locator("#metric-0 .js-fill[d^=M]").count() == len(ARMS) - diverged
        assert lines(page, "rates") == len(ARMS)
        assert page.locator("#rates .point").count() == len(ARMS) * 24
        assert page.locator("#finals .errorbar").count() == len(ARMS) - diverged
        assert page.locator("#finals .annotation").all_text_contents().count("not finite in 3 of 3") == 1
        assert lines(page, "finding") == 3 + 1  # the smoothed curves, and the interval
        assert page.locator("#finding .point").count() > 100
        assert page.locator("#finding .shapelayer path").count() == 2


def test_the_table_sorts_by_click_and_by_key(browser, report):
    with opened(browser, report) as page:
        assert arms_in_order(page) == [arm.name for arm in ARMS]
        heading = page.get_by_role("columnheader", name="val_loss", exact=True)
        by_loss = ["linear", "triangular", "found", "0.01", "1e-05"]
        heading.get_by_role("button").click()
        assert (arms_in_order(page), heading.get_attribute("aria-sort")) == ([*by_loss, "0.1"], "ascending")
        page.keyboard.press("Enter")
        assert arms_in_order(page) == [*reversed(by_loss), "0.1"]  # what has no value is last either way
        assert heading.get_attribute("aria-sort") == "descending"
        assert page.get_by_role("status").inner_text() == "Sorted by val_loss, descending."
        page.keyboard.press("Shift+Tab")
        page.keyboard.press("Space")
        assert arms_in_order(page) == ["0.01", "0.1", "1e-05", "found", "linear", "triangular"]
        assert page.locator("[aria-sort]").count() == 1


def test_an_arm_hides_and_shows_by_click_and_by_key(browser, report):
    with opened(browser, report) as page:
        chip = page.get_by_role("button", name="found", exact=True)
        before = {name: lines(page, name) for name in ("metric-0", "metric-1", "rates", "finding")}
        chip.click()
        assert chip.get_attribute("aria-pressed") == "false"
        after = {name: lines(page, name) for name in before}
        assert {name: before[name] - after[name] for name in before} == {
            "metric-0": 3,  # solid, dashed, band
            "metric-1": 3,
            "rates": 1,
            "finding": 0,
        }
        assert "found" not in page.locator("#finals .annotation").all_text_contents()
        page.keyboard.press("Space")
        assert chip.get_attribute("aria-pressed") == "true"
        assert {name: lines(page, name) for name in before} == before


def test_all_arms_can_be_hidden(browser, report):
    with opened(browser, report) as page:
        for chip in page.locator(".legend button").all():
            chip.click()
        assert [lines(page, name) for name in ("metric-0", "rates")] == [0, 0]


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
            document.querySelector("#metric-0 path.js-line[style*='stroke-width: 2']").style.stroke,
            document.querySelector("#metric-0 .ytick text").style.fill,
        ]""")

    with opened(browser, report) as page:
        light = colours(page)
        page.emulate_media(color_scheme="dark")
        sync_api.expect(page.locator("#metric-0 .ytick text").first).not_to_have_css("fill", light[-1])
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
        on_screen = page.locator("#metric-0 svg.main-svg").first.bounding_box()["width"]
        ink = "document.querySelector('#metric-0 .ytick text').style.fill"
        dark = page.evaluate(ink)
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        assert page.locator("#metric-0 svg.main-svg").first.bounding_box()["width"] == 660
        assert page.evaluate(ink) != dark
        page.emulate_media(media="print")
        page.set_viewport_size({"width": 718, "height": 900})  # A4 between Chromium's margins
        assert overflow(page) <= 0
        page.emulate_media(media="screen")
        page.set_viewport_size({"width": 1280, "height": 900})
        page.evaluate("dispatchEvent(new Event('afterprint'))")
        assert page.evaluate(ink) == dark
        assert page.locator("#metric-0 svg.main-svg").first.bounding_box()["width"] == on_screen
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
        assert page.locator("script").count() == 3
        assert page.locator("h1").inner_text() == f"{HOSTILE} wins."
        assert page.locator(".legend span:last-child").all_inner_texts() == ["found", "linear", HOSTILE]
        label = page.locator("#finals .annotation").last.text_content()
        assert label == f"{HOSTILE[:39]}…"
        page.locator(".legend button").last.click()
        assert page.locator("#finals .annotation").count() == 2


def test_a_long_name_does_not_burst_the_page(browser, tmp_path):
    path = written(hostile_comparison(LONG), tmp_path)
    for width in (320, 1280):
        with opened(browser, path, width=width) as page:
            assert overflow(page) <= 0


def test_one_seed_has_no_bands_and_no_intervals(browser, tmp_path):
    path = written(made_up_comparison(seeds=1, failed=None), tmp_path)
    with opened(browser, path) as page:
        assert lines(page, "metric-0") == 2 * len(ARMS)
        assert page.locator("#finals .errorbar path[d^=M]").count() == 0
        assert page.locator("#pairs td").filter(has_text="–").count() == len(ARMS) - 2  # one diverged, one is best
        assert "One seed." in page.locator("#finals-caption").inner_text()


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
