"""Training after a search equals training without: wherever its state lies, however its step runs, in every loop."""

import functools
import itertools
import os
import random
import signal
from array import array
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import NamedTuple

import elsewhere
import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, IterableDataset, Sampler, get_worker_info
from transformers import Trainer, TrainingArguments

import lrfind
import lrfind.huggingface as lrh
import lrfind.lightning as lrl
from lrfind.errors import BadInputError, RateNotAppliedError
from lrfind.records import Cost, Finding, Probe
from lrfind.schedules import ramp

pytestmark = [
    pytest.mark.usefixtures("empty_folder"),
    pytest.mark.filterwarnings("ignore:Please use the new API settings to control TF32"),
]
QUIET = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
ROWS, SIZE = 48, 8


class Twice:
    """Two short probes, and a finding that means nothing."""

    def propose(self, records):
        if not records:
            return [Probe(ramp(1e-4, 0.1, 6), seed) for seed in (0, 1)]
        return Finding(0.1, 0.1, 0.1, (0.1, 0.1), "none", "constant", tuple(records), Cost(12, 0.0))


SEARCH = {"strategy": Twice(), "progress": False}


def nothing():
    return 0.0


# Where state lies: each returns a function that moves it and says a number that depends on what it was.


class Pair(NamedTuple):
    mean: torch.Tensor
    square: torch.Tensor


@dataclass
class Meter:
    values: list = field(default_factory=list)
    total: float = 0.0

    def use(self):
        self.values.append(len(self.values))
        self.total += 1.0
        return self.total + len(self.values)


class Slotted:
    __slots__ = ("total",)

    def __init__(self):
        self.total = 0

    def use(self):
        self.total += 1
        return self.total


class Shared:
    total = 0

    @classmethod
    def use(cls):
        cls.total += 1
        return cls.total


TOTAL = 0
COUNTS, PLACE = Counter(), {"generator": None}


def tensor_in_a_closure():
    mean = torch.zeros(3)
    return lambda: mean.mul_(0.9).add_(1).sum().item()


def tensor_that_is_replaced():
    mean = torch.zeros(3)

    def use():
        nonlocal mean
        mean = 0.9 * mean + 1
        return mean.sum().item()

    return use


def namedtuple_of_tensors():
    pair = Pair(torch.zeros(2), torch.zeros(2))
    return lambda: (pair.mean.add_(1) + pair.square.add_(2)).sum().item()


def array_of_numpy():
    values = np.zeros(4)

    def use():
        values[:] = np.roll(values, 1) + 1
        return float(values[0])

    return use


def deque_in_a_closure():
    window = deque([0.0], maxlen=3)
    return lambda: window.append(window[-1] + 1) or sum(window)


def set_in_a_closure():
    seen = set()
    return lambda: seen.add(len(seen)) or len(seen)


def array_of_python():
    counts = array("d", [0.0])

    def use():
        counts[0] += 1
        return counts[0]

    return use


def bytes_in_a_default():
    def use(counts=bytearray(1)):  # noqa: B008
        counts[0] += 1
        return counts[0]

    return use


def attribute_of_a_function():
    def use():
        use.total += 1
        return use.total

    use.total = 0
    return use


def name_of_a_module():
    global TOTAL
    TOTAL = 0

    def use():
        global TOTAL
        TOTAL += 1
        return TOTAL

    return use


def counter_in_a_global():
    COUNTS.clear()

    def use():
        COUNTS["steps"] += 1
        return COUNTS["steps"]

    return use


def name_of_another_module():
    elsewhere.reset()

    def use():
        elsewhere.steps += 1
        elsewhere.seen.append(1)
        return elsewhere.steps + len(elsewhere.seen)

    return use


def attribute_of_a_class():
    Shared.total = 0
    return Shared.use


def generator_of_numpy():
    rng = np.random.default_rng(0)
    return lambda: float(rng.normal())


def generator_in_a_global():
    PLACE["generator"] = random.Random(0)
    return lambda: PLACE["generator"].gauss(0, 1)


def generator_of_torch():
    generator = torch.Generator().manual_seed(0)
    return lambda: torch.randn((), generator=generator).item()


def global_generators():
    return lambda: random.random() + float(np.random.rand()) + torch.rand(()).item()


def objects_in_an_array():
    held = np.empty(1, dtype=object)
    held[0] = [0]
    return lambda: held[0].append(1) or len(held[0])


class Scaled(torch.autograd.Function):
    """Keeps state in its class, as one that quantizes does with its scale."""

    scale = torch.ones(2)

    @classmethod
    def use(cls):
        return cls.scale.add_(1).sum().item()


def class_over_a_function_of_torch():
    Scaled.scale.fill_(1)
    return Scaled.use


def another_module_given_to_a_function():
    elsewhere.reset()

    def bump(module):
        module.steps += 1
        module.seen.append(1)
        return module.steps + len(module.seen)

    return lambda: bump(elsewhere)


STATES = [
    tensor_in_a_closure,
    tensor_that_is_replaced,
    namedtuple_of_tensors,
    array_of_numpy,
    deque_in_a_closure,
    set_in_a_closure,
    array_of_python,
    bytes_in_a_default,
    attribute_of_a_function,
    name_of_a_module,
    counter_in_a_global,
    name_of_another_module,
    attribute_of_a_class,
    class_over_a_function_of_torch,
    another_module_given_to_a_function,
    generator_of_numpy,
    generator_in_a_global,
    generator_of_torch,
    global_generators,
    objects_in_an_array,
    lambda: Meter().use,
    lambda: Slotted().use,
    lambda: functools.partial(Meter.use, Meter()),
]
SOME = [tensor_in_a_closure, name_of_another_module, attribute_of_a_class, generator_of_numpy, lambda: Slotted().use]
SOME += [class_over_a_function_of_torch, another_module_given_to_a_function]


def named(state):
    return state.__name__.strip("<>")


# Where the state is moved.

PLACES = ["loss", "dataset", "collate function", "sampler", "hook of a module", "hook of a weight", "optimizer"]


class Data(Dataset):
    def __init__(self, use):
        numbers = torch.Generator().manual_seed(0)
        self.x, self.use = torch.randn(ROWS, 4, generator=numbers), use

    def __len__(self):
        return ROWS

    def __getitem__(self, index):
        x = self.x[index] + 0.01 * self.use()
        return {"x": x, "labels": x.sum(0, keepdim=True)}


class Order(Sampler):
    def __init__(self, use):
        self.use = use

    def __len__(self):
        return ROWS

    def __iter__(self):
        first = int(10 * self.use())
        return iter([(first + 5 * index) % ROWS for index in range(ROWS)])


class Collate:
    def __init__(self, use):
        self.use = use

    def __call__(self, rows):
        x = torch.stack([row["x"] for row in rows]) + 0.01 * self.use()
        return {"x": x, "labels": torch.stack([row["labels"] for row in rows])}


class Scaling(torch.optim.SGD):
    """An optimizer of one's own."""

    def __init__(self, parameters, use):
        self.use = use
        super().__init__(parameters, lr=0.01, momentum=0.9)

    def step(self, closure=None):
        factor = 1 + 0.01 * self.use()
        with torch.enable_grad():
            loss = None if closure is None else closure()
        for group in self.param_groups:
            for one in group["params"]:
                one.grad.mul_(factor)
        super().step()
        return loss


class Net(nn.Module):
    def __init__(self, use):
        super().__init__()
        self.layers, self.use = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, 1)), use

    def forward(self, x, labels=None):
        outputs = self.layers(x)
        loss = F.mse_loss(outputs, labels) * (1 + 0.01 * self.use())
        return {"loss": loss, "logits": outputs}


def parts(place, use):
    """A model, an optimizer and a loader that move state in one place."""
    torch.manual_seed(0)
    random.seed(0)
    np.random.seed(0)
    at = {name: use if name == place else nothing for name in PLACES}
    model = Net(at["loss"])
    if place == "hook of a module":
        model.layers[0].register_forward_hook(lambda module, inputs, outputs: outputs + 0.01 * use())
    if place == "hook of a weight":
        model.layers[0].weight.register_hook(lambda gradient: gradient + 0.01 * use())
    order = Order(at["sampler"])
    loader = DataLoader(Data(at["dataset"]), SIZE, sampler=order, collate_fn=Collate(at["collate function"]))
    return model, Scaling(model.parameters(), at["optimizer"]), loader


# The loops: each trains an epoch, after a search or not, and says everything that came out.


def plain(model, optimizer, loader, *, searches):
    def loss_fn(model, batch):
        return model(**batch)["loss"]

    for _ in range(searches):
        lrfind.find(model, optimizer, loader, loss_fn, **SEARCH)
    losses = []
    for batch in loader:
        optimizer.zero_grad()
        losses.append(loss_fn(model, batch))
        losses[-1].backward()
        optimizer.step()
    return [loss.item() for loss in losses]


class Module(pl.LightningModule):
    def __init__(self, net, optimizer):
        super().__init__()
        self.net, self.optimizer, self.losses = net, optimizer, []

    def training_step(self, batch, index):
        loss = self.net(**batch)["loss"]
        self.losses.append(loss.item())
        return loss

    def configure_optimizers(self):
        return self.optimizer


def lightning_trainer(**options):
    return pl.Trainer(**{"accelerator": "cpu", "max_epochs": 1, **QUIET, **options})


def in_lightning(model, optimizer, loader, *, searches):
    module = Module(model, optimizer)
    for _ in range(searches):
        lrl.find(lightning_trainer(), module, loader, **SEARCH)
    lightning_trainer().fit(module, loader)
    return module.losses


class Ordered(Trainer):
    """A Trainer with a sampler of its own, which keeps its losses."""

    def _get_train_sampler(self, *_):
        return self.order

    def compute_loss(self, model, inputs, return_outputs=False, **_):
        outputs = model(**inputs)
        self.losses.append(outputs["loss"].item())
        return (outputs["loss"], outputs) if return_outputs else outputs["loss"]


def huggingface_trainer(model, optimizer, loader, kind=Ordered, **options):
    quiet = {"report_to": [], "disable_tqdm": True, "save_strategy": "no", "logging_strategy": "no", "use_cpu": True}
    sizes = {"per_device_train_batch_size": SIZE, "num_train_epochs": 1, "output_dir": "out"}
    args = TrainingArguments(**{**quiet, **sizes, **options})
    given = {"optimizers": (optimizer, None), "train_dataset": loader.dataset, "data_collator": loader.collate_fn}
    one = kind(model=model, args=args, **given)
    one.order, one.losses = loader.sampler, []
    one.callback_handler.callbacks = [
        each for each in one.callback_handler.callbacks if type(each).__name__ != "PrinterCallback"
    ]
    return one


def in_huggingface(model, optimizer, loader, *, searches):
    one = huggingface_trainer(model, optimizer, loader)
    for _ in range(searches):
        lrh.find(one, **SEARCH)
    one.train()
    return one.losses


def outcome(loop, place, state, searches):
    use = state()
    model, optimizer, loader = parts(place, use)
    losses = loop(model, optimizer, loader, searches=searches)
    numbers = random.random(), float(np.random.rand()), torch.rand(()).item()
    moments = [kept["momentum_buffer"].tolist() for kept in optimizer.state.values()]
    weights = [one.tolist() for one in model.state_dict().values()]
    return losses, [use() for _ in range(3)], numbers, moments, weights


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("state", STATES, ids=named)
def test_state_in_any_container_moved_from_any_place(state, place):
    assert outcome(plain, place, state, 1) == outcome(plain, place, state, 0)


@pytest.mark.parametrize("state", SOME, ids=named)
@pytest.mark.parametrize("loop", [in_lightning, in_huggingface])
def test_state_in_a_loss_in_the_other_loops(state, loop):
    assert outcome(loop, "loss", state, 2) == outcome(loop, "loss", state, 0)


@pytest.mark.parametrize("place", PLACES[1:])
@pytest.mark.parametrize("loop", [in_lightning, in_huggingface])
def test_state_in_other_places_in_the_other_loops(place, loop):
    assert outcome(loop, place, tensor_in_a_closure, 1) == outcome(loop, place, tensor_in_a_closure, 0)


@pytest.mark.parametrize("loop", [plain, in_lightning, in_huggingface])
def test_a_sampler_that_the_loss_teaches(loop):
    """Hard examples first: what is reached as data is written to by the model."""
    outcomes = []
    for searches in (0, 1):
        model, optimizer, loader = parts(None, nothing)
        hard = torch.ones(ROWS)

        class Hard(Order):
            weights = {"all": hard}  # noqa: RUF012

            def __iter__(self):
                return iter(torch.multinomial(self.weights["all"], ROWS, True).tolist())

        sampler = Hard(nothing)
        loader = DataLoader(loader.dataset, SIZE, sampler=sampler, collate_fn=loader.collate_fn)
        model.use = lambda sampler=sampler: sampler.weights["all"].mul_(0.9).add_(0.2).sum().item()
        losses = loop(model, optimizer, loader, searches=searches)
        outcomes.append((losses, hard.tolist()))
    assert outcomes[0] == outcomes[1]


# Networks beside the one that is searched.

BODY = nn.Linear(4, 4)


class Beside:
    body = BODY


class Boxed:
    """A model in a list, which torch does not see."""

    def __init__(self):
        self.held = [BODY]


BESIDE = {
    "global": lambda: lambda x: BODY(x),
    "class attribute": lambda: lambda x: Beside.body(x),
    "list in an object": lambda: functools.partial(lambda box, x: box.held[0](x), Boxed()),
    "closure": lambda: (lambda body: lambda x: body(x))(BODY),
}


class Head(nn.Module):
    def __init__(self, body):
        super().__init__()
        self.layer, self.body = nn.Linear(4, 1), body

    def forward(self, x, labels=None):
        outputs = self.layer(self.body(x))
        return {"loss": F.mse_loss(outputs, labels), "logits": outputs}


@pytest.mark.parametrize("where", BESIDE)
@pytest.mark.parametrize("loop", [plain, in_lightning, in_huggingface])
def test_a_network_beside_the_model_that_its_optimizer_trains(where, loop):
    outcomes = []
    for searches in (0, 1):
        _, _, loader = parts(None, nothing)
        BODY.reset_parameters()
        BODY.zero_grad()
        model = Head(BESIDE[where]())
        optimizer = torch.optim.Adam([*model.parameters(), *BODY.parameters()], lr=0.01)
        losses = loop(model, optimizer, loader, searches=searches)
        outcomes.append((losses, BODY.weight.tolist(), model.layer.weight.tolist(), len(optimizer.state)))
    assert outcomes[0] == outcomes[1]


@pytest.mark.parametrize("every", [1, 5])
@pytest.mark.parametrize("way", ["no_grad", "data", "new data", "lerp", "load_state_dict"])
@pytest.mark.parametrize("loop", [plain, in_lightning, in_huggingface])
def test_a_frozen_teacher_that_a_step_averages_into(way, every, loop):
    outcomes = []
    for searches in (0, 1):
        model, optimizer, loader = parts(None, nothing)
        teacher = nn.Linear(4, 4).requires_grad_(False)
        model.use = averaging(teacher, model.layers[0], way, every)
        losses = loop(model, optimizer, loader, searches=searches)
        outcomes.append((losses, teacher.weight.tolist(), teacher.bias.tolist()))
    assert outcomes[0] == outcomes[1]


def averaging(teacher, student, way, every):
    steps = 0

    def use():
        nonlocal steps
        steps += 1
        for old, new in zip(teacher.parameters(), student.parameters(), strict=True) if steps % every == 0 else ():
            if way == "new data":
                old.data = 0.9 * old.data + 0.1 * new.data
            elif way == "data":
                old.data.mul_(0.9).add_(new.data, alpha=0.1)
            elif way != "load_state_dict":
                with torch.no_grad():
                    old.lerp_(new, 0.1) if way == "lerp" else old.mul_(0.9).add_(new, alpha=0.1)
        if way == "load_state_dict" and steps % every == 0:
            teacher.load_state_dict({name: 0.5 * value for name, value in student.state_dict().items()})
        return teacher.weight.sum().item()

    return use


# How the step runs.

PARTS = {
    "model": lambda model, backend: torch.compile(model, backend=backend),
    "model in place": lambda model, backend: model.compile(backend=backend) or model,
    "submodule": lambda model, backend: replaced(model, torch.compile(model.layers, backend=backend)),
    "loss": lambda model, backend: replaced(model, model.layers, torch.compile(F.mse_loss, backend=backend)),
}


class Compiled(nn.Module):
    """A model with a loss that can be compiled."""

    def __init__(self, loss=F.mse_loss):
        super().__init__()
        self.layers, self.loss = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 1)), loss

    def forward(self, x, labels=None):
        outputs = self.layers(x)
        return {"loss": self.loss(outputs, labels), "logits": outputs}


def replaced(model, layers, loss=F.mse_loss):
    model.layers, model.loss = layers, loss
    return model


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
@pytest.mark.parametrize("is_warm", [False, True], ids=["cold", "warm"])
@pytest.mark.parametrize(
    ("part", "backend", "loop"),
    [
        ("model", "eager", plain),
        ("model", "aot_eager", plain),
        ("model in place", "eager", plain),
        ("submodule", "aot_eager", plain),
        ("loss", "eager", plain),
        ("loss", "aot_eager", plain),
        ("submodule", "eager", in_lightning),
        ("submodule", "aot_eager", in_lightning),
        ("loss", "eager", in_lightning),
        ("submodule", "eager", in_huggingface),
        ("loss", "eager", in_huggingface),
    ],
)
def test_what_is_compiled_trains_as_without_a_search_and_stays_usable(part, backend, loop, is_warm):
    outcomes = []
    for searches in (0, 1):
        torch.compiler.reset()
        _, _, loader = parts(None, nothing)
        torch.manual_seed(0)
        model = PARTS[part](Compiled(), backend)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
        batch = next(iter(loader))
        if is_warm:
            model(**batch)["loss"].backward()
            optimizer.zero_grad()
        losses = loop(model, optimizer, loader, searches=searches)
        outcomes.append((losses, [one.tolist() for one in model.parameters()], model(**batch)["loss"].item()))
    assert outcomes[0] == outcomes[1]


# Optimizers that are watched.


class TestASearchOnAWatchedOptimizer:
    @pytest.mark.parametrize("scheduled", [False, True])
    def test_finds_and_the_watch_goes_on(self, scheduled):
        model, optimizer, loader = parts(None, nothing)
        scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9) if scheduled else None
        find = functools.partial(lrfind.find, model, optimizer, loader, lambda model, batch: model(**batch)["loss"])
        watch = find(**SEARCH).apply(optimizer, *([scheduler] if scheduled else []))
        first = find(**SEARCH).records
        assert [one.losses for one in first] == [one.losses for one in find(**SEARCH).records]
        assert watch.steps == 0
        plain(model, optimizer, loader, searches=1)
        assert (watch.steps, watch.greatest) == (6, 0.1)
        optimizer.param_groups[0]["lr"] = 3.0
        with pytest.raises(RateNotAppliedError):
            plain(model, optimizer, loader, searches=0)
        watch.remove()

    def test_in_lightning(self):
        model, optimizer, loader = parts(None, nothing)
        module = Module(model, optimizer)
        finder = lrl.LRFinder(**SEARCH, every=1)
        lightning_trainer(max_epochs=3, callbacks=[finder]).fit(module, loader)
        assert len(finder.findings) == 3
        lrl.find(lightning_trainer(), module, loader, **SEARCH)

    def test_in_huggingface(self):
        model, optimizer, loader = parts(None, nothing)
        one = huggingface_trainer(model, optimizer, loader)
        finding = lrh.find(one, **SEARCH)
        watch = finding.apply(optimizer)
        assert lrh.find(one, **SEARCH).records[0].losses == finding.records[0].losses
        assert watch.steps == 0
        watch.remove()


# Workers.


class Started:
    """Writes a line for each worker that starts."""

    def __init__(self, path):
        self.path = path

    def __call__(self, index):
        with self.path.open("a") as file:
            file.write(f"{index}\n")

    @property
    def count(self):
        return len(self.path.read_text().splitlines())


class Stream(IterableDataset):
    def __init__(self, data):
        self.data = data

    def __iter__(self):
        worker = get_worker_info()
        first, step = (0, 1) if worker is None else (worker.id, worker.num_workers)
        return (self.data[index] for index in range(first, ROWS, step))


class TestWorkers:
    @pytest.mark.parametrize(
        ("workers", "persistent", "stream"), [(1, False, False), (2, False, False), (1, True, False), (1, False, True)]
    )
    def test_a_search_starts_them_once_and_the_order_afterwards_is_as_without(
        self, workers, persistent, stream, tmp_path
    ):
        outcomes = []
        for searches in (0, 1):
            started = Started(tmp_path / f"started{searches}")
            model, optimizer, loader = parts(None, nothing)
            data = Stream(loader.dataset) if stream else loader.dataset
            how = {"num_workers": workers, "persistent_workers": persistent, "worker_init_fn": started}
            loader = DataLoader(data, SIZE, collate_fn=loader.collate_fn, shuffle=None if stream else True, **how)
            outcomes.append((plain(model, optimizer, loader, searches=searches), torch.rand(()).item()))
            assert started.count == workers * (1 + searches)
        assert outcomes[0] == outcomes[1]

    def test_in_lightning(self, tmp_path):
        model, optimizer, loader = parts(None, nothing)
        started = Started(tmp_path / "started")
        loader = DataLoader(loader.dataset, SIZE, collate_fn=loader.collate_fn, num_workers=1, worker_init_fn=started)
        lrl.find(lightning_trainer(), Module(model, optimizer), loader, **SEARCH)
        assert started.count == 1

    def test_in_huggingface(self, tmp_path):
        model, optimizer, loader = parts(None, nothing)
        started = Started(tmp_path / "started")

        class Starting(Ordered):
            def get_train_dataloader(self):
                given = {"collate_fn": self.data_collator, "num_workers": 1, "worker_init_fn": started}
                return self.accelerator.prepare(DataLoader(self.train_dataset, SIZE, **given))

        one = huggingface_trainer(model, optimizer, loader, Starting)
        lrh.find(one, **SEARCH)
        assert started.count == 1


# Layers that are made late.


class Late(pl.LightningModule):
    """Makes its layers in ``configure_model``, or in ``setup``."""

    def __init__(self, hook):
        super().__init__()
        self.lr, self.losses = 1e-3, []
        setattr(self, hook, self.make)

    def make(self, stage=None):
        if not hasattr(self, "layer"):
            self.layer, self.more = nn.Linear(4, 4), nn.ModuleList([nn.Linear(4, 1)])

    def training_step(self, batch, index):
        loss = F.mse_loss(self.more[0](self.layer(batch["x"])), batch["labels"])
        self.losses.append(loss.item())
        return loss

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=self.lr)


@pytest.mark.parametrize("hook", ["configure_model", "setup"])
class TestLayersThatAreMadeLate:
    def test_find(self, hook):
        outcomes = []
        for searches in (0, 1):
            _, _, loader = parts(None, nothing)
            module = Late(hook)
            names = set(vars(module))
            for _ in range(searches):
                assert len(lrl.find(lightning_trainer(), module, loader, **SEARCH).records) == 2
            assert set(vars(module)) == names
            assert not list(module.parameters())
            lightning_trainer().fit(module, loader)
            outcomes.append((module.losses, module.layer.weight.tolist(), torch.rand(()).item()))
        assert outcomes[0] == outcomes[1]

    def test_the_callback(self, hook):
        outcomes = []
        for callbacks in ([], [lrl.LRFinder(apply=False, **SEARCH)]):
            _, _, loader = parts(None, nothing)
            module = Late(hook)
            lightning_trainer(callbacks=callbacks).fit(module, loader)
            outcomes.append((module.losses, module.layer.weight.tolist(), torch.rand(()).item()))
        assert outcomes[0] == outcomes[1]


# What a step reads on in.


class TestIterators:
    def step(self, batches):
        def step(model, optimizer, batch):
            loss = model(**next(batches))["loss"]
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss

        return step

    def test_a_generator_is_refused_by_name_and_has_not_moved(self):
        model, optimizer, loader = parts(None, nothing)
        unlabelled = (batch for batch in loader)
        with pytest.raises(BadInputError, match=r"reads on in .*batches, a generator that a search would use up"):
            lrfind.find(model, optimizer, loader, step=self.step(unlabelled), **SEARCH)
        assert len(list(unlabelled)) == ROWS // SIZE

    def test_an_iterator_of_a_loader_is_refused_by_name_and_has_not_moved(self):
        model, optimizer, loader = parts(None, nothing)
        unlabelled = iter(loader)
        with pytest.raises(BadInputError, match=r"reads on in .*batches, a _SingleProcessDataLoaderIter that"):
            lrfind.find(model, optimizer, loader, step=self.step(unlabelled), **SEARCH)
        assert len(list(unlabelled)) == ROWS // SIZE

    @pytest.mark.parametrize("make", [lambda rows: iter(rows * 3), itertools.cycle])
    def test_one_of_pythons_own_is_copied_and_has_not_moved(self, make):
        model, optimizer, loader = parts(None, nothing)
        rows = list(loader)
        unlabelled = make(rows)
        next(unlabelled)
        lrfind.find(model, optimizer, loader, step=self.step(unlabelled), **SEARCH)
        assert next(unlabelled) is rows[1]

    def test_a_generator_in_a_module_is_refused_in_lightning(self):
        model, optimizer, loader = parts(None, nothing)
        module = Module(model, optimizer)
        module.batches = (batch for batch in loader)
        model.use = lambda: next(module.batches)["x"].sum().item()
        with pytest.raises(BadInputError, match=r"reads on in Module\.batches, a generator that"):
            lrl.find(lightning_trainer(), module, loader, **SEARCH)
        assert len(list(module.batches)) == ROWS // SIZE

    def test_a_generator_in_a_trainer_is_refused_in_huggingface(self):
        model, optimizer, loader = parts(None, nothing)
        one = huggingface_trainer(model, optimizer, loader)
        one.batches = (batch for batch in loader)
        model.use = lambda: next(one.batches)["x"].sum().item()
        with pytest.raises(BadInputError, match=r"reads on in .*batches, a generator that"):
            lrh.find(one, **SEARCH)
        assert len(list(one.batches)) == ROWS // SIZE


# What ends a probe.


def interrupted():
    os.kill(os.getpid(), signal.SIGINT)


def terminated():
    os.kill(os.getpid(), signal.SIGTERM)


def out_of_memory():
    raise torch.OutOfMemoryError("CUDA out of memory.")


class Terminated(Exception):
    """What a user's handler of SIGTERM raises."""


@pytest.mark.parametrize(
    ("end", "error"),
    [(interrupted, KeyboardInterrupt), (terminated, Terminated), (out_of_memory, torch.OutOfMemoryError)],
)
@pytest.mark.parametrize("loop", [plain, in_lightning, in_huggingface])
def test_whatever_ends_a_probe_everything_is_back(loop, end, error):
    def handle(number, frame):
        raise Terminated

    model, optimizer, loader = parts(None, nothing)
    plain(model, optimizer, loader, searches=0)
    torch.manual_seed(42)  # as a Trainer of transformers does when it is made
    moments = [kept["momentum_buffer"] for kept in optimizer.state.values()]
    before = [one.tolist() for one in (*model.state_dict().values(), *moments, torch.get_rng_state())]
    gradients = [one.grad.tolist() for one in model.parameters()]
    calls = []

    def use():
        calls.append(1)
        if len(calls) == 4:
            end()
        return 0.0

    model.use = use
    old = signal.signal(signal.SIGTERM, handle), signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(error):
            loop(model, optimizer, loader, searches=1)
    finally:
        now = signal.signal(signal.SIGTERM, old[0]), signal.signal(signal.SIGINT, old[1])
    assert now == (handle, signal.default_int_handler)
    assert [one.tolist() for one in (*model.state_dict().values(), *moments, torch.get_rng_state())] == before
    assert [one.grad.tolist() for one in model.parameters()] == gradients
    assert (calls, model.training) == ([], True)


def test_what_only_the_trainer_reaches_is_put_back():
    """A count on the trainer, which the module does not know before it is trained."""
    model, optimizer, loader = parts(None, nothing)
    module = Module(model, optimizer)
    trainer = lightning_trainer()
    trainer.counted = 0

    def use():
        module.trainer.counted += 1
        return 0.0

    model.use = use
    before = trainer.global_step, trainer.should_stop, list(trainer.callbacks), trainer.fit_loop.max_steps
    lrl.find(trainer, module, loader, **SEARCH)
    assert trainer.counted == 0
    assert (trainer.global_step, trainer.should_stop, trainer.callbacks, trainer.fit_loop.max_steps) == before


class Balanced(nn.Module):
    """A criterion with a running mean of its losses."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.ones(()))
        self.seen = []

    def forward(self, outputs, targets):
        loss = nn.functional.mse_loss(outputs, targets)
        self.mean.lerp_(loss.detach(), 0.1)
        self.seen.append(loss.item())
        return loss / self.mean


@pytest.mark.parametrize("is_criterion", [True, False])
def test_what_a_loss_function_keeps_is_put_back(is_criterion):
    criterion, model = Balanced(), nn.Linear(4, 1)

    def loss_fn(model, batch):
        return criterion(model(batch[0]), batch[1])

    x = torch.randn(64, 4)
    batches = list(zip(x.split(8), x.sum(1, keepdim=True).split(8), strict=True))
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    lrfind.find(model, optimizer, batches, criterion if is_criterion else loss_fn, **SEARCH)
    assert (criterion.seen, criterion.mean.item()) == ([], 1.0)


def test_a_dataset_that_is_too_large_to_copy_is_watched_and_has_not_moved():
    inputs = torch.rand(24_000, 28 * 28)  # above what is copied of data
    data = torch.utils.data.TensorDataset(inputs, torch.randint(0, 10, (24_000,)))
    model = torch.nn.Linear(28 * 28, 10)
    optimizer = torch.optim.Adam(model.parameters())
    loader = torch.utils.data.DataLoader(data, 64, shuffle=True)
    lrfind.find(model, optimizer, loader, torch.nn.CrossEntropyLoss(), strategy="range", steps=48, progress=False)


@pytest.mark.parametrize("place", ["frozen", "array"])
def test_what_is_too_large_to_copy_is_watched_wherever_it_lies(place):
    base = torch.nn.Linear(1024, 1024).requires_grad_(requires_grad=False)  # above what is copied of frozen weights
    rows = np.random.default_rng(0).random((18_000, 1024), np.float32)  # 70 MiB

    class Rows(torch.utils.data.Dataset):
        def __len__(self):
            return 512

        def __getitem__(self, index):
            return torch.from_numpy(rows[index]) if place == "array" else torch.randn(1024)

    model = torch.nn.Sequential(base, torch.nn.Linear(1024, 1))
    optimizer = torch.optim.Adam(model[1].parameters())
    before = base.weight.clone()
    loader = torch.utils.data.DataLoader(Rows(), 32, shuffle=True)
    options = {"strategy": "range", "steps": 48, "progress": False}
    lrfind.find(model, optimizer, loader, lambda model, batch: model(batch).square().mean(), **options)
    assert torch.equal(base.weight, before)
