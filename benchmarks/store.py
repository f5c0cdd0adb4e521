"""Rows of JSON in a file that only grows: a killed run loses at most the row it was writing."""

from __future__ import annotations

import json
import platform
import subprocess
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a file; a torn last line is left out."""
    if not path.exists():
        return []
    rows = []
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    for number, line in enumerate(lines, 1):
        try:
            rows.append(json.loads(line))
        except ValueError:
            if number < len(lines):
                raise ValueError(f"line {number} of {path} is no JSON; remove it and run again.") from None
    return rows


def append_row(path: Path, row: Mapping[str, Any]) -> None:
    """Write one more row, on a line of its own even after a torn one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    mend(path)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


def mend(path: Path) -> None:
    """Cut off a torn last line."""
    if path.exists():
        content = path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) < len(content):
            path.write_bytes(whole)


def origin(*packages: str) -> dict[str, Any]:
    """Return what made the rows that follow: versions and the commit."""
    versions = {"python": platform.python_version()}
    for package in ("torch", "numpy", "scikit-learn", *packages):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "absent"
    command = ("git", "-C", str(HERE), "rev-parse", "--short", "HEAD")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return {"versions": versions, "commit": done.stdout.strip() or "unknown"}
