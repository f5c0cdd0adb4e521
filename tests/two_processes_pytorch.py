"""The cases of plain PyTorch, and of the loops that are built on it, on two processes."""

import itertools
import random
import time
from contextlib import nullcontext

import numpy as np
import torch
import torch.distributed as dist
from accelerate import Accelerator
from lightning.fabric import Fabric
from torch import nn
from torch.distributed.checkpoint.state_dict import get_state_dict
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FullyShardedDataParallel, ShardingStrategy, fully_shard
from torch.distributed.tensor import DTensor
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, TensorDataset

import lrfind
import lrfind.rank_store

OPTIONS = {"progress": False, "steps": 40}


def network():
    body = nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.1))
    return nn.Sequential(body, nn.Linear(16, 1))


def ddp():
    return DistributedDataParallel(network())


def fsdp2():
    model, mesh = network(), init_device_mesh("cpu", (2,))
    fully_shard(model[0], mesh=mesh)
    return fully_shard(model, mesh=mesh, reshard_after_forward=False)  # the head stays whole after an evaluation


def fsdp1(use_orig_params, strategy=ShardingStrategy.FULL_SHARD):
    def make():
        model, device = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1)), torch.device("cpu")
        options = {"use_orig_params": use_orig_params, "sharding_strategy": strategy, "device_id": device}
        model[0] = FullyShardedDataParallel(model[0], **options)
        return FullyShardedDataParallel(model, **options)

    return make


def tensor_parallel():
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1))
    plan = {"0": ColwiseParallel(), "2": RowwiseParallel()}
    return parallelize_module(model, init_device_mesh("cpu", (2,)), plan)


def data(rank, workers=0, length=160):
    x = torch.randn(length, 8, generator=torch.Generator().manual_seed(rank))
    noise = 0.1 * torch.randn(length, 1, generator=torch.Generator().manual_seed(9 + rank))
    return DataLoader(TensorDataset(x, x[:, :1].sin() + noise), batch_size=16, shuffle=True, num_workers=workers)


def step(model, optimizer, batch):
    optimizer.zero_grad()
    loss = F.mse_loss(model(batch[0]), batch[1])
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    return loss.detach()


def accumulating():
    """Return a step that steps the optimizer at every second batch, and reduces gradients only there."""
    counter = itertools.count(1)

    def half(model, optimizer, batch):
        is_last = next(counter) % 2 == 0
        with nullcontext() if is_last else model.no_sync():
            loss = F.mse_loss(model(batch[0]), batch[1])
            (loss / 2).backward()
        if is_last:
            optimizer.step()
            optimizer.zero_grad()
        return loss.detach()

    return half


def saved(make, **options):
    """Return a case in which, after a search, an evaluation ends training, and then a checkpoint is made."""

    def case(rank):
        outcomes = []
        for is_searched in (True, False):
            model, optimizer, loader = prepared(make, rank, "fresh")
            if is_searched:
                finding = by_loss(**options)(model, optimizer, loader, None)
            train(model, optimizer, loader, step)
            model.eval()
            with torch.no_grad():
                model(next(iter(loader))[0])
            weights, moments = get_state_dict(model, optimizer)
            moments = {f"{one}.{name}": part for one, kept in moments["state"].items() for name, part in kept.items()}
            outcomes.append({name: local(part) for name, part in {**weights, **moments}.items()})
        return {"lr": finding.lr, "moved": [], "differs": differences(*outcomes)}

    return case


def seed(number):
    random.seed(number)
    np.random.seed(number)
    torch.manual_seed(number)


def local(tensor, copies=True):
    part = (tensor.to_local() if isinstance(tensor, DTensor) else tensor).detach()
    return part.clone() if copies else part


def state_of(model, optimizer):
    """Return all that is to be as it was, by name."""
    for each in model.modules():
        if hasattr(each, "reshard"):
            each.reshard()
    found = {name: local(one) for name, one in (*model.named_parameters(), *model.named_buffers())}
    found |= {f"{name}.grad": local(one.grad) for name, one in model.named_parameters() if one.grad is not None}
    for index, kept in enumerate(optimizer.state.values()):
        found |= {f"{index}.{name}": local(torch.as_tensor(one)) for name, one in kept.items()}
    found["torch"], found["python"] = torch.get_rng_state(), torch.tensor(hash(random.getstate()))
    found["numpy"] = torch.as_tensor(np.random.get_state()[1].astype(np.int64))
    return found


def differences(one, other):
    return [
        name for name in {**one, **other} if name not in one or name not in other or not same(one[name], other[name])
    ]


def same(one, other):
    return torch.equal(torch.as_tensor(one).nan_to_num(), torch.as_tensor(other).nan_to_num())


def train(model, optimizer, loader, body):
    """Train for two passes; return the losses."""
    model.train()
    return [float(body(model, optimizer, batch)) for _ in range(2) for batch in loader]


def prepared(make, rank, when, workers=0, is_split=True, length=160):
    """Return a model, its optimizer and its data: fresh, after an evaluation, or in the middle of training."""
    seed(0)
    model = make()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    loader = data(rank if is_split else 0, workers, length)
    if when == "evaluated":
        model.eval()
        with torch.no_grad():
            model(next(iter(loader))[0])
    if when == "mid-training":
        for batch in itertools.islice(loader, 3):
            step(model, optimizer, batch)
    return model, optimizer, loader


def beside(make, rank, when="fresh", find=None, new_step=lambda: step, workers=0, **about):
    """Train after a search and without one; return the rate, and what differs."""
    outcomes, finding = [], None
    for is_searched in (True, False):
        model, optimizer, loader = prepared(make, rank, when, workers, **about)
        body = new_step()
        seed(rank)
        if is_searched:
            is_whole = when == "evaluated"  # which a look at the shards would end
            before = None if is_whole else state_of(model, optimizer)
            finding = find(model, optimizer, loader, body)
            moved = [] if is_whole else differences(before, state_of(model, optimizer))
        losses = train(model, optimizer, loader, body)
        outcomes.append({**state_of(model, optimizer), "losses": losses})
    about = [(record.losses, record.lrs, record.stop) for record in finding.records]
    return {"lr": finding.lr, "records": about, "moved": moved, "differs": differences(*outcomes), "losses": losses}


def by_loss(**options):
    return lambda model, optimizer, loader, body: lrfind.find(
        model, optimizer, loader, nn.MSELoss(), **{**OPTIONS, **options}
    )


def by_step(**options):
    return lambda model, optimizer, loader, body: lrfind.find(
        model, optimizer, loader, step=body, **{**OPTIONS, **options}
    )


def fabric(rank):
    made = Fabric(accelerator="cpu", devices=2, strategy="ddp")
    made.launch()

    def new_step():
        def body(model, optimizer, batch):
            optimizer.zero_grad()
            loss = F.mse_loss(model(batch[0]), batch[1])
            made.backward(loss)
            made.clip_gradients(model, optimizer, max_norm=1.0)
            optimizer.step()
            return loss.detach()

        return body

    return prepared_by(lambda *parts: (*made.setup(*parts[:2]), made.setup_dataloaders(parts[2])), rank, new_step)


def accelerate(rank):
    made = Accelerator(cpu=True, gradient_accumulation_steps=2)

    def new_step():
        def body(model, optimizer, batch):
            with made.accumulate(model):
                loss = F.mse_loss(model(batch[0]), batch[1])
                made.backward(loss)
                optimizer.step()
                optimizer.zero_grad()
            return loss.detach()

        return body

    return prepared_by(lambda *parts: made.prepare(*parts), rank, new_step)


def prepared_by(prepare, rank, new_step):
    """Train after a search and without one, with what a helper makes of model, optimizer and loader."""
    outcomes = []
    for is_searched in (True, False):
        seed(0)
        model = network()
        model, optimizer, loader = prepare(model, torch.optim.Adam(model.parameters(), lr=2e-3), data(0, length=320))
        body = new_step()
        if is_searched:
            finding = by_step()(model, optimizer, loader, body)
        losses = train(model, optimizer, loader, body)
        outcomes.append({**state_of(model, optimizer.optimizer), "losses": losses})
    return {"lr": finding.lr, "moved": [], "differs": differences(*outcomes), "losses": losses}


def not_a_number(rank):
    """On one rank, the loss is NaN from the twentieth batch on."""
    counter = itertools.count()

    def loss_fn(model, batch):
        loss = F.mse_loss(model(batch[0]), batch[1])
        return loss * float("nan") if rank == 1 and next(counter) >= 20 else loss

    options = {**OPTIONS, "strategy": "range", "min_lr": 1e-3}  # so that it has fallen by then
    return beside(ddp, rank, find=lambda *parts: lrfind.find(*parts[:3], loss_fn, **options))


def poisoned(make):
    """Return a case in which one shard alone stops being finite, and training skips every step from then on."""

    def case(rank):
        def new_step():
            counter = itertools.count()

            def careful(model, optimizer, batch):
                if next(counter) == 20 and rank == 1:
                    local(next(model.parameters()), copies=False).view(-1)[0] = float("nan")
                loss = F.mse_loss(model(batch[0]), batch[1])
                seen = loss.detach().clone()
                dist.all_reduce(seen)
                if seen.isfinite():
                    loss.backward()
                    optimizer.step()
                optimizer.zero_grad()
                return loss.detach()

            return careful

        find, is_split = by_step(strategy="range"), make is not tensor_parallel
        return beside(make, rank, find=find, new_step=new_step, is_split=is_split)

    return case


def alone(rank):
    """Rank 0 searches for a plain model; the other rank goes on and meets it only afterwards."""
    found = beside(network, rank, find=by_loss()) if rank == 0 else {"lr": None, "moved": [], "differs": []}
    dist.barrier()
    return found


def failing(who, where, after=5, make=ddp, stays=0.0):
    """Return a case in which some ranks fail in a probe; their processes go, or stay for some seconds."""

    def case(rank):
        lrfind.rank_store.STUCK = 1.0
        model, optimizer, loader = prepared(make, rank, "mid-training")
        batches, counter = list(loader), itertools.count()
        seed(rank)
        before = state_of(model, optimizer)

        def fail_in(place):
            if place == where and rank in who and next(counter) >= after:
                raise ValueError(f"rank {rank} fails in its {place}")

        hook = next(model.parameters()).register_hook(lambda gradient: fail_in("backward"))

        class Batches:
            def __iter__(self):
                for batch in batches:
                    fail_in("loader")
                    yield batch

        def loss_fn(model, batch):
            fail_in("loss")
            return F.mse_loss(model(batch[0]), batch[1])

        start, said = time.monotonic(), None
        try:
            lrfind.find(model, optimizer, Batches(), loss_fn, **OPTIONS)
        except Exception as error:  # noqa: BLE001, whatever it is, the test is to hear of it
            said = type(error).__name__, str(error)
        seconds, moved = time.monotonic() - start, differences(before, state_of(model, optimizer))
        hook.remove()
        time.sleep(stays if rank in who else 0.0)
        losses = train(model, optimizer, batches, step) if len(who) == 2 else []
        return {"said": said, "seconds": seconds, "moved": moved, "losses": losses}

    return case


def skipping(rank):
    """Return a step that one rank skips now and then, as a gradient scaler of its own would."""
    counter = itertools.count(1)

    def body(model, optimizer, batch):
        optimizer.zero_grad()
        loss = F.mse_loss(model(batch[0]), batch[1])
        loss.backward()
        if not (rank == 1 and next(counter) % 5 == 0):
            optimizer.step()
        return loss.detach()

    return body


def averaging(rank, is_late=False):
    """No type says that the model is parallel: the step averages gradients, or every now and then weights.

    In the latter case, the losses of one rank diverge, so that its own probe would end, before the first average.
    """
    group = dist.new_group([0, 1])

    def new_step():
        counter = itertools.count(1)

        def body(model, optimizer, batch):
            optimizer.zero_grad()
            count, loss = next(counter), F.mse_loss(model(batch[0]), batch[1])
            loss.backward()
            if not is_late:
                average(group, (part.grad for part in model.parameters()))
            optimizer.step()
            if is_late and count % 55 == 0:
                average(group, (part.data for part in model.parameters()))
            return loss.detach() * (1e3 if is_late and rank == 1 and count > 45 else 1.0)

        return body

    options = {"steps": 60, "max_lr": 0.3} if is_late else {}
    return beside(network, rank, find=by_step(**options), new_step=new_step)


def average(group, tensors):
    for tensor in tensors:
        dist.all_reduce(tensor, group=group)
        tensor /= 2


def alone_with_files(rank):
    """Rank 0 searches, then each rank for its own, and each keeps what has run in a file."""
    files = by_loss(resume=f"search{rank}.json")
    alone = files(*prepared(network, 0, "fresh"), None).lr if rank == 0 else None
    dist.barrier()
    found = beside(network, rank, find=files)
    assert alone in (None, found["lr"])
    assert found["lr"] == by_loss()(*prepared(network, rank, "fresh"), None).lr
    return found


def differing(*options):
    """Return a case in which ranks search for different things."""

    def case(rank):
        try:
            return {"lr": by_loss(**options[rank])(*prepared(ddp, rank, "fresh"), None).lr, "moved": [], "differs": []}
        except lrfind.BadInputError as error:
            return {"said": [type(error).__name__, str(error)], "moved": []}

    return case


def lbfgs(rank):
    """Its line search judges losses by itself, and the loss of each rank is another one."""
    seed(0)
    model, loader = DistributedDataParallel(nn.Linear(8, 1)), data(rank)
    optimizer = torch.optim.LBFGS(model.parameters(), 0.1, max_iter=3, line_search_fn="strong_wolfe")
    finding = by_loss(strategy="range", steps=24)(model, optimizer, loader, None)
    return {"lr": finding.lr, "moved": [], "differs": []}


def late_to_search(rank):
    """One rank calls find some seconds after the other."""
    lrfind.rank_store.STUCK = 0.5
    parts = prepared(ddp, rank, "fresh")
    time.sleep(2.0 * rank)
    return {"lr": by_loss(strategy="range")(*parts, None).lr, "moved": [], "differs": []}


def late_to_average(rank):
    """One rank calls find 8 s after the other, and no type says that they train together."""
    time.sleep(8.0 * rank)
    return averaging(rank)


def too_late_to_average(rank):
    """One rank has searched alone, and trains, as the other one calls find; only then do steps communicate."""
    lrfind.rank_store.GRACE = 0.5
    group, averages = dist.new_group([0, 1]), rank == 1

    def body(model, optimizer, batch):
        optimizer.zero_grad()
        loss = F.mse_loss(model(batch[0]), batch[1])
        loss.backward()
        if averages:
            average(group, (part.grad for part in model.parameters()))
        optimizer.step()
        return loss.detach()

    parts = prepared(network, rank, "fresh")
    time.sleep(6.0 * rank)
    try:
        lr = by_step(strategy="range")(*parts, body).lr
    except lrfind.BadInputError as error:
        return {"said": [type(error).__name__, str(error)], "moved": []}
    averages = True
    body(*parts[:2], next(iter(parts[2])))
    return {"lr": lr, "moved": [], "differs": []}


def searched(make, when="fresh", find=None, **about):
    return lambda rank: beside(make, rank, when, find or by_loss(), **about)


WHEN = ("fresh", "evaluated", "mid-training")
CASES = {
    **{f"ddp {when}": searched(ddp, when) for when in WHEN},
    "ddp range": searched(ddp, find=by_loss(strategy="range")),
    "ddp step": searched(ddp, find=by_step()),
    "ddp step range": searched(ddp, "mid-training", by_step(strategy="range")),
    "ddp accumulate": searched(ddp, find=by_loss(accumulate=2)),
    "ddp step with no_sync": searched(ddp, find=by_step(), new_step=accumulating),
    "ddp workers": searched(ddp, find=by_loss(strategy="range"), workers=1),
    **{f"fsdp2 {when}": searched(fsdp2, when) for when in WHEN},
    "fsdp2 range": searched(fsdp2, "evaluated", by_loss(strategy="range")),
    "fsdp2 step": searched(fsdp2, "mid-training", by_step()),
    "fsdp2 saved": saved(fsdp2),
    "fsdp2 accumulate": searched(fsdp2, find=by_loss(accumulate=2)),
    **{f"fsdp1 {when}": searched(fsdp1(True), when) for when in WHEN},
    **{f"fsdp1 flat {when}": searched(fsdp1(False), when) for when in WHEN},
    "fsdp1 shard_grad_op": searched(fsdp1(True, ShardingStrategy.SHARD_GRAD_OP), "evaluated"),
    **{f"tensor parallel {when}": searched(tensor_parallel, when, is_split=False) for when in WHEN},
    "tensor parallel range": searched(tensor_parallel, find=by_loss(strategy="range"), is_split=False),
    "fabric": fabric,
    "accelerate": accelerate,
    "nan on one rank": not_a_number,
    "fsdp1 nan in one shard": poisoned(fsdp1(False)),
    "fsdp2 nan in one shard": poisoned(fsdp2),
    "tensor parallel nan in one shard": poisoned(tensor_parallel),
    "rank 0 alone": alone,
    "ddp skips steps on one rank": lambda rank: beside(ddp, rank, find=by_step(), new_step=lambda: skipping(rank)),
    "gradients averaged in a group": averaging,
    "models averaged late": lambda rank: averaging(rank, is_late=True),
    "each alone with a file": alone_with_files,
    "ddp of other lengths": differing({"total_steps": 900}, {"total_steps": 300}),
    "ddp options fail": differing({"method": "valley"}, {"method": "steepest"}),
    "ddp strategies fail": differing({"strategy": "range"}, {"strategy": "auto"}),
    "lbfgs": lbfgs,
    "one begins late": late_to_search,
    "one begins to average late": late_to_average,
    "one begins too late and fails": too_late_to_average,
    "both fail in backward": failing((0, 1), "backward", 10),
    "both fail at once": failing((0, 1), "loss", 0),
    "both fail later": failing((0, 1), "loss", 30),
    **{f"rank {rank} fails in its loss": failing((rank,), "loss") for rank in (0, 1)},
    **{f"rank {rank} fails in its first loss": failing((rank,), "loss", 0) for rank in (0, 1)},
    **{f"rank {rank} fails in its loader": failing((rank,), "loader") for rank in (0, 1)},
    "rank 1 fails and stays": failing((1,), "loss", stays=2.5),
    "rank 1 fails under fsdp2": failing((1,), "loss", make=fsdp2),
}
