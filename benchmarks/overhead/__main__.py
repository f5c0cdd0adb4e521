"""Measure, write ``docs/overhead.md`` and print it."""

from __future__ import annotations

import ctypes
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from time import perf_counter

import torch
from rich.console import Console
from rich.markdown import Markdown
from tqdm.auto import tqdm

from benchmarks.overhead import imports
from benchmarks.overhead.page import page
from benchmarks.overhead.sizes import sizes
from benchmarks.overhead.timing import measure

PAGE = Path(__file__).parents[2] / "docs" / "overhead.md"

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Names of glibc's ``mallopt``."""


def main() -> None:
    """Measure, write the page and print it."""
    torch.set_num_threads(1)
    if not tqdm(()).disable:
        raise RuntimeError("the bars of the peers would be drawn, and timed; start with TQDM_DISABLE=1.")
    _keep_freed_memory()
    start = perf_counter()
    with _quiet():
        measured = {size.name: measure(size) for size in sizes()}
    text = page(measured, imports.line(), perf_counter() - start)
    PAGE.write_text(text)
    Console().print(Markdown(text))


def _keep_freed_memory() -> None:
    """Let glibc keep what is freed, where that is the C library.

    Else the gradients of the largest model are asked of the system anew at every step, or not, as the heap happens to
    lie: up to 2,000 page faults, one to two milliseconds of 100, for every contestant, by luck.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, 32 << 20)
        mallopt(_TRIM_THRESHOLD, 1 << 30)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what the contestants print, log and warn of away from the table."""
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(logging.NOTSET)


if __name__ == "__main__":
    main()
