"""The report in a few lines of Markdown, for a pull request: ``page/report.md.jinja``, with every text escaped."""

from __future__ import annotations

import re
from typing import Any

from lrfind.compare.comparison import Comparison
from lrfind.report.html import fill
from lrfind.report.rows import labelled

ZERO_WIDTH = "\u200b"
"""A space of zero width: it keeps ``@name`` from calling people, and ``#1`` from linking to anything."""


def to_markdown(comparison: Comparison) -> str:
    """Return the verdict, the table of arms, what is settled, and how it was run.

    Raises:
        MissingExtraError: If Jinja is not installed.
    """
    return fill("report.md", finalize=escape, comparison=labelled(comparison))


def escape(value: Any) -> str:
    r"""Return a text that Markdown shows as it is, on one line: no markup, no HTML, no table cell, nobody is called.

    Example:
        >>> print(escape("a|b *c* <d> val_loss _e_"))
        a\|b \*c\* &lt;d&gt; val_loss \_e\_
    """
    line = " ".join(str(value).split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    line = re.sub(r"([\\`*\[\]|~$]|(?<![^\W_])_|_(?![^\W_]))", r"\\\1", line)
    line = re.sub(r"^(?=[-+#=])", r"\\", line)  # no list, heading or rule begins with it
    line = re.sub(r"^\d+(?=[.)]\s)", rf"\g<0>{ZERO_WIDTH}", line)
    return re.sub(r"([@#])(?=\w)", rf"\1{ZERO_WIDTH}", line).replace("://", f":{ZERO_WIDTH}//")
