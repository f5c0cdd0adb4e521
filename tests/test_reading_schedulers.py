"""A scheduler is only read: what its functions keep and draw is as before; and a record knows what it does."""

import random

import numpy as np
import pytest
import torch
from torch.optim import lr_scheduler as torchs
from torch.utils.data import DataLoader, TensorDataset

import lrfind
from lrfind.errors import BadInputError
from lrfind.optim import Scheduled, apply_rate, rates_of, to_schedule
from lrfind.options import to_strategy


def optimizer_at(*rates):
    return torch.optim.SGD([{"params": [torch.nn.Parameter(torch.ones(1))], "lr": rate} for rate in rates], lr=rates[0])


class Keeping:
    """A function of the step that counts its calls, keeps a list of them and draws from four generators."""

    def __init__(self):
        self.count, self.steps, self.generator = 0, [], torch.Generator()

    def __call__(self, step):
        self.count += 1
        self.steps.append(step)
        drawn = random.random() + np.random.rand() + torch.rand(1) + torch.rand(1, generator=self.generator)
        return 0.9**step * (1 + 1e-3 * float(drawn))

    @property
    def state(self):
        numbers = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
        return self.count, list(self.steps), self.generator.get_state().tolist(), numbers


def in_a_closure(keeping):
    return lambda step: keeping(step)


class Stepped:
    """One's own class whose steps ask a function."""

    def __init__(self, optimizer, function):
        self.optimizer, self.function, self.count = optimizer, function, 0

    def step(self):
        self.count += 1
        for group in self.optimizer.param_groups:
            group["lr"] = 0.1 * self.function(self.count)


MAKERS = {
    "a function": lambda one, keeping: torchs.LambdaLR(one, in_a_closure(keeping)),
    "a method": lambda one, keeping: torchs.LambdaLR(one, keeping.__call__),
    "one's own class": lambda one, keeping: Stepped(one, in_a_closure(keeping)),
}
READERS = {
    "Scheduled": lambda one: Scheduled(one).over(20),
    "to_schedule": to_schedule,
    "rates_of": lambda one: rates_of(one.optimizer, one),
}


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_what_its_functions_keep_and_draw_is_as_before(make, read):
    scheduler = make(optimizer_at(0.1, 0.01), keeping := Keeping())
    before = keeping.state
    read(scheduler)
    assert keeping.state == before


@pytest.mark.parametrize("make", [MAKERS["one's own class"]])
def test_it_is_applied_to_without_being_called(make):
    optimizer = optimizer_at(0.1, 0.1)
    scheduler = make(optimizer, keeping := Keeping())
    before = keeping.state
    apply_rate(optimizer, 0.02, scheduler)
    assert keeping.state == before


def test_an_iterator_that_it_reads_on_in_is_where_it_was():
    rates = iter([1.0, 0.5, 0.25, 0.125])
    scheduler = torchs.LambdaLR(optimizer_at(0.1), lambda step: next(rates))
    Scheduled(scheduler).over(3)
    assert next(rates) == 0.5


class WithoutOptimizer:
    def step(self):
        """Change the rates of an optimizer that only this knows of."""


def test_a_scheduler_that_does_not_say_whose_rates_it_changes_is_refused_with_the_way_out():
    with pytest.raises(BadInputError, match=r"schedule must be .* a function .* attribute optimizer, "):
        to_strategy(schedule=WithoutOptimizer())
    with pytest.raises(BadInputError, match="got the class WithoutOptimizer; give an instance"):
        to_strategy(schedule=WithoutOptimizer, total_steps=100)


def cyclic(optimizer):
    return torchs.CyclicLR(optimizer, [1e-3, 1e-4], [1e-2, 1e-3], 10, cycle_momentum=False)


def test_a_search_in_mid_cycle_knows_the_rate_that_training_has():
    torch.manual_seed(0)
    x = torch.randn(320, 4)
    model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Linear(8, 1))
    groups = [{"params": model[0].parameters(), "lr": 1e-2}, {"params": model[1].parameters(), "lr": 1e-3}]
    optimizer = torch.optim.SGD(groups, lr=1e-2)
    scheduler = cyclic(optimizer)
    for _ in range(7):
        optimizer.step()
        scheduler.step()
    data = DataLoader(TensorDataset(x, x[:, :1]), 16)
    loss_fn = torch.nn.functional.mse_loss
    told = lrfind.find(model, optimizer, data, loss_fn, schedule=scheduler, progress=False).records[0]
    assert (told.used, told.ratios) == (1e-2, pytest.approx((1.0, 0.1)))
