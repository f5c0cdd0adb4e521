import copy

import pytest
import torch
from matrix import SCHEDULERS
from torch.optim import lr_scheduler as schedulers

from lrfind.errors import BadInputError
from lrfind.optim import Scheduled, to_schedule
from lrfind.options import to_strategy
from lrfind.pytorch import find
from lrfind.schedules import constant

STEPS = 60


def optimizer(lr=0.02):
    groups = [{"params": [torch.nn.Parameter(torch.ones(3))]}, {"params": [torch.nn.Parameter(torch.ones(1))]}]
    return torch.optim.SGD(groups, lr=lr)


def trajectory(scheduler, steps=STEPS):
    rates = []
    for step in range(steps):
        rates.append(scheduler.optimizer.param_groups[0]["lr"])
        scheduler.optimizer.step()
        if step < steps - 1:
            scheduler.step()
    return rates


@pytest.mark.parametrize("name", sorted(set(SCHEDULERS) - {"ReduceLROnPlateau"}))
def test_the_shape_is_what_training_will_see(name):
    one = optimizer()
    scheduler = SCHEDULERS[name](one)
    before = copy.deepcopy((one.state_dict(), scheduler.state_dict()))
    shape = Scheduled(scheduler).over(STEPS)
    assert str((one.state_dict(), scheduler.state_dict())) == str(before)
    rates = trajectory(scheduler)
    multipliers = [shape((step + 0.5) / STEPS) for step in range(STEPS)]
    assert multipliers == pytest.approx([rate / max(rates) for rate in rates])


def test_a_scheduler_that_waits_for_a_plateau_counts_as_constant():
    assert Scheduled(schedulers.ReduceLROnPlateau(optimizer())).over(STEPS) is constant


def test_one_that_is_stepped_per_epoch_holds_each_value_for_an_epoch():
    shape = Scheduled(schedulers.StepLR(optimizer(), 1, 0.5), steps=4).over(1000)
    assert [shape(done) for done in (0.0, 0.24, 0.26, 0.51, 0.99)] == [1, 1, 0.5, 0.25, 0.125]


def test_one_whose_peak_is_not_the_optimizers_rate_is_refused():
    scheduler = schedulers.LambdaLR(optimizer(), lambda step: 10.0)
    with pytest.raises(BadInputError, match="LambdaLR takes the rate to 10 times"):
        Scheduled(scheduler).over(STEPS)


@pytest.mark.parametrize("schedule", [3, torch.nn.Linear(1, 1)])
def test_what_is_no_schedule_is_refused(schedule):
    with pytest.raises(BadInputError, match="schedule must be"):
        Scheduled(schedule)


def test_a_search_takes_a_scheduler():
    model = torch.nn.Linear(4, 1)
    one = torch.optim.SGD(model.parameters(), lr=0.1)
    generator = torch.Generator().manual_seed(0)
    batches = [(x, x.sum(1, keepdim=True)) for x in torch.randn(40, 16, 4, generator=generator)]
    arguments = (model, one, batches, torch.nn.functional.mse_loss)
    steady = find(*arguments, progress=False, total_steps=400)
    by_name = find(*arguments, schedule="cosine", total_steps=400, progress=False)
    scheduler = schedulers.CosineAnnealingLR(one, 400)
    by_scheduler = find(*arguments, schedule=scheduler, total_steps=400, progress=False)
    assert by_scheduler.lr == pytest.approx(by_name.lr, rel=0.01)
    assert by_name.lr > 1.5 * steady.lr
    assert (by_scheduler.schedule, by_name.schedule) == ("CosineAnnealingLR", "cosine")
    by_its_own = find(*arguments, schedule=scheduler, progress=False)
    assert (by_its_own.lr, by_its_own.total_steps) == (by_scheduler.lr, 400)
    unknown = find(*arguments, schedule=schedulers.StepLR(one, 40), progress=False)
    assert "StepLR was read as constant; pass total_steps=" in unknown.notes[0]


def test_a_search_reads_it_over_the_steps_of_training():
    strategy = to_strategy(schedule=schedulers.StepLR(optimizer(), 50, 0.1), strategy="range", total_steps=100)
    assert strategy.schedule.over(100)(0.6) == pytest.approx(0.1)
    assert strategy.schedule.over(40)(0.6) == 1.0


def test_a_schedule_that_a_framework_has_is_read_as_constant_where_training_does_not_reach_its_peak():
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    schedule = to_schedule(torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=1000))
    assert schedule.over(30)(0.5) == 1.0
    assert schedule.note == "OneCycleLR was read as constant: training does not reach its peak."
    assert schedule.over(1000)(0.3) == pytest.approx(1.0, abs=0.01)
    assert schedule.note == ""
