"""What ``apply`` makes of any scheduler: the training that was built with the found rate from the start."""

import pytest
import torch
from schedulers import SCHEDULERS, STEPS, advance

from lrfind.optim import Scheduled, apply_rate, rates_of

RATIOS = {"one group": (1.0,), "three groups": (1.0, 0.1, 4.0)}
CASES = [
    pytest.param(make, id=f"{kind}: {name}") for kind, makers in SCHEDULERS.items() for name, make in makers.items()
]


def optimizer_at(lr, ratios):
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


@pytest.mark.parametrize("per_epoch", [1, 3], ids=["per batch", "per epoch"])
@pytest.mark.parametrize("ratios", RATIOS.values(), ids=RATIOS)
@pytest.mark.parametrize("make", CASES)
@pytest.mark.filterwarnings("ignore:Detected call of:UserWarning")  # torch's own containers within containers
def test_an_applied_rate_trains_as_one_built_in_from_the_start(request, make, ratios, per_epoch):
    is_constant = "transformers: constant-" in request.node.name
    lr = 0.0123
    built = optimizer_at(lr, ratios)
    wanted = train(built, make(built), per_epoch)
    optimizer = optimizer_at(0.1, ratios)
    scheduler = make(optimizer)
    keys = set(optimizer.param_groups[0])
    watch = apply_rate(optimizer, lr, scheduler)
    assert set(optimizer.param_groups[0]) == keys
    rates = train(optimizer, scheduler, per_epoch)
    flat = [rate for row in rates for rate in row]
    assert flat == pytest.approx([rate for row in wanted for rate in row], rel=1e-12, abs=1e-12 * lr)
    assert watch.steps == STEPS * per_epoch
    assert all(any(after != before for after in column) for before, *column in zip(*rates, strict=True)) or is_constant
