"""Runs every case on two processes and writes what works where into docs/loops.md: ``make two-processes``."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from tests.two_processes import GROUPS

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "loops.md"
TITLES = {
    "pytorch": "PyTorch",
    "published": "PyTorch",
    "lightning": "Lightning",
    "huggingface": "Hugging Face `Trainer`",
}
MARKS = re.compile(r"<!-- two processes -->\n.*?<!-- end -->\n", flags=re.DOTALL)


def main():
    rows = [row for group in GROUPS for row in rows_of(TITLES[group], lines_of(group))]
    head = ["| training | on two processes |", "| --- | --- |"]
    table = "\n".join(["<!-- two processes -->", *head, *rows, "<!-- end -->", ""])
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(MARKS.sub(lambda _: table, text), encoding="utf-8")
    print("\n".join(rows))


def lines_of(group):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", "tests.two_processes", group]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, timeout=900, check=True
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def rows_of(title, lines):
    """Return a row for each case: what was seen on both ranks."""
    for first, second in zip(lines[::2], lines[1::2], strict=True):
        if "share" in (first.get("result") or {}):
            continue
        yield f"| {title}: {first['case']} | {said_of(first, second)} |"


def said_of(first, second):
    if any(line["hung"] or "error" in line for line in (first, second)):
        return "**hangs or fails**"
    one, other = first["result"], second["result"]
    if one["moved"] or other["moved"]:
        return "**not put back**"
    if "said" in one:
        return f"rank 0 raises `{one['said'][0]}`, rank 1 `{other['said'][0]}`; all put back"
    if "said" in other:
        return f"a rate on rank 0, rank 1 raises `{other['said'][0]}`; all put back"
    if one["differs"] or other["differs"]:
        return "**training differs**"
    if other["lr"] is None:
        return "a rate on rank 0, training equal"
    if "each alone" in first["case"]:
        return "a rate of each rank, training equal"
    return "one rate, training equal" if one["lr"] == other["lr"] else "**two rates**"


if __name__ == "__main__":
    main()
