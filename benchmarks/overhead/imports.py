"""How much longer it takes to have ``lrfind.find`` than ``import torch``, in CPU time of fresh processes, in turns.

Run: ``python -m benchmarks.overhead.imports``.
"""

from __future__ import annotations

import subprocess
import sys
from statistics import median

import numpy as np

REPEATS = 5

CODE = "import time; start = time.process_time(); {}; print(time.process_time() - start)"
TORCH, OURS = "import torch", "import lrfind; lrfind.find"


def seconds(code: str) -> float:
    """Run code in a fresh process; return the CPU time that took."""
    command = [sys.executable, "-c", CODE.format(code)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def line() -> str:
    """Measure; return it as one line."""
    pairs = [(seconds(TORCH), seconds(OURS)) for _ in range(REPEATS)]
    low, middle, high = np.quantile([ours / torchs for torchs, ours in pairs], (0.25, 0.5, 0.75)).tolist()
    return (
        f"`{TORCH}` {median(one for one, _ in pairs):.2f} s, `{OURS}` {median(one for _, one in pairs):.2f} s "
        f"of CPU time; ratio {middle:.3f} (quartiles {low:.3f}..{high:.3f}, {REPEATS} pairs)"
    )


if __name__ == "__main__":
    print(line())
