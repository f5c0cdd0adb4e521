"""``lrfind show``: a saved finding or comparison."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from lrfind.cli.faults import UsageError, spoken_faults
from lrfind.cli.options import Json
from lrfind.errors import BadInputError


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
        from lrfind.codec import read_json
        from lrfind.compare.comparison import Comparison
        from lrfind.records import Finding
        from lrfind.report import write_finding_page, write_report

        path = _report_in(file) if file.is_dir() else file
        data = read_json(path, "a finding or a comparison")
        schema = data.get("schema")
        kinds: dict[Any, Any] = {kind.schema: kind for kind in (Finding, Comparison)}
        if schema not in kinds:
            what = f"has the schema {schema!r}" if schema else "has no schema"
            raise BadInputError(f"{path} {what}; lrfind show understands {' and '.join(map(repr, kinds))}.")
        kept = kinds[schema].from_dict(data)
        if as_json:
            print(json.dumps(data, indent=1))
        elif isinstance(kept, Finding) and as_html:
            print(write_finding_page(kept, path.with_suffix(".html")))
        elif isinstance(kept, Finding):
            show_finding(Console(highlight=False), kept)
        elif as_html:  # write_report has usually written it
            page = path.with_name("report.html")
            print(page if page.exists() else write_report(kept, path.parent))
        else:
            show_comparison(Console(highlight=False), kept)


def _report_in(folder: Path) -> Path:
    report = folder / "report.json"
    if report.exists():
        return report
    below = [str(path.parent) for path in sorted(folder.rglob("report.json"))]
    hint = f"there is one in {', '.join(below)}." if below else "name a file, or the folder of a comparison."
    raise BadInputError(f"{folder} has no report.json; {hint}")
