"""Apply a rate under every scheduler and write ``docs/schedulers.md``: ``make schedulers``."""

from __future__ import annotations

import math
import sys
import warnings
from pathlib import Path

import torch
import transformers
from schedulers import GIVEN, SCHEDULERS, STEPS, advance

from lrfind.optim import apply_rate
from lrfind.optim.rates import View
from lrfind.optim.schedulers import with_inner

PAGE = Path(__file__).parents[1] / "docs" / "schedulers.md"
FOUND = 0.0123
RATIOS = {"one group": (1.0,), "three groups": (1.0, 0.1, 4.0)}
_BOUNDS = ("eta_min", "min_lrs", "max_lrs", "lr_min", "warmup_lr_init", "floor")
_CALLED = {"min_lrs": "min_lr", "max_lrs": "max_lr"}

PAGE_TEXT = """<!-- make schedulers writes this page -->

# Schedulers

A scheduler is anything that changes its optimizer's rates when it is stepped. After
`finding.apply(optimizer, scheduler)`, a training that was built with any rate equals one that was built with the
found rate. The table compares the two over {steps} steps of the scheduler, stepped per batch and per epoch, with one
param group and with three of different rates (torch {torch}, transformers {transformers}). The differences are
rounding.

Rates that a scheduler was given, such as a floor, scale with the found rate, so that the schedule keeps its shape. If
you mean the number itself, set it again after `apply`.

| scheduler | one group | three groups | scales with the rate | how |
| --- | --- | --- | --- | --- |
{rows}

"By what it keeps" means that the rates in the scheduler's attributes (such as `base_lrs`) are scaled in place, so that
its `state_dict` holds them. "By what it writes" is for schedulers without attributes that are known to be rates: such a
scheduler sees its optimizer through a proxy that scales what it writes. It must be passed to `apply` again after a
resume, and its own `get_last_lr` still returns unscaled rates. A scheduler that is neither torch's nor transformers' is
tried on a copy first. If it cannot be stepped, it is refused with an error; then search with `schedule=` as a function
of the fraction of training done, and set the rates yourself. Accelerate's wrapper is unwrapped, and ignite's handlers
are scaled by what they write. `CyclicLR` and `OneCycleLR` get absolute rates; the found rate becomes their peak, but
one that was built with `finding.max_lr` as its peak is left as it was built.

While a rate is watched, a scheduler sees its optimizer through a proxy that scales nothing, until `remove()`. So a
rate that is set by hand between `optimizer.step()` and `scheduler.step()` is caught if the scheduler makes its next
rate of the one in the groups (`CosineAnnealingLR`, `ExponentialLR`, `ReduceLROnPlateau`, your own). Other schedulers
overwrite it. Rates that are tensors are followed in the same way, also where groups share one.

A function that you give to `LambdaLR` may count its calls: it is called only by the training, and where it is tried,
its state is put back. The optimizer may be in a wrapper that shares its param groups (apex's `LARC`, timm's
`Lookahead`). A wrapper that does not call torch's step hooks is refused, since its rate could not be watched.

A schedule that waits for a metric (`ReduceLROnPlateau`, `greedy`) counts as constant in the search, since it is not
known when it will change the rate. A rate applied in the middle of a schedule continues from there. A new schedule on
an optimizer whose earlier one had ended starts at the found rate.
"""


def main() -> int:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")
    return 0


def page():
    """The page."""
    rows = [row(kind, name, make) for kind, makers in SCHEDULERS.items() for name, make in makers.items()]
    versions = (one.__version__.split("+")[0] for one in (torch, transformers))
    return PAGE_TEXT.format(steps=STEPS, torch=next(versions), transformers=next(versions), rows="\n".join(rows))


def row(kind, name, make):
    """What comes of one scheduler."""
    errors = [max(error(make, ratios, per_epoch) for per_epoch in (1, 3)) for ratios in RATIOS.values()]
    scheduler, before, after = applied(make)
    is_viewed = isinstance(scheduler.optimizer, View) and scheduler.optimizer.factor != 1
    scaled = [one for one in _BOUNDS if before.get(one) and (is_viewed or before[one] != after[one])]
    bounds = [_CALLED.get(one, one) for one in scaled if "Cyclic" not in name]
    bounds += [one for one in GIVEN.get(name, lambda lr: {})(1.0) if "lr" in one and one not in bounds]
    how = "what it writes" if is_viewed else "what it keeps"
    cells = (f"{kind}: {name}", *map(said, errors), ", ".join(f"`{one}`" for one in bounds), f"by {how}")
    return f"| {' | '.join(cells)} |"


def said(error):
    """An error in words."""
    return f"within 1e{math.ceil(math.log10(error))}" if error else "to the last bit"


def applied(make):
    """A scheduler after an apply, and the numbers that it and those it holds keep before and after."""
    optimizer = optimizer_at(0.1, RATIOS["three groups"])
    scheduler = made(make, optimizer)
    before, _ = held(scheduler), apply_rate(optimizer, FOUND, scheduler)
    return scheduler, before, held(scheduler)


def made(make, optimizer):
    """A scheduler, without what torch says of its own containers within containers."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Detected call of")
        return make(optimizer)


def held(scheduler):
    """The attributes of a scheduler that hold numbers; of those that are 0, nothing can be seen."""
    return {name: value for one in with_inner([scheduler]) for name, value in vars(one).items() if name in _BOUNDS}


def optimizer_at(lr, ratios):
    """An optimizer whose groups have these multiples of a rate."""
    groups = [{"params": [torch.nn.Parameter(torch.ones(1))], "lr": lr * ratio} for ratio in ratios]
    return torch.optim.SGD(groups, lr=lr)


def train(optimizer, scheduler, per_epoch=1):
    """The rates of all groups at each step; the scheduler is stepped after every so many."""
    rates = []
    for step in range(STEPS * per_epoch):
        rates.append([float(group["lr"]) for group in optimizer.param_groups])
        optimizer.step()
        if (step + 1) % per_epoch == 0:
            advance(scheduler, (step + 1) // per_epoch)
    return rates


def both(make, ratios, per_epoch):
    """The rates of a training that is built with the rate, those where it is applied, and the watch over these."""
    built, optimizer = optimizer_at(FOUND, ratios), optimizer_at(0.1, ratios)
    wanted = train(built, made(make, built), per_epoch)
    scheduler = made(make, optimizer)
    watch = apply_rate(optimizer, FOUND, scheduler)
    return wanted, train(optimizer, scheduler, per_epoch), watch


def error(make, ratios, per_epoch):
    """The greatest difference between the two, relative to the rate, or to its peak where it is 0."""
    wanted, found, _ = both(make, ratios, per_epoch)
    pairs = [pair for rows in zip(wanted, found, strict=True) for pair in zip(*rows, strict=True)]
    return max(abs(one - other) / max(abs(one), 1e-3 * FOUND) for one, other in pairs)


if __name__ == "__main__":
    sys.exit(main())
