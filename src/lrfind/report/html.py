"""The page: one self-contained file, figures inside."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from lrfind.errors import MissingExtraError
from lrfind.report.figures import Figure


def render(data: Mapping[str, Any], figures: Sequence[Figure]) -> str:
    """Return the page for what ``lrfind.report.to_dict`` gave; every text in it is escaped."""
    try:
        from jinja2 import Environment, StrictUndefined
    except ImportError as error:
        raise MissingExtraError("jinja2", "demo") from error
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(rate=_rate, span=_span, percent=_percent, number=_number, uri=_uri)
    template = environment.from_string(files("lrfind.report").joinpath("page.html.jinja").read_text(encoding="utf-8"))
    return template.render(**data, figures=figures, winner=_winner(data["runs"]))


def _winner(runs: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    finite = [run for run in runs if run["val_loss"] is not None]
    return min(finite, key=lambda run: float(run["val_loss"]), default=None)


def _rate(value: float) -> str:
    return f"{value:.3g}"


def _span(ends: Sequence[float]) -> str:
    low, high = ends
    return _rate(low) if low == high else f"{_rate(low)} to {_rate(high)}"


def _number(value: float | None, digits: int = 4) -> str:
    return "not finite" if value is None else f"{value:.{digits}f}"


def _percent(value: float | None) -> str:
    return "not finite" if value is None else f"{100 * value:.2f} %"


def _uri(path: Path) -> str:
    return "data:image/png;base64," + b64encode(path.read_bytes()).decode("ascii")
