"""Score what is stored and write the page. Run: ``make bench``."""

from __future__ import annotations

import argparse
import os

import torch

from benchmarks import collect, page, sweeps, truth
from benchmarks.rules import RULES
from benchmarks.scoring import Stored
from benchmarks.tasks import TASKS

CHOSEN = "edge or usual rate, by reply, passes and length; a closer look"
"""The rule whose calibrated scores are lrfind's."""


def main() -> None:
    """Run what is missing of the range tests and the peers, score everything, write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fresh", action="store_true", help="forget everything that is stored and run it again: hours")
    parser.add_argument("--stored", action="store_true", help="run nothing, score what is stored")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.fresh:
        for path in (truth.TABLE, sweeps.STORE, collect.SUGGESTIONS):
            path.unlink(missing_ok=True)
        truth.fill(list(TASKS.values()), jobs=os.cpu_count() or 1)
    if not arguments.stored:
        collect.fill()
    page.write(Stored.load(TASKS), CHOSEN, RULES)


if __name__ == "__main__":
    main()
