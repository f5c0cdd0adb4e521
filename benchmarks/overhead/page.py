"""The page: the targets, every number, and where they were taken."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from importlib.metadata import version
from statistics import median

from benchmarks.overhead.contestants import LIGHTNING, PYTORCH
from benchmarks.overhead.timing import Measured, Reading, Run, Runs, ratio

TARGETS = (
    ("`lrfind.find`", "bare loop", 1.05),
    ("`lrfind.find`", "bare loop, `loss.item()`", 1.05),
    ("`lrfind.find`", "torch-lr-finder", 1.0),
    ("`lrfind.lightning.find`", "`Trainer.fit`", 1.05),
    ("`lrfind.lightning.find`", "`Tuner.lr_find`", 1.0),
)

INTRODUCTION = """# The overhead of a probe step

The same model, weights, batches, optimizer (SGD with momentum) and number of steps for all, one thread, rates from
1e-6 to 1e-4 so that nothing diverges, no early stop, no progress bars. All run in one process, in a new random order
for each repeat. Every ratio is taken within one repeat; the tables show the median and the quartiles over the
repeats. Each step is timed from outside, by the loader, from one request for a batch to the next, so it includes
everything that a contestant does in it: the median over a run's steps, in CPU time of the process. Freed memory is
kept (glibc's `mallopt`), since page faults vary by chance. `benchmarks/overhead/` has the details.

The bare loop of PyTorch does not read its loss. A second one does (`loss.item()`), as every search must. The baseline
for Lightning is its own `Trainer.fit` without logger, checkpoints and bars. A target is met or missed where the
median's 95 % interval (the ±) excludes it. Setup and restore is the rest of the call, outside its steps; nobody's time
includes the reading of the curve."""


IMPORTS = """## Importing

`import lrfind` imports torch when `lrfind.find` is used; the target is less than 1.10 of `import torch` alone.
{}. Each in a fresh process, alternating, by `python -m benchmarks.overhead.imports`."""


def page(measured: Measured, imports: str, seconds: float) -> str:
    """Return the page: the targets, every number, and where they were taken."""
    tables = [f"## A step of about {name}\n\n{_timings(runs)}" for name, runs in measured.items()]
    return (
        "\n\n".join([INTRODUCTION, _targets(measured), *tables, IMPORTS.format(imports), _circumstances(seconds)])
        + "\n"
    )


def _targets(measured: Measured) -> str:
    rows = [
        [f"{one} over {base}", f"{target:.2f}", *(_verdict(runs, one, base, target) for runs in measured.values())]
        for one, base, target in TARGETS
    ]
    return "## The targets\n\n" + _markdown(["time per step", "at most", *measured], rows)


def _verdict(runs: Runs, one: str, base: str, target: float) -> str:
    found = ratio(runs[one], runs[base], _step)
    is_clear = abs(found.median - target) > found.margin
    word = ("met" if found.median < target else "missed") if is_clear else "too close to call"
    return f"{found.median:.3f} ± {found.margin:.3f}, {word}"


def _timings(runs: Runs) -> str:
    header = ["", "ms per step", "ratio, CPU time", "of the means", "by the wall clock", "setup and restore, ms"]
    bases = dict.fromkeys(PYTORCH, "bare loop") | dict.fromkeys(LIGHTNING, "`Trainer.fit`")
    rows = [_timing_row(name, runs[name], runs[base]) for name, base in bases.items()]
    return _markdown(header, rows)


def _timing_row(name: str, runs: Sequence[Run], base: Sequence[Run]) -> list[str]:
    readings: list[Reading] = [_step, lambda run: run.cpu.mean, lambda run: run.wall.step]
    step = 1e3 * median(run.cpu.step for run in runs)
    outside = 1e3 * median(run.cpu.outside for run in runs)
    return [name, f"{step:.3f}", *(str(ratio(runs, base, of)) for of in readings), f"{outside:.1f}"]


def _step(run: Run) -> float:
    return run.cpu.step


def _circumstances(seconds: float) -> str:
    packages = ("lrfind", "torch", "lightning", "torch-lr-finder", "numpy")
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    return (
        f"Measured by `make bench-overhead` in {seconds:.0f} s: Python {platform.python_version()}, {versions}; "
        f"one thread of a {platform.machine()} CPU ({os.cpu_count()} cores, "
        f"load average {os.getloadavg()[0]:.1f} at the end, with what else ran), {platform.system()}."
    )


def _markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
