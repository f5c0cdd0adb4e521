"""Run the matrix and write ``docs/matrix.md``: how many cells, in which loops, what is refused and why.

python tests/matrix_page.py            every cell that ``make test-all`` runs
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections import Counter
from pathlib import Path

import torch
from matrix import FACTORS, LOOPS, UNTRAINABLE, cells, outcome

PAGE = Path(__file__).parents[1] / "docs" / "matrix.md"
PAGE_TEXT = """# The matrix: nothing moves

Written by `make matrix`; do not edit. A cell trains twice with the same seed, once with a probe before the first step,
and compares everything that is left bit for bit: weights, buffers, gradients, train/eval flags, optimizer and
scheduler state, Python counters, random number generators, and the loss of every step, which shows the order of
batches. The probe ends in each of the five ways.

**{sum} cells: {exact} bit-exact, {refused} refused with a sentence, {wrong} not as they should be** (torch {torch}).

| loop | combinations of values covered | bit-exact | refused | wrong |
| --- | --- | --- | --- | --- |
{rows}

{factors}

Refused: lazy parameters under `isolation="snapshot"`, since they cannot be put back in place once they have a
shape; copies take them.

Left out, since they cannot be trained without a search either (a test says so):

{left_out}

Fabric and Accelerate, whose loops are plain loops, have tests of their own (`tests/test_fabric_and_accelerate.py`).
"""

IN_THREES = ("pytorch",)


def main() -> int:
    """Run all, write the page; 1 if a cell moved or failed."""
    torch.set_num_threads(1)
    counts = {}
    os.chdir(tempfile.mkdtemp())
    for loop in LOOPS:
        each = cells(3 if loop in IN_THREES else 2, loop)
        counts[loop] = Counter(outcome(loop, cell) for cell in each)
        print(loop, dict(counts[loop]), flush=True)
    PAGE.write_text(page(counts), encoding="utf-8")
    return int(any(map(wrong, counts.values())))


def wrong(count):
    """How many cells moved."""
    return sum(count.values()) - count["bit-exact"] - count["refused"]


def page(counts):
    """The page."""
    total = Counter()
    for count in counts.values():
        total += count
    rows = [
        f"| {loop} | {'every three' if loop in IN_THREES else 'every two'} | {count['bit-exact']} | {count['refused']} "
        f"| {wrong(count)} |"
        for loop, count in counts.items()
    ]
    return PAGE_TEXT.format(
        sum=sum(total.values()),
        exact=total["bit-exact"],
        refused=total["refused"],
        wrong=wrong(total),
        torch=torch.__version__.split("+")[0],
        rows="\n".join(rows),
        factors="\n".join(f"- {name}: {', '.join(values)}" for name, values in FACTORS.items()),
        left_out="\n".join(f"- {' with '.join(values.values())}: {why}" for _, values, why in UNTRAINABLE),
    )


if __name__ == "__main__":
    sys.exit(main())
