"""The gallery: its pages are run block by block, and shown, and kept as notebooks, with what they gave.

``python docs/notebooks.py PAGE`` runs one page and writes its notebook (nbformat 4) to standard output.
"""

from __future__ import annotations

import ast
import base64
import contextlib
import io
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

FENCE = re.compile(r"^```python\n(.*?)^```\n?$", flags=re.DOTALL | re.MULTILINE)
FRONT = re.compile(r"\A---\n.*?\n---\n+", flags=re.DOTALL)
Cell = dict[str, Any]


def run_pages(pages: Iterable[Path]) -> dict[str, Cell]:
    """Run pages side by side, each in a process of its own, and return their notebooks by the names of the pages.

    Raises:
        RuntimeError: If a block of one raises.
    """
    return dict(_run_all(tuple((str(page), page.read_text(encoding="utf-8")) for page in pages)))


def page_of(notebook: Cell, name: str) -> str:
    """Return a notebook as Markdown, the outputs under their blocks, with a link to the notebook under its title."""
    parts = []
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        code = cell["cell_type"] == "code"
        parts.append(f"```python\n{source}\n```" if code else source)
        parts += [f'<div class="output">{_shown(output)}</div>' for output in cell.get("outputs", ())]
    parts[0] = re.sub(r"(^# .*$)", rf"\1\n\n[Download this notebook]({name}.ipynb)", parts[0], count=1, flags=re.M)
    return "\n\n".join(parts)


@cache
def _run_all(pages: tuple[tuple[str, str], ...]) -> tuple[tuple[str, Cell], ...]:
    """Each page's text is part of the question, so that an edited page is run anew while the site is served."""
    environment = {**os.environ, "MPLBACKEND": "agg", "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    pipes: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": environment}
    running = [(name, subprocess.Popen([sys.executable, __file__, name], **pipes)) for name, _ in pages]
    done = [(name, *process.communicate(), process.returncode) for name, process in running]
    for name, _, said, code in done:
        if code:
            raise RuntimeError(f"{name} cannot be run:\n{said}")
    return tuple((Path(name).stem, json.loads(written)) for name, written, _, _ in done)


def _shown(output: Cell) -> str:
    """Return an output as HTML."""
    data = output.get("data", {})
    if "text/html" in data:
        return "".join(data["text/html"])
    if "image/png" in data:
        return f'<img alt="What the block above draws" src="data:image/png;base64,{data["image/png"]}">'
    return f"<pre>{escape(''.join(output.get('text') or data['text/plain']))}</pre>"


def _executed(text: str) -> Cell:
    """Run a page's blocks in order and return it as a notebook."""
    cells: list[Cell] = []
    names: dict[str, Any] = {"__name__": "__main__"}
    for place, part in enumerate(FENCE.split(FRONT.sub("", text))):
        source = part.strip("\n")
        cell: Cell = {"id": f"cell-{place}", "cell_type": "markdown", "metadata": {}, "source": source}
        if place % 2:
            outputs = _outputs(source, names)
            cell |= {"cell_type": "code", "execution_count": 1 + place // 2, "outputs": outputs}
        if source:
            cells.append(cell)
    python = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return {"cells": cells, "metadata": {"kernelspec": python}, "nbformat": 4, "nbformat_minor": 5}


def _outputs(source: str, names: dict[str, Any]) -> list[Cell]:
    """Run a block and return what it printed, and the value of its last expression."""
    tree, value, printed = ast.parse(source), None, io.StringIO()
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    with contextlib.redirect_stdout(printed):
        exec(compile(tree, "block", "exec"), names)
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), "block", "eval"), names)
    outputs: list[Cell] = []
    if printed.getvalue():
        outputs.append({"output_type": "stream", "name": "stdout", "text": printed.getvalue()})
    if value is not None:
        outputs.append({"output_type": "display_data", "metadata": {}, "data": _data(value)})
    return outputs


def _data(value: Any) -> dict[str, str]:
    """Return a value as a notebook shows it."""
    if hasattr(value, "_repr_html_"):
        return {"text/html": value._repr_html_(), "text/plain": str(value)}
    if hasattr(value, "figure"):
        file = io.BytesIO()
        value.figure.savefig(file, format="png", dpi=110)
        return {"image/png": base64.b64encode(file.getvalue()).decode("ascii"), "text/plain": repr(value)}
    return {"text/plain": repr(value)}


def main() -> None:
    """Run the page that is named, in a folder of its own, and write its notebook."""
    text = Path(sys.argv[1]).resolve().read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        written = json.dumps(_executed(text), indent=1)
        os.chdir(Path(folder).parent)  # a folder that is in use cannot be removed everywhere
    print(written)


if __name__ == "__main__":
    main()
