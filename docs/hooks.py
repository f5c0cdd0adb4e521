"""What the site does with links that lead out of docs/, with wide tables and with long names."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent
LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(([^)#\s]+)\)")
WIDE = ("benchmark.md", "experiment.md", "overhead.md")
"""Pages whose tables need the room of the table of contents."""

NAMED_TEST = re.compile(r"(?<=<code>)tests/[^<]+(?=</code>)")


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Keep only the text of a link to a file of the repository outside docs/: the site does not hold it.

    One to a file that is nowhere stays, and breaks the build.
    """

    def unlinked(match: re.Match[str]) -> str:
        target = (DOCS / page.file.src_uri).parent.joinpath(match[2]).resolve()
        return match[1] if target.exists() and DOCS not in target.parents else match[0]

    if page.file.src_uri in WIDE:
        page.meta["hide"] = ["toc"]
    return LINK.sub(unlinked, markdown)


def on_page_content(html: str, **_: Any) -> str:
    """Let the name of a test break where a person would break it."""
    return NAMED_TEST.sub(lambda match: re.sub(r"(_|::|/)", r"\1<wbr>", match[0]), html)
