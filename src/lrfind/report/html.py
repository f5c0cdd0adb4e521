"""The pages of a comparison and of a finding: each one self-contained file that asks no other place for anything."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Any

from lrfind import numbers
from lrfind.charts import ON_DARK, PALETTE, Chart, finding_chart
from lrfind.compare.comparison import Comparison
from lrfind.compare.sentences import closing
from lrfind.errors import LRFindError, from_extra
from lrfind.records import Finding
from lrfind.report import rows, svg
from lrfind.report.charts import charts, colours


def render(comparison: Comparison) -> str:
    """Return the page of a comparison; every text in it is escaped.

    Raises:
        MissingExtraError: If Jinja is not installed.
    """
    comparison = rows.labelled(comparison)
    verdict, remarks = rows.verdict(comparison)
    return _page(
        "comparison.html.jinja",
        title=comparison.title,
        verdict=verdict,
        remarks=[*([closing(comparison)] if comparison.runs else []), *([remarks] if remarks else [])],
        cards=rows.cards(comparison),
        notes=rows.notes(comparison),
        comparison=comparison,
        colours=colours(comparison),
        charts=charts(comparison),
        search=_chart(comparison.finding),
        rows=rows.arm_rows(comparison),
        others=rows.other_metrics(comparison),
        difference=rows.difference,
        remedy=rows.remedy,
    )


def render_finding(finding: Finding) -> str:
    """Return the page of a finding; every text in it is escaped.

    Raises:
        MissingExtraError: If Jinja is not installed.
    """
    length = ((finding.total_steps, "step"), (finding.epochs, "epoch"))
    facts = {
        "Optimizer": finding.records[0].optimizer if finding.records else "",
        "Schedule": finding.schedule,
        "Training": " or ".join(numbers.counted(number, unit) for number, unit in length if number),
        "Read by": f"{finding.method}, from {numbers.counted(len(finding.records), 'range test')}",
        "Exact rate": repr(finding.lr),
    }
    return _page(
        "finding.html.jinja",
        title=f"learning rate {numbers.rate(finding.lr)}",
        headline=finding.headline,
        cards=rows.finding_cards(finding)[1:],  # the rate stands in the title
        notes=finding.notes,
        facts={name: fact for name, fact in facts.items() if fact},
        charts=[],
        search=_chart(finding),
    )


def write_finding_page(finding: Finding, path: Path) -> Path:
    """Write the page of a finding: rate, interval, range, cost, notes and the curve.

    Raises:
        LRFindError: If the file cannot be written.
    """
    page = render_finding(finding)
    try:
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise LRFindError(f"{path} cannot be written ({error.strerror}); choose another place.") from error
    return path


def to_script(data: Any) -> str:
    """Write JSON that can stand in a page: nothing in it ends the element it stands in, or opens a comment there."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _chart(finding: Finding | None) -> Chart | None:
    return finding_chart(finding) if finding is not None and finding.records else None


def _page(name: str, *, charts: list[Chart], search: Chart | None, **said: Any) -> str:
    """Fill in a template; the page's own script runs and no other, and the browser fetches nothing for it."""
    with from_extra("compare"):
        from jinja2 import Environment, PackageLoader, StrictUndefined
        from markupsafe import Markup
    environment = Environment(
        loader=PackageLoader("lrfind.report", "page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    drawing: list[Callable[..., Any]] = [svg.grid, svg.path, svg.strip, svg.table]
    environment.globals |= {"units": svg.UNITS, **{draw.__name__: draw for draw in drawing}}
    writing: list[Callable[..., str]] = [numbers.figure, numbers.rate, numbers.duration, numbers.counted]
    environment.filters |= {write.__name__: write for write in writing}
    script = _text("page.js")
    digest = b64encode(sha256(script.encode()).digest()).decode("ascii")
    page: str = environment.get_template(name).render(
        policy=f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'",
        css=Markup(_text("page.css")),  # our own files, and JSON that has no way out of its element
        script=Markup(script),
        hover=Markup(to_script({chart.name: svg.hover(chart) for chart in [*charts, search] if chart})),
        palette={"light": PALETTE, "dark": ON_DARK},
        charts=charts,
        search=search,
        **said,
    )
    return page


def _text(name: str) -> str:
    return (files("lrfind.report") / "page" / name).read_text(encoding="utf-8")
