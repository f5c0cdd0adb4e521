"""Measure, write ``docs/overhead.md`` and print it."""

from __future__ import annotations

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


def main() -> None:
    """Measure, write the page and print it."""
    torch.set_num_threads(1)
    if not tqdm(()).disable:
        raise RuntimeError("the bars of the peers would be drawn, and timed; start with TQDM_DISABLE=1.")
    start = perf_counter()
    with _quiet():
        measured = {size.name: measure(size) for size in sizes()}
    text = page(measured, imports.line(), perf_counter() - start)
    PAGE.write_text(text)
    Console().print(Markdown(text))


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
