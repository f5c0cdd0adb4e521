"""What ``apply`` makes of any scheduler: the training that was built with the found rate from the start."""

import warnings
from dataclasses import replace

import pytest
import torch
import transformers
from accelerate import Accelerator
from schedulers import OWN, SCHEDULERS, STEPS, TIMM, TORCH, TimmScheduler, advance
from schedulers_page import FOUND, PAGE, RATIOS, both, made, optimizer_at, page, train

import lrfind.huggingface as lrh
from lrfind.errors import BadInputError, RateNotAppliedError
from lrfind.lightning import LRFinder
from lrfind.optim import AppliedRate, Scheduled, apply_rate, to_schedule
from lrfind.records import Cost, Finding, Probe, Record
from lrfind.strategies.range_test import RangeTest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # torch's own, of what ignite imports
    ignite = pytest.importorskip("ignite.handlers.param_scheduler")

CASES = [
    pytest.param(make, id=f"{kind}: {name}") for kind, makers in SCHEDULERS.items() for name, make in makers.items()
]


@pytest.mark.parametrize("per_epoch", [1, 3], ids=["per batch", "per epoch"])
@pytest.mark.parametrize("ratios", RATIOS.values(), ids=RATIOS)
@pytest.mark.parametrize("make", CASES)
def test_an_applied_rate_trains_as_one_built_in_from_the_start(request, make, ratios, per_epoch):
    is_constant = "transformers: constant-" in request.node.name
    wanted, rates, watch = both(make, ratios, per_epoch)
    assert [rate for row in rates for rate in row] == pytest.approx(
        [rate for row in wanted for rate in row], rel=1e-12, abs=1e-12 * FOUND
    )
    assert watch.steps == STEPS * per_epoch
    assert all(any(after != before for after in column) for before, *column in zip(*rates, strict=True)) or is_constant


@pytest.mark.parametrize("ratios", RATIOS.values(), ids=RATIOS)
@pytest.mark.parametrize("make", CASES)
def test_a_rate_that_is_a_tensor_is_applied_in_single_precision(make, ratios):
    built, optimizer = optimizer_at(torch.tensor(FOUND), ratios), optimizer_at(torch.tensor(0.1), ratios)
    wanted = train(built, made(make, built))
    apply_rate(optimizer, FOUND, scheduler := made(make, optimizer))
    found = train(optimizer, scheduler)
    assert found == [pytest.approx(row, rel=1e-5, abs=1e-6 * FOUND) for row in wanted]


@pytest.mark.parametrize("begin", [0, 5])
@pytest.mark.parametrize("make", [case for case in CASES if "polynomial" not in case.id])
def test_groups_may_share_a_tensor(make, begin):
    """As torch lets them where only the optimizer is given one; transformers' polynomial changes what it starts at."""

    def at(lr):
        groups = [{"params": [torch.nn.Parameter(torch.ones(1))]} for _ in range(3)]
        optimizer = torch.optim.SGD(groups, lr=torch.tensor(lr))
        return optimizer, made(make, optimizer)

    built, scheduler = at(FOUND)
    optimizer, other = at(0.1)
    is_peak_known = "initial_lr" in optimizer.param_groups[0]  # else the rate of the moment counts as the peak
    begin = begin if is_peak_known else 0
    train_some(built, scheduler, 0, begin)
    train_some(optimizer, other, 0, begin)
    watch = apply_rate(optimizer, FOUND, other)
    wanted, found = train_some(built, scheduler, begin, STEPS), train_some(optimizer, other, begin, STEPS)
    assert found == pytest.approx(wanted, rel=1e-5, abs=1e-6 * FOUND)
    assert watch.steps == STEPS - begin


@pytest.mark.parametrize("make", CASES)
@pytest.mark.filterwarnings("ignore:Detected call of:UserWarning")
def test_nothing_is_left_in_the_groups(make):
    optimizer = optimizer_at(0.1, (1.0, 2.0))
    scheduler = make(optimizer)
    keys = [set(group) for group in optimizer.param_groups]
    apply_rate(optimizer, 0.02, scheduler)
    assert [set(group) for group in optimizer.param_groups] == keys


def test_the_table_of_the_page_is_what_comes_of_it():
    written = PAGE.read_text(encoding="utf-8")
    if f"(torch {torch.__version__.split('+')[0]}, transformers {transformers.__version__})" not in written:
        pytest.skip("the page was written with other versions")
    assert page() == written


def rates_after(optimizer, step, count=STEPS):
    """The rates of all groups at each of so many steps; ``step`` is called before each."""
    rates = []
    for done in range(count):
        step(done)
        rates.append([float(group["lr"]) for group in optimizer.param_groups])
        optimizer.step()
    return rates


IGNITE = {
    "LinearCyclical": lambda one, scale: ignite.LinearCyclicalScheduler(one, "lr", 0.1 * scale, 1.0 * scale, 10),
    "Cosine": lambda one, scale: ignite.CosineAnnealingScheduler(one, "lr", 1.0 * scale, 0.0, 12, end_value_mult=0.9),
    "Piecewise": lambda one, scale: ignite.PiecewiseLinear(one, "lr", [(0, 0.0), (5, 1.0 * scale), (20, 0.1 * scale)]),
    "Concat": lambda one, scale: ignite.ConcatScheduler(
        [
            ignite.LinearCyclicalScheduler(one, "lr", 0.1 * scale, 1.9 * scale, 16),
            ignite.CosineAnnealingScheduler(one, "lr", 1.0 * scale, 0.0, 12),
        ],
        durations=[8],
    ),
    "torch's, wrapped": lambda one, scale: ignite.LRScheduler(torch.optim.lr_scheduler.ExponentialLR(one, 0.9)),
}


@pytest.mark.parametrize("begun_at", [0.1, 1.0, 0.0123])
@pytest.mark.parametrize("make", IGNITE.values(), ids=IGNITE)
def test_ignites_handlers_are_scaled_by_what_they_write(make, begun_at):
    built = optimizer_at(0.0123, (1.0, 1.0))
    peak = 0.0123
    one = make(built, 1.0)
    wanted = rates_after(built, lambda done: one(None))
    if not isinstance(one, ignite.LRScheduler):  # which begins at the second rate with this torch
        wanted = [[rate * peak for rate in row] for row in wanted]
    optimizer = optimizer_at(begun_at, (1.0, 1.0))
    scheduler = make(optimizer, 0.5)
    is_relative = isinstance(scheduler, ignite.LRScheduler)
    factor = 1.0 if is_relative else peak / max(max(row) for row in wanted)
    watch = apply_rate(optimizer, peak, scheduler)
    rates = rates_after(optimizer, lambda done: scheduler(None))
    flat = [rate for row in rates for rate in row]
    assert flat == pytest.approx([rate * factor for row in wanted for rate in row], rel=1e-12)
    assert is_relative or watch.greatest == pytest.approx(peak)


def each_group(optimizer, make):
    """Ignite's scheduler of param groups, of one for each, relative to its rate."""
    rates = [group["lr"] for group in optimizer.param_groups]
    return ignite.ParamGroupScheduler([make(optimizer, rate, index) for index, rate in enumerate(rates)])


def falling(optimizer, rate, index):
    return ignite.CosineAnnealingScheduler(optimizer, "lr", rate, 0.0, 12, param_group_index=index)


def cycling(optimizer, rate, index):
    return ignite.LinearCyclicalScheduler(optimizer, "lr", rate / 10, rate, 8, param_group_index=index)


def warmed(after, **options):
    return ignite.create_lr_scheduler_with_warmup(after, warmup_start_value=0.0, warmup_duration=5, **options)


IGNITE_GROUPS = {
    "warmup, torch's": lambda one: warmed(torch.optim.lr_scheduler.ExponentialLR(one, 0.9)),
    "warmup, torch's in steps": lambda one: warmed(torch.optim.lr_scheduler.StepLR(one, 4)),
    "warmup to one end": lambda one: warmed(
        ignite.PiecewiseLinear(one, "lr", [(0, one.defaults["lr"]), (20, 0.1 * one.defaults["lr"])]),
        warmup_end_value=one.defaults["lr"],
    ),
    "groups": lambda one: each_group(one, falling),
    "groups, one after the other": lambda one: ignite.ConcatScheduler(
        [each_group(one, falling), each_group(one, cycling)], durations=[7]
    ),
    "torch's restarts": lambda one: ignite.LRScheduler(torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(one, 5)),
}


@pytest.mark.parametrize("ratios", RATIOS.values(), ids=RATIOS)
@pytest.mark.parametrize("make", IGNITE_GROUPS.values(), ids=IGNITE_GROUPS)
def test_ignites_handlers_of_groups_and_with_warmup_train_as_if_built_with_the_rate(make, ratios):
    built, optimizer = optimizer_at(FOUND, ratios), optimizer_at(0.5, ratios)
    one, other = make(built), make(optimizer)
    watch = apply_rate(optimizer, FOUND, other)
    wanted, rates = rates_after(built, lambda done: one(None)), rates_after(optimizer, lambda done: other(None))
    assert [rate for row in rates for rate in row] == pytest.approx(
        [rate for row in wanted for rate in row], rel=1e-12, abs=1e-15
    )
    assert watch.steps == STEPS
    optimizer.param_groups[-1]["lr"] = 0.7
    with pytest.raises(RateNotAppliedError, match=r"lr=0\.7"):
        optimizer.step()


class GradualWarmup(torch.optim.lr_scheduler.LRScheduler):
    """As the package pytorch-gradual-warmup-lr has it: a warmup, then another scheduler, which it holds."""

    def __init__(self, optimizer, multiplier, total_epoch, after_scheduler=None):
        self.multiplier, self.total_epoch, self.after_scheduler = multiplier, total_epoch, after_scheduler
        self.finished = False
        super().__init__(optimizer)

    def get_lr(self):
        if self.last_epoch > self.total_epoch:
            if self.after_scheduler:
                if not self.finished:
                    self.after_scheduler.base_lrs = [rate * self.multiplier for rate in self.base_lrs]
                    self.finished = True
                return self.after_scheduler.get_last_lr()
            return [rate * self.multiplier for rate in self.base_lrs]
        done = self.last_epoch / self.total_epoch
        height = done if self.multiplier == 1.0 else (self.multiplier - 1.0) * done + 1.0
        return [rate * height for rate in self.base_lrs]

    def step(self, epoch=None, metrics=None):
        if self.finished and self.after_scheduler:
            self.after_scheduler.step(None if epoch is None else epoch - self.total_epoch)
            self._last_lr = self.after_scheduler.get_last_lr()
        else:
            super().step(epoch)


AFTER = {
    "nothing": lambda one: None,
    "cosine": lambda one: torch.optim.lr_scheduler.CosineAnnealingLR(one, 12),
    "steps": lambda one: torch.optim.lr_scheduler.StepLR(one, 4, 0.5),
    "a table": lambda one: torch.optim.lr_scheduler.LambdaLR(one, lambda step: 1 / (1 + step)),
}


@pytest.mark.parametrize("ratios", RATIOS.values(), ids=RATIOS)
@pytest.mark.parametrize("multiplier", [1.0, 4.0])
@pytest.mark.parametrize("after", AFTER.values(), ids=AFTER)
@pytest.mark.filterwarnings("ignore:The epoch parameter:UserWarning")
def test_a_warmup_that_holds_another_scheduler_trains_as_if_built_with_the_rate(after, multiplier, ratios):
    def make(optimizer):
        return GradualWarmup(optimizer, multiplier, 5, after(optimizer))

    wanted, rates, watch = both(make, ratios, 1)
    assert [rate for row in rates for rate in row] == pytest.approx(
        [rate for row in wanted for rate in row], rel=1e-12, abs=1e-15
    )
    assert watch.steps == STEPS


def test_a_warmup_that_holds_another_scheduler_ends_when_that_does():
    optimizer = optimizer_at(0.1, (1.0,))
    assert Scheduled(GradualWarmup(optimizer, 1.0, 5, AFTER["cosine"](optimizer))).length == 17


@pytest.mark.parametrize("length", [STEPS, STEPS + 1])
def test_a_table_need_not_be_longer_than_training(length):
    table = [(1 + step) / (2 + step) if step < 5 else 1.0 for step in range(length)]

    def make(optimizer):
        return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: table[step])

    optimizer = optimizer_at(0.5, (1.0, 0.1))
    scheduler = make(optimizer)
    for read in (Scheduled, to_schedule):
        shape = read(scheduler).over(STEPS)
        assert [shape((step + 0.5) / STEPS) for step in range(STEPS)] == pytest.approx(table[:STEPS])
    watch = apply_rate(optimizer, FOUND, scheduler)
    for multiplier in table[:STEPS]:
        assert optimizer.param_groups[0]["lr"] == pytest.approx(FOUND * multiplier)
        optimizer.step()
        if watch.steps < STEPS:
            scheduler.step()


RANGE = Finding(0.02, 0.005, 0.05, (0.01, 0.03), "told", "constant", (), Cost(1, 0.1))
CYCLES = {
    "CyclicLR": lambda one, base, peak: torch.optim.lr_scheduler.CyclicLR(one, base, peak, 4, cycle_momentum=False),
    "OneCycleLR": lambda one, base, peak: torch.optim.lr_scheduler.OneCycleLR(one, peak, STEPS, cycle_momentum=False),
    "in a sequence": lambda one, base, peak: torch.optim.lr_scheduler.SequentialLR(
        one, [CYCLES["CyclicLR"](one, base, peak), torch.optim.lr_scheduler.ConstantLR(one, 0.5)], [STEPS]
    ),
}


@pytest.mark.parametrize("ratios", RATIOS.values(), ids=RATIOS)
@pytest.mark.parametrize("make", CYCLES.values(), ids=CYCLES)
@pytest.mark.filterwarnings("ignore:The epoch parameter:UserWarning")
def test_a_cycle_that_was_built_from_the_range_is_left_as_it_was_built(make, ratios):
    def build():
        optimizer = optimizer_at(0.1, ratios)
        return optimizer, make(optimizer, *([end * ratio for ratio in ratios] for end in (RANGE.base_lr, RANGE.max_lr)))

    optimizer, scheduler = build()
    watch = RANGE.apply(optimizer, scheduler)
    assert train(optimizer, scheduler) == train(*build())
    assert (watch.steps, watch.greatest) == (
        STEPS,
        pytest.approx(RANGE.max_lr, rel=0.01),
    )  # the peak may be between two steps
    optimizer = optimizer_at(0.1, ratios)
    scheduler = make(optimizer, *([end * ratio for ratio in ratios] for end in (0.001, 0.01)))
    other = RANGE.apply(optimizer, scheduler)
    train(optimizer, scheduler)
    assert other.greatest == pytest.approx(RANGE.lr, rel=0.01)


def test_ignites_plateau_keeps_the_rate_until_it_acts():
    optimizer = optimizer_at(0.5, (1.0,))
    trainer = ignite.Engine(lambda engine, batch: optimizer.step())
    plateau = ignite.ReduceLROnPlateauScheduler(optimizer, "loss", trainer=trainer, factor=0.5, patience=0)
    watch = apply_rate(optimizer, 0.02, plateau)
    validated = ignite.Engine(lambda engine, batch: None)
    validated.state.metrics["loss"] = 1.0
    for _ in range(3):
        optimizer.step()
        plateau(validated)
    assert (watch.steps, watch.greatest, watch.least) == (3, 0.02, 0.01)


class Table:
    """A function of the epoch that counts for itself, whatever it is given; it has no number for long."""

    def __init__(self, repeats):
        self.numbers, self.calls = iter([0.9 ** (n // repeats) for n in range(400)]), 0

    def __call__(self, _):
        self.calls += 1
        return next(self.numbers)


COUNTING = {
    "alone": lambda one, table: torch.optim.lr_scheduler.LambdaLR(one, table),
    "in a chain": lambda one, table: torch.optim.lr_scheduler.ChainedScheduler(
        [torch.optim.lr_scheduler.LambdaLR(one, table), torch.optim.lr_scheduler.ExponentialLR(one, 0.9)]
    ),
    "in a sequence": lambda one, table: torch.optim.lr_scheduler.SequentialLR(
        one,
        [torch.optim.lr_scheduler.LambdaLR(one, table), torch.optim.lr_scheduler.ExponentialLR(one, 0.9)],
        milestones=[5],
    ),
    "a factor for each step": lambda one, table: torch.optim.lr_scheduler.MultiplicativeLR(one, table),
}


@pytest.mark.parametrize("repeats", [1, 2])
@pytest.mark.parametrize("make", COUNTING.values(), ids=COUNTING)
@pytest.mark.filterwarnings("ignore:The epoch parameter:UserWarning")
def test_a_function_that_counts_is_not_called_beside_the_training(make, repeats):
    built, optimizer = optimizer_at(FOUND, (1.0, 0.1)), optimizer_at(0.5, (1.0, 0.1))
    wanted, table = make(built, Table(repeats)), Table(repeats)
    scheduler = make(optimizer, table)
    calls = table.calls
    Scheduled(scheduler).over(20)
    apply_rate(optimizer, FOUND, scheduler)
    assert table.calls == calls
    assert train(optimizer, scheduler) == [pytest.approx(row, rel=1e-12) for row in train(built, wanted)]


def test_a_function_that_counts_goes_on_where_it_was_in_lightning(pl):
    class Net(pl.LightningModule):
        def __init__(self, lr):
            super().__init__()
            self.lr, self.net, self.rates, self.table = lr, torch.nn.Linear(4, 1), [], Table(1)

        def training_step(self, batch, batch_idx):
            self.rates.append(self.trainer.optimizers[0].param_groups[0]["lr"])
            return (self.net(batch) - batch[:, :1]).square().mean()

        def configure_optimizers(self):
            optimizer = torch.optim.SGD(self.parameters(), self.lr)
            scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, self.table)
            return [optimizer], [{"scheduler": scheduler, "interval": "step"}]

    def fit(module, *callbacks):
        quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
        trainer = pl.Trainer(max_epochs=1, callbacks=list(callbacks), enable_checkpointing=False, **quiet)
        trainer.fit(module, torch.utils.data.DataLoader(torch.randn(64, 4), 8))
        return module

    finder = LRFinder(strategy=RangeTest(steps=64), progress=False)
    module = fit(Net(1e-3), finder)
    wanted = fit(Net(finder.finding.lr))
    assert module.rates == pytest.approx(wanted.rates, rel=1e-12)
    assert module.table.calls == wanted.table.calls


@pytest.mark.usefixtures("empty_folder")
def test_a_function_that_counts_goes_on_where_it_was_in_a_trainer():
    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.net = torch.nn.Linear(4, 1)

        def forward(self, x, labels=None):
            return {"loss": (self.net(x) - labels).square().mean()}

    class Counting(transformers.Trainer):
        def create_scheduler(self, num_training_steps, optimizer=None):
            if self.lr_scheduler is None:
                self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer or self.optimizer, self.table)
            return self.lr_scheduler

    def trainer(lr, *callbacks):
        quiet = {"report_to": [], "disable_tqdm": True, "save_strategy": "no", "use_cpu": True, "output_dir": "out"}
        args = transformers.TrainingArguments(learning_rate=lr, num_train_epochs=1, logging_steps=1, **quiet)
        data = [{"x": x, "labels": x[:1]} for x in torch.randn(64, 4)]
        made = Counting(model=Model(), args=args, train_dataset=data, callbacks=list(callbacks))
        made.table = Table(1)
        return made

    def train_with(made):
        made.train()
        return [row["learning_rate"] for row in made.state.log_history if "learning_rate" in row]

    finder = lrh.LRFinder(strategy=RangeTest(steps=64), progress=False)
    applied = trainer(1e-3, finder)
    rates = train_with(applied)
    wanted = trainer(finder.finding.lr)
    lrh.find(wanted, progress=False)
    assert (wanted.table.calls, next(wanted.table.numbers)) == (0, 1.0)
    wanted.table = Table(1)
    assert rates == pytest.approx(train_with(wanted), rel=1e-12)
    assert applied.table.calls == wanted.table.calls


def test_a_scheduler_may_be_given_as_lightning_is_told_of_it_and_a_name_is_refused():
    optimizer = optimizer_at(0.5, (1.0,))
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1)
    apply_rate(optimizer, FOUND, [{"scheduler": scheduler, "interval": "step"}])
    assert scheduler.base_lrs == [FOUND]
    for name in ("cosine", {"interval": "step"}):
        with pytest.raises(BadInputError, match="str has no attribute optimizer"):
            apply_rate(optimizer, 0.02, name)


class Captures:
    """Holds the param groups themselves, so that nothing can be put between it and them."""

    def __init__(self, optimizer):
        self.optimizer, self.write = optimizer, [group.__setitem__ for group in optimizer.param_groups]
        self.count = 0

    def step(self):
        self.count += 1
        for write in self.write:
            write("lr", 0.5 / self.count)


class TwoArguments:
    def __init__(self, optimizer):
        self.optimizer = optimizer

    def step(self, epoch, batch):
        """Nothing could tell what to call this with."""


class Uncopyable(TwoArguments):
    def __deepcopy__(self, memo):
        raise TypeError("no copies")

    def step(self):
        """Do nothing."""


class Fails(TwoArguments):
    def step(self):
        raise KeyError("what it needs")


def by_hand(optimizer, step):
    for group in optimizer.param_groups:
        group["lr"] = 0.1 / (1 + step)


@pytest.mark.parametrize("make", [Captures, TwoArguments, Uncopyable, Fails, lambda one: by_hand, lambda one: object()])
def test_what_cannot_be_driven_is_refused_with_the_way_out_and_nothing_is_changed(make):
    optimizer = optimizer_at(0.1, (1.0, 2.0))
    scheduler = make(optimizer)
    with pytest.raises(BadInputError, match=r"schedule= as a function of the fraction .* remove\(\) on the watch"):
        apply_rate(optimizer, 0.02, scheduler)
    assert [group["lr"] for group in optimizer.param_groups] == [0.1, 0.2]
    assert not optimizer._optimizer_step_pre_hooks


def test_rates_that_are_set_by_hand_are_caught_with_the_way_out_and_left_alone_after_it():
    optimizer = optimizer_at(0.1, (1.0,))
    watch = apply_rate(optimizer, 0.02)
    by_hand(optimizer, 3)
    with pytest.raises(RateNotAppliedError, match=r"schedule= as a function, .*call remove\(\) on the watch"):
        optimizer.step()
    watch.remove()
    optimizer.step()


def test_a_scheduler_that_is_only_alive_is_not_blamed_for_what_was_set_by_hand():
    optimizer = optimizer_at(0.1, (1.0, 0.5))
    ended = torch.optim.lr_scheduler.StepLR(optimizer, 1)
    for given in (None, torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 9)):
        watch = AppliedRate(optimizer, [given] if given else ())
        optimizer.param_groups[0]["lr"] = 0.03
        with pytest.raises(RateNotAppliedError, match=": your own code, maybe, changed it;"):
            optimizer.step()
        watch.remove()
        optimizer.param_groups[0]["lr"] = 0.1
    AppliedRate(optimizer)
    ended.step()
    with pytest.raises(RateNotAppliedError, match=r"StepLR may have changed it; pass the scheduler"):
        optimizer.step()


@pytest.mark.parametrize("make", [*TIMM.values(), *OWN.values(), *TORCH.values()], ids=[*TIMM, *OWN, *TORCH])
@pytest.mark.filterwarnings("ignore:Detected call of:UserWarning")
def test_a_rate_applied_twice_is_the_later_one(make):
    built, twice = optimizer_at(0.02, (1.0, 5.0)), optimizer_at(0.1, (1.0, 5.0))
    wanted, scheduler = make(built), make(twice)
    first = apply_rate(twice, 0.7, scheduler)
    is_peak_known = "initial_lr" in twice.param_groups[0]  # else the rate of the moment counts as the peak
    begin = 5 if is_peak_known else 0
    train_some(twice, scheduler, 0, begin)
    second = apply_rate(twice, 0.02, scheduler)
    train_some(built, wanted, 0, begin)
    assert (first.steps, second.steps) == (begin, 0)
    found, goal = train_some(twice, scheduler, begin, 15), train_some(built, wanted, begin, 15)
    assert found == pytest.approx(goal, rel=1e-11, abs=1e-13)
    assert (first.steps, second.steps) == (begin, 15 - begin)


def train_some(optimizer, scheduler, begin, end):
    rates = []
    for step in range(begin, end):
        rates += [float(group["lr"]) for group in optimizer.param_groups]
        optimizer.step()
        advance(scheduler, step + 1)
    return rates


@pytest.mark.parametrize(
    "make", [lambda one: None, lambda one: torch.optim.lr_scheduler.StepLR(one, 3), lambda one: TimmScheduler(one, 10)]
)
def test_a_second_apply_ends_the_first_watch(make):
    optimizer = optimizer_at(0.1, (1.0,))
    first = apply_rate(optimizer, 0.02)
    scheduler = make(optimizer)
    own = AppliedRate(optimizer, [scheduler] if scheduler else ())  # a callback's, say, which nothing ends
    second = apply_rate(optimizer, 0.02, scheduler)
    for step in range(6):
        optimizer.step()
        if scheduler:
            advance(scheduler, step + 1)
    assert (first.steps, own.steps, second.steps) == (0, 6, 6)


FINISHED = {
    "at its end": lambda one: torch.optim.lr_scheduler.CosineAnnealingLR(one, 10),
    "nearly": lambda one: torch.optim.lr_scheduler.CosineAnnealingLR(one, 11),
    "OneCycleLR": lambda one: torch.optim.lr_scheduler.OneCycleLR(one, _times(one), total_steps=11),
    "linear": lambda one: torch.optim.lr_scheduler.PolynomialLR(one, 10),
}
NEXT = [name for name in TORCH if "min" not in name]


def _times(optimizer):
    return [2 * group["lr"] for group in optimizer.param_groups]


@pytest.mark.parametrize("ratios", RATIOS.values(), ids=RATIOS)
@pytest.mark.parametrize("name", NEXT)
@pytest.mark.parametrize("end", FINISHED)
@pytest.mark.filterwarnings("ignore:Detected call of:UserWarning")
def test_a_new_schedule_after_a_finished_one_goes_to_the_rate_that_was_applied(end, name, ratios):
    earlier = optimizer_at(0.1, ratios)
    ended = FINISHED[end](earlier)
    train_some(earlier, ended, 0, 10)
    optimizer, built = optimizer_at(0.1, ratios), optimizer_at(0.02, ratios)
    optimizer.load_state_dict(earlier.state_dict())
    for group in optimizer.param_groups if "C" in name and name.startswith(("OneCycle", "Cyclic")) else ():
        group["lr"] = group["initial_lr"]  # what these are given comes from it here
    watch = apply_rate(optimizer, 0.02, scheduler := TORCH[name](optimizer))
    found, wanted = train(optimizer, scheduler), train(built, TORCH[name](built))
    flat = [rate for row in found for rate in row]
    assert flat == pytest.approx([rate for row in wanted for rate in row], rel=1e-12)
    assert watch.greatest <= 0.02 * (1 + 1e-6)


def test_the_state_of_a_training_with_a_schedule_and_no_scheduler_is_applied_to():
    earlier = optimizer_at(0.1, (1.0, 0.5))
    train_some(earlier, torch.optim.lr_scheduler.CosineAnnealingLR(earlier, 10), 0, 10)
    optimizer = optimizer_at(0.1, (1.0, 0.5))
    optimizer.load_state_dict(earlier.state_dict())
    assert optimizer.param_groups[0]["lr"] == 0.0
    watch = apply_rate(optimizer, 0.02)
    optimizer.step()
    assert (watch.least, watch.greatest, optimizer.param_groups[1]["lr"]) == (0.02, 0.02, 0.01)


OTHERS = {name: SCHEDULERS[kind][name] for kind, name in (("torch", "StepLR"), ("transformers", "linear"))} | TIMM


@pytest.mark.parametrize("make", OTHERS.values(), ids=OTHERS)
def test_a_scheduler_of_another_optimizer_is_refused(make):
    one, other = optimizer_at(0.1, (1.0,)), optimizer_at(0.1, (1.0,))
    right, wrong = make(one), make(other)
    for given in (wrong, [right, wrong]):
        with pytest.raises(BadInputError, match="drives another SGD, not this SGD; build the scheduler on"):
            apply_rate(one, 0.02, given)
    apply_rate([one, other], 0.02, [right, wrong]).remove()


@pytest.mark.parametrize("ratios", RATIOS.values(), ids=RATIOS)
@pytest.mark.parametrize(
    "make", [TORCH["OneCycleLR"], TORCH["CosineAnnealingLR"], SCHEDULERS["transformers"]["linear"]]
)
def test_what_accelerate_has_prepared_is_applied_to(make, ratios):
    built = optimizer_at(0.0123, ratios)
    wanted = train(built, make(built))
    optimizer = optimizer_at(0.1, ratios)
    optimizer, scheduler = Accelerator(cpu=True).prepare(optimizer, make(optimizer))
    shape = Scheduled(scheduler).over(STEPS)
    watch = apply_rate(optimizer, 0.0123, scheduler)
    rates = train(optimizer, scheduler)
    assert rates == [pytest.approx(row, rel=1e-12, abs=1e-14) for row in wanted]
    assert watch.steps == STEPS
    assert [shape((step + 0.5) / STEPS) for step in range(STEPS)] == pytest.approx(
        [row[0] / max(rates)[0] for row in wanted], abs=1e-12
    )


def test_a_finding_of_another_optimizer_says_so():
    record = Record(Probe((0.1,)), (0.1,), (1.0,), "done", optimizer="AdamW")
    finding = Finding(0.1, 0.05, 0.2, (0.05, 0.2), "valley", "constant", (record,), Cost(1, 0.1))
    with pytest.warns(UserWarning, match="lr=0.1 was found for AdamW and is applied to SGD, .* search with SGD"):
        finding.apply(optimizer_at(0.1, (1.0,)))
    finding.apply(torch.optim.AdamW([torch.nn.Parameter(torch.ones(1))]))
    replace(finding, records=()).apply(optimizer_at(0.1, (1.0,)))
