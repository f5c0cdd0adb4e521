"""What training shares with the rest of the process, and with others, is put back too, or refused."""

import importlib
import multiprocessing
import queue
import sys
import threading
from contextvars import ContextVar
from importlib.machinery import SourceFileLoader
from types import SimpleNamespace
from typing import ClassVar

import pytest
import torch
from torch import nn
from torch.nn.modules import module as modules
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

import lrfind
from lrfind.errors import BadInputError
from lrfind.isolation import Kept

HELPER = """
from importlib import import_module

def bump(config):
    config.steps += 1
    config.seen.append(1)
    config.fresh = config.mean.add_(1)
    return config.steps

"""
IMPORTS = {
    "given to a function": "import counted\ndef move(): return bump(counted)",
    "set by name": "import counted\ndef move(): return setattr(counted, 'steps', 1) or counted.steps",
    "in a list": "import counted\nheld = [counted]\ndef move(): return bump(held[0])",
    "imported in the step": "def move():\n    import counted\n    return bump(counted)",
    "of a package": "def move():\n    from package import counted\n    return bump(counted)",
    "by its name": "def move(): return bump(import_module('package.counted'))",
}


@pytest.mark.parametrize("way", IMPORTS)
def test_a_module_of_the_users_is_put_back(way, tmp_path, monkeypatch):
    """However a step comes by it, also where a probe is the first to import it."""
    (tmp_path / "package").mkdir()
    for folder in (tmp_path, tmp_path / "package"):
        (folder / "counted.py").write_text("import torch\nsteps, seen, mean = 0, [], torch.zeros(2)\n")
    (tmp_path / "stepping.py").write_text(HELPER + IMPORTS[way])
    monkeypatch.syspath_prepend(tmp_path)
    step = importlib.import_module("stepping").move
    finders = list(sys.meta_path)
    try:
        with Kept((step,)) as kept:
            for _ in range(2):
                with kept.probe(0):
                    assert step() == 1
        assert sys.meta_path == finders
        module = sys.modules.get("package.counted") or sys.modules["counted"]
        assert (module.steps, module.seen, module.mean.tolist()) == (0, [], [0, 0])
        assert not hasattr(module, "fresh")
        assert type(module.__spec__.loader) is type(module.__loader__) is not type(None)
        assert importlib.reload(module) is module
    finally:
        for name in ("stepping", "counted", "package", "package.counted"):
            sys.modules.pop(name, None)


def test_a_search_within_a_search_leaves_imports_to_the_outer_one(tmp_path, monkeypatch):
    (tmp_path / "counted.py").write_text("steps = 0\n")
    (tmp_path / "stepping.py").write_text("def move():\n    import counted\n    counted.steps += 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    step = importlib.import_module("stepping").move
    before = dict(vars(SourceFileLoader))
    try:
        with Kept((step,)) as outer, outer.probe(0):
            with Kept(()) as inner, inner.probe(0):
                pass
            step()
        assert sys.modules["counted"].steps == 0
        assert dict(vars(SourceFileLoader)) == before
    finally:
        for name in ("stepping", "counted"):
            sys.modules.pop(name, None)


HOOKS = {
    "forward hook": lambda seen: modules.register_module_forward_hook(lambda *_: seen.append(1)),
    "forward pre-hook": lambda seen: modules.register_module_forward_pre_hook(lambda *_: seen.append(1)),
    "backward hook": lambda seen: modules.register_module_full_backward_hook(lambda *_: seen.append(1)),
    "optimizer's hook": lambda seen: register_optimizer_step_post_hook(lambda *_: seen.append(1)),
    "optimizer's pre-hook": lambda seen: register_optimizer_step_pre_hook(lambda *_: seen.append(1)),
}


def trained():
    model = nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)

    def step():
        model(torch.ones(1, 2, requires_grad=True)).sum().backward()
        optimizer.step()

    return step


@pytest.mark.parametrize("name", HOOKS)
def test_what_a_hook_on_all_of_torch_counts_is_put_back(name):
    seen, step = [], trained()
    hook = HOOKS[name](seen)
    try:
        with Kept((step,)) as kept, kept.probe(0):
            step()
            assert seen
        assert seen == []
    finally:
        hook.remove()


class Calls(TorchFunctionMode):
    """Counts the functions of torch that are called."""

    count = 0

    def __torch_function__(self, function, types, args=(), kwargs=None):
        self.count += 1
        return function(*args, **(kwargs or {}))


class Operators(TorchDispatchMode):
    """Counts the operators of torch that run."""

    count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.count += 1
        return function(*args, **(kwargs or {}))


MODES = {
    "functions": (Calls, lambda mode: mode.count),
    "operators": (Operators, lambda mode: mode.count),
    "flops": (lambda: FlopCounterMode(display=False), FlopCounterMode.get_total_flops),
}


@pytest.mark.parametrize("name", MODES)
def test_what_a_mode_counts_is_put_back(name):
    make, look = MODES[name]
    step = trained()
    with make() as mode:
        before = look(mode)
        with Kept((step,)) as kept, kept.probe(0):
            step()
            assert look(mode) > before
        assert look(mode) == before


FILLED = queue.Queue(2)


def filling(filled):
    for number in range(1000):
        filled.put(number)
        if number == 900:
            return


def filling_a_global():
    filling(FILLED)


class Filling:
    def __init__(self, filled):
        self.filled = filled

    def __call__(self):
        filling(self.filled)


THREADS = {
    "argument": lambda filled: threading.Thread(target=filling, args=(filled,)),
    "closure": lambda filled: threading.Thread(target=lambda: filling(filled)),
    "global": lambda _: threading.Thread(target=filling_a_global),
    "attribute": lambda filled: threading.Thread(target=Filling(filled)),
}


@pytest.mark.parametrize("name", THREADS)
def test_a_queue_that_another_thread_fills_is_not_read_by_a_probe(name):
    filled = FILLED if name == "global" else queue.Queue(2)
    thread = THREADS[name](filled)
    thread.start()
    try:
        with pytest.raises(BadInputError, match="another thread"), Kept((lambda: filled.get(),)) as kept, kept.probe(0):
            filled.get()
    finally:
        taken = [filled.get(timeout=10) for _ in range(901)]
        thread.join()
    assert taken == list(range(901))


def test_a_queue_of_another_thread_that_a_probe_fills_is_left_to_that_thread():
    given, seen = queue.Queue(), []

    def writing():
        while (item := given.get()) is not None:
            seen.append(item)

    thread = threading.Thread(target=writing)
    thread.start()
    with Kept((lambda: given.put(1),)) as kept, kept.probe(0):
        given.put(1)
    given.put(None)
    thread.join(10)
    assert not thread.is_alive()
    assert seen == [1]


def test_an_event_that_another_thread_waits_for_is_left_alone():
    event, done = threading.Event(), threading.Event()

    def waiting():
        event.wait()
        done.set()

    thread = threading.Thread(target=waiting)
    thread.start()
    with Kept((lambda: (event, done),)) as kept, kept.probe(0):
        event.set()
        thread.join(10)
    assert event.is_set()
    assert done.is_set()


class Counting(threading.Thread):
    """A thread of the user's with a count of its own."""

    def __init__(self):
        super().__init__()
        self.count, self.ended = 0, False

    def run(self):
        while not self.ended:
            self.count += 1


def test_what_a_running_thread_keeps_is_left_to_it():
    thread = Counting()
    thread.start()
    with Kept((thread,)) as kept, kept.probe(0):
        thread.ended = True
        thread.join(10)
        count = thread.count
    assert thread.count == count > 0


PIPES = {
    "queue of processes": (multiprocessing.Queue, lambda it: it.get(timeout=10), lambda it: it.put(1)),
    "simple queue": (multiprocessing.SimpleQueue, lambda it: it.get(), lambda it: it.put(1)),
    "pipe": (
        lambda: SimpleNamespace(ends=multiprocessing.Pipe()),
        lambda it: it.ends[0].recv(),
        lambda it: it.ends[1].send(1),
    ),
}


@pytest.mark.parametrize("name", PIPES)
def test_what_another_process_sends_is_not_taken_by_a_probe(name):
    make, take, put = PIPES[name]
    it = make()
    put(it)
    with pytest.raises(BadInputError, match="process"), Kept((lambda: take(it),)) as kept, kept.probe(0):
        take(it)
    assert take(it) == 1


class TestManagers:
    """What the process of a manager keeps."""

    MOVES: ClassVar = {
        "dict": (lambda manager: manager.dict(a=[1]), lambda it: it.update(a=[2], b=1), lambda it: it.copy()),
        "list": (lambda manager: manager.list([1, 2]), lambda it: it.append(3), lambda it: it[:]),
        "Value": (lambda manager: manager.Value("i", 1), lambda it: it.set(2), lambda it: it.value),
        "Array": (lambda manager: manager.Array("i", [1, 2]), lambda it: it.__setitem__(0, 5), lambda it: it[:]),
        "Namespace": (
            lambda manager: manager.Namespace(a=1),
            lambda it: (setattr(it, "a", 2), setattr(it, "b", 2)),
            lambda it: (it.a, hasattr(it, "b")),
        ),
    }

    @pytest.fixture
    def manager(self):
        with multiprocessing.get_context("fork").Manager() as manager:
            yield manager

    @pytest.mark.parametrize("name", MOVES)
    def test_it_is_put_back(self, manager, name):
        make, move, look = self.MOVES[name]
        it = make(manager)
        before = look(it)
        with Kept(({"held": it},)) as kept:
            for _ in range(2):
                with kept.probe(0):
                    move(it)
                    assert look(it) != before
                assert look(it) == before

    def test_one_whose_process_has_ended_keeps_nobody_from_searching(self):
        with multiprocessing.get_context("fork").Manager() as manager:
            held = manager.dict()
        beside = []
        with Kept(([held, beside],)) as kept, kept.probe(0):
            beside.append(1)
        assert beside == []


def test_context_variables_are_as_before_whether_they_were_set_or_not():
    counted, unset = ContextVar("counted"), ContextVar("unset", default=0)
    counted.set(3)
    model, batches = nn.Linear(4, 1), [(torch.randn(8, 4), torch.zeros(8, 1))] * 4
    optimizer, seen = torch.optim.SGD(model.parameters(), lr=0.1), []

    def step(model, optimizer, batch):
        for each in (counted, unset):
            each.set(each.get() + 1)
        seen.append((counted.get(), unset.get()))
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(model(batch[0]), batch[1])
        loss.backward()
        optimizer.step()
        return loss

    lrfind.find(model, optimizer, batches, step=step, progress=False)
    assert (counted.get(), unset.get(), unset.get(None)) == (3, 0, None)
    assert seen == []
    step(model, optimizer, batches[0])
    assert seen == [(4, 1)]
