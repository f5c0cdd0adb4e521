"""Everything that a probe can reach is put back, wherever it is kept: the walk and the notes, without a training."""

import asyncio
import functools
import gc
import importlib
import io
import itertools
import logging
import mmap
import multiprocessing
import os
import queue
import random
import signal
import subprocess
import sys
import threading
import warnings
import weakref
from array import array
from collections import ChainMap, Counter, OrderedDict, UserDict, defaultdict, deque
from contextvars import ContextVar
from dataclasses import dataclass, field
from io import BytesIO, StringIO
from types import ModuleType, SimpleNamespace
from typing import ClassVar, NamedTuple, Protocol
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
import tqdm
from rich.console import Console
from rich.progress import Progress
from torch import nn
from torch.utils.data import DataLoader, RandomSampler, TensorDataset

import lrfind
from lrfind.errors import BadInputError, NotPutBackError
from lrfind.isolation import Kept, fresh, generators_kept, memory, seed_all
from lrfind.isolation.memory import LEAST
from lrfind.isolation.reach import MOST


def data(**options):
    return DataLoader(TensorDataset(torch.arange(16.0)), batch_size=4, **options)


def draw(*generators):
    globals_ = (random.random(), np.random.rand(), torch.rand(()).item())
    return (*globals_, *(torch.rand((), generator=generator).item() for generator in generators))


@pytest.mark.parametrize("fails", [False, True])
def test_every_generator_is_put_back(fails):
    first, second = torch.Generator(), torch.Generator()
    third = np.random.default_rng(3)
    sampler = RandomSampler(range(16), generator=first)
    holder = {"loader": data(sampler=sampler), "other": [second], "numpy": third}
    seed_all(1, holder)
    before = third.bit_generator.state
    wanted = draw(first, second)
    seed_all(1, holder)
    try:
        with Kept((holder,)) as kept, kept.probe(7):
            draw(first, second)
            third.random()
            list(holder["loader"])
            if fails:
                raise KeyboardInterrupt
    except KeyboardInterrupt:
        assert fails
    assert draw(first, second) == wanted
    assert third.bit_generator.state == before


@pytest.mark.parametrize("make", [random.Random, np.random.RandomState, np.random.default_rng])
def test_a_generator_that_a_sampler_keeps_is_put_back(make):
    sampler = RandomSampler(range(16))
    sampler.own = make(0)
    with Kept((), (data(sampler=sampler),)) as kept, kept.probe(5):
        first = sampler.own.random()
    assert sampler.own.random() == make(0).random() != first


@pytest.mark.parametrize("error", [None, KeyboardInterrupt])
def test_the_global_generators_are_put_back_without_a_walk(error):
    torch.manual_seed(0)
    wanted = draw()
    torch.manual_seed(0)
    state, numbers = random.getstate(), np.random.get_state()[1].tolist()
    with pytest.raises(error) if error else generators_kept(), generators_kept():
        draw()
        if error:
            raise error
    assert (random.getstate(), np.random.get_state()[1].tolist()) == (state, numbers)
    assert draw()[2] == wanted[2]


def test_seeding_makes_batches_repeat():
    loader = data(shuffle=True, generator=torch.Generator())
    batches = []
    for _ in range(2):
        seed_all(7, loader)
        batches.append([batch[0].tolist() for batch in loader])
    assert batches[0] == batches[1]


def test_a_probe_seeds_what_it_reaches_and_the_next_one_draws_the_same():
    generator, drawn = torch.Generator(), []
    with Kept((generator,)) as kept:
        for seed in (1, 1, 2):
            with kept.probe(seed):
                drawn.append(draw(generator))
    assert drawn[0] == drawn[1] != drawn[2]


class Pair(NamedTuple):
    first: torch.Tensor
    second: torch.Tensor


@dataclass
class Meter:
    total: float = 0.0
    seen: list = field(default_factory=list)

    def update(self, value):
        self.total += value
        self.seen.append(value)


@dataclass(frozen=True, slots=True)
class Frozen:
    values: list
    mean: torch.Tensor


class Slotted:
    __slots__ = ("__own", "count", "unset")

    def __init__(self):
        self.count, self.__own = 0, [1]

    def move(self):
        self.count += 1
        self.unset = 1
        self.__own.append(2)
        self.__own = [*self.__own]

    def __repr__(self):
        return repr((self.count, hasattr(self, "unset"), self.__own))


class Both(Slotted):
    """Slots of its parent, and a dictionary."""

    def move(self):
        super().move()
        self.more = 1

    def __repr__(self):
        return super().__repr__() + repr(vars(self))


class Bag(dict):
    """A dictionary with an attribute."""

    count = 0

    def move(self):
        self.count += 1
        self["a"] = self["a"] + 1

    def __repr__(self):
        return super().__repr__() + repr(self.count)


class Totals:
    """State in a class."""

    count, seen = 0, deque([0], maxlen=2)

    @classmethod
    def move(cls):
        cls.count += 1
        cls.seen.append(1)
        cls.fresh = 1


class Inherited(Totals):
    """State in the class of a parent."""

    def move(self):
        Totals.count += 1
        Totals.seen.append(2)


def of_totals(_):
    return repr((Totals.count, Totals.seen, hasattr(Totals, "fresh")))


class Scaled(torch.autograd.Function):
    """State in a class of the user's over one of torch's own."""

    seen: ClassVar = []


class Typed(Protocol):
    seen: ClassVar = []


class Wrapped(torch.Tensor):
    seen: ClassVar = []


class Noting(logging.Handler):
    """An attribute of the user's beside those of a library that is not entered."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def move(self):
        self.seen.append(1)
        self.fresh = 1


class Working(threading.Thread):
    def __init__(self):
        super().__init__()
        self.seen = []

    move = Noting.move


def bars_of_rich():
    made = Progress(console=Console(file=StringIO()))
    made.add_task("training", total=9)
    return made


def seen_of(it):
    return repr((it.seen, hasattr(it, "fresh")))


def filled(kind):
    made = kind()
    made.put_nowait(1)
    return made


def objects():
    made = np.empty(2, dtype=object)
    made[:] = [[1], {"a": 2}]
    return made


def move_objects(it):
    it[0].append(3)
    it[1] = None


def bits(it):
    """Values, bit for bit, and where they lie: two that are equal look alike, NaN too."""
    return repr((it.tolist(), it.shape, getattr(it, "requires_grad", None), getattr(it, "grad", None)))


def replaced(it):
    it.data = torch.ones(5)


def with_gradient():
    it = nn.Parameter(torch.ones(2))
    it.sum().backward()
    return it


def move_gradient(it):
    it.grad.mul_(3)
    it.grad = None
    it.requires_grad_(False)


def set_item(it):
    it[0] = 9


def view():
    return torch.arange(12.0).reshape(3, 4).t()[1:, ::2]


def sparse():
    return torch.eye(3).to_sparse()


def nested():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # their API may change
        return torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)])


def context_variable():
    made = ContextVar("made")
    made.set([0])
    return made


def move_context_variable(it):
    it.get().append(1)
    it.set([*it.get(), 2])


class Counting(logging.Filter):
    def __init__(self):
        super().__init__()
        self.count = 0

    def filter(self, record):
        self.count += 1
        return False


def logger():
    made = logging.Logger("made")
    made.addFilter(Counting())
    made.calls = 0
    return made


def move_logger(it):
    it.warning("one more")
    it.addHandler(logging.NullHandler())
    it.calls += 1


def with_objects():
    made = np.zeros(2, dtype=[("a", "i4"), ("b", "O")])
    made["b"][0] = [1]
    return made


def move_with_objects(it):
    it["b"][0].append(2)
    it["b"][1], it["a"][1] = 3, 4


def rewritten():
    def rewritten():
        return 1

    return rewritten


CONTAINERS = {
    "context variable": (context_variable, move_context_variable, lambda it: repr(it.get())),
    "logger": (logger, move_logger, lambda it: (it.calls, it.filters[0].count, len(it.handlers))),
    "element of XML": (
        lambda: ElementTree.fromstring("<a n='1'><b/></a>"),
        lambda it: (it.set("n", "2"), it.append(ElementTree.Element("c")), it[0].set("n", "3")),
        ElementTree.tostring,
    ),
    "file in memory, in its middle": (
        lambda: BytesIO(b"abc"),
        lambda it: (it.seek(1), it.write(b"d"), it.seek(0)),
        BytesIO.getvalue,
    ),
    "structured array with objects": (with_objects, move_with_objects, repr),
    "view of bytes": (lambda: memoryview(bytearray(b"abc"))[1:], lambda it: it.__setitem__(0, 7), bytes),
    "code of a function": (
        rewritten,
        lambda it: setattr(it, "__code__", (lambda: 2).__code__),
        lambda it: it(),
    ),
    "tensor written to with a graph": (
        lambda: torch.zeros(2),
        lambda it: it.add_(torch.ones(2, requires_grad=True)),
        lambda it: (it.tolist(), it.requires_grad, it.is_leaf),
    ),
    "list": (lambda: [1, [2]], lambda it: (it[1].append(3), it.reverse()), repr),
    "nested": (lambda: {"a": ([{"b": [1]}],)}, lambda it: it["a"][0][0]["b"].append(2), repr),
    "deque": (lambda: deque([1, 2], maxlen=2), lambda it: it.append(3), repr),
    "Counter": (lambda: Counter("aab"), lambda it: it.update("bbb"), repr),
    "OrderedDict": (lambda: OrderedDict(a=1, b=2), lambda it: it.move_to_end("a"), repr),
    "defaultdict": (lambda: defaultdict(list, a=[1]), lambda it: it["b"].append(1), repr),
    "subclass of dict": (lambda: Bag(a=1), Bag.move, repr),
    "UserDict": (lambda: UserDict(a=1), lambda it: it.update(b=2), repr),
    "ChainMap": (lambda: ChainMap({}, {"a": 1}), lambda it: it.update(b=2), repr),
    "namespace": (lambda: SimpleNamespace(a=1), lambda it: setattr(it, "a", 2), repr),
    "set": (lambda: {1, 2}, lambda it: (it.add(3), it.discard(1)), sorted),
    "bytearray": (lambda: bytearray(b"ab"), lambda it: it.extend(b"c"), bytes),
    "array.array with NaN": (lambda: array("d", [float("nan")]), lambda it: it.append(3.0), repr),
    "array.array": (lambda: array("d", [1.0, 2.0]), lambda it: (it.pop(0), it.append(3.0)), list),
    "dataclass": (Meter, lambda it: it.update(1.0), repr),
    "frozen dataclass with slots": (
        lambda: Frozen([1], torch.zeros(2)),
        lambda it: (it.values.append(2), it.mean.add_(1)),
        repr,
    ),
    "slots": (Slotted, Slotted.move, repr),
    "slots and attributes": (Both, Both.move, repr),
    "namedtuple of tensors": (lambda: Pair(torch.zeros(2), torch.ones(2)), lambda it: it.second.mul_(2), repr),
    "class": (lambda: Totals, lambda it: it.move(), of_totals),
    "class of an object": (Totals, lambda it: type(it).move(), of_totals),
    "class of a parent": (Inherited, Inherited.move, of_totals),
    "class over a function of torch": (lambda: Scaled, lambda it: it.seen.append(1), seen_of),
    "class over a protocol": (lambda: Typed, lambda it: it.seen.append(1), seen_of),
    "class over a tensor": (lambda: Wrapped, lambda it: it.seen.append(1), seen_of),
    "handler of one's own": (Noting, Noting.move, seen_of),
    "thread of one's own that does not run": (Working, Working.move, seen_of),
    "event": (threading.Event, threading.Event.set, threading.Event.is_set),
    "semaphore": (lambda: threading.Semaphore(3), lambda it: it.acquire(), lambda it: it._value),
    "bounded semaphore": (lambda: threading.BoundedSemaphore(3), lambda it: it.acquire(), lambda it: it._value),
    "queue": (lambda: filled(queue.Queue), lambda it: it.get(), lambda it: (it.qsize(), it.unfinished_tasks)),
    "queue by priority": (lambda: filled(queue.PriorityQueue), lambda it: it.put(0), lambda it: list(it.queue)),
    "queue of tasks": (lambda: filled(asyncio.Queue), lambda it: it.get_nowait(), asyncio.Queue.qsize),
    "stack of tasks": (lambda: filled(asyncio.LifoQueue), lambda it: it.put_nowait(2), asyncio.Queue.qsize),
    "bar": (lambda: tqdm.tqdm(total=9, file=StringIO()), lambda it: it.update(3), lambda it: it.n),
    "bars of rich": (bars_of_rich, lambda it: it.advance(0), lambda it: it.tasks[0].completed),
    "mapped memory": (lambda: mmap.mmap(-1, 13), set_item, lambda it: it[:]),
    "file in memory": (lambda: BytesIO(b"abc"), lambda it: it.read(2), BytesIO.tell),
    "array": (lambda: np.zeros(3), lambda it: it.__iadd__(1), bits),
    "array of objects": (objects, move_objects, repr),
    "structured array": (lambda: np.zeros(2, dtype=[("a", "i4"), ("b", "f8")]), lambda it: it["b"].fill(1), repr),
    "masked array": (lambda: np.ma.masked_array([1, 2], [False, True]), lambda it: it.mask.fill(False), repr),
    "array with gaps": (
        lambda: np.ndarray((3,), "f8", bytearray(48), strides=(16,)),
        lambda it: it.__iadd__(1),
        bits,
    ),
    "array in order of its columns": (lambda: np.zeros((3, 2), order="F"), lambda it: it.__iadd__(1), bits),
    "view of an array": (lambda: np.zeros((3, 4)).T[::2, 1:], lambda it: it.__iadd__(1), bits),
    "tensor": (lambda: torch.zeros(3), lambda it: it.add_(1), bits),
    "tensor with NaN": (lambda: torch.full((3,), torch.nan), lambda it: it.zero_(), bits),
    "bytes of a tensor": (lambda: torch.zeros(3, dtype=torch.uint8), lambda it: it.add_(1), bits),
    "half precision": (lambda: torch.zeros(3, dtype=torch.bfloat16), lambda it: it.add_(1), bits),
    "complex": (lambda: torch.zeros(3, dtype=torch.complex64), lambda it: it.add_(1j), bits),
    "view": (view, lambda it: it.zero_(), bits),
    "nested tensor": (nested, lambda it: it.unbind()[0].add_(1), lambda it: [each.tolist() for each in it.unbind()]),
    "storage": (lambda: torch.zeros(3).untyped_storage(), lambda it: it.fill_(7), list),
    "sparse": (sparse, lambda it: it.mul_(3), lambda it: bits(it.to_dense())),
    "tensor of another size": (lambda: torch.ones(3), lambda it: it.resize_(9), bits),
    "tensor of other data": (lambda: nn.Parameter(torch.ones(3)), replaced, bits),
    "tensor written through data": (lambda: nn.Parameter(torch.ones(3)), lambda it: it.data.add_(1), bits),
    "tensor written through NumPy": (lambda: torch.ones(3), lambda it: set_item(it.numpy()), bits),
    "gradient": (with_gradient, move_gradient, bits),
    "attribute of a tensor": (lambda: torch.ones(1), lambda it: setattr(it, "mark", 1), lambda it: hasattr(it, "mark")),
    "torch.Generator": (
        lambda: torch.Generator().manual_seed(1),
        lambda it: torch.rand(3, generator=it),
        lambda it: it.get_state().tolist(),
    ),
    "np.random.Generator": (
        lambda: np.random.default_rng(1),
        lambda it: it.normal(),
        lambda it: it.bit_generator.state,
    ),
    "seeds": (lambda: np.random.SeedSequence(1), lambda it: it.spawn(2), lambda it: it.n_children_spawned),
    "seeds of a generator": (
        lambda: np.random.default_rng(1),
        lambda it: it.bit_generator.seed_seq.spawn(2),
        lambda it: it.bit_generator.seed_seq.n_children_spawned,
    ),
    "np.random.RandomState": (
        lambda: np.random.RandomState(1),
        lambda it: it.normal(),
        lambda it: repr(it.get_state()),
    ),
    "random.Random": (lambda: random.Random(1), lambda it: it.gauss(0, 1), random.Random.getstate),
}


@pytest.mark.parametrize("is_data", [False, True], ids=["state", "data"])
@pytest.mark.parametrize("name", CONTAINERS)
def test_what_is_moved_in_any_container_is_put_back(name, is_data):
    make, move, look = CONTAINERS[name]
    it = make()
    holder, before = {"held": it}, look(it)
    with Kept(() if is_data else (holder,), (holder,) if is_data else ()) as kept:
        for seed in range(2):
            with kept.probe(seed):
                move(it)
                assert look(it) != before, "the case moves nothing"
            assert look(it) == before
    assert holder["held"] is it


MOMENTS = {"count": 0}
COUNT, PAIRS = 0, Pair(torch.zeros(2), torch.zeros(2))


def of_a_global():
    global COUNT
    COUNT += 1
    MOMENTS["count"] += 1
    PAIRS.first.add_(1)
    return COUNT, MOMENTS["count"], PAIRS.first.tolist()


def of_a_nested_function():
    def inner():
        global COUNT
        COUNT += 2
        return COUNT

    return inner()


def of_itself():
    of_itself.calls = getattr(of_itself, "calls", 0) + 1
    return of_itself.calls


def of_a_default(counts=array("i", [0])):  # noqa: B008
    counts[0] += 1
    return counts[0]


def of_a_keyword_default(*, seen={"a": deque(maxlen=3)}):  # noqa: B006
    seen["a"].append(len(seen["a"]))
    return list(seen["a"])


def of_a_closure():
    count, seen = 0, set()

    def step():
        nonlocal count
        count += 1
        seen.add(count)
        return count, sorted(seen)

    return step


def of_an_empty_cell():
    def step():
        nonlocal late
        try:
            late += 1
        except NameError:
            late = 1
        return late

    if False:
        late = 0
    return step


@functools.cache
def known(number):
    return [number]


def of_a_cache():
    known(1).append(len(known(1)))
    return list(known(1))


class Called:
    """An object that is called, and one whose method is bound."""

    def __init__(self):
        self.count, self.state = 0, {"mean": torch.zeros(1)}

    def __call__(self):
        self.count += 1
        self.state["mean"] += 1
        return self.count, self.state["mean"].item()

    @property
    def bound(self):
        return self.__call__


def counting(counts):
    counts["a"] += 1
    return counts["a"]


def wrapped(function):
    @functools.wraps(function)
    def wrapper():
        wrapper.calls += 1
        return wrapper.calls, function()

    wrapper.calls = 0
    return wrapper


FUNCTIONS = {
    "global": lambda: of_a_global,
    "nested function": lambda: of_a_nested_function,
    "attribute of itself": lambda: of_itself,
    "default": lambda: of_a_default,
    "keyword default": lambda: of_a_keyword_default,
    "closure": of_a_closure,
    "cell that is empty yet": of_an_empty_cell,
    "cache": lambda: known.cache_clear() or of_a_cache,
    "object that is called": Called,
    "bound method": lambda: Called().bound,
    "partial": lambda: functools.partial(counting, Counter(a=1)),
    "decorated": lambda: wrapped(of_a_closure()),
    "lambda in a lambda": lambda: (lambda counts: lambda: counting(counts))({"a": 0}),
    "module": lambda: nn.BatchNorm1d(2),
}


@pytest.mark.parametrize("is_data", [False, True], ids=["state", "data"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_what_a_function_moves_is_put_back(name, is_data):
    function = FUNCTIONS[name]()

    def call():
        if isinstance(function, nn.Module):
            return function(torch.ones(3, 2)).sum().item(), function.num_batches_tracked.item()
        return function()

    with Kept(() if is_data else (function,), (function,) if is_data else ()) as kept:
        calls = []
        for _ in range(2):
            with kept.probe(0):
                calls.append([call() for _ in range(3)])
    assert calls[0] == calls[1]
    assert [call() for _ in range(3)] == calls[0]
    assert calls[0][0] != calls[0][1], "the case moves nothing"


@pytest.mark.parametrize(
    "import_", ["import counted", "from package import counted", "import package.counted as counted"]
)
def test_what_lies_in_another_module_of_the_users_is_put_back(import_, tmp_path, monkeypatch):
    """``counted.steps`` in a function of a module that imports ``counted``."""
    (tmp_path / "package").mkdir()
    for folder in (tmp_path, tmp_path / "package"):
        (folder / "counted.py").write_text("steps = 0\nseen = []\n")
    training = f"""
{import_}
def step():
    counted.steps += 1
    counted.seen.append(counted.steps)
    return list(counted.seen)
"""
    (tmp_path / "training_of_a_user.py").write_text(training)
    monkeypatch.syspath_prepend(tmp_path)
    names = ("training_of_a_user", "counted", "package", "package.counted")
    module = importlib.import_module(names[0])
    try:
        with Kept((module.step,)) as kept, kept.probe(0):
            assert [module.step(), module.step()] == [[1], [1, 2]]
        assert (module.counted.steps, module.counted.seen) == (0, [])
    finally:
        for name in names:
            sys.modules.pop(name, None)


LATE_IMPORTS = {
    "relative": "from . import counted",
    "relative, by name": "from .counted import meter\n    counted = meter",
    "relative to the parent": "from .. import above as counted",
    "by a string": "counted = importlib.import_module('package.inner.counted')",
    "by a relative string": "counted = importlib.import_module('.counted', __package__)",
    "by a table": "counted = sys.modules['package.inner.counted']",
}


@pytest.mark.parametrize("way", LATE_IMPORTS)
def test_a_module_that_is_there_and_imported_when_a_function_is_called_is_put_back(way, tmp_path, monkeypatch):
    inner = tmp_path / "package" / "inner"
    inner.mkdir(parents=True)
    counted = "class Meter:\n    steps = 0\nsteps, meter = 0, Meter()\n"
    for path in (inner.parent / "__init__.py", inner / "__init__.py"):
        path.touch()
    for path in (inner.parent / "above.py", inner / "counted.py"):
        path.write_text(counted)
    step = f"def step():\n    {LATE_IMPORTS[way]}\n    counted.steps += 1\n    return counted.steps\n"
    (inner / "stepping.py").write_text(f"import importlib, sys\n{step}")
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("package.above", "package.inner.counted"):
        importlib.import_module(name)
    step = importlib.import_module("package.inner.stepping").step
    try:
        with Kept((step,)) as kept, kept.probe(0):
            assert [step(), step()] == [1, 2]
        assert step() == 1
    finally:
        for name in [name for name in sys.modules if name.startswith("package")]:
            del sys.modules[name]


class Counted(nn.Module):
    """Scripted, it keeps these in C++."""

    count: int
    seen: list[int]
    mean: torch.Tensor

    def __init__(self):
        super().__init__()
        self.count, self.seen, self.mean = 0, [1], torch.zeros(1)
        self.layer = nn.BatchNorm1d(1)

    def forward(self, x):
        self.count += 1
        self.seen.append(self.count)
        self.mean = self.mean + 1
        return self.layer(x) * self.count


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("is_loaded", [False, True])
def test_what_a_scripted_module_keeps_in_cpp_is_put_back(is_loaded):
    model = torch.jit.script(nn.Sequential(Counted(), Counted()))
    if is_loaded:
        file = BytesIO()
        torch.jit.save(model, file)
        file.seek(0)
        model = torch.jit.load(file)

    def look():
        each = [(it.count, it.seen, it.mean.item()) for it in model.children()]
        return each, [value.tolist() for value in model.state_dict().values()], model.training

    before = look()
    probed(lambda: (model(torch.randn(4, 1)), model.eval(), next(model.children()).mean.add_(1)), model)
    assert look() == before


def test_what_an_operator_of_the_users_moves_is_put_back():
    seen = []

    @torch.library.custom_op("lrfind_tests::counts", mutates_args=())
    def counts(x: torch.Tensor) -> torch.Tensor:
        seen.append(1)
        return x + len(seen)

    probed(lambda: counts(torch.ones(1)), lambda: counts(torch.ones(1)))
    assert seen == []


class TestModules:
    """What a step may do to a module and an optimizer besides training them."""

    MOVES: ClassVar = {
        "buffer": lambda model, optimizer: model[1].running_mean.add_(1),
        "buffer that is bound anew": lambda model, optimizer: setattr(model[1], "running_mean", torch.ones(3)),
        "weight that is bound anew": lambda model, optimizer: setattr(
            model[0], "weight", nn.Parameter(torch.ones(3, 2))
        ),
        "module that is added": lambda model, optimizer: model.append(nn.Linear(1, 1)),
        "module that is taken away": lambda model, optimizer: model.pop(0),
        "hook that is registered": lambda model, optimizer: model.register_forward_hook(print),
        "hook of a weight": lambda model, optimizer: model[0].weight.register_hook(print),
        "mode": lambda model, optimizer: model[1].eval(),
        "freezing": lambda model, optimizer: model.requires_grad_(False),
        "rate": lambda model, optimizer: optimizer.param_groups[0].update(lr=3.0),
        "param group": lambda model, optimizer: optimizer.add_param_group({"params": [nn.Parameter(torch.ones(1))]}),
        "hook of an optimizer": lambda model, optimizer: optimizer.register_step_post_hook(print),
        "state of an optimizer": lambda model, optimizer: optimizer.state[model[0].weight].update(extra=1),
        "moments": lambda model, optimizer: optimizer.state[model[0].weight]["exp_avg"].add_(1),
        "method that is replaced": lambda model, optimizer: setattr(model, "forward", lambda x: x),
        "class": lambda model, optimizer: setattr(model[1], "__class__", nn.InstanceNorm1d),
    }

    @staticmethod
    def look(model, optimizer):
        held = [vars(one) for one in model.modules()]
        kinds = [type(one) for one in model.modules()]
        groups = [{**group, "params": list(map(id, group["params"]))} for group in optimizer.param_groups]
        state = [
            {name: value.tolist() if torch.is_tensor(value) else value for name, value in one.items()}
            for one in optimizer.state.values()
        ]
        tensors = [
            (id(one), one.requires_grad, one.tolist(), one._backward_hooks or {})
            for one in model.state_dict(keep_vars=True).values()
        ]
        names = (optimizer._optimizer_step_post_hooks, optimizer._optimizer_step_pre_hooks)
        return repr((held, kinds, groups, state, tensors, names))

    @pytest.mark.parametrize("name", MOVES)
    def test_it_is_put_back(self, name):
        model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
        optimizer = torch.optim.Adam(model.parameters())
        model(torch.randn(4, 2)).sum().backward()
        optimizer.step()
        before = self.look(model, optimizer)
        with Kept((model, optimizer)) as kept, kept.probe(0):
            self.MOVES[name](model, optimizer)
            assert self.look(model, optimizer) != before, "the case moves nothing"
        assert self.look(model, optimizer) == before

    def test_lazy_parameters_stay_lazy(self):
        model = nn.Sequential(nn.LazyLinear(4), nn.LazyBatchNorm1d())
        kinds = [type(one) for one in model.modules()]
        hooks = [dict(one._forward_pre_hooks) for one in model.modules()]
        with Kept((model,)) as kept:
            for _ in range(2):
                with kept.probe(0):
                    model(torch.ones(3, 2)).sum().backward()
                assert all(isinstance(one, nn.parameter.UninitializedParameter) for one in model.parameters())
        assert [type(one) for one in model.modules()] == kinds
        assert [dict(one._forward_pre_hooks) for one in model.modules()] == hooks
        assert model(torch.ones(3, 2)).shape == (3, 4)


def array_of(*objects):
    made = np.empty(len(objects), dtype=object)
    for index, each in enumerate(objects):
        made[index] = each
    return made


def probed(step, *state):
    with Kept(state) as kept, kept.probe(0):
        step()


class Reading:
    """A step that reads on in an iterator that it keeps: as an attribute, in a list, in a slot, in a closure."""

    def __init__(self, iterator):
        self.iterator = iterator

    def __call__(self):
        return next(self.iterator)


class ReadingASlot:
    __slots__ = ("iterator",)
    __init__, __call__ = Reading.__init__, Reading.__call__


READERS = {
    "attribute": Reading,
    "slot": ReadingASlot,
    "closure": lambda iterator: lambda: next(iterator),
    "default": lambda iterator: lambda kept=iterator: next(kept),
    "list": lambda iterator: functools.partial(lambda kept: next(kept[0]), [iterator]),
    "dictionary": lambda iterator: functools.partial(lambda kept: next(kept["a"]), {"a": iterator}),
    "tuple": lambda iterator: functools.partial(lambda kept: next(kept[0]), (iterator,)),
    "array of objects": lambda iterator: functools.partial(lambda kept: next(kept[1]), array_of([1, 2], iterator)),
    "set": lambda iterator: functools.partial(lambda kept: next(*kept), {iterator}),
    "frozen set": lambda iterator: functools.partial(lambda kept: next(*kept), frozenset([iterator])),
    "array in a tuple": lambda iterator: functools.partial(lambda kept: next(kept[0][0]), (array_of(iterator),)),
    "partial": lambda iterator: functools.partial(next, iterator),
}
ITERATORS = {
    "of a list": lambda: iter([1, 2, 3, 4, 5]),
    "of a range": lambda: iter(range(1, 6)),
    "cycle": lambda: itertools.cycle([1, 2, 3]),
    "accumulate": lambda: itertools.accumulate([1, 2, 3]),
    "accumulate from a start": lambda: itertools.accumulate([1, 2, 3], initial=5),
    "count": lambda: itertools.count(1),
    "enumerate": lambda: enumerate([5, 6, 7]),
    "zip": lambda: zip([1, 2, 3], itertools.cycle("ab"), strict=False),
    "map": lambda: map(abs, iter([-1, -2, -3])),
    "chain": lambda: itertools.chain([1, 2], [3, 4]),
    "of a dictionary": lambda: iter({"a": 1, "b": 2, "c": 3}),
}


@pytest.mark.parametrize("holder", READERS)
@pytest.mark.parametrize("name", ITERATORS)
def test_an_iterator_of_pythons_own_is_copied_or_refused_and_has_not_moved(name, holder):
    made, plain = ITERATORS[name](), ITERATORS[name]()
    next(made), next(plain)
    read = READERS[holder](made)
    try:
        with Kept((read,)) as kept:
            for _ in range(2):
                with kept.probe(0):
                    first = read()
    except BadInputError as refusal:
        first, message = None, str(refusal)
        assert "a search would use up" in message
    wanted = list(itertools.islice(plain, 7))
    assert [read() for _ in wanted] == wanted
    assert first in (None, wanted[0])
    assert first is not None or (name, holder) not in COPIED


COPIED = list(itertools.product(("of a list", "cycle"), set(READERS) - {"partial"}))


def probe_twice_and_step(step):
    """Make a step in two probes and then in training; from Python 3.14 on, iterators cannot be copied."""
    try:
        with Kept((step,)) as kept:
            for _ in range(2):
                with kept.probe(0):
                    step()
    except BadInputError:
        assert sys.version_info >= (3, 14)
    step()


def test_an_iterator_that_is_in_several_is_copied_once():
    """As where a zip of one iterator with itself gives pairs."""
    each = iter(range(10))
    pairs, chained = zip(each, each, strict=False), itertools.chain(iter([7]), each)

    def step():
        assert [next(pairs), next(chained), next(chained), next(pairs)] == [(0, 1), 7, 2, (3, 4)]

    probe_twice_and_step(step)


class Numbers:
    """An iterator of the user's, whose place is an attribute."""

    def __init__(self):
        self.at = 0

    def __iter__(self):
        return self

    def __next__(self):
        self.at += 1
        return self.at


def test_an_iterator_of_the_users_within_one_of_pythons_is_put_back():
    numbered = enumerate(Numbers())
    assert next(numbered) == (0, 1)

    def step():
        assert next(numbered) == (1, 2)

    probe_twice_and_step(step)


@pytest.mark.parametrize("options", [{}, {"initial": 5}, {"func": max}], ids=str)
def test_an_accumulate_that_is_not_begun_is_copied_or_refused(options):
    made, wanted = (itertools.accumulate([1, 2, 3], **options) for _ in range(2))

    def step():
        assert [next(made), next(made)] == [*itertools.accumulate([1, 2, 3], **options)][:2]

    try:
        probed(step, step)
    except BadInputError:
        assert sys.version_info >= (3, 14)  # where no iterator of Python's can be copied
    assert list(made) == list(wanted)


@pytest.mark.parametrize("holder", READERS)
def test_a_generator_is_refused_by_name_and_has_not_moved(holder):
    read = READERS[holder](number for number in range(5))
    with pytest.raises(BadInputError, match=r"reads on in .*, a generator that a search would use up"):
        probed(read, read)
    assert read() == 0


def test_the_refusal_says_where_the_generator_is():
    read = Reading(number for number in range(5))
    with pytest.raises(BadInputError, match=r"reads on in Reading\.iterator, a generator that"):
        probed(read, read)


def test_a_generator_that_no_step_reads_on_in_is_left_alone():
    read = Reading(number for number in range(5))
    with Kept((read,)) as kept, kept.probe(0):
        pass
    assert read() == 0


class TestInterruptions:
    """Whatever ends a probe: everything is back."""

    @pytest.mark.parametrize(
        "error", [KeyboardInterrupt, SystemExit, torch.OutOfMemoryError, MemoryError, GeneratorExit]
    )
    def test_whatever_ends_a_probe(self, error):
        model = nn.Linear(2, 1)
        before = model.weight.tolist()

        def step():
            model.weight.data.add_(1)
            raise error

        with pytest.raises(error):
            probed(step, model)
        assert model.weight.tolist() == before

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_a_signal_while_things_are_put_back_is_heard_when_all_is_back(self, number):
        class Heard(Exception):
            pass

        def raises(number, frame):
            raise Heard

        class Pressing(BytesIO):
            """Sends a signal as it is compared, which putting back does."""

            armed = False

            def tell(self):
                if Pressing.armed:
                    os.kill(os.getpid(), number)
                return super().tell()

        first, pressing, last = torch.zeros(2), Pressing(b"ab"), torch.zeros(2)

        def step():
            first.add_(1)
            last.add_(1)
            pressing.read(1)
            Pressing.armed = True

        old = signal.signal(number, raises)
        try:
            with pytest.raises(Heard):
                probed(step, [first, pressing, last])
        finally:
            Pressing.armed = False
            signal.signal(number, old)
        assert (first.tolist(), last.tolist(), pressing.tell()) == ([0, 0], [0, 0], 0)
        assert signal.getsignal(number) is old


def large():
    """A frozen weight of 8 MB, which is watched and not copied, beside something that trains."""
    frozen = nn.Parameter(torch.zeros(1 << 21), requires_grad=False)
    model = nn.ParameterDict({"frozen": frozen, "trained": nn.Parameter(torch.zeros(3))})
    return model, torch.optim.SGD([model["trained"]], lr=0.1)


class TestFrozenWeights:
    def test_a_large_one_that_a_step_writes_to_is_named(self):
        model, optimizer = large()

        def step():
            model["frozen"].data[7] = 1.0

        with pytest.raises(NotPutBackError, match=r"the search moved .*frozen.* and could not put it back"):
            probed(step, model, optimizer)

    def test_a_large_one_that_no_step_writes_to_costs_nothing_and_says_nothing(self):
        model, optimizer = large()
        with Kept((model, optimizer)) as kept, kept.probe(0), torch.no_grad():
            model["trained"].add_(1)
        assert model["trained"].tolist() == [0, 0, 0]

    def test_what_is_not_put_back_hides_no_other_error(self):
        model, optimizer = large()

        def step():
            model["frozen"].data[7] = 1.0
            raise KeyError

        with pytest.warns(UserWarning, match="the search moved"), pytest.raises(KeyError):
            probed(step, model, optimizer)

    @pytest.mark.parametrize("every", [1, 5])
    @pytest.mark.parametrize("way", ["no_grad", "data", "lerp", "swap", "inference"])
    def test_a_teacher_that_a_step_averages_into_is_put_back(self, way, every):
        model, teacher = nn.Linear(600, 600), nn.Linear(600, 600).requires_grad_(False)
        before = {name: value.clone() for name, value in teacher.state_dict().items()}
        held = list(teacher.parameters())
        with Kept((model, [teacher])) as kept, kept.probe(0):
            for step in range(1, 6):
                if step % every == 0:
                    for old, new in zip(teacher.parameters(), model.parameters(), strict=True):
                        average(way, old, new)
        assert all(map(torch.equal, teacher.state_dict().values(), before.values()))
        assert all(one is other for one, other in zip(teacher.parameters(), held, strict=True))


def average(way, old, new):
    if way == "data":
        old.data = 0.9 * old.data + 0.1 * new.data
    elif way == "swap":
        old.data.copy_(0.9 * old.data + 0.1 * new.data)
    else:
        with torch.inference_mode() if way == "inference" else torch.no_grad():
            old.lerp_(new, 0.1) if way == "lerp" else old.mul_(0.9).add_(new, alpha=0.1)


def test_a_loader_with_persistent_workers_is_left_alone():
    loader = data(num_workers=1, persistent_workers=True)
    loaders = fresh({"a": loader, "b": [loader]})
    assert len(list(loaders["a"])) == 4
    assert loader._iterator is None
    assert loaders["b"][0] is not loader


class Holding(torch.utils.data.IterableDataset):
    """A dataset that reads from an iterator that it keeps."""

    def __init__(self, iterator):
        self.iterator = iterator

    def __iter__(self):
        return self.iterator


class Infinite:
    """A loader of one's own, not of torch's, that goes on where it was left."""

    def __init__(self, iterator):
        self.iterator = iterator

    def __iter__(self):
        yield from self.iterator


class Anew:
    """A loader that keeps an iterator, and makes it anew each time."""

    def __init__(self, batches):
        self.batches = batches
        self.iterator = (one for one in batches)

    def __iter__(self):
        self.iterator = iter(self.batches)
        return self.iterator


class Lines(torch.utils.data.IterableDataset):
    """A dataset that reads on in a file, or begins at its start."""

    def __init__(self, path, *, rewinds):
        self.file, self.rewinds = path.open(), rewinds

    def __iter__(self):
        if self.rewinds:
            self.file.seek(0)
        while line := self.file.readline():
            yield torch.tensor(float(line))


def batches():
    return [torch.ones(2) * number for number in range(4)]


@pytest.mark.parametrize("kind", [Infinite, Holding])
class TestDataThatKeepsItsIterator:
    def test_it_is_copied_and_has_not_moved(self, kind):
        loader = kind(iter(batches()))
        next(loader.iterator)
        with Kept((), (loader, twin := fresh(loader))) as kept:
            for _ in range(2):
                with kept.probe(0):
                    assert next(iter(twin)).sum() == 2
        assert len(list(loader)) == 3

    def test_or_refused_and_has_not_moved(self, kind):
        loader = kind(one for one in batches())
        with pytest.raises(BadInputError, match=rf"reads on in {kind.__name__}\.iterator, a generator that"):
            probed(lambda: list(fresh(loader)), loader)
        assert len(list(loader)) == 4

    def test_in_a_loader_of_torch_too(self, kind):
        data = kind(iter(batches()))
        loader = DataLoader(data, batch_size=None) if kind is Holding else data
        with Kept((), (loader, twin := fresh(loader))) as kept, kept.probe(0):
            assert len(list(twin)) == 4
        assert len(list(loader)) == 4


def test_one_that_makes_its_iterator_anew_is_taken_as_it_is():
    loader = Anew([torch.ones(2)])
    assert fresh(loader) is loader


@pytest.mark.parametrize("rewinds", [False, True])
def test_a_file_that_data_reads_is_left_where_it_was(tmp_path, rewinds):
    (tmp_path / "lines").write_text("1\n2\n3\n")
    data = Lines(tmp_path / "lines", rewinds=rewinds)
    data.file.readline()
    loader = torch.utils.data.DataLoader(data, batch_size=None)
    with Kept((), (loader, twin := fresh(loader))) as kept, kept.probe(0):
        assert len(list(twin)) == (3 if rewinds else 2)
    assert data.file.readline() == "2\n"
    data.file.close()


def test_a_file_that_is_being_iterated_over_is_put_back_or_refused(tmp_path):
    (tmp_path / "lines").write_text("1\n2\n3\n")
    data = Lines(tmp_path / "lines", rewinds=False)
    next(data.file)
    try:
        probed(lambda: data.file.readline(), data)
    except (BadInputError, NotPutBackError) as refusal:
        assert "file" in str(refusal)  # noqa: PT017
    else:
        assert data.file.readline() == "2\n"
    finally:
        data.file.close()


# What an attack found: each a training that people publish, or a place where state hides.


@functools.lru_cache(maxsize=4)
def cached(number):
    return torch.ones(number)


class OnePerClass(type):
    """A metaclass that keeps what it makes."""

    made: ClassVar = {}

    def __call__(cls):
        if cls not in cls.made:
            cls.made[cls] = super().__call__()
        return cls.made[cls]


class Meter(metaclass=OnePerClass):
    def __init__(self):
        self.step = 0


class Ticks(itertools.count):
    """An iterator of C's with a dictionary of its own."""


def test_a_cache_is_neither_used_nor_filled_by_a_probe():
    def step():
        return cached(random.randrange(1, 40)).sum()

    for _ in range(10):
        step()
    before = cached.cache_info()
    probed(lambda: [step() for _ in range(50)], step)
    assert cached.cache_info() == before
    assert [cached(number).numel() for number in range(1, 40)] == list(range(1, 40))  # its links are whole


def test_what_a_metaclass_keeps_is_put_back():
    Meter()

    def step():
        Meter().step += 1

    probed(step, step)
    assert Meter().step == 0


def test_the_scaler_of_a_gpu_is_put_back():
    scaler = torch.amp.GradScaler("cpu")
    scaler.scale(torch.ones(1))
    scaler.__class__ = torch.cuda.amp.GradScaler  # as published code makes it
    before = scaler.state_dict()
    probed(lambda: (scaler._scale.mul_(2), scaler._growth_tracker.add_(1)), scaler)
    assert scaler.state_dict() == before


def test_memory_that_processes_share_is_put_back():
    count, rows = multiprocessing.Value("i", 3), multiprocessing.Array("d", [1.0, 2.0])

    def step():
        count.value += 1
        rows[0] += 1

    probed(step, step)
    assert (count.value, rows[0]) == (3, 1.0)


def test_a_module_that_a_function_imports_is_put_back():
    import elsewhere as state

    state.reset()

    def step():
        state.steps += 1

    probed(step, step)
    assert state.steps == 0


def test_what_is_reached_through_a_weak_reference_is_put_back():
    teacher = nn.Linear(2, 2)
    reference, before = weakref.ref(teacher), teacher.weight.tolist()

    def step():
        reference().weight.data.add_(1)

    probed(step, step)
    assert teacher.weight.tolist() == before


@pytest.mark.parametrize("make", [itertools.count, Ticks, lambda: iter(range(9))])
@pytest.mark.parametrize("is_bound", [False, True])
def test_an_iterator_of_python_is_not_moved_by_name_or_by_method(make, is_bound):
    iterator = make()
    tick = iterator.__next__ if is_bound else lambda: next(iterator)

    def step():
        return tick()

    probed(lambda: (step(), step()), step)
    assert step() == 0


def test_what_a_large_container_holds_is_put_back():
    rows = [{"seen": 0} for _ in range(MOST + 1)]

    def step():
        rows[7]["seen"] += 1

    probed(step, step)
    assert rows[7] == {"seen": 0}


@pytest.mark.parametrize("inner", [list, dict, deque, lambda: (1, [])])
def test_what_lies_deeper_in_a_large_container_is_put_back(inner):
    rows = [{"seen": inner()} for _ in range(MOST + 1)]

    def step():
        seen = rows[7]["seen"]
        seen = seen[1] if isinstance(seen, tuple) else seen
        seen.update(a=1) if isinstance(seen, dict) else seen.append(1)

    probed(step, step)
    assert rows[7] == {"seen": inner()}


class Unhashable(type):
    def __eq__(cls, other):
        return cls is other


class Odd(metaclass=Unhashable):
    count = 0

    def __init__(self):
        self.seen = []


@pytest.mark.parametrize("is_data", [False, True])
def test_a_class_that_cannot_be_hashed_is_put_back(is_data):
    odd = Odd()

    def step():
        Odd.count += 1
        odd.seen.append(1)

    given = ((), (step,)) if is_data else ((step,),)
    with Kept(*given) as kept, kept.probe(0):
        step()
    assert (Odd.count, odd.seen) == (0, [])


def test_what_an_object_in_c_holds_is_named_where_it_cannot_be_given_back():
    holder = Holder(BytesIO(b"abc"))
    view = holder.thing.getbuffer()  # while which is there, it takes no other state

    def step():
        view[0] = 7

    with pytest.raises(NotPutBackError, match=r"the search moved .*thing and could not put it back"):
        probed(step, holder)
    view.release()


def test_a_generator_that_awaits_is_named():
    async def counting():
        for number in range(9):
            yield number

    counts, loop = counting(), asyncio.new_event_loop()

    def step():
        loop.run_until_complete(anext(counts))

    with pytest.raises(NotPutBackError, match=r"the search moved .*counts and could not put it back"):
        probed(step, step)
    loop.run_until_complete(counts.aclose())
    loop.close()


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta")
def test_a_compressed_sparse_tensor_is_put_back():
    matrix = torch.eye(4).to_sparse_csr()
    probed(lambda: matrix.values().mul_(3), [matrix])
    assert matrix.values().tolist() == [1.0] * 4


def add(seen):
    seen[5] += 1


def exchange(seen):
    seen[[5, -5]] = seen[[-5, 5]]


@pytest.mark.parametrize("move", [add, exchange])
def test_large_data_that_is_written_to_is_named(move):
    seen = np.arange((LEAST["data"] + 8) // 8)
    data = TensorDataset(torch.ones(4))
    data.seen = seen

    def write():
        move(seen)

    with pytest.raises(NotPutBackError, match=r"the search moved .*seen and could not put it back"):
        probed(write, data)


def test_a_loader_that_keeps_its_own_iterator_of_workers_is_refused_and_goes_on():
    class Endless(DataLoader):
        def __init__(self, *args, **options):
            super().__init__(*args, **options)
            self.iterator = super().__iter__()

        def __iter__(self):
            for _ in range(2):
                yield next(self.iterator)

    loader = Endless(TensorDataset(torch.randn(64, 4), torch.randn(64, 1)), 8, num_workers=1)
    model = nn.Linear(4, 1)
    assert len(list(loader)) == 2
    with pytest.raises(BadInputError, match=r"training reads on in Endless\.iterator"):
        lrfind.find(model, torch.optim.SGD(model.parameters(), 0.1), loader, nn.MSELoss(), progress=False)
    assert len(list(loader)) == 2


def test_a_loader_with_workers_of_its_own_in_a_wrapper_begins_anew():
    class Wrapper:
        def __init__(self, loader):
            self.loader = loader

        def __iter__(self):
            yield from self.loader

    inner = DataLoader(
        TensorDataset(torch.randn(64, 4), torch.randn(64, 1)), 16, num_workers=1, persistent_workers=True
    )
    loader, model = Wrapper(inner), nn.Linear(4, 1)
    assert len(list(loader)) == 4
    workers = inner._iterator._workers
    options = {"strategy": "range", "progress": False}
    lrfind.find(model, torch.optim.SGD(model.parameters(), 0.1), loader, nn.MSELoss(), **options)
    assert inner._iterator._workers is workers
    assert len(list(loader)) == 4


def test_what_wraps_tensors_is_put_back():
    """Weights of FSDP2 and of tensor parallelism, on one process."""
    script = """
import torch, torch.distributed as dist, lrfind
from torch import nn
from torch.distributed.fsdp import fully_shard
dist.init_process_group("gloo", rank=0, world_size=1, store=dist.HashStore())
torch.manual_seed(0)
model = nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 1))
for layer in (*model, model):
    fully_shard(layer, mesh=dist.device_mesh.init_device_mesh("cpu", (1,)))
optimizer = torch.optim.Adam(model.parameters())
x = torch.randn(64, 4)
before = [one.full_tensor().tolist() for one in model.parameters()]
lrfind.find(model, optimizer, [(x, x.sum(1, keepdim=True))], nn.MSELoss(), strategy="range", progress=False)
assert [one.full_tensor().tolist() for one in model.parameters()] == before
assert not optimizer.state
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_a_large_container_of_arrays_is_compared_by_what_it_holds():
    rows = [{"seen": np.zeros(2)} for _ in range(MOST + 1)]
    before = rows[7]["seen"]

    def step():
        rows[7]["seen"] = np.ones(2)

    probed(step, step)
    assert rows[7]["seen"] is before


def test_views_of_one_array_are_copied_once():
    array = np.zeros(1000)
    views = [array[start:] for start in range(20)]
    with Kept((views,)) as kept:
        assert sum(kind is memory.COPIED for kind, _, _ in kept._notes) == 1


def test_what_cannot_be_put_back_is_named_where_another_error_is_in_flight():
    rows = (number for number in range(9))
    hidden = frozenset([rows])

    def step():
        next(iter(hidden)).__next__()
        raise ValueError("of the step")

    with pytest.warns(UserWarning, match="the search moved"), pytest.raises(ValueError, match="of the step"):
        probed(step, [hidden])


class Local(threading.local):
    """What each thread has of its own, in a class of the user's."""

    count = 0


@pytest.mark.parametrize("make", [threading.local, Local])
def test_what_the_thread_has_of_its_own_is_put_back(make):
    kept = make()
    kept.seen, kept.mean = [1], torch.zeros(2)

    def step():
        kept.seen.append(2)
        kept.mean.add_(1)
        kept.fresh = 1

    probed(step, step)
    assert (kept.seen, kept.mean.tolist(), hasattr(kept, "fresh")) == ([1], [0, 0], False)


def test_the_environment_is_put_back(monkeypatch):
    monkeypatch.setenv("LRFIND_TEST_KEPT", "before")
    monkeypatch.setenv("LRFIND_TEST_TAKEN", "before")
    monkeypatch.delenv("LRFIND_TEST_FRESH", raising=False)
    before = dict(os.environ)

    def step():
        os.environ.update(LRFIND_TEST_KEPT="after", LRFIND_TEST_FRESH="after")
        del os.environ["LRFIND_TEST_TAKEN"]

    probed(step)
    assert dict(os.environ) == before
    shown = subprocess.run(["env"], capture_output=True, text=True, check=True).stdout.splitlines()
    assert {"LRFIND_TEST_KEPT=before", "LRFIND_TEST_TAKEN=before"} <= set(shown)  # and what a child process is given
    assert not any(line.startswith("LRFIND_TEST_FRESH") for line in shown)


def test_the_calls_that_wait_for_a_device_are_as_before():
    """Seeding torch everywhere would leave one more call, for each probe, to be made when CUDA begins."""
    waiting = len(torch.cuda._queued_calls)
    probed(lambda: torch.rand(1))
    assert len(torch.cuda._queued_calls) == waiting


def test_attributes_of_what_has_them_beside_elements_are_put_back():
    held = OrderedDict(a=1)
    held.count = Counter(a=1)

    def step():
        held.count["a"] += 1
        held.fresh = 1

    probed(step, [held])
    assert (held.count, hasattr(held, "fresh")) == (Counter(a=1), False)


def test_a_dictionary_that_objects_share_is_put_back_and_shared_still():
    class Shared:
        state: ClassVar = {}

        def __init__(self):
            self.__dict__ = self.state

    first, second = Shared(), Shared()
    first.count = 0

    def step():
        first.count += 1
        second.__dict__ = {"count": 7}

    probed(step, [first, second])
    first.count = 3
    assert (second.count, Shared.state) == (3, {"count": 3})


class Watched:
    """A container that counts how often it is read, which noting it and comparing it does not."""

    read = 0

    def __iter__(self):
        self.read += 1
        return super().__iter__()

    def __getitem__(self, name):
        self.read += 1
        return super().__getitem__(name)

    def keys(self):
        self.read += 1
        return super().keys()


@pytest.mark.parametrize("kind", [list, deque, set, dict, OrderedDict, defaultdict])
def test_a_container_that_notices_being_read_is_not_moved_by_being_noted(kind):
    class Kind(Watched, kind):
        pass

    made = Kind()
    fill = made.extend if hasattr(made, "extend") else made.update
    fill([(1, 2), (2, 3)])
    made.read = 0
    probed(lambda: made.clear(), [made])
    assert made.read == 0
    assert len(made) == 2


def test_a_search_that_fails_to_begin_leaves_the_generators_alone_from_then_on():
    class Raises:
        @property
        def __dict__(self):
            raise KeyboardInterrupt

    torch.manual_seed(0)
    expected = torch.rand(3).tolist()
    torch.manual_seed(0)
    drawn = [torch.rand(1).item()]
    with pytest.raises(KeyboardInterrupt):
        Kept((Raises(),)).__enter__()
    drawn += torch.rand(1).tolist()
    gc.collect()
    assert [*drawn, *torch.rand(1).tolist()] == expected


def test_an_array_is_put_back_while_others_look_into_its_memory():
    numbers = array("d", [0.0, 0.0])
    view = memoryview(numbers)
    assert put_back_after(numbers, lambda: numbers.__setitem__(0, 1.0))
    assert view[0] == numbers[0] == 0.0


@pytest.mark.parametrize(
    ("thing", "move", "look"),
    [
        (defaultdict(list), lambda it: setattr(it, "default_factory", set), lambda it: it.default_factory),
        (ValueError(1), lambda it: setattr(it, "args", (2,)), lambda it: it.args),
        (ModuleType("mine"), lambda it: setattr(it, "added", 1), lambda it: hasattr(it, "added")),
    ],
)
def test_what_lies_in_no_dictionary_is_put_back(thing, move, look):
    before = look(thing)
    assert put_back_after(thing, lambda: move(thing))
    assert look(thing) == before


def put_back_after(thing, move):
    with Kept((Holder(thing),)) as kept, kept.probe(0):
        move()
    return True


class Holder:
    def __init__(self, thing):
        self.thing = thing


@pytest.mark.parametrize("shape", [(), (2,)])
def test_an_array_of_objects_beside_an_iterator(shape):
    holder = Holder(np.empty(shape, dtype=object))
    holder.thing[...] = None
    holder.iterator, holder.lists = iter([1, 2]), [[1]]
    with Kept((holder,)) as kept, kept.probe(0):
        next(holder.iterator)
        holder.thing[...] = 3
    assert next(holder.iterator) == 1
    assert (holder.thing == np.full(shape, None)).all()


@pytest.mark.parametrize("length", [3, MOST + 1])
def test_what_an_iterator_goes_over_is_not_copied(length):
    items = tuple(Holder(index) for index in range(length))
    holder = Holder(iter(items))
    with Kept((holder,)) as kept, kept.probe(0):
        assert next(holder.thing) is items[0]
    assert next(holder.thing) is items[0]


@pytest.mark.parametrize("within", [lambda it: it, lambda it: zip(it, it, strict=False)])
def test_a_stream_of_the_users_is_refused(within):
    class Stream(io.RawIOBase):
        def readable(self):
            return True

        def readinto(self, buffer):
            raise AssertionError("it was read")

    holder = Holder(within(Stream()))
    with pytest.raises(BadInputError, match=r"reads on in Holder\.thing"), Kept((holder,)) as kept, kept.probe(0):
        next(holder.thing)


def test_a_container_that_many_rows_share_does_not_hide_a_later_one():
    shared = [0] * 100
    rows = [(index, shared) for index in range(150_000)] + [({"n": [0]},)]
    with Kept((rows,)) as kept, kept.probe(0):
        rows[-1][0]["n"][0] += 1
    assert rows[-1][0]["n"] == [0]
