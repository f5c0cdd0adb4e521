"""The report of an experiment, from data only: ``report.html``, ``report.json``, ``figures/*.png``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lrfind.compare.runs import Run
from lrfind.curves import to_curve, to_plain
from lrfind.errors import LRFindError
from lrfind.records import Finding, write_json
from lrfind.report.figures import draw
from lrfind.report.html import render

SCHEMA = "lrfind/report/1"


@dataclass(frozen=True, slots=True)
class Results:
    """What a report is about.

    Attributes:
        dataset: Its short name.
        title: Its name for people.
        seed: What seeded it all.
        finding: The finding.
        runs: The finished runs, in the order to show; at least one.
        environment: What it ran on: names and versions.
        notes: What a person should know.
    """

    dataset: str
    title: str
    seed: int
    finding: Finding
    runs: tuple[Run, ...]
    environment: dict[str, str]
    notes: tuple[str, ...] = ()


def write_report(results: Results, out: Path) -> Path:
    """Write the report's files under a folder and return the page.

    Raises:
        LRFindError: If the folder cannot be written.
    """
    data = to_dict(results)
    try:
        figures = draw(results.finding, results.runs, out / "figures")
        page = out / "report.html"
        page.write_text(render(data, figures), encoding="utf-8")
    except OSError as error:
        raise LRFindError(f"{out} cannot be written ({error.strerror}); choose another --out.") from error
    write_json(out / "report.json", data)
    return page


def to_dict(results: Results) -> dict[str, Any]:
    """Return everything the report shows, as plain JSON types."""
    curve = to_curve(results.finding.records[0])
    return {
        "schema": SCHEMA,
        "dataset": results.dataset,
        "title": results.title,
        "seed": results.seed,
        "finding": {
            **results.finding.to_dict(),
            "curve": {"lr": to_plain(curve.lrs), "loss": to_plain(curve.losses), "smooth": to_plain(curve.smooth)},
        },
        "runs": [finite(run.to_dict()) for run in results.runs],
        "environment": results.environment,
        "notes": list(results.notes),
    }


def finite(value: Any) -> Any:
    """Replace what JSON cannot hold by None, at any depth."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return to_plain([value])[0] if isinstance(value, float) else value
