"""The page: one self-contained file that asks no other place for anything."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterable
from hashlib import sha256
from importlib.resources import files
from typing import Any

from lrfind.compare.comparison import Comparison
from lrfind.errors import MissingExtraError
from lrfind.plots import COLOURS, FOUND, arm_colours
from lrfind.report import charts, view

ON_DARK = (
    "#ff8b9b",
    "#86b6e3",
    "#eab765",
    "#a3cf85",
    "#bfa8ea",
    "#63c3d3",
    "#d3aa8f",
    "#f0a3cb",
    "#aab7c7",
    "#83d3b2",
    "#a6b5ff",
    "#d4c967",
)
"""The colours of the arms on a dark page, in the order of those on a light one."""


def render(comparison: Comparison) -> str:
    """Return the page of a comparison; every text in it is escaped.

    Raises:
        MissingExtraError: If Jinja or Plotly is not installed.
    """
    environment = _environment()
    lines = [charts.finals_chart(comparison), *charts.family_charts(comparison), charts.rate_chart(comparison)]
    finding = comparison.finding
    found = charts.finding_chart(finding) if finding is not None and finding.records else None
    shown = [*(lines if comparison.runs else ()), *([found] if found else ())]
    arms = charts.arms(comparison)
    scripts = {"script": _text("page.js"), **({"plotly": _plotly()} if shown else {})}
    template = environment.from_string(_text("page.html.jinja"))
    page: str = template.render(
        _said(comparison),
        policy=_policy(scripts.values()),
        css=_safe(_text("page.css")),
        palette={"light": (FOUND, *COLOURS), "dark": ON_DARK},
        colours={name: place % len(ON_DARK) for place, name in enumerate(arm_colours(comparison))},
        arms=arms,
        charts=lines,
        finding_chart=found,
        drawn=_safe(to_script({"arms": arms, "charts": {chart.id: chart.drawn for chart in shown}})) if shown else "",
        **{name: _safe(text) for name, text in scripts.items()},
    )
    return page


def to_script(data: Any) -> str:
    """Write JSON that can stand in a page: nothing in it ends the element it stands in, or opens a comment there."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _said(comparison: Comparison) -> dict[str, Any]:
    finding = comparison.finding
    verdict, remarks = view.verdict(comparison)
    return {
        "title": comparison.title,
        "verdict": verdict,
        "remarks": remarks,
        "setting": comparison.setting,
        "metric": comparison.metric,
        "mode": comparison.mode,
        "tiles": view.tiles(comparison),
        "rows": view.arm_rows(comparison),
        "others": view.other_metrics(comparison),
        "pairs": view.pair_rows(comparison),
        "kinds": view.kinds_row(comparison),
        "failures": comparison.failures,
        "finding": finding,
        "notes": [*comparison.notes, *(finding.notes if finding else ())],
        "environment": comparison.environment,
    }


def _policy(scripts: Iterable[str]) -> str:
    """The page's own scripts run, and no other; whatever the page holds, the browser fetches nothing for it."""
    hashes = (b64encode(sha256(script.encode()).digest()).decode("ascii") for script in scripts)
    allowed = " ".join(f"'sha256-{one}'" for one in hashes)
    return f"default-src 'none'; img-src data: blob:; style-src 'unsafe-inline'; script-src {allowed}"


def _environment() -> Any:
    try:
        from jinja2 import Environment, StrictUndefined
    except ImportError as error:
        raise MissingExtraError("jinja2", "compare") from error
    return Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)


def _plotly() -> str:
    try:
        from plotly.offline import get_plotlyjs  # type: ignore[import-untyped]
    except ImportError as error:
        raise MissingExtraError("plotly", "compare") from error
    text: str = get_plotlyjs()
    return text


def _safe(text: str) -> Any:
    from markupsafe import Markup

    return Markup(text)  # our own files, and JSON that has no way out of its element


def _text(name: str) -> str:
    return (files("lrfind.report") / "page" / name).read_text(encoding="utf-8")
