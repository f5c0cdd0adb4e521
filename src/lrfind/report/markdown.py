"""The report in Markdown, for a pull request."""

from __future__ import annotations

import re
from typing import Any

from lrfind.compare.comparison import Comparison
from lrfind.report.html import fill
from lrfind.report.rows import labelled

ZERO_WIDTH = "\u200b"  # keeps @name from notifying people, and #1 and URLs from becoming links


def to_markdown(comparison: Comparison) -> str:
    """Return the verdict, the table of arms, the pairs and the setting in Markdown.

    Raises:
        MissingExtraError: If Jinja is not installed.
    """
    return fill("report.md", finalize=escape, comparison=labelled(comparison))


def escape(value: Any) -> str:
    r"""Escape a text so that Markdown shows it as it is, on one line.

    Example:
        >>> print(escape("a|b *c* <d> val_loss _e_"))
        a\|b \*c\* &lt;d&gt; val_loss \_e\_
    """
    line = " ".join(str(value).split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    line = re.sub(r"([\\`*\[\]|~$]|(?<![^\W_])_|_(?![^\W_]))", r"\\\1", line)
    line = re.sub(r"^(?=[-+#=])", r"\\", line)  # no list, heading or rule
    line = re.sub(r"^\d+(?=[.)]\s)", rf"\g<0>{ZERO_WIDTH}", line)
    return re.sub(r"([@#])(?=\w)", rf"\1{ZERO_WIDTH}", line).replace("://", f":{ZERO_WIDTH}//")
