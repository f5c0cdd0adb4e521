"""``lrfind show``: a finding or a comparison that was kept in a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from lrfind.cli.faults import UsageError, spoken_faults
from lrfind.cli.options import Json
from lrfind.errors import BadInputError

if TYPE_CHECKING:
    from lrfind.compare.comparison import Comparison
    from lrfind.records import Finding


def show(
    file: Annotated[
        Path, typer.Argument(help="A finding, or a comparison's report.json or its folder.", show_default=False)
    ],
    as_html: Annotated[bool, typer.Option("--html", help="Write a page beside the file, and say where it is.")] = False,
    as_json: Json = False,
) -> None:
    """Show a finding or a comparison in the terminal, or as a page.

    ```text
    lrfind show finding.json
    lrfind show runs/compare --html
    ```
    """
    with spoken_faults():
        if as_html and as_json:
            raise UsageError("give --html or --json, not both.")
        path = file / "report.json" if file.is_dir() else file
        data = _read(path)
        kept = _understood(path, data)
        if as_json:
            print(json.dumps(data, indent=1))
        elif as_html:
            print(_write_page(kept, path))
        else:
            _print(kept)


def _read(path: Path) -> dict[str, Any]:
    from lrfind.codec import read_json

    data = read_json(path, "a finding or a comparison")
    if "schema" not in data:
        raise BadInputError(f"{path} holds neither a finding nor a comparison: it has no schema.")
    return data


def _understood(path: Path, data: dict[str, Any]) -> Finding | Comparison:
    from lrfind.compare import comparison
    from lrfind.records import SCHEMA, Finding

    if data["schema"] == SCHEMA:
        return Finding.from_dict(data)
    if data["schema"] == comparison.SCHEMA:
        return comparison.Comparison.from_dict(data)
    raise BadInputError(
        f"{path} has the schema {data['schema']!r}; lrfind show understands {SCHEMA!r} and {comparison.SCHEMA!r}."
    )


def _print(kept: Finding | Comparison) -> None:
    from lrfind.cli.views import show_comparison, show_finding
    from lrfind.records import Finding

    console = Console(highlight=False)
    if isinstance(kept, Finding):
        show_finding(console, kept)
    else:
        show_comparison(console, kept)


def _write_page(kept: Finding | Comparison, path: Path) -> Path:
    """Write the page of a finding beside it; a comparison's is there already, or is written into its folder."""
    from lrfind.records import Finding
    from lrfind.report import write_finding_page, write_report

    if isinstance(kept, Finding):
        return write_finding_page(kept, path.with_suffix(".html"))
    page = path.with_name("report.html")
    return page if page.exists() else write_report(kept, path.parent)
