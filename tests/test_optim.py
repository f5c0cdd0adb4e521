import copy
import pickle
import re
from collections import OrderedDict

import pytest
import torch
import transformers
from schedulers import TORCH, TRANSFORMERS, RecursiveScheduler, TimmScheduler, advance
from torch import nn
from torch.optim import lr_scheduler as schedulers

from lrfind.errors import BadInputError, RateNotAppliedError
from lrfind.loop import Recorder
from lrfind.optim import AppliedRate, apply_rate, rates_of
from lrfind.optim.rates import read_rate, write
from lrfind.pytorch import PyTorchLoop
from lrfind.records import Probe


def parameter():
    return torch.nn.Parameter(torch.ones(1))


def step(optimizer):
    for group in optimizer.param_groups:
        for one in group["params"]:
            one.grad = torch.ones_like(one)
    optimizer.step()


def adam(lr=0.1, ratio=None):
    groups = [{"params": [parameter()]}]
    groups += [{"params": [parameter()], "lr": lr * ratio}] if ratio else []
    return torch.optim.Adam(groups, lr=lr)


def test_ratios_between_groups_are_kept():
    optimizer = adam(0.1, ratio=0.01)
    assert rates_of(optimizer).ratios == pytest.approx((1.0, 0.01))
    apply_rate(optimizer, 0.02)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.02, 0.0002])
    assert optimizer.defaults["lr"] == 0.02
    assert rates_of(optimizer).ratios == pytest.approx((1.0, 0.01))


def test_what_is_read_back_is_what_was_set_to_the_last_bit():
    optimizer = adam()
    for lr in (1e-7 / 3, 0.1 / 7, 3.3):
        write(optimizer.param_groups[0], lr)
        assert read_rate(optimizer.param_groups, (1.0,)) == lr


def test_a_tensor_rate_is_set_in_place():
    rate = torch.tensor(0.1)
    optimizer = torch.optim.Adam([parameter()], lr=rate)
    apply_rate(optimizer, 0.25)
    assert optimizer.param_groups[0]["lr"] is rate
    assert rate.item() == 0.25


def test_groups_that_do_not_agree_are_found_out():
    optimizer = adam(0.1, ratio=0.5)
    optimizer.param_groups[1]["lr"] = 0.07
    with pytest.raises(RateNotAppliedError, match=r"param group 1 has lr=0\.07"):
        read_rate(optimizer.param_groups, (1.0, 0.5))


def test_tensor_rates_in_a_ratio_are_one_rate():
    groups = [{"params": [parameter()]}, {"params": [parameter()], "lr": torch.tensor(0.01)}]
    optimizer = torch.optim.Adam(groups, lr=torch.tensor(0.1))
    ratios = rates_of(optimizer).ratios
    for group, ratio in zip(optimizer.param_groups, ratios, strict=True):
        write(group, 0.0123 * ratio)
    assert read_rate(optimizer.param_groups, ratios) == pytest.approx(0.0123)


def test_where_all_groups_agree_theirs_is_the_rate_whatever_the_default():
    optimizer = adam(0.1)
    optimizer.param_groups[0]["lr"] = 0.003
    assert (rates_of(optimizer).lr, rates_of(optimizer).ratios) == (0.003, (1.0,))
    apply_rate(optimizer, 0.02)
    assert optimizer.param_groups[0]["lr"] == 0.02


@pytest.mark.parametrize(
    ("options", "rates", "lr"),
    [
        ({}, (2e-5, 2e-4), 2e-5),  # torch's own default, which no group has
        ({"lr": 0.5}, (2e-5, 2e-4), 2e-5),
        ({"lr": 2e-4}, (2e-5, None), 2e-4),  # a group without a rate of its own
        ({"lr": 2e-4}, (2e-5, 2e-4), 2e-4),
        ({}, (0.0, 2e-4, 3e-4), 2e-4),  # a first group that does not train
        ({"lr": 0.0}, (None, 2e-4), 2e-4),
    ],
)
def test_the_rate_of_an_optimizer_is_one_that_a_group_has(options, rates, lr):
    groups = [{"params": [parameter()]} | ({} if rate is None else {"lr": rate}) for rate in rates]
    optimizer = torch.optim.AdamW(groups, **options)
    before = rates_of(optimizer)
    assert before.lr == lr
    for applied in (0.3, 1e-3 / 7):
        apply_rate(optimizer, applied)
        after = rates_of(optimizer)
        assert after.lr == applied
        assert applied in [group["lr"] for group in optimizer.param_groups]
        assert after.ratios == pytest.approx(before.ratios, rel=1e-12)


@pytest.mark.parametrize("schedule", [schedulers.ExponentialLR, None])
def test_the_rate_stays_that_of_its_group_in_the_middle_of_training(schedule):
    optimizer = torch.optim.SGD([{"params": [parameter()], "lr": 0.02}, {"params": [parameter()], "lr": 0.07}])
    scheduler = schedule(optimizer, 0.9) if schedule else None
    for lr in (0.3, 0.7, 1.1):
        apply_rate(optimizer, lr, scheduler).remove()
        assert rates_of(optimizer).lr == lr
        step(optimizer)
        if scheduler:
            scheduler.step()


MAKERS = {
    "LambdaLR": lambda optimizer, lr: schedulers.LambdaLR(optimizer, lambda step: 1 / (1 + step)),
    "StepLR": lambda optimizer, lr: schedulers.StepLR(optimizer, 3, 0.5),
    "Cosine": lambda optimizer, lr: schedulers.CosineAnnealingLR(optimizer, 10, eta_min=lr / 100),
    "Restarts": lambda optimizer, lr: schedulers.CosineAnnealingWarmRestarts(optimizer, 4),
    "Warmup": lambda optimizer, lr: schedulers.LinearLR(optimizer, 0.1, total_iters=5),
    "Exponential": lambda optimizer, lr: schedulers.ExponentialLR(optimizer, 0.9),
    "OneCycle": lambda optimizer, lr: schedulers.OneCycleLR(optimizer, lr, total_steps=12),
    "Cyclic": lambda optimizer, lr: schedulers.CyclicLR(optimizer, lr / 10, lr, 3, cycle_momentum=False),
    "Sequential": lambda optimizer, lr: schedulers.SequentialLR(
        optimizer,
        [schedulers.LinearLR(optimizer, 0.1, total_iters=3), schedulers.ExponentialLR(optimizer, 0.8)],
        milestones=[3],
    ),
}


def trajectory(make, built, to_rate, applied=None):
    """The rates of ten steps, with a rate built in, or with another one applied afterwards; and the watch."""
    optimizer = torch.optim.SGD([parameter()], lr=to_rate(built))
    scheduler = make(optimizer, built)
    watch = apply_rate(optimizer, applied, scheduler) if applied else None
    rates = []
    for _ in range(10):
        rates.append(float(optimizer.param_groups[0]["lr"]))
        step(optimizer)
        scheduler.step()
    return rates, watch


@pytest.mark.parametrize("to_rate", [float, torch.tensor])
@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
@pytest.mark.filterwarnings("ignore:The epoch parameter:UserWarning")
def test_an_applied_rate_survives_the_scheduler_to_the_end(make, to_rate):
    wanted, _ = trajectory(make, 0.02, to_rate)
    rates, watch = trajectory(make, 0.5, to_rate, applied=0.02)
    assert len(set(wanted)) > 1
    assert rates == pytest.approx(wanted, rel=1e-9 if to_rate is float else 1e-5)
    assert (watch.least, watch.greatest, watch.steps) == (min(rates), max(rates), 10)


def test_a_scheduler_keeps_the_ratios_between_groups():
    optimizer = adam(0.1, ratio=0.5)
    scheduler = schedulers.CosineAnnealingLR(optimizer, 6)
    apply_rate(optimizer, 0.02, scheduler)
    for _ in range(5):
        step(optimizer)
        scheduler.step()
        first, second = (group["lr"] for group in optimizer.param_groups)
        assert second == pytest.approx(first / 2)


def test_a_rate_is_applied_again_in_the_middle_of_a_schedule():
    optimizer = torch.optim.SGD([parameter()], lr=0.5)
    scheduler = schedulers.StepLR(optimizer, 2, 0.1)
    apply_rate(optimizer, 0.2, scheduler).remove()
    rates = []
    for count in range(6):
        if count == 3:
            apply_rate(optimizer, 0.02, scheduler)
        rates.append(optimizer.param_groups[0]["lr"])
        step(optimizer)
        scheduler.step()
    assert rates == pytest.approx([0.2, 0.2, 0.02, 0.002, 0.0002, 0.0002])


def test_a_plateau_scheduler_keeps_the_applied_rate():
    optimizer = torch.optim.SGD([parameter()], lr=0.5)
    scheduler = schedulers.ReduceLROnPlateau(optimizer, factor=0.1, patience=0)
    apply_rate(optimizer, 0.02, scheduler)
    rates = []
    for loss in (1.0, 1.0, 1.0):
        step(optimizer)
        rates.append(optimizer.param_groups[0]["lr"])
        scheduler.step(loss)
    assert rates == pytest.approx([0.02, 0.02, 0.002])


@pytest.mark.parametrize("make", [lambda one: schedulers.StepLR(one, 1), lambda one: TimmScheduler(one, 10)])
def test_a_scheduler_that_was_not_passed_is_refused(make):
    optimizer = adam()
    alive = make(optimizer)
    with pytest.raises(RateNotAppliedError, match=r"finding\.apply\(optimizer, scheduler\)"):
        apply_rate(optimizer, 0.02)
    assert optimizer.param_groups[0]["lr"] == 0.1
    assert alive.optimizer is optimizer


def test_so_is_one_that_an_earlier_watch_follows():
    optimizer = adam()
    scheduler = schedulers.CosineAnnealingLR(optimizer, 10)
    apply_rate(optimizer, 0.02, scheduler)
    with pytest.raises(RateNotAppliedError, match=r"finding\.apply\(optimizer, scheduler\)"):
        apply_rate(optimizer, 0.03)


@pytest.mark.parametrize("make", [lambda one: schedulers.CosineAnnealingLR(one, 10), RecursiveScheduler])
def test_whoever_looks_at_a_followed_scheduler_sees_its_optimizer(make):
    optimizer = adam()
    scheduler = make(optimizer)
    watch = apply_rate(optimizer, 0.02, scheduler)
    assert scheduler.optimizer == optimizer
    assert isinstance(scheduler.optimizer, torch.optim.Adam)
    assert scheduler.optimizer.state_dict() == optimizer.state_dict()
    assert copy.deepcopy(scheduler.optimizer.param_groups)[0]["lr"] == 0.02
    for copied in (copy.deepcopy((optimizer, scheduler)), pickle.loads(pickle.dumps((optimizer, scheduler)))):
        assert copied[1].optimizer is copied[0]
    watch.remove()
    assert scheduler.optimizer is optimizer


def test_two_watches_over_one_scheduler_both_follow_it():
    optimizer = adam()
    scheduler = RecursiveScheduler(optimizer)
    watches = [AppliedRate(optimizer, [scheduler]) for _ in range(2)]
    for done in range(6):
        step(optimizer)
        scheduler.step()
        if done == 3:
            watches[0].remove()
    assert [watch.steps for watch in watches] == [4, 6]
    optimizer.param_groups[0]["lr"] = 0.7
    with pytest.raises(RateNotAppliedError, match="at step 7"):
        step(optimizer)


def test_a_scheduler_made_later_is_caught_when_it_moves_the_rate():
    optimizer = adam()
    apply_rate(optimizer, 0.02)
    scheduler = schedulers.StepLR(optimizer, 1)
    step(optimizer)
    scheduler.step()
    with pytest.raises(RateNotAppliedError, match="at step 2 param group 0 of Adam"):
        step(optimizer)


def test_whoever_changes_the_rate_is_caught_at_that_step():
    optimizer = adam(0.1, ratio=0.5)
    watch = apply_rate(optimizer, 0.02)
    step(optimizer)
    optimizer.param_groups[1]["lr"] = 0.3
    with pytest.raises(RateNotAppliedError, match=r"at step 2 param group 1 of Adam has lr=0\.3, not 0\.01"):
        step(optimizer)
    assert (watch.least, watch.greatest, watch.steps) == (0.02, 0.02, 1)


def test_a_frozen_first_group_does_not_hide_the_rate():
    optimizer = torch.optim.SGD([{"params": [parameter()], "lr": 0.0}, {"params": [parameter()]}], lr=0.1)
    watch = apply_rate(optimizer, 0.02)
    step(optimizer)
    assert [group["lr"] for group in optimizer.param_groups] == [0.0, 0.02]
    assert (watch.least, watch.greatest) == (0.02, 0.02)


def test_a_watch_that_is_removed_says_nothing_more():
    optimizer = adam()
    watch = AppliedRate(optimizer)
    watch.remove()
    optimizer.param_groups[0]["lr"] = 5.0
    step(optimizer)
    assert watch.steps == 0


@pytest.mark.parametrize("lr", [0.0, -1.0, float("nan"), float("inf")])
def test_a_rate_nobody_can_step_with(lr):
    with pytest.raises(BadInputError, match="positive and finite"):
        apply_rate(adam(), lr)


def test_an_optimizer_without_a_rate_of_its_own():
    with pytest.raises(BadInputError, match=r"Adam has lr=0\.0"):
        rates_of(adam(0.0))


class Nested(torch.optim.Adam):
    """A subclass whose step calls its parent's: torch calls the step hooks of both."""

    def step(self, closure=None):
        return super().step(closure)


def halve(optimizer, *_):
    for group in optimizer.param_groups:
        group["lr"] *= 0.5


class Halves(torch.optim.Optimizer):
    """An optimizer whose step changes its rate."""

    def __init__(self, parameters):
        super().__init__(parameters, {"lr": 0.1})

    def step(self, closure=None):
        halve(self)


def halved_by_a_later_hook(parameters):
    optimizer = torch.optim.SGD(parameters, lr=0.1)
    register, is_ours = optimizer.register_step_pre_hook, []

    def registering(hook):
        handle = register(hook)
        if not is_ours:
            is_ours.append(register(halve))
        return handle

    optimizer.register_step_pre_hook = registering
    return optimizer


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("make", [Halves, halved_by_a_later_hook])
def test_a_record_holds_the_rate_read_back_and_not_the_one_that_was_asked_for(make, groups):
    optimizer = make([{"params": [parameter()]} for _ in range(groups)])
    with Recorder(Probe((0.4, 0.2))).start(optimizer) as recorder:
        for _ in range(2):
            step(optimizer)
            recorder.observe(1.0)
    assert recorder.record().lrs == (0.2, 0.1)


@pytest.mark.parametrize("make", [Halves, halved_by_a_later_hook])
def test_a_watch_sees_what_the_step_was_made_with(make):
    optimizer = make([parameter()])
    AppliedRate(optimizer)
    with pytest.raises(RateNotAppliedError, match=r"at step 1 param group 0 of \w+ has lr=0\.05, not 0\.1 as applied"):
        step(optimizer)


def test_a_scheduler_that_is_stepped_in_a_hook_changes_nothing_of_what_is_read():
    optimizer = torch.optim.SGD([parameter()], lr=0.8)
    scheduler = schedulers.ExponentialLR(optimizer, 0.5)
    optimizer.register_step_post_hook(lambda *_: scheduler.step())
    watch = apply_rate(optimizer, 0.4, scheduler)
    for _ in range(3):
        step(optimizer)
    assert (watch.greatest, watch.least) == (0.4, 0.1)
    watch.remove()
    with Recorder(Probe((0.4, 0.2))).start(optimizer) as recorder:
        for _ in range(2):
            step(optimizer)
            recorder.observe(1.0)
    assert recorder.record().lrs == (0.4, 0.2)


def test_a_step_that_calls_its_parents_is_one_step():
    model = nn.Linear(1, 1)
    torch.optim.Adam(model.parameters())  # from the first one on, torch calls the hooks of Adam's own step
    optimizer, calls = Nested(model.parameters(), lr=0.1), []
    optimizer.register_step_pre_hook(lambda *_: calls.append("hook"))
    watch = AppliedRate(optimizer)
    for _ in range(3):
        model(torch.ones(1, 1)).sum().backward()
        optimizer.step()
    assert (len(calls), watch.steps, watch.least, watch.greatest) == (6, 3, 0.1, 0.1)


def test_a_step_that_fails_is_not_counted_and_the_next_one_is():
    class Fails(torch.optim.SGD):
        def step(self, closure=None):
            if closure is not None:
                raise RuntimeError("boom")

    optimizer = Fails([nn.Parameter(torch.ones(1))], lr=0.1)
    watch = AppliedRate(optimizer)
    with pytest.raises(RuntimeError, match="boom"):
        optimizer.step(lambda: None)
    optimizer.step()
    assert watch.steps == 1


def test_a_probe_of_an_optimizer_whose_step_calls_its_parents_records_each_step_once():
    model = nn.Linear(4, 1)
    torch.optim.Adam(model.parameters())
    rates, batches = (1e-3, 2e-3, 3e-3), [(torch.randn(8, 4), torch.randn(8, 1))] * 5
    ran = PyTorchLoop(model, Nested(model.parameters(), lr=0.1), batches, nn.MSELoss()).run(Probe(rates))
    assert (ran.lrs, len(ran.losses)) == (rates, 3)


def test_a_rate_is_applied_to_an_optimizer_and_the_watch_says_what_it_saw():
    model = nn.Linear(2, 1)
    with pytest.raises(BadInputError, match=r"got a Linear; a LightningModule's is by lrfind.lightning.apply"):
        apply_rate(model, 0.1)
    watch = apply_rate(torch.optim.SGD(model.parameters(), lr=1.0), 0.1)
    assert repr(watch) == "<AppliedRate of SGD: 0 steps, no step yet>"
    watch.optimizers[0].step()
    assert repr(watch) == "<AppliedRate of SGD: 1 steps, rates used 0.1 to 0.1>"


def test_a_watch_within_with_watches_once_and_ends_with_it():
    optimizer = adam(0.1)
    with apply_rate(optimizer, 0.02) as watch:
        optimizer.step()
        assert watch.steps == 1
    assert not optimizer._optimizer_step_pre_hooks
    optimizer.param_groups[0]["lr"] = 0.5
    optimizer.step()
    assert (watch.steps, watch.greatest) == (1, 0.02)


class Wrapper:
    """Steps another optimizer and shares its groups, as apex's LARC does; no optimizer of torch's."""

    def __init__(self, optimizer):
        self.optim = optimizer

    @property
    def param_groups(self):
        return self.optim.param_groups

    def zero_grad(self):
        self.optim.zero_grad()

    def step(self):
        self.optim.step()


class Forwarding(Wrapper):
    """A wrapper that has whatever the wrapped optimizer has."""

    def __getattr__(self, name):
        return getattr(self.__dict__["optim"], name)


class Lookahead(torch.optim.Optimizer):
    """As timm's: the constructor of Optimizer is left out, so that torch calls no hooks around its step."""

    def __init__(self, base):
        self._optimizer_step_pre_hooks, self._optimizer_step_post_hooks = OrderedDict(), OrderedDict()
        self._base_optimizer, self.param_groups = base, base.param_groups
        self.defaults, self.state = base.defaults, base.state

    def step(self, closure=None):
        return self._base_optimizer.step(closure)


WRAPPERS = [Wrapper, Forwarding, Lookahead, lambda one: Wrapper(Wrapper(one)), lambda one: Forwarding(Lookahead(one))]


@pytest.mark.parametrize("has_schedule", [False, True])
@pytest.mark.parametrize("make", WRAPPERS)
def test_a_rate_is_applied_through_a_wrapper_and_watched_at_its_steps(make, has_schedule):
    inner = adam(0.1, ratio=0.5)
    wrapper, scheduler = make(inner), schedulers.ExponentialLR(inner, 0.5) if has_schedule else None
    watch = apply_rate(wrapper, 0.02, scheduler)
    wrapper.step()
    if scheduler:
        scheduler.step()
    wrapper.step()
    assert (watch.steps, watch.greatest, watch.least) == (2, 0.02, 0.01 if has_schedule else 0.02)
    inner.param_groups[1]["lr"] = 0.3
    with pytest.raises(RateNotAppliedError, match=r"param group 1 of Adam has lr=0\.3"):
        wrapper.step()


@pytest.mark.parametrize("make", WRAPPERS)
def test_a_probe_sets_the_rate_of_what_a_wrapper_steps(make):
    model = nn.Linear(4, 1)
    rates, batches = (1e-3, 2e-3, 3e-3), [(torch.randn(8, 4), torch.randn(8, 1))] * 5
    ran = PyTorchLoop(model, make(torch.optim.Adam(model.parameters(), lr=0.1)), batches, nn.MSELoss()).run(
        Probe(rates)
    )
    assert ran.lrs == rates


class Alone:
    """Has groups and steps by itself, without torch's hooks."""

    def __init__(self, parameters):
        self.param_groups, self.defaults, self.state = [{"params": list(parameters), "lr": 0.1}], {"lr": 0.1}, {}

    def step(self):
        """Nobody could tell with which rate."""


def test_what_calls_no_hooks_is_refused_with_the_way_out():
    model = nn.Linear(4, 1)
    alone = Alone(model.parameters())
    for used in (lambda: apply_rate(alone, 0.02), lambda: PyTorchLoop(model, alone, [torch.ones(1, 4)], nn.MSELoss())):
        with pytest.raises(BadInputError, match=r"calls no step hooks .* pass the torch optimizer that it steps"):
            used()
    assert alone.param_groups[0]["lr"] == 0.1


@pytest.mark.parametrize("default", [1e-3, 0.002, 0.7])
@pytest.mark.parametrize("order", [(0.1, 1.0, 3.0), (1.0, 0.1, 3.0), (0.1, 3.0, 1.0)])
def test_ratios_that_are_known_tell_whose_rate_it_is_whatever_the_default(order, default):
    groups = [{"params": [parameter()], "lr": 0.02 * ratio} for ratio in order]
    optimizer = torch.optim.SGD(groups, lr=default)
    assert rates_of(optimizer, ratios=order).lr == 0.02
    watch = apply_rate(optimizer, 0.5, ratios=order)
    step(optimizer)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.5 * ratio for ratio in order])
    assert (watch.greatest, optimizer.defaults["lr"]) == (0.5, 0.5)
    optimizer.add_param_group({"params": [parameter()], "lr": 0.5 / 7})
    optimizer.defaults["lr"] = default
    assert rates_of(optimizer, ratios=order).lr == 0.5
    assert rates_of(optimizer, ratios=(1.0, 7.0)).lr == rates_of(optimizer).lr  # of another optimizer


RECURSIVE = {
    name: TORCH[name] for name in TORCH if not re.match(r"LambdaLR|OneCycle|Cyclic|CosineAnnealingWarmRestarts", name)
}
RECURSIVE |= {"one's own class": RecursiveScheduler, "transformers' greedy": TRANSFORMERS["greedy"]}


class OwnRecursive(schedulers.LRScheduler):
    """A subclass of torch's that goes on from what the groups hold."""

    def get_lr(self):
        return [group["lr"] * (0.9 if self.last_epoch else 1.0) for group in self.optimizer.param_groups]


RECURSIVE["one's own subclass"] = OwnRecursive


def watched(make, *, at=-1, lr=0.0, steps=12):
    """Train twelve steps under a watch; between a step and the scheduler's, a rate is set by hand."""
    optimizer = torch.optim.SGD([{"params": [parameter()]}, {"params": [parameter()], "lr": 0.05}], lr=0.1)
    watch = apply_rate(optimizer, 0.02, scheduler := make(optimizer))
    for done in range(steps):
        step(optimizer)
        if done == at:
            optimizer.param_groups[1]["lr"] = lr
        advance(scheduler, done + 1)
    return watch


@pytest.mark.parametrize(("at", "lr"), [(0, 0.7), (5, 0.0)])
@pytest.mark.parametrize("make", RECURSIVE.values(), ids=RECURSIVE)
@pytest.mark.filterwarnings("ignore:Detected call of:UserWarning")
def test_a_rate_set_by_hand_before_a_scheduler_that_goes_on_from_it_is_caught(make, at, lr):
    assert watched(make).steps == 12
    with pytest.raises(RateNotAppliedError, match=f"at step {at + 2} param group 1 of SGD has lr="):
        watched(make, at=at, lr=lr)


def test_a_scheduler_that_is_stepped_several_times_at_once_is_followed():
    """As Accelerate's wrapper does, once for every process."""
    for make in (TORCH["CosineAnnealingLR(eta_min)"], TORCH["PolynomialLR"], TORCH["ChainedScheduler"]):
        optimizer = torch.optim.SGD([parameter()], lr=0.1)
        watch = apply_rate(optimizer, 0.02, scheduler := make(optimizer))
        for _ in range(5):
            step(optimizer)
            for _ in range(4):
                scheduler.step()
        assert watch.steps == 5


def test_of_two_schedulers_the_one_that_was_stepped_last_tells_the_rate():
    optimizer = torch.optim.SGD([parameter()], lr=0.1)
    both = [schedulers.ConstantLR(optimizer, 0.5, 100), schedulers.ExponentialLR(optimizer, 0.9)]
    watch = apply_rate(optimizer, 0.02, both)
    for _ in range(3):
        step(optimizer)
        both[0].step()
    earlier = optimizer.param_groups[0]["lr"]
    for _ in range(3):
        step(optimizer)
        both[1].step()
    step(optimizer)
    assert (watch.steps, watch.least) == (7, pytest.approx(earlier * 0.9**3))
    optimizer.param_groups[0]["lr"] = earlier  # as the first one last set it
    with pytest.raises(RateNotAppliedError, match="at step 8 param group 0 of SGD"):
        step(optimizer)


@pytest.mark.parametrize("make", [schedulers.ExponentialLR, lambda one, gamma: RecursiveScheduler(one)])
def test_applied_in_the_middle_it_goes_on_from_what_the_schedule_set_whatever_was_set_by_hand(make):
    rates = []
    for by_hand in (None, 3.0):
        optimizer = torch.optim.SGD([parameter()], lr=0.05)
        scheduler = make(optimizer, 0.9)
        first = apply_rate(optimizer, 0.04, scheduler)
        for _ in range(3):
            step(optimizer)
            scheduler.step()
        if by_hand:
            optimizer.param_groups[0]["lr"] = by_hand
        apply_rate(optimizer, 0.02, scheduler)
        step(optimizer)
        rates.append(optimizer.param_groups[0]["lr"])
        assert first.steps == 3
    assert rates[0] == rates[1] <= 0.02


def test_a_watch_goes_on_from_an_earlier_one():
    optimizer = adam(0.1)
    first = AppliedRate(optimizer)
    step(optimizer)
    first.remove()
    optimizer.param_groups[0]["lr"] = 0.3
    second = AppliedRate(optimizer, before=first)
    step(optimizer)
    assert (second.steps, second.least, second.greatest) == (2, 0.1, 0.3)


@pytest.mark.parametrize("to_rate", [float, torch.tensor])
@pytest.mark.parametrize("make", RECURSIVE.values(), ids=RECURSIVE)
@pytest.mark.filterwarnings("ignore:Detected call of:UserWarning")
def test_a_rate_set_by_hand_is_caught_though_a_monitor_has_read_the_right_one_before(make, to_rate):
    optimizer = torch.optim.SGD([parameter()], lr=to_rate(0.1))
    scheduler = make(optimizer)
    AppliedRate(optimizer, [scheduler])
    for done in range(3):
        step(optimizer)
        assert [float(group["lr"]) for group in scheduler.optimizer.param_groups]  # as a monitor of rates does
        if done == 2:
            write(optimizer.param_groups[0], 0.75)
        advance(scheduler, done + 1)
    with pytest.raises(RateNotAppliedError, match=r"at step 4 param group 0 of SGD has lr=0\.75"):
        step(optimizer)


class TellsMultipliers(schedulers.LRScheduler):
    """Its ``get_last_lr`` tells of something else."""

    def get_lr(self):
        return [base * 0.9**self.last_epoch for base in self.base_lrs]

    def get_last_lr(self):
        return 0.9**self.last_epoch


class Own:
    """One's own, which keeps its bases where no name says so, and writes as ``write`` does."""

    def __init__(self, optimizer):
        self.optimizer, self.count, self.at = optimizer, 0, [float(group["lr"]) for group in optimizer.param_groups]

    def step(self):
        self.count += 1
        for group, at in zip(self.optimizer.param_groups, self.at, strict=True):
            self.write(group, at * 0.9**self.count)

    def write(self, group, rate):
        if isinstance(group["lr"], torch.Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


class Multiplies(Own):
    def write(self, group, rate):
        group["lr"] *= 0.9


class Copies(Own):
    def write(self, group, rate):
        if isinstance(group["lr"], torch.Tensor):
            group["lr"].copy_(torch.tensor(rate))
        else:
            group.update(lr=rate)


class Merges(Own):
    def write(self, group, rate):
        group |= {"lr": rate}


@pytest.mark.parametrize("to_rate", [float, torch.tensor])
@pytest.mark.parametrize("make", [TellsMultipliers, Own, Multiplies, Copies, Merges])
def test_a_scheduler_is_followed_by_what_it_writes_however_it_does_and_whatever_it_tells(make, to_rate):
    wanted, _ = trajectory(lambda one, lr: make(one), 0.02, to_rate)
    rates, watch = trajectory(lambda one, lr: make(one), 0.5, to_rate, applied=0.02)
    assert wanted == pytest.approx([0.02 * 0.9**done for done in range(10)], rel=1e-5)
    assert rates == pytest.approx(wanted, rel=1e-9 if to_rate is float else 1e-5)
    assert watch.steps == 10
    write(watch.optimizers[0].param_groups[0], 0.75)
    with pytest.raises(RateNotAppliedError, match=r"at step 11 param group 0 of SGD has lr=0\.75"):
        step(watch.optimizers[0])


@pytest.mark.parametrize("to_rate", [float, torch.tensor])
@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
@pytest.mark.filterwarnings("ignore:The epoch parameter:UserWarning")
def test_a_training_that_goes_back_to_an_earlier_state_goes_on(make, to_rate):
    optimizer = torch.optim.SGD([parameter()], lr=to_rate(0.1))
    scheduler = make(optimizer, 0.1)
    watch = apply_rate(optimizer, 0.02, scheduler)
    rates = []
    for done in range(9):
        if done == 3:
            kept = copy.deepcopy((optimizer.state_dict(), scheduler.state_dict()))
        if done == 6:
            for each, state in zip((optimizer, scheduler), kept, strict=True):
                each.load_state_dict(state)
        rates.append(float(optimizer.param_groups[0]["lr"]))
        step(optimizer)
        scheduler.step()
    assert rates[3:6] == rates[6:9]
    assert watch.steps == 9


@pytest.mark.parametrize("make", [schedulers.ExponentialLR, lambda one, gamma: RecursiveScheduler(one)])
@pytest.mark.filterwarnings("ignore:Seems like `optimizer.step:UserWarning")
def test_a_copy_of_a_watch_watches_the_copies(make):
    optimizer = torch.optim.SGD([parameter()], lr=0.1)
    scheduler = make(optimizer, 0.9)
    watch = apply_rate(optimizer, 0.02, scheduler)
    for copied in (copy.deepcopy(watch), pickle.loads(pickle.dumps(watch))):
        twin, (follower,) = copied.optimizers[0], copied._followers
        step(twin)
        follower.scheduler.step()
        copied.verify()
        assert twin.param_groups[0]["lr"] == pytest.approx(0.018)
        copied.remove()
        assert follower.scheduler.optimizer is twin
    step(optimizer)
    assert watch.steps == 1


@pytest.mark.parametrize("lr", [0.1, torch.tensor(0.1)])
@pytest.mark.parametrize("make", [None, schedulers.ExponentialLR, schedulers.CosineAnnealingLR])
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:Dynamo does not know:UserWarning")
def test_a_compiled_step_is_watched(make, lr):
    optimizer = torch.optim.Adam([one := parameter()], lr=lr)
    scheduler = make and make(optimizer, 0.9 if make is schedulers.ExponentialLR else 9)
    one.grad = torch.ones_like(one)
    watch = apply_rate(optimizer, 0.02, scheduler)
    compiled = torch.compile(lambda: optimizer.step(), backend="eager")
    for _ in range(4):
        compiled()
        if scheduler:
            scheduler.step()
    assert (watch.steps, watch.greatest) == (4, pytest.approx(0.02))
    write(optimizer.param_groups[0], 0.5)
    with pytest.raises(RateNotAppliedError, match=r"lr=0\.5"):
        compiled()


def test_an_optimizer_that_chooses_its_own_rate_is_refused():
    optimizer = transformers.optimization.Adafactor([parameter()])
    for used in (lambda: apply_rate(optimizer, 0.02), lambda: rates_of(optimizer)):
        with pytest.raises(BadInputError, match=r"Adafactor has lr=None .*relative_step=False"):
            used()


@pytest.mark.parametrize("to_rate", [float, torch.tensor])
def test_several_optimizers_keep_their_defaults_in_step_also_where_groups_share_a_tensor_with_them(to_rate):
    both = [torch.optim.SGD([{"params": [parameter()]} for _ in range(2)], lr=to_rate(lr)) for lr in (0.1, 0.4)]
    followed = [schedulers.ExponentialLR(each, 0.9) for each in both]
    for lr in (0.02, 0.05):
        watch = apply_rate(both, lr, followed)
        held = [[float(group["lr"]) for group in each.param_groups] for each in both]
        assert held == [[pytest.approx(lr)] * 2, [pytest.approx(4 * lr)] * 2]
        assert [float(each.defaults["lr"]) for each in both] == pytest.approx([lr, 4 * lr])
    for each, scheduler in zip(both, followed, strict=True):
        step(each)
        scheduler.step()
        step(each)
    assert (watch.steps, watch.least) == (2, pytest.approx(0.045))


def test_a_param_group_that_is_removed_is_not_missed():
    optimizer = torch.optim.SGD([{"params": nn.Linear(2, 1).parameters(), "lr": 0.1} for _ in range(2)], lr=0.1)
    watch = apply_rate(optimizer, 0.2)
    optimizer.step()
    del optimizer.param_groups[1]
    optimizer.step()
    optimizer.param_groups[0]["lr"] = 0.3
    with pytest.raises(RateNotAppliedError, match="param group 0"):
        optimizer.step()
    assert watch.steps == 2
