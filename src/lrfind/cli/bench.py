"""``lrfind bench``: the benchmark, which lives beside the package in a clone of the repository."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

import lrfind
from lrfind.cli.faults import FAILED, MISUSED, spoken_faults
from lrfind.errors import LRFindError


def bench(
    stored: Annotated[bool, typer.Option("--stored", help="Run nothing: score what is stored.")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Forget what is stored, run it again: hours.")] = False,
    overhead: Annotated[bool, typer.Option("--overhead", help="Instead, time probe steps beside a bare loop.")] = False,
) -> None:
    """Score every finder on the benchmark's tasks and write docs/benchmark.md; from a clone of the repository only.

    ```text
    lrfind bench --stored
    ```
    """
    with spoken_faults():
        module = "benchmarks.overhead" if overhead else "benchmarks"
        options = [f"--{name}" for name, is_given in (("stored", stored), ("fresh", fresh)) if is_given]
        done = subprocess.run([sys.executable, "-m", module, *options], cwd=clone(), check=False)
    raise typer.Exit(done.returncode if done.returncode in (0, MISUSED) else FAILED)


def clone() -> Path:
    """Return the folder of the clone: where the package was imported from, or the current one.

    Raises:
        LRFindError: If neither is one.
    """
    for folder in (Path(lrfind.__file__).parents[2], Path.cwd()):
        if (folder / "benchmarks" / "__main__.py").is_file():
            return folder
    raise LRFindError(
        "the benchmark does not come with the package: clone the repository and run lrfind bench (or make bench) there."
    )
