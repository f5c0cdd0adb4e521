"""Write what the code of README and the pages prints below it: ``python docs/fill_outputs.py [PAGE ...]``.

Only outputs that are shown already are written; tests/test_readme.py and tests/test_docs.py compare them.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
import warnings
from contextlib import redirect_stdout, suppress
from io import StringIO
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"^```(python|bash|text)(.*?)\n(.*?)^```$", flags=re.DOTALL | re.MULTILINE)


def printed(kind: str, code: str, names: dict[str, Any]) -> str:
    """Run a block of code or of commands; return what it prints."""
    from lrfind import cli

    said = StringIO()
    with redirect_stdout(said):
        if kind == "python":
            exec(code, names)
        for command in code.splitlines() if kind == "bash" else ():
            sys.argv = command.split()
            with suppress(SystemExit):
                cli.main()
    return said.getvalue().rstrip("\n")


def fill(page: Path) -> None:
    """Write the outputs of one page."""
    names: dict[str, Any] = {"__name__": "docs"}
    last = ""

    def filled(match: re.Match[str]) -> str:
        nonlocal last
        kind, mark, code = match.groups()
        if kind == "text":
            return f"```text{mark}\n{last}\n```"
        if not mark:
            last = printed(kind, code, names)
        return match[0]

    text = BLOCK.sub(filled, page.read_text(encoding="utf-8"))
    page.write_text(text, encoding="utf-8")


def main() -> None:
    """Fill the pages that are named, else all that show an output."""
    warnings.simplefilter("ignore")
    os.environ.update(MPLBACKEND="Agg", COLUMNS="100")
    torch.set_num_threads(1)
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    named = [Path(name).resolve() for name in sys.argv[1:]]
    for page in named or [page for page in pages if "\n```text\n" in page.read_text(encoding="utf-8")]:
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            fill(page)
            os.chdir(ROOT)
        print(page)


if __name__ == "__main__":
    main()
