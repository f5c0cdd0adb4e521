import functools
import random
from types import MethodType

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, RandomSampler, TensorDataset

from lrfind.errors import BadInputError
from lrfind.isolation import clone, fresh, preserved, seed_all
from lrfind.isolation.copies import fits


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
        with preserved(holder):
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
    with preserved(data(sampler=sampler)):
        first = sampler.own.random()
    assert sampler.own.random() == first


def test_seeding_makes_batches_repeat():
    loader = data(shuffle=True, generator=torch.Generator())
    batches = []
    for _ in range(2):
        seed_all(7, loader)
        batches.append([batch[0].tolist() for batch in loader])
    assert batches[0] == batches[1]


def test_copies_refer_to_each_other():
    model = nn.Linear(2, 1)
    optimizer = torch.optim.Adam(model.parameters())
    twin, twin_optimizer = clone((model, optimizer))
    assert twin_optimizer.param_groups[0]["params"][0] is twin.weight
    assert twin.weight is not model.weight


def test_a_custom_optimizers_own_attributes_are_copied():
    class Custom(torch.optim.SGD):
        def __init__(self, parameters):
            super().__init__(parameters, lr=0.1)
            self.memory = [1]

    optimizer = Custom([nn.Parameter(torch.ones(1))])
    torch.optim.lr_scheduler.StepLR(optimizer, 1)
    (twin,) = clone((optimizer,))
    twin.memory.append(2)
    assert (optimizer.memory, twin.memory) == ([1], [1, 2])
    assert twin.step is not optimizer.step


def test_what_cannot_be_copied_is_one_sentence():
    model = nn.Linear(2, 1)
    model.kept = model(torch.ones(1, 2))
    with pytest.raises(BadInputError, match="cannot be deep-copied"):
        clone((model,))


def test_a_loader_with_persistent_workers_is_left_alone():
    loader = data(num_workers=1, persistent_workers=True)
    loaders = fresh({"a": loader, "b": [loader]})
    assert len(list(loaders["a"])) == 4
    assert loader._iterator is None
    assert loaders["b"][0] is not loader


def test_a_method_that_an_object_holds_sees_the_copies():
    """An optimizer bound into a partial, a partial into a method, a closure over the module itself."""
    module = nn.Linear(2, 1)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    build = functools.partial(lambda owner, optimizer: (owner, optimizer), optimizer=optimizer)
    module.build = MethodType(functools.update_wrapper(build, nn.Module.train), module)
    module.weigh = lambda: module.weight
    (twin,) = clone((module,))
    owner, built = twin.build()
    assert owner is twin
    assert built.param_groups[0]["params"][0] is twin.weight is twin.weigh()
    assert twin.build.__func__.__wrapped__ is nn.Module.train
    assert module.build()[1] is optimizer
    assert module.weigh() is module.weight


def test_room_for_what_is_noted_is_asked_of_host_memory_wherever_the_model_is():
    model = nn.Linear(10, 10, bias=False, device="meta")  # 400 bytes
    free = {"meta": 2400.0, "cpu": 1200.0}
    assert fits([model], lambda device: free[device.type])
    for short in free:
        assert not fits([model], lambda device, short=short: free[device.type] - (device.type == short))


class Kept(torch.utils.data.IterableDataset):
    """A dataset that reads from an iterator that it keeps."""

    def __init__(self, iterator):
        self.iterator = iterator

    def __iter__(self):
        return self.iterator


class Infinite:
    """A loader of one's own, not of torch's, that goes on where it was left."""

    def __init__(self, batches):
        self.iterator = iter(batches)

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


def test_a_loader_of_ones_own_that_keeps_its_iterator_is_copied_or_refused():
    loader = Infinite([torch.ones(2) * number for number in range(4)])
    assert len(list(fresh(loader))) == len(list(loader)) == 4
    with pytest.raises(BadInputError, match="Infinite reads from an iterator that it keeps"):
        fresh(Infinite(one for one in [torch.ones(2)]))


def test_one_that_makes_its_iterator_anew_is_taken_as_it_is():
    loader = Anew([torch.ones(2)])
    assert fresh(loader) is loader


@pytest.mark.parametrize("rewinds", [False, True])
def test_a_file_that_data_reads_is_left_where_it_was(tmp_path, rewinds):
    (tmp_path / "lines").write_text("1\n2\n3\n")
    data = Lines(tmp_path / "lines", rewinds=rewinds)
    data.file.readline()
    loader = torch.utils.data.DataLoader(data, batch_size=None)
    with preserved(loader, twin := fresh(loader)):
        assert len(list(twin)) == (3 if rewinds else 2)
    assert data.file.readline() == "2\n"
    data.file.close()


def test_a_file_that_is_being_iterated_over_is_an_iterator_like_another(tmp_path):
    (tmp_path / "lines").write_text("1\n2\n")
    data = Lines(tmp_path / "lines", rewinds=False)
    next(data.file)
    with pytest.raises(BadInputError, match="Lines reads from an iterator that it keeps"):
        fresh(data)
    data.file.close()


def test_data_that_keeps_its_iterator_is_copied_or_refused():
    batches = [torch.ones(2) * number for number in range(4)]
    for wrapped in (lambda one: one, torch.utils.data.DataLoader):
        data = Kept(iter(batches))
        first = next(iter(fresh(wrapped(data))))
        assert first.sum() == 0
        assert next(iter(data)).sum() == 0  # not read from by the other one
        with pytest.raises(BadInputError, match=r"Kept reads from an iterator that it keeps, .* make it in __iter__"):
            fresh(wrapped(Kept(one for one in batches)))
