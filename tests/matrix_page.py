"""Run the matrix and write ``docs/matrix.md``: how many cells, in which loops, what is left out and why.

python tests/matrix_page.py            every cell that ``make test-all`` runs
"""

from __future__ import annotations

import logging
import os
import sys
import tempfile
from collections import Counter
from pathlib import Path

import torch
from matrix import FACTORS, LOOPS, UNTRAINABLE, cells, outcome

PAGE = Path(__file__).parents[1] / "docs" / "matrix.md"
PAGE_TEXT = """<!-- make matrix writes this page -->

# The matrix: nothing moves

A cell trains twice with the same seed, once with a probe before the first step, and compares everything afterwards
bit for bit: weights, buffers, gradients, train/eval flags, optimizer and scheduler state, Python counters, random
number generators, other state (a tensor, a NumPy generator, a deque, a counter, a number, which each step changes
and depends on), and the loss of every step, which shows the order of batches. The probe ends in each of five ways.

**{sum} cells: {exact} bit-exact, {wrong} wrong** (torch {torch}).

| loop | combinations of values covered | bit-exact | wrong |
| --- | --- | --- | --- |
{rows}

{factors}

Compiled means `torch.compile(..., backend="eager")`: it tests the frames, guards and caches that a probe meets, not the
kernels. In Lightning the compiled model is the LightningModule, in Hugging Face's Trainer it is `torch_compile=True`.

Left out, since they cannot be trained without a search either (a test checks this):

{left_out}

Fabric and Accelerate use plain loops and have their own tests (`tests/test_fabric_and_accelerate.py`).
"""

IN_THREES = ("pytorch",)
LOGGER_NAMES = ("lightning", "lightning.pytorch", "pytorch_lightning", "transformers", "torch._dynamo")


def main() -> int:
    """Run all, write the page; 1 if a cell moved or failed."""
    torch.set_num_threads(1)
    for name in LOGGER_NAMES:
        logging.getLogger(name).setLevel(logging.ERROR)
    counts = {}
    os.chdir(tempfile.mkdtemp())
    for loop in LOOPS:
        counts[loop] = Counter(tried(loop, cell) for cell in cells(3 if loop in IN_THREES else 2, loop))
        print(loop, dict(counts[loop]), flush=True)
    PAGE.write_text(page(counts), encoding="utf-8")
    return int(any(map(wrong, counts.values())))


def tried(loop, cell):
    """Say how a cell came out, also where it raised; print it where it is not as it should be."""
    try:
        came = outcome(loop, cell)
    except Exception as error:  # noqa: BLE001
        came = f"raised {type(error).__name__}: {error}"
    if came != "bit-exact":
        print(f"{loop}-{cell}: {came}", flush=True)
    return came


def wrong(count):
    """How many cells moved, or raised."""
    return sum(count.values()) - count["bit-exact"]


def page(counts):
    """The page."""
    total = Counter()
    for count in counts.values():
        total += count
    rows = [
        f"| {loop} | {'every three' if loop in IN_THREES else 'every two'} | {count['bit-exact']} | {wrong(count)} |"
        for loop, count in counts.items()
    ]
    return PAGE_TEXT.format(
        sum=sum(total.values()),
        exact=total["bit-exact"],
        wrong=wrong(total),
        torch=torch.__version__.split("+")[0],
        rows="\n".join(rows),
        factors="\n".join(f"- {name}: {', '.join(values)}" for name, values in FACTORS.items()),
        left_out="\n".join(f"- {' with '.join(values.values())}: {why}" for _, values, why in UNTRAINABLE),
    )


if __name__ == "__main__":
    sys.exit(main())
