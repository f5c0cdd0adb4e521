"""The report of an experiment, from data only: ``report.html``, ``report.json``, ``figures/*.png``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lrfind.compare.runs import Run
from lrfind.curves import to_curve, to_plain
from lrfind.errors import LRFindError
from lrfind.records import Finding, write_json
from lrfind.report.figures import draw, figure_files
from lrfind.report.html import render

SCHEMA = "lrfind/report/1"


@dataclass(frozen=True, slots=True)
class Results:
    """What a report is about.

    Attributes:
        dataset: The data's short name.
        title: What is trained on what, for people.
        setting: What all runs have in common, in a sentence.
        seed: What seeded it all.
        finding: The finding.
        runs: The finished runs, in the order to show; at least one.
        environment: What it ran on: names and versions.
        notes: What a person should know.
    """

    dataset: str
    title: str
    setting: str
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


def forget_report(out: Path) -> None:
    """Remove the files of an earlier report from a folder, if there are any, so that none outlives what it tells of.

    Raises:
        LRFindError: If one cannot be removed.
    """
    try:
        for file in (out / "report.json", out / "report.html", *figure_files(out / "figures")):
            file.unlink(missing_ok=True)
    except OSError as error:
        raise LRFindError(f"{error.filename} cannot be removed ({error.strerror}); choose another --out.") from error


def to_dict(results: Results) -> dict[str, Any]:
    """Return everything the report shows, as plain JSON types."""
    curve = to_curve(results.finding.records[0])
    return {
        "schema": SCHEMA,
        "dataset": results.dataset,
        "title": results.title,
        "setting": results.setting,
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
