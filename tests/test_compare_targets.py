"""What is trained gets the arm's rates, and the same start and batches whatever the arm."""

import json
import logging
import math
import os
import pickle
import random
import subprocess
import sys
import threading
from dataclasses import replace
from importlib import import_module

import compared
import numpy as np
import pytest
import torch
from compared import EPOCH, make
from compared_lightning import Net, Points
from lightning.pytorch import Callback, LightningModule

from lrfind.compare import Arm, LightningTarget, PyTorchTarget, compare
from lrfind.compare.arms import rates
from lrfind.compare.targets.protocol import RunRecorder
from lrfind.compare.targets.specs import identity_of
from lrfind.errors import BadInputError, LRFindError, RateNotAppliedError

STEPS = 40
CONSTANT = Arm("0.01", 0.01)
LINEAR = Arm("linear", 0.02, "linear")
CYCLES = Arm("triangular", 0.02, "triangular", base_lr=0.002, cycles=2)

LIGHTNING = LightningTarget("compared_lightning:Net", "compared_lightning:Points")
PLAIN = PyTorchTarget("compared:make")


def train(target, arm=CONSTANT, seed=0, steps=STEPS):
    return target.train(arm, seed, steps, lambda done, words: None)


def timeless(run):
    return replace(run, seconds=0.0)


@pytest.mark.parametrize("target", [LIGHTNING, PLAIN], ids=["lightning", "pytorch"])
@pytest.mark.parametrize("arm", [CONSTANT, LINEAR, CYCLES], ids=lambda arm: arm.name)
def test_every_step_gets_the_rate_of_its_arm(target, arm, monkeypatch):
    used = []
    step = torch.optim.SGD.step
    monkeypatch.setattr(
        torch.optim.SGD, "step", lambda self, *a, **k: (used.append(self.param_groups[0]["lr"]), step(self, *a, **k))[1]
    )
    run = train(target, arm)
    assert tuple(used) == rates(arm, STEPS)
    assert run.lr_applied == (min(used), max(used))
    assert [row.lr for row in run.rows] == [used[row.step - 1] for row in run.rows]
    assert (run.steps, run.last.step, run.last.epoch) == (STEPS, STEPS, STEPS / EPOCH)
    assert [row.step for row in run.rows] == list(range(4, STEPS + 1, 4))


def test_both_frameworks_train_the_same():
    """The same network, data and seed: to the last bit, so that neither target adds or lacks anything."""
    plain, module = train(PLAIN, LINEAR), train(LIGHTNING, LINEAR)
    assert [row.metrics["train_loss"] for row in plain.rows] == [row.metrics["train_loss"] for row in module.rows]
    assert plain.final("val_loss") == pytest.approx(module.final("val_loss"), rel=1e-6)
    assert plain.tested["test_loss"] == pytest.approx(module.tested["test_loss"], rel=1e-6)


@pytest.mark.parametrize("target", [LIGHTNING, PLAIN], ids=["lightning", "pytorch"])
def test_the_same_seed_gives_the_same_run_whatever_ran_before(target):
    first = train(target)
    train(target, CYCLES, seed=1)
    torch.rand(7)
    assert timeless(train(target)) == timeless(first)
    assert train(target, seed=1).final("val_loss") != first.final("val_loss")


@pytest.mark.parametrize("target", [LIGHTNING, PLAIN], ids=["lightning", "pytorch"])
def test_arms_of_a_seed_have_the_same_start_and_batches(target, monkeypatch):
    """With rates too small to matter, the losses are those of the weights at the start: the same for two arms."""
    losses = [[row.metrics["train_loss"] for row in train(target, Arm("tiny", lr)).rows] for lr in (1e-30, 2e-30)]
    assert losses[0] == losses[1]


@pytest.mark.parametrize(
    "target",
    [
        LightningTarget(Net, Points, model_args={"groups": True}),
        PyTorchTarget(make, {"groups": True}),
    ],
    ids=["lightning", "pytorch"],
)
def test_ratios_of_groups_are_kept(target, monkeypatch):
    used = set()
    step = torch.optim.SGD.step

    def noted(self, *arguments, **named):
        used.add(tuple(group["lr"] for group in self.param_groups))
        return step(self, *arguments, **named)

    monkeypatch.setattr(torch.optim.SGD, "step", noted)
    run = train(target)
    ((first, second),) = used
    assert (first / second, second) == pytest.approx((0.1, 0.01))
    assert run.lr_applied == (0.01, 0.01)


def test_either_lightnings_modules_can_be_trained(pl):
    class Mine(pl.LightningModule):
        def __init__(self):
            super().__init__()
            self.net = compared.net()

        def training_step(self, batch, batch_idx):
            return torch.nn.functional.mse_loss(self.net(batch[0]), batch[1])

        def validation_step(self, batch, batch_idx):
            self.log("val_loss", self.training_step(batch, batch_idx))

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.01, momentum=0.9)

    run = train(LightningTarget(Mine, compared.loaders))
    assert run.final("train_loss") == train(LightningTarget(Net, compared.loaders)).final("train_loss")


def test_the_modules_own_scheduler_is_overruled_and_that_is_said():
    target = LightningTarget(Net, Points, model_args={"scheduler": True})
    assert timeless(train(target)) == timeless(train(LIGHTNING))
    assert "ExponentialLR of Net is not used: each arm has its schedule." in target.survey().notes
    assert LIGHTNING.survey().notes == ()


def test_what_is_surveyed():
    assert LIGHTNING.survey().epoch_steps == PLAIN.survey().epoch_steps == EPOCH
    assert LIGHTNING.survey().metrics == ("train_loss", "val_loss")
    assert PLAIN.survey().metrics == ("train_loss", "val_loss", "val_error")
    assert LightningTarget(Net, compared.loaders, data_args={"batch_size": 4}).survey().epoch_steps == 2 * EPOCH
    accumulated = LightningTarget(Net, Points, trainer={"accumulate_grad_batches": 2})
    assert accumulated.survey().epoch_steps == EPOCH / 2


@pytest.mark.parametrize(
    ("plain", "module"),
    [
        (PyTorchTarget(make, {"accumulate": 2}), LightningTarget(Net, Points, trainer={"accumulate_grad_batches": 2})),
    ],
    ids=["accumulation"],
)
def test_a_step_over_several_batches_is_one_step(plain, module):
    first, second = train(plain, LINEAR), train(module, LINEAR)
    assert first.steps == second.steps == STEPS
    assert first.last.epoch == second.last.epoch == STEPS * 2 / EPOCH
    assert first.final("train_loss") == pytest.approx(second.final("train_loss"), rel=1e-5)


def test_a_pass_ends_with_a_step_of_the_batches_that_are_left():
    target = LightningTarget(Net, Points, trainer={"accumulate_grad_batches": 3})
    assert target.survey().epoch_steps == math.ceil(EPOCH / 3)
    run = train(target, steps=2 * math.ceil(EPOCH / 3))
    assert (run.steps, run.last.epoch) == (12, 2.0)
    long = train(LightningTarget(Net, Points, trainer={"accumulate_grad_batches": EPOCH + 1}), steps=2)
    assert (long.steps, long.last.epoch) == (2, 2.0)


def skipping(batches):
    def skip(model, optimizer, batch, seen=[]):  # noqa: B006  it counts the batches
        seen.append(batch)
        loss = torch.nn.functional.mse_loss(model(batch[0]), batch[1])
        optimizer.zero_grad()
        loss.backward()
        if len(seen) > batches:
            optimizer.step()
        return loss.item()

    return skip


def test_steps_that_a_scaler_skips_are_not_counted():
    def skipped(batches):
        return PyTorchTarget(lambda: replace(make(), loss_fn=None, step=skipping(batches)))

    run = train(skipped(2), LINEAR)
    assert run.steps == STEPS
    assert run.lr_applied == (min(rates(LINEAR, STEPS)), max(rates(LINEAR, STEPS)))
    with pytest.raises(BadInputError, match=r"was not stepped in 1000 batches: .* its gradients may never be finite"):
        train(skipped(2000))


class Overflowing(Net):
    """Its first gradients are not finite; the scaler makes no step of them."""

    def on_after_backward(self):
        if self.trainer.global_step < 2:
            next(self.parameters()).grad.fill_(math.inf)


def half():
    from lightning.pytorch.plugins import MixedPrecision

    return MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu"))


def test_lightning_trains_as_many_steps_where_a_scaler_skips_some():
    run = train(LightningTarget(Overflowing, Points, trainer={"plugins": [half()]}), LINEAR)
    assert run.steps == run.last.step == STEPS
    assert run.lr_applied == (min(rates(LINEAR, STEPS)), max(rates(LINEAR, STEPS)))


class Drawn(torch.utils.data.Dataset):
    """Data made anew at each access, by a generator that every dataset of its kind shares."""

    def __init__(self, generator):
        self.generator = generator

    def __len__(self):
        return 64

    def __getitem__(self, index):
        return torch.full((4,), float(self.generator.random())), torch.zeros(1)


@pytest.mark.parametrize(
    "generator",
    [np.random.default_rng(3), np.random.RandomState(3), random.Random(3), np.random.RandomState(np.random.PCG64(3))],
)
def test_generators_that_the_data_holds_begin_anew_with_each_run(generator):
    loader = torch.utils.data.DataLoader(Drawn(generator), batch_size=8)
    target = PyTorchTarget(lambda: replace(make(), loader=loader, validation=loader, test=None))
    assert timeless(train(target)) == timeless(train(target))
    assert train(target).final("train_loss") != train(target, seed=1).final("train_loss")


def of_width(width):
    def inner():
        return make(width)

    return lambda: inner()


def class_of_width(width, depth=1):
    class Local:
        layers = depth

        def __init__(self):
            self.net = compared.net(width)

        @property
        def twin(self):
            return type(self)() or Local

    return Local


def class_of(module, method=lambda self: None):
    class Local:
        step = staticmethod(method)

        def relu(self, x):
            return module.relu(x)

    return Local


WIDTH = 8


class Maker:
    def __init__(self, width):
        self.width, self.rng = width, np.random.default_rng(0)

    def __call__(self):
        return make(self.width)


TWO = [lambda: make(8), lambda: make(64)]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (of_width(8), of_width(9)),
        (TWO[0], TWO[1]),
        (Maker(8), Maker(9)),
        (lambda: make(WIDTH), lambda: make(8)),
        (make, lambda: make()),
        ({"w": 8}, {"w": "8"}),
        (None, "None"),
        (np.zeros(5000), np.eye(1, 5000, 2500)[0]),
        (torch.zeros(3), torch.zeros(3, dtype=torch.bfloat16)),
        (torch.eye(3).to_sparse(), torch.ones(3, 3).to_sparse()),
        (torch.nn.Linear(2, 2), torch.nn.Linear(2, 3)),
        ([make, compared.net, make], [make, compared.net, compared.net]),
        (compile("1", "", "eval").co_consts, compile("2", "", "eval").co_consts),
        (class_of_width(8), class_of_width(16)),
        (class_of_width(8)(), class_of_width(16)()),
        (class_of_width(8), class_of_width(8, depth=2)),
        (class_of(torch, of_width(8)), class_of(torch, of_width(9))),
        (class_of(torch), class_of(torch.nn.functional)),
    ],
)
def test_what_trains_otherwise_is_another_target(one, other):
    assert identity_of(one) == identity_of(one) != identity_of(other)


def test_whatever_there_is_has_a_name():
    own = {"a": 1}
    own["self"] = own
    for value in (own, str.upper, torch.Tensor.relu, torch.empty(2, device="meta"), torch.Generator(), {1, 2}, len):
        assert json.loads(json.dumps(identity_of(value))) == identity_of(value)
    assert identity_of({"x", "y", "z"}) == identity_of({"z", "y", "x"})
    assert identity_of(of_width(8)) == identity_of(of_width(8))


def test_a_logger_and_a_module_are_named_by_their_names():
    import torch as local  # a module that a function closes over

    class Holder:
        def __init__(self):
            self.log, self.ns = logging.getLogger("held"), torch.nn.functional

    before = identity_of([Holder(), lambda: local.ops.aten, local.ops.aten])
    logging.getLogger("held.by.another").addHandler(logging.NullHandler())
    assert identity_of([Holder(), lambda: local.ops.aten, local.ops.aten])[0] == before[0]
    assert before[0][1] == {"log": "Logger held", "ns": "module torch.nn.functional"}
    assert before[2] == "_OpNamespace torch.ops.aten"


def test_using_an_optimizer_of_ones_own_does_not_rename_it():
    class Own(torch.optim.SGD):
        def step(self, closure=None):
            return super().step(closure)

    class Heir(Own):
        pass

    def names():
        return identity_of(Heir), identity_of(Own)

    before = names()
    for kind in (Heir, Own):
        kind([torch.zeros(1)])
        assert hasattr(vars(kind)["step"], "hooked")  # torch wraps its step, or its parent's
        assert names() == before


def test_what_cannot_be_named_is_said_where_a_name_is_needed(tmp_path):
    chain = []
    for _ in range(5000):
        chain = [chain]
    target = PyTorchTarget(lambda: chain and make())
    with pytest.raises(BadInputError, match=r"a function cannot be named .*RecursionError.*out="):
        compare(target, lrs=(0.01, 0.02), schedules=(), seeds=1, steps=8, progress=False, out=tmp_path)
    found = compare(target, lrs=(0.01, 0.02), schedules=(), seeds=1, steps=8, progress=False, batch_size=chain)
    assert len(found.runs) == 2


SCRIPT = """
from types import SimpleNamespace
from lrfind.compare.targets.specs import identity_of
WIDTH = 8
CFG = SimpleNamespace(width={width}, own=None)
CFG.own = CFG
HIDDEN, DEEP, BODY, UNREAD = {hidden}, {deep}, {body}, {unread}
def odd(n):
    return n and even(n - 1)
def even(n):
    return not n or odd(n - 1)
class Base:
    def step(self):
        return {step}
class Net(Base):
    tags = {{"a", "b", "c"}}
    body = BODY
    def __init__(self, other=None):
        super().__init__()
        self.hidden, self.other = HIDDEN, other or Net
    def tagged(self, tag):
        return tag in {{"a", "b", "c"}}
def make():
    # {said}
    def inner():
        return lambda: (DEEP, CFG.width, even(2))
    return {text}, Net, "x" in {{"a", "b", "c"}}
print(identity_of([make, Net, Net().tagged, {{"a", "b"}}]))
"""


PLAIN_WORDS = {
    "step": "1", "said": "", "text": "WIDTH", "width": 1, "hidden": 2, "deep": 3, "body": 4, "unread": 5,
}  # fmt: skip


def named_in_a_process(scripts, seed):
    """What each script prints, all in one process of its own, as its main module."""
    code = "import json, sys\nfor script in json.load(sys.stdin):\n    exec(script, {'__name__': '__main__'})"
    environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)}
    given = {"input": json.dumps(scripts), "text": True, "env": environment, "capture_output": True}
    return subprocess.run([sys.executable, "-c", code], **given, check=True).stdout.splitlines()


def test_names_are_the_same_in_every_process_and_change_with_the_code():
    same = [{}, {"said": "a comment"}, {"unread": 6}]
    changes = [{"step": "2"}, {"text": "WIDTH + 1"}, {"width": 6}, {"hidden": 6}, {"deep": 6}, {"body": 6}]
    scripts = [SCRIPT.format(**{**PLAIN_WORDS, **words}) for words in (*same, *changes)]
    first, second = (named_in_a_process(scripts, seed) for seed in ("1", "2"))
    assert first == second
    assert len(set(first[:3])) == 1
    assert len({first[0], *first[3:]}) == 1 + len(changes)


@pytest.mark.parametrize("change", ["SIZE = 4", "class Base:\n    size = 4"])
def test_a_name_covers_the_module_and_those_of_the_base_classes(tmp_path, monkeypatch, change):
    monkeypatch.syspath_prepend(tmp_path)
    names = set()
    for count, base in enumerate(("SIZE = 3\n\n\nclass Base:\n    size = 3", f"# {change}\n" + change)):
        text = base if "class" in base else f"{base}\nclass Base:\n    size = 3"
        (tmp_path / f"base_{count}.py").write_text(text)
        (tmp_path / f"net_{count}.py").write_text(f"from base_{count} import Base\n\n\nclass Net(Base):\n    pass\n")
        names.add(str(identity_of(import_module(f"net_{count}").Net)).split("#")[1])
    assert len(names) == 2


def test_callbacks_that_have_been_used_make_no_other_target():
    from lightning.pytorch.callbacks import Timer

    target = LightningTarget(Net, Points, trainer={"callbacks": [Timer()]})
    before = target.identity()
    target.survey()
    assert target.identity() == before == LightningTarget(Net, Points, trainer={"callbacks": [Timer()]}).identity()


class Watched(Net):
    """Brings the callbacks that published modules bring."""

    def configure_callbacks(self):
        from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint

        return [EarlyStopping("val_loss", patience=0, min_delta=9.0), ModelCheckpoint()]


def test_callbacks_that_end_save_or_search_are_left_out_and_that_is_said(tmp_path, monkeypatch):
    """They are in most configurations, and training would stop, or not even begin, because of them."""
    from lightning.pytorch.callbacks import LearningRateMonitor, ModelCheckpoint

    from lrfind.lightning import LRFinder

    monkeypatch.chdir(tmp_path)
    theirs = [ModelCheckpoint(), LearningRateMonitor(), LRFinder(), Averaging()]
    target = LightningTarget(Watched, Points, trainer={"callbacks": theirs})
    (note,) = target.survey().notes
    assert note.startswith("Left out: ModelCheckpoint, LearningRateMonitor, LRFinder, EarlyStopping, ModelCheckpoint. ")
    BEGAN.clear()
    run = train(target)
    assert (run.steps, run.lr_applied, BEGAN) == (STEPS, (0.01, 0.01), [0])
    assert target.find("constant", 0, STEPS, progress=False).lr > 0
    assert list(tmp_path.iterdir()) == []


BEGAN = []


class Averaging(Callback):
    """Keeps a mean of the weights over all steps it ever saw, and gives the module that."""

    def __init__(self):
        self.seen, self.mean, self.math = 0, None, torch.nn.functional

    def on_train_start(self, trainer, pl_module):
        BEGAN.append(self.seen)

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        weights = torch.nn.utils.parameters_to_vector(pl_module.parameters()).detach()
        self.mean = weights if self.mean is None else 0.9 * self.mean + 0.1 * weights
        self.seen += 1
        torch.nn.utils.vector_to_parameters(self.mean, pl_module.parameters())


def test_every_run_has_callbacks_of_its_own_so_that_the_order_of_arms_does_not_matter():
    BEGAN.clear()
    callback, what = Averaging(), {"schedules": (), "seeds": 2, "steps": 8, "progress": False}
    target = LightningTarget(Net, Points, trainer={"callbacks": [callback]})
    there, back = compare(target, lrs=(0.01, 0.05), **what), compare(target, lrs=(0.05, 0.01), **what)
    assert BEGAN == [0] * 2 * (1 + 4)
    assert (callback.seen, callback.mean) == (0, None)
    assert list(map(timeless, there.runs)) == sorted(map(timeless, back.runs), key=lambda run: (run.arm, run.seed))


class Around(LightningModule):
    """Trains a net that it is given."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def training_step(self, batch, batch_idx):
        return torch.nn.functional.mse_loss(self.net(batch[0]), batch[1])

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.01)


@pytest.mark.parametrize("as_given", [dict, lambda parts: tuple(parts.values())])
def test_a_factory_may_return_a_dict_or_the_first_four_parts(as_given):
    def parts():
        made = make(validation=False)
        return as_given({name: getattr(made, name) for name in ("model", "optimizer", "loader", "loss_fn")})

    assert train(PyTorchTarget(parts)).lr_applied == (0.01, 0.01)
    losses = [row.metrics["train_loss"] for row in train(PyTorchTarget(parts)).rows]
    whole = train(PyTorchTarget(make, arguments={"validation": False}))
    assert losses == [row.metrics["train_loss"] for row in whole.rows]


def test_every_run_begins_with_the_weights_of_a_net_that_it_is_given():
    torch.manual_seed(0)
    first = compared.net()
    before = [each.detach().clone() for each in first.parameters()]
    target = LightningTarget(Around, Points, model_args={"net": first})
    there, back = train(target), train(target)
    assert there.rows[-1].metrics == back.rows[-1].metrics
    assert all(map(torch.equal, first.parameters(), before))


def test_what_every_run_needs_of_its_own_must_be_copyable():
    class Holding(Callback):
        def __init__(self):
            self.lock = threading.Lock()

    target = LightningTarget(Net, Points, trainer={"callbacks": [Holding()]})
    with pytest.raises(BadInputError, match=r"trainer= cannot be deep-copied.*cannot pickle '_thread.lock'"):
        target.survey()


ASKED = set()


class Annealed(Net):
    """Asks its trainer how long it will train."""

    def training_step(self, batch, batch_idx):
        ASKED.add((self.trainer.max_steps, self.trainer.estimated_stepping_batches))
        return super().training_step(batch, batch_idx)


def test_a_module_sees_how_long_it_trains():
    train(LightningTarget(Annealed, Points))
    assert {(STEPS, STEPS)} == ASKED


def test_a_step_of_several_batches_is_said_in_epochs():
    """A step= that accumulates by itself takes more of the data than a step of one batch."""

    def step(model, optimizer, batch, seen=[]):  # noqa: B006  it counts the batches
        seen.append(batch)
        loss = torch.nn.functional.mse_loss(model(batch[0]), batch[1])
        loss.backward()
        if len(seen) % 4 == 0:
            optimizer.step()
            optimizer.zero_grad()
        return loss.item()

    target = PyTorchTarget(lambda: replace(make(), loss_fn=None, step=step))
    found = compare(target, lrs=(0.01, 0.02), schedules=(), seeds=1, epochs=1, metric="val_error", progress=False)
    assert found.runs[0].last.epoch == 4.0
    assert f"{EPOCH} optimizer steps (4 epochs)" in found.setting


class OneCycled(Net):
    """Asks its trainer how long it will train, as most published modules with a schedule do."""

    def configure_optimizers(self):
        optimizer = torch.optim.SGD(self.parameters(), lr=self.lr)
        steps = self.trainer.estimated_stepping_batches
        scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, self.lr, total_steps=steps)
        return [optimizer], [{"scheduler": scheduler, "interval": "step"}]


def test_a_module_whose_scheduler_needs_the_length_of_training_is_compared():
    what = {"lrs": (0.01,), "schedules": ("constant",), "seeds": 1, "steps": 8, "progress": False}
    found = compare(LightningTarget(OneCycled, Points), **what)
    assert [run.lr_applied for run in found.runs] == [(arm.lr, arm.lr) for arm in found.arms]
    assert any("OneCycleLR" in note for note in found.notes)


@pytest.mark.parametrize("mode", [None, "min"])
def test_the_greatest_accuracy_is_best_unless_it_is_said_otherwise(mode):
    def right():
        def accuracy(model, batch):
            return {"accuracy": 1.0 - (model(batch[0]) - batch[1]).abs().mean().clamp(max=1.0)}

        return replace(make(), metrics=accuracy)

    what = {"lrs": (1e-5, 0.05), "schedules": (), "seeds": 1, "steps": 64, "progress": False}
    found = compare(PyTorchTarget(right), metric="val_accuracy", mode=mode, **what)
    ends = {run.arm: run.final("val_accuracy") for run in found.runs}
    assert found.verdict.best == (min if mode else max)(ends, key=ends.get)
    assert found.mode == (mode or "max")


def test_validation_that_a_step_does_not_measure_is_said():
    target = PyTorchTarget(lambda: replace(make(), loss_fn=None, metrics=None, step=skipping(0)))
    assert any("no metrics= to measure" in note for note in target.survey().notes)


def test_without_validation_the_training_loss_judges_and_that_is_said():
    for target in (LightningTarget("compared_lightning:Unjudged"), PyTorchTarget(make, {"validation": False})):
        found = compare(target, lrs=(0.01, 0.02), schedules=(), seeds=1, steps=8, progress=False)
        assert found.metric == "train_loss"
        assert any("judged by their training loss" in note for note in found.notes)
        assert all(math.isfinite(run.final("train_loss")) and run.steps == 8 for run in found.runs)


def test_two_optimizers_move_together(monkeypatch):
    used = []
    step = torch.optim.SGD.step
    monkeypatch.setattr(
        torch.optim.SGD, "step", lambda self, *a, **k: (used.append(self.param_groups[0]["lr"]), step(self, *a, **k))[1]
    )
    run = train(LightningTarget("compared_lightning:Unjudged"), CYCLES)
    asked = rates(CYCLES, STEPS)
    assert (run.steps, run.lr_applied) == (STEPS, (min(asked), max(asked)))
    assert used[::2] == list(asked)
    assert used[1::2] == pytest.approx([rate / 2 for rate in asked])  # at the same step, not a step ahead


class Stubborn(torch.optim.SGD):
    """An optimizer that changes its rate while it steps."""

    def step(self, closure=None):
        super().step(closure)
        self.param_groups[0]["lr"] *= 2


def test_a_rate_that_does_not_hold_is_an_error():
    def stubborn():
        made = make()
        return replace(made, optimizer=Stubborn(made.model.parameters(), lr=0.1))

    with pytest.raises(RateNotAppliedError, match=r"step 1 was made with lr=0.02, not 0.01"):
        train(PyTorchTarget(stubborn))


def test_a_step_that_fails_is_not_counted_and_the_next_ones_are():
    class Fails(torch.optim.SGD):
        def step(self, closure=None):
            if closure is not None:
                closure()
            super().step()

    weights = torch.zeros(1, requires_grad=True)
    torch.optim.SGD([weights])  # from the first one on, torch calls the hooks of SGD's own step
    optimizer, arm, told = Fails([weights], lr=0.1), Arm("linear", 0.5, "linear"), []
    recorder = RunRecorder(arm, 0, 3, lambda: recorder.add_row({}), lambda *now: told.append(now))
    with recorder.start(optimizer):
        with pytest.raises(ZeroDivisionError):
            optimizer.step(lambda: 1 / 0)
        assert (recorder.observe(9.0), recorder.steps) == (None, 0)
        for count in range(1, 4):
            optimizer.step()
            assert (recorder.observe(1.0), recorder.steps) == ("done" if count == 3 else None, count)
    run = recorder.run({})
    assert [row.lr for row in run.rows] == pytest.approx([0.5, 1 / 3, 1 / 6])
    assert [row.metrics["train_loss"] for row in run.rows] == [5.0, 1.0, 1.0]
    assert [done for done, _ in told] == [1, 2, 3]


def test_a_run_goes_on_where_a_probe_would_be_ended():
    """Losses that diverge, and that are not finite, are what an arm with too high a rate is compared by."""

    def blown_up():
        return replace(make(), loss_fn=lambda model, batch: model(batch[0]).sum() * 1e30)

    run = train(PyTorchTarget(blown_up))
    assert run.steps == STEPS
    assert math.isnan(run.final("train_loss"))


@pytest.mark.parametrize(
    ("make_it", "message"),
    [
        (lambda: PyTorchTarget("compared"), "must be named as package.module:name"),
        (lambda: PyTorchTarget("nowhere:make"), "there is no module nowhere"),
        (lambda: PyTorchTarget("compared:nothing"), "the module compared has no nothing"),
        (lambda: LightningTarget(Net()), "must be a class, a function or"),
        (lambda: LightningTarget(Net, trainer={"max_epochs": 3}), "sets max_epochs of the trainer itself"),
        (
            lambda: PyTorchTarget(make, {"depth": 3}).survey(),
            "factory raised TypeError: .*unexpected keyword",
        ),
        (lambda: PyTorchTarget(dict).survey(), "factory must return .*got a dict"),
        (lambda: PyTorchTarget("compared:net").survey(), "must return .* lrfind.compare.Training"),
        (lambda: LightningTarget("compared:net").survey(), "model must build a LightningModule"),
    ],
)
def test_bad_targets_are_refused(make_it, message):
    with pytest.raises(LRFindError, match=message):
        make_it()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 1, "steps": 3}, "epochs or steps, not both"),
        ({"steps": 0}, "at least 1 optimizer step"),
        ({"seeds": 0}, "seeds must be"),
        ({"seeds": (1, 1)}, "seeds must be"),
        ({"jobs": 0}, "jobs must be at least 1"),
        ({"jobs": 2, "ray": "local"}, "jobs must be at least 1, and is not for Ray"),
        ({"metric": "accuracy"}, "metric 'accuracy' is not evaluated; there are train_loss, val_error, val_loss"),
        ({"mode": "least"}, "mode must be"),
        ({"steps": "8"}, "at least 1 optimizer step, .*steps='8'"),
        ({"epochs": math.nan}, "at least 1 optimizer step, got epochs=nan"),
        ({"epochs": "3"}, "at least 1 optimizer step, got epochs='3'"),
        ({"seeds": 1.5}, "seeds must be .* got 1.5"),
        ({"seeds": ("a",)}, "seeds must be"),
        ({"jobs": "2"}, "jobs must be at least 1"),
        ({"lrs": 0.1}, "lrs must be several, in a list, got 0.1"),
        ({"lrs": ("fast", 0.1)}, "lr must be a number"),
        ({"schedules": "constant"}, "schedules must be several, in a list, got 'constant'"),
        ({"target": make}, "target must be a LightningTarget, .* got <function make"),
        ({"target": PyTorchTarget}, "target must be a LightningTarget, .* got <class"),
    ],
)
def test_bad_arguments_are_refused_before_any_work(options, message):
    def refused(event):
        raise AssertionError("something was begun")

    asked = {"target": PLAIN, "lrs": (0.1, 0.2), "schedules": (), "seeds": 1, **options}
    with pytest.raises(BadInputError, match=message):
        compare(on_event=refused, progress=False, **asked)


def test_numbers_of_numpy_are_numbers():
    asked = {"lrs": np.array([0.01, 0.02]), "schedules": (), "progress": False}
    found = compare(PLAIN, seeds=np.int64(1), steps=np.int64(4), **asked)
    assert [(run.arm, run.seed, run.steps) for run in found.runs] == [("0.01", 0, 4), ("0.02", 0, 4)]
    assert json.dumps(found.to_dict())


def test_a_target_is_known_by_what_it_trains_not_by_where_it_is_in_memory():
    first, again = (LightningTarget(Net, Points, model_args={"what": object()}) for _ in range(2))
    assert first.identity() == again.identity()
    assert first.identity() != LightningTarget(Net, compared.loaders).identity()
    assert (
        first.identity()
        == LightningTarget(
            "compared_lightning:Net", "compared_lightning:Points", model_args={"what": object()}
        ).identity()
    )
    assert pickle.loads(pickle.dumps(LIGHTNING)) == LIGHTNING
