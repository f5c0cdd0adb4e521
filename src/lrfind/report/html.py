"""Fills in the templates of page/, for a comparison and for a finding: a page is one file that loads nothing."""

from __future__ import annotations

import json
from base64 import b64encode
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Any

from lrfind import numbers
from lrfind.charts import ON_DARK, PALETTE, Chart, finding_chart
from lrfind.codec import write_text
from lrfind.compare.comparison import Comparison
from lrfind.errors import from_extra
from lrfind.records import Finding
from lrfind.report import rows, svg
from lrfind.report.charts import charts, colours


def render(comparison: Comparison) -> str:
    """Return the page of a comparison; every text in it is escaped.

    Raises:
        MissingExtraError: If Jinja is not installed.
    """
    comparison = rows.labelled(comparison)
    about = {"comparison": comparison, "colours": colours(comparison)}
    return _page("comparison", comparison.title, charts(comparison), comparison.finding, **about)


def render_finding(finding: Finding) -> str:
    """Return the page of a finding; every text in it is escaped.

    Raises:
        MissingExtraError: If Jinja is not installed.
    """
    return _page("finding", f"learning rate {numbers.rate(finding.lr)}", [], finding)


def write_finding_page(finding: Finding, path: Path) -> Path:
    """Write the page of a finding: rate, interval, range, cost, notes and the curve.

    Raises:
        LRFindError: If the file cannot be written.
    """
    return write_text(path, render_finding(finding))


def to_script(data: Any) -> str:
    """Write JSON that can stand in a page: nothing in it ends the element it stands in, or opens a comment there."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _page(name: str, title: str, charts: list[Chart], finding: Finding | None, **about: Any) -> str:
    """Fill in a template; the page's own script runs and no other, and the browser fetches nothing for it."""
    with from_extra("compare"):
        from jinja2 import Environment, PackageLoader, StrictUndefined
        from markupsafe import Markup
    loader = PackageLoader("lrfind.report", "page")
    layout: dict[str, Any] = {"trim_blocks": True, "lstrip_blocks": True}
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, **layout)
    environment.globals |= {"numbers": numbers, "rows": rows, "svg": svg}
    search = finding_chart(finding) if finding is not None and finding.records else None
    script = _text("page.js")
    digest = b64encode(sha256(script.encode()).digest()).decode("ascii")
    page: str = environment.get_template(f"{name}.html.jinja").render(
        title=title,
        policy=f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'",
        css=Markup(_text("page.css")),  # our own files, and JSON that has no way out of its element
        script=Markup(script),
        hover=Markup(to_script({chart.name: svg.hover(chart) for chart in [*charts, search] if chart})),
        palette={"light": PALETTE, "dark": ON_DARK},
        charts=charts,
        search=search,
        finding=finding,
        **about,
    )
    return page


def _text(name: str) -> str:
    return (files("lrfind.report") / "page" / name).read_text(encoding="utf-8")
