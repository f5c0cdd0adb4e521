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
        from lrfind.cli.views import show_comparison, show_finding
        from lrfind.records import Finding
        from lrfind.report import write_finding_page, write_report

        path = file / "report.json" if file.is_dir() else file
        data, kept = _read(path)
        console = Console(highlight=False)
        if as_json:
            print(json.dumps(data, indent=1))
        elif isinstance(kept, Finding):
            if as_html:
                print(write_finding_page(kept, path.with_suffix(".html")))
            else:
                show_finding(console, kept)
        elif as_html:  # a comparison's page is there already, or is written into its folder
            page = path.with_name("report.html")
            print(page if page.exists() else write_report(kept, path.parent))
        else:
            show_comparison(console, kept)


def _read(path: Path) -> tuple[dict[str, Any], Finding | Comparison]:
    """Return what a file holds, as it stands there and as what it is."""
    from lrfind.codec import read_json
    from lrfind.compare.comparison import Comparison
    from lrfind.records import Finding

    data = read_json(path, "a finding or a comparison")
    if "schema" not in data:
        raise BadInputError(f"{path} holds neither a finding nor a comparison: it has no schema.")
    for kind in (Finding, Comparison):
        if data["schema"] == kind.schema:
            return data, kind.from_dict(data)
    raise BadInputError(
        f"{path} has the schema {data['schema']!r}; lrfind show understands {Finding.schema!r} and "
        f"{Comparison.schema!r}."
    )
