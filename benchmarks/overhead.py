"""What a probe step costs beside the same step in a bare loop, and beside the peers.

Everybody does the same work: the same model from the same weights, the same batches from the same kind of loader,
the same optimizer, the same number of steps at rates too low to diverge, no early stop, no progress bar. The loader
is the clock: it notes the time at which each batch is asked for, so that every contestant is timed in the same way,
as it ships, from outside. From one request to the next is one whole step: the loader, forward, backward, the update
and all bookkeeping.

- *Time per step* is the median over the steps of one run, the first few left out. It is the slope that runs of two
  lengths would give, without the noise of subtracting two totals. The mean over the same steps, which also holds
  what happens only now and then (garbage collection, growing lists), is written beside it.
- *Setup and restore* is what is left: the time of the call less its steps. Objects that the user makes anyway
  (model, optimizer, loader, trainer) are made before the call.
- The clock is the CPU time of the process (``time.process_time``): it stands still while another process has the
  core, and unlike the thread's own clock it counts helper threads. The ratios by the wall clock are written too.
- A *ratio* is taken within one repeat, in which each contestant runs once, one right after the other; each repeat
  starts with another one, and every other repeat goes backwards. Reported are the median and the quartiles over the
  repeats.

The bare loop of PyTorch is ``zero_grad``, forward, ``backward``, ``step``; it never reads its loss. Since every finder
has to read the loss, the same loop with ``loss.item()`` stands beside it. The baseline for Lightning is its own
``Trainer.fit`` without logger, checkpoints and bars.

Run: ``make bench-overhead``.
"""

from __future__ import annotations

import copy
import gc
import logging
import math
import os
import platform
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import Any, TypeVar

os.environ["TQDM_DISABLE"] = "1"  # read when the peers import tqdm

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.tuner import Tuner
from rich.console import Console
from rich.markdown import Markdown
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torch_lr_finder import LRFinder

import lrfind
import lrfind.lightning
from lrfind.records import Cost
from lrfind.schedules import ramp

PAGE = Path(__file__).parents[1] / "docs" / "overhead.md"
MIN_LR, MAX_LR = 1e-6, 1e-4
WARM_UP = 2
"""Steps at the start of each run that are not timed as steps: what they take above one is setup."""
Batch = tuple[torch.Tensor, torch.Tensor]
Call = Callable[[], object]
Contestant = Callable[[nn.Module, DataLoader[Batch]], Call]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Size:
    """One model size.

    Attributes:
        name: What the table calls it.
        net: The model.
        shape: Shape of one batch of inputs.
        steps: Optimizer steps per run.
        repeats: How often each contestant runs.
    """

    name: str
    net: nn.Module
    shape: tuple[int, ...]
    steps: int
    repeats: int


@dataclass(frozen=True, slots=True)
class Timing:
    """One run, in seconds, by one clock.

    Attributes:
        step: Median time of a step.
        mean: Mean time of a step.
        outside: The rest of the call: setup and restore.
    """

    step: float
    mean: float
    outside: float


@dataclass(frozen=True, slots=True)
class Run:
    """One run of one contestant by both clocks."""

    cpu: Timing
    wall: Timing


@dataclass(frozen=True, slots=True)
class Ratio:
    """Quartiles of the ratios of all repeats.

    Attributes:
        low: The lower quartile.
        median: The median.
        high: The upper quartile.
        repeats: How many there were.
    """

    low: float
    median: float
    high: float
    repeats: int

    @property
    def margin(self) -> float:
        """Half the 95 % interval of the median, were the ratios normal: 1.96 * 1.2533 / 1.349 = 1.82."""
        return 1.82 * (self.high - self.low) / math.sqrt(self.repeats)

    def __str__(self) -> str:
        return f"{self.median:.3f} ({self.low:.3f}..{self.high:.3f})"


Runs = dict[str, list[Run]]
Measured = dict[str, Runs]
Reading = Callable[[Run], float]


@dataclass(frozen=True, slots=True)
class Ticks:
    """When each batch was asked for, by both clocks."""

    cpu: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)

    def note(self) -> None:
        """Note the time."""
        self.cpu.append(process_time())
        self.wall.append(perf_counter())


class Clocked(Dataset[Batch]):
    """A few batches over and over.

    Args:
        shape: Shape of one batch of inputs.
        length: How many batches.
        note: Called as each is asked for; a function, because a find puts back the attributes of the data.
    """

    def __init__(self, shape: Sequence[int], length: int, note: Callable[[], None]) -> None:
        generator = torch.Generator().manual_seed(0)
        self._batches = [
            (torch.randn(*shape, generator=generator), torch.randint(10, shape[:1], generator=generator))
            for _ in range(4)
        ]
        self._length, self._note = length, note

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> Batch:
        self._note()
        return self._batches[index % len(self._batches)]


@dataclass(frozen=True, slots=True)
class Unread:
    """The range test without its reading: at these rates nothing is learnt, and the peers' calls do not read either."""

    steps: int

    def propose(self, records: Sequence[lrfind.Record]) -> list[lrfind.Probe] | lrfind.Finding:
        """Return the ramp, then a finding that means nothing."""
        if not records:
            return [lrfind.Probe(ramp(MIN_LR, MAX_LR, self.steps))]
        return lrfind.Finding(
            lr=MIN_LR,
            base_lr=MIN_LR,
            max_lr=MAX_LR,
            interval=(MIN_LR, MAX_LR),
            method="unread",
            schedule="constant",
            records=tuple(records),
            cost=Cost(self.steps, 0.0),
        )


class Module(pl.LightningModule):
    """The Lightning form of a model."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def training_step(self, batch: Batch, batch_idx: int) -> torch.Tensor:
        """Return the loss of a batch."""
        inputs, targets = batch
        return nn.functional.cross_entropy(self.net(inputs), targets)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return the optimizer that everybody uses."""
        return _optimizer(self)


def bare(net: nn.Module, loader: DataLoader[Batch]) -> Call:
    """``zero_grad``, forward, ``backward``, ``step``."""
    optimizer = _optimizer(net)

    def call() -> None:
        net.train()
        for inputs, targets in loader:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(net(inputs), targets)
            loss.backward()
            optimizer.step()

    return call


def bare_reading(net: nn.Module, loader: DataLoader[Batch]) -> Call:
    """The bare loop that also reads its losses."""
    optimizer = _optimizer(net)

    def call() -> None:
        net.train()
        losses = []
        for inputs, targets in loader:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(net(inputs), targets)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())

    return call


def ours(net: nn.Module, loader: DataLoader[Batch]) -> Call:
    """``lrfind.find``."""
    optimizer, options = _optimizer(net), _search(loader)
    return lambda: lrfind.find(net, optimizer, loader, nn.functional.cross_entropy, **options)


def torch_lr_finder(net: nn.Module, loader: DataLoader[Batch]) -> Call:
    """``LRFinder.range_test`` of torch-lr-finder."""
    optimizer = _optimizer(net)

    def call() -> None:
        finder = LRFinder(net, optimizer, nn.functional.cross_entropy)
        finder.range_test(loader, start_lr=MIN_LR, end_lr=MAX_LR, num_iter=len(loader), diverge_th=float("inf"))
        finder.reset()

    return call


def fit(net: nn.Module, loader: DataLoader[Batch]) -> Call:
    """Lightning's own ``Trainer.fit``."""
    trainer, module = _trainer(len(loader)), Module(net)
    return lambda: trainer.fit(module, loader)


def ours_lightning(net: nn.Module, loader: DataLoader[Batch]) -> Call:
    """``lrfind.lightning.find``."""
    trainer, module, options = _trainer(len(loader)), Module(net), _search(loader)
    return lambda: lrfind.lightning.find(trainer, module, loader, **options)


def tuner(net: nn.Module, loader: DataLoader[Batch]) -> Call:
    """Lightning's ``Tuner.lr_find``."""
    finder, module = Tuner(_trainer(-1)), Module(net)
    options = {"min_lr": MIN_LR, "max_lr": MAX_LR, "num_training": len(loader), "early_stop_threshold": None}
    return lambda: finder.lr_find(module, loader, update_attr=False, **options)


PYTORCH: dict[str, Contestant] = {
    "bare loop": bare,
    "bare loop, `loss.item()`": bare_reading,
    "`lrfind.find`": ours,
    "torch-lr-finder": torch_lr_finder,
}
LIGHTNING: dict[str, Contestant] = {
    "`Trainer.fit`": fit,
    "`lrfind.lightning.find`": ours_lightning,
    "`Tuner.lr_find`": tuner,
}
TARGETS = (
    ("`lrfind.find`", "bare loop", 1.05),
    ("`lrfind.find`", "bare loop, `loss.item()`", 1.05),
    ("`lrfind.find`", "torch-lr-finder", 1.0),
    ("`lrfind.lightning.find`", "`Trainer.fit`", 1.05),
    ("`lrfind.lightning.find`", "`Tuner.lr_find`", 1.0),
)

INTRODUCTION = """# The overhead of a probe step

The same model, weights, batches, optimizer (SGD with momentum) and number of steps for everybody, one thread, rates
from 1e-6 to 1e-4 so that nothing diverges, no early stop, no bars. All run in one process, in turns; every ratio is
taken within one repeat, and what is shown is the median with the quartiles over the repeats. Each step is timed from
outside, by the loader, from one request for a batch to the next, so that it holds everything a contestant does in it:
the median over a run's steps, in CPU time of the process. `benchmarks/overhead.py` says how and why.

The bare loop of PyTorch does not read its loss; with `loss.item()`, which a search cannot do without, it stands
beside it. The baseline for Lightning is its own `Trainer.fit` without logger, checkpoints and bars. A target is met or
missed where the median's 95 % interval (the ±) leaves no doubt. Setup and restore is the rest of the call, apart from
its steps; the reading of the curve is in nobody's time."""


def mlp(*widths: int) -> nn.Module:
    """Return linear layers from each width to the next, for 10 classes."""
    hidden = [layer for pair in pairwise(widths) for layer in (nn.Linear(*pair), nn.ReLU())]
    return nn.Sequential(*hidden, nn.Linear(widths[-1], 10))


def convnet(*widths: int) -> nn.Module:
    """Return convolutions of 3 by 3 from each width to the next, mean-pooled, for 10 classes."""
    hidden = [layer for pair in pairwise(widths) for layer in (nn.Conv2d(*pair, 3, padding=1), nn.ReLU())]
    return nn.Sequential(*hidden, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(widths[-1], 10))


def sizes() -> list[Size]:
    """Return models whose bare step takes about 0.5, 5 and 100 ms on one core.

    None has activations so large that the allocator asks the system anew for each: those page faults cost up to
    half of a step, by luck.
    """
    torch.manual_seed(0)
    return [
        Size("0.5 ms", mlp(128, 128, 128), (128, 128), steps=120, repeats=35),
        Size("5 ms", mlp(256, 512, 512, 512), (128, 256), steps=30, repeats=28),
        Size("100 ms", convnet(3, 256, 256, 256, 256, 256), (16, 3, 8, 8), steps=6, repeats=24),
    ]


def measure(size: Size) -> Runs:
    """Run every contestant once per repeat, in an order that rotates; return its runs, in the order of repeats."""
    contestants = list({**PYTORCH, **LIGHTNING}.items())
    runs: Runs = {name: [] for name, _ in contestants}
    for _, contestant in contestants:
        timed(contestant, size)
    gc.freeze()
    for repeat in range(size.repeats):
        for name, contestant in turned(contestants, repeat):
            runs[name].append(timed(contestant, size))
    return runs


def turned(items: Sequence[T], turn: int) -> list[T]:
    """Return the items from another first one at every turn, every other time backwards.

    Example:
        >>> turned("abc", 1), turned("abc", 2)
        (['a', 'c', 'b'], ['c', 'a', 'b'])
    """
    shift = turn % len(items)
    order = [*items[shift:], *items[:shift]]
    return order[::-1] if turn % 2 else order


def timed(contestant: Contestant, size: Size) -> Run:
    """Time one run from the size's own weights."""
    ticks = Ticks()
    data = Clocked(size.shape, size.steps, ticks.note)
    call = contestant(copy.deepcopy(size.net), DataLoader(data, batch_size=None, collate_fn=_unchanged))
    gc.collect()
    cpu, wall = process_time(), perf_counter()
    call()
    cpu, wall = process_time() - cpu, perf_counter() - wall
    if len(ticks.cpu) != size.steps:
        raise RuntimeError(f"{contestant.__name__} took {len(ticks.cpu)} steps, not {size.steps}.")
    return Run(_timing(ticks.cpu, cpu), _timing(ticks.wall, wall))


def ratio(runs: Sequence[Run], base: Sequence[Run], of: Reading) -> Ratio:
    """Return the ratio of two contestants, repeat by repeat."""
    values = [of(run) / of(other) for run, other in zip(runs, base, strict=True)]
    low, median, high = np.quantile(values, (0.25, 0.5, 0.75)).tolist()
    return Ratio(low, median, high, len(values))


def page(measured: Measured, seconds: float) -> str:
    """Return the page: the targets, every number, and where they were taken."""
    tables = [f"## A step of about {name}\n\n{_timings(runs)}" for name, runs in measured.items()]
    return "\n\n".join([INTRODUCTION, _targets(measured), *tables, _circumstances(seconds)]) + "\n"


def main() -> None:
    """Measure, write the page and print it."""
    torch.set_num_threads(1)
    start = perf_counter()
    with _quiet():
        measured = {size.name: measure(size) for size in sizes()}
    text = page(measured, perf_counter() - start)
    PAGE.write_text(text)
    Console().print(Markdown(text))


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
        f"one thread of a {platform.machine()} CPU ({os.cpu_count()} cores), {platform.system()}."
    )


def _markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _timing(ticks: Sequence[float], total: float) -> Timing:
    steps = np.diff(ticks)
    late = steps[WARM_UP:]
    untimed = total - float(np.sum(late)) - (WARM_UP + 1) * float(np.median(late))
    return Timing(float(np.median(late)), float(np.mean(late)), untimed)


def _optimizer(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=MIN_LR, momentum=0.9)


def _search(loader: DataLoader[Batch]) -> dict[str, Any]:
    return {"strategy": Unread(len(loader)), "progress": False}


def _trainer(steps: int) -> pl.Trainer:
    return pl.Trainer(
        accelerator="cpu",
        devices=1,
        max_epochs=-1,
        max_steps=steps,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tempfile.gettempdir(),
    )


def _unchanged(batch: Batch) -> Batch:
    return batch


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
