"""The page of a finding: one small self-contained file."""

from __future__ import annotations

from html import escape
from io import StringIO
from pathlib import Path

from lrfind.errors import LRFindError
from lrfind.records import Finding
from lrfind.report.figures import curve_figure

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>lrfind: {lr}</title>
<style>
:root {{ color-scheme: light dark }}
body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem }}
table {{ border-collapse: collapse }}
th {{ text-align: left; font-weight: 600; padding-right: 1.5rem }}
figure {{ margin: 1.5rem 0; background: white; border-radius: .4rem }}
svg {{ width: 100%; height: auto; display: block }}
</style>
<h1>Learning rate {lr}</h1>
<table>
{rows}
</table>
<figure role="img" aria-label="Loss against learning rate; the found rate is {lr}, the range {range}.">
{figure}
</figure>
{notes}
</html>
"""


def write_finding_page(finding: Finding, path: Path) -> Path:
    """Write the page of a finding: rate, range, cost, notes and the curve.

    Raises:
        LRFindError: If the file cannot be written.
    """
    spans = {name: f"{low:.2g} to {high:.2g}" for name, (low, high) in _spans(finding).items()}
    rows = {
        "Learning rate": repr(finding.lr),
        "Useful range": spans["range"],
        "Interval": spans["interval"],
        "Schedule": finding.schedule,
        "Reading": finding.method,
        "Cost": f"{finding.cost.steps} steps, {finding.cost.seconds:.1f} s",
    }
    page = _PAGE.format(
        lr=f"{finding.lr:.3g}",
        range=spans["range"],
        rows="\n".join(f"<tr><th scope=row>{escape(name)}</th><td>{escape(rows[name])}</td></tr>" for name in rows),
        figure=_figure(finding),
        notes="\n".join(f"<p>{escape(note)}</p>" for note in finding.notes),
    )
    try:
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise LRFindError(f"{path} cannot be written ({error.strerror}); choose another place.") from error
    return path


def _spans(finding: Finding) -> dict[str, tuple[float, float]]:
    return {"range": (finding.base_lr, finding.max_lr), "interval": finding.interval}


def _figure(finding: Finding) -> str:
    """Return the plot as an SVG element."""
    from matplotlib import rc_context

    drawing = StringIO()
    with rc_context({"svg.hashsalt": "lrfind"}):
        curve_figure(finding).savefig(drawing, format="svg", metadata={"Date": None})
    text = drawing.getvalue()
    return text[text.index("<svg") :]
