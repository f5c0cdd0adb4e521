"""What the site does with links that lead out of docs/, wide tables and pictures, long names, and the gallery."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS))

from notebooks import page_of, run_pages  # noqa: E402

GALLERY = "gallery"
LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(([^)#\s]+)\)")
WIDE = ("benchmark.md", "experiment.md", "overhead.md")
"""Pages whose tables need the room of the table of contents."""

NAMED_TEST = re.compile(r"(?<=<code>)tests/[^<]+(?=</code>)")


PICTURE = re.compile(r"<img [^>]*src=\"[^\"]*\.png\"[^>]*>")
notebooks: dict[str, Any] = {}


def on_files(files: Any, *, config: Any) -> Any:
    """Run the gallery's pages and add their notebooks to the site."""
    pages = [page for page in sorted((DOCS / GALLERY).glob("*.md")) if page.stem != "index"]
    notebooks.update(run_pages(pages))
    for name, notebook in notebooks.items():
        files.append(File.generated(config, f"{GALLERY}/{name}.ipynb", content=json.dumps(notebook, indent=1)))
    return files


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Keep only the text of a link to a file of the repository outside docs/: the site does not hold it.

    One to a file that is nowhere stays, and breaks the build.
    """

    def unlinked(match: re.Match[str]) -> str:
        target = (DOCS / page.file.src_uri).parent.joinpath(match[2]).resolve()
        return match[1] if target.exists() and DOCS not in target.parents else match[0]

    folder, _, name = page.file.src_uri.removesuffix(".md").rpartition("/")
    if folder == GALLERY and name in notebooks:
        return page_of(notebooks[name], name)
    if page.file.src_uri in WIDE:
        page.meta["hide"] = ["toc"]
    return LINK.sub(unlinked, markdown)


def on_page_content(html: str, **_: Any) -> str:
    """Let the name of a test break where a person would break it, and a picture of many dots scroll on a phone."""
    html = PICTURE.sub(r'<span class="wide" tabindex="0">\g<0></span>', html)
    return NAMED_TEST.sub(lambda match: re.sub(r"(_|::|/)", r"\1<wbr>", match[0]), html)
