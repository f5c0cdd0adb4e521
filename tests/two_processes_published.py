"""Trainings of the kind that people publish, on two processes: what they do beside a model in DDP or in shards."""

import itertools
from contextlib import nullcontext

import torch
import torch.distributed as dist
from accelerate import Accelerator
from lightning.fabric import Fabric
from torch import nn
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import fp16_compress_hook
from torch.distributed.algorithms.ddp_comm_hooks.powerSGD_hook import PowerSGDState, powerSGD_hook
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import CPUOffloadPolicy, fully_shard
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, DistributedSampler, IterableDataset, TensorDataset, get_worker_info

import lrfind
from lrfind.isolation import Kept
from lrfind.isolation.memory import COPIED
from tests.two_processes_pytorch import OPTIONS, data, differences, local, network, seed, state_of, step


def published(make, within=lambda model: nullcontext(), begun=0):
    """Return a case: what ``make`` of the rank gives is trained after a search, and without one.

    Args:
        make: Gives what is said below.
        within: Given the model: a context to train in.
        begun: Steps before the search.

    ``make`` returns the model, the optimizer or several, the loader, the step, and what else is to be equal afterwards.
    """

    def case(rank):
        outcomes = []
        for is_searched in (True, False):
            seed(0)
            model, optimizer, loader, body, *others = make(rank)
            seed(rank)
            for batch in itertools.islice(loader, begun):
                body(model, optimizer, batch)
            if is_searched:
                finding = lrfind.find(model, optimizer, loader, step=body, **OPTIONS)
            with within(model):
                losses = [float(body(model, optimizer, batch)) for _ in range(2) for batch in loader]
            optimizers = optimizer if isinstance(optimizer, list) else [optimizer]
            state = {"losses": losses}
            for index, one in enumerate(optimizers):
                kept = state_of(model, getattr(one, "optimizer", getattr(one, "optim", one)))
                state |= {f"{index}.{name}": value for name, value in kept.items()}
            for index, other in enumerate(others):
                parts = other.state_dict() if isinstance(other, nn.Module) else other()
                state |= {f"other {index}.{name}": torch.as_tensor(part) for name, part in parts.items()}
            outcomes.append(state)
        records = [(one.losses, one.lrs, one.stop) for one in finding.records]
        return {"lr": finding.lr, "records": records, "moved": [], "differs": differences(*outcomes)}

    return case


def adam(model):
    return torch.optim.Adam(model.parameters(), lr=2e-3)


def gan(rank):
    """Two models in DDP, each with its optimizer; the discriminator is trained on what the generator makes."""
    makes = DistributedDataParallel(nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 8)))
    judges = DistributedDataParallel(nn.Sequential(nn.Linear(8, 16), nn.LeakyReLU(0.2), nn.Linear(16, 1)))
    first, second = adam(makes), adam(judges)

    def body(models, optimizers, batch):
        real = batch[0]
        made = makes(torch.randn(len(real), 4))
        ones, zeros = torch.ones(len(real), 1), torch.zeros(len(real), 1)
        second.zero_grad()
        whether = F.binary_cross_entropy_with_logits
        loss = whether(judges(real), ones) + whether(judges(made.detach()), zeros)
        loss.backward()
        second.step()
        first.zero_grad()
        whether(judges(made), ones).backward()
        first.step()
        return loss.detach()

    return nn.ModuleList([makes, judges]), [second, first], data(rank), body


class Branches(nn.Module):
    """Uses one of two layers, as the step says."""

    def __init__(self):
        super().__init__()
        self.layers, self.head = nn.ModuleList([nn.Linear(8, 16), nn.Linear(8, 16)]), nn.Linear(16, 1)
        self.counter = itertools.count()

    def forward(self, x):
        return self.head(self.layers[next(self.counter) % 2](x).relu())


def unused(rank):
    model = DistributedDataParallel(Branches(), find_unused_parameters=True)
    return model, adam(model), data(rank), step


class Checkpointed(nn.Module):
    """Computes its layers again in the backward pass, which DDP allows where the graph is static."""

    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Dropout(0.1)), nn.Linear(16, 1)
        self.reentrant = True

    def forward(self, x):
        return self.head(torch.utils.checkpoint.checkpoint(self.body, x, use_reentrant=self.reentrant))


def static_graph(rank):
    model = DistributedDataParallel(Checkpointed(), static_graph=True)

    def body(model, optimizer, batch):
        return step(model, optimizer, [batch[0].requires_grad_(), batch[1]])

    return model, adam(model), data(rank), body


class Queue(nn.Module):
    """Keeps the features of the last batches in a buffer, which DDP broadcasts, as MoCo's queue."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(8, 4)
        self.register_buffer("queue", torch.randn(4, 64))
        self.register_buffer("place", torch.zeros(1, dtype=torch.long))

    def forward(self, x):
        keys = F.normalize(self.layer(x), dim=1)
        scores = torch.cat([(keys * F.normalize(x[:, :4], dim=1)).sum(1, keepdim=True), keys @ self.queue.clone()], 1)
        place = int(self.place)
        self.queue[:, place : place + len(x)] = keys.detach().T
        self.place[0] = (place + len(x)) % 64
        return scores


def broadcast_buffers(rank):
    model = DistributedDataParallel(Queue())

    def body(model, optimizer, batch):
        optimizer.zero_grad()
        scores = model(batch[0])
        loss = F.cross_entropy(scores / 0.2, torch.zeros(len(scores), dtype=torch.long))
        loss.backward()
        optimizer.step()
        return loss.detach()

    return model, adam(model), data(rank), body


class Reduce(torch.autograd.Function):
    """The sum over ranks, also of gradients."""

    @staticmethod
    def forward(ctx, x):
        x = x.clone()
        dist.all_reduce(x)
        return x

    @staticmethod
    def backward(ctx, grad):
        grad = grad.clone()
        dist.all_reduce(grad)
        return grad


class SyncNorm(nn.Module):
    """Normalizes by the batch of all ranks, as ``SyncBatchNorm``, which runs on no CPU."""

    def __init__(self, width):
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))

    def forward(self, x):
        mean = Reduce.apply(x.mean(0)) / dist.get_world_size()
        self.mean.lerp_(mean.detach(), 0.1)
        return (x - mean) / (Reduce.apply(x.var(0)) / dist.get_world_size() + 1e-5).sqrt()


def sync_norm(rank):
    model = DistributedDataParallel(nn.Sequential(nn.Linear(8, 16), SyncNorm(16), nn.ReLU(), nn.Linear(16, 1)))
    return model, adam(model), data(rank), step


def set_epoch(rank):
    """A loader that tells its sampler of each pass."""
    x = torch.randn(256, 8, generator=torch.Generator().manual_seed(0))
    rows = TensorDataset(x, x[:, :1].sin())

    class Passes:
        def __init__(self):
            self.sampler, self.epoch = DistributedSampler(rows), 0
            self.loader = DataLoader(rows, batch_size=16, sampler=self.sampler)

        def __iter__(self):
            self.sampler.set_epoch(self.epoch)
            self.epoch += 1
            return iter(self.loader)

        def __len__(self):
            return len(self.loader)

    model, loader = DistributedDataParallel(network()), Passes()
    return model, adam(model), loader, step, lambda: {"epoch": loader.epoch, "sampler": loader.sampler.epoch}


class Split(IterableDataset):
    """A stream, of which each rank, and each of its workers, reads a part."""

    def __iter__(self):
        worker = get_worker_info()
        count, index = (worker.num_workers, worker.id) if worker else (1, 0)
        generator = torch.Generator().manual_seed(0)
        rows = (torch.randn(8, generator=generator) for _ in range(512))
        every, first = dist.get_world_size() * count, dist.get_rank() * count + index
        yield from ((row, row[:1].sin()) for row in itertools.islice(rows, first, None, every))


def stream(rank):
    model = DistributedDataParallel(network())
    return model, adam(model), DataLoader(Split(), batch_size=16), step


def average(rank):
    """An exponential moving average of the weights beside DDP."""
    model = DistributedDataParallel(network())
    mean = AveragedModel(model.module, multi_avg_fn=get_ema_multi_avg_fn(0.99), use_buffers=True)

    def body(model, optimizer, batch):
        loss = step(model, optimizer, batch)
        mean.update_parameters(model.module)
        return loss

    return model, adam(model), data(rank), body, mean


def uneven(rank):
    """One rank has more data than the other, and training is joined."""
    loader = data(rank, length=256 + 64 * rank)
    model = DistributedDataParallel(network())
    return model, adam(model), loader, step


def zero(rank):
    from torch.distributed.optim import ZeroRedundancyOptimizer  # here, since importing it warns

    model = DistributedDataParallel(network())
    optimizer = ZeroRedundancyOptimizer(model.parameters(), torch.optim.Adam, lr=2e-3)
    return model, optimizer, data(rank), step


def compressed(rank):
    model = DistributedDataParallel(network())
    model.register_comm_hook(None, fp16_compress_hook)
    return model, adam(model), data(rank), step


def power_sgd(rank):
    """Gradients in low rank, with the error of each step kept for the next."""
    model = DistributedDataParallel(nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 1)))
    state = PowerSGDState(None, matrix_approximation_rank=1, start_powerSGD_iter=4, min_compression_rate=1)
    model.register_comm_hook(state, powerSGD_hook)
    return model, adam(model), data(rank), step, lambda: {"iter": state.iter, **dict_of(state.error_dict)}


def dict_of(tensors):
    return {str(name): one.clone() for name, one in tensors.items()}


def compiled(rank):
    model = torch.compile(DistributedDataParallel(network()), backend="aot_eager")
    return model, adam(model), data(rank), step


def compiled_inside(rank):
    model = DistributedDataParallel(torch.compile(network(), backend="aot_eager"))
    return model, adam(model), data(rank), step


def hybrid(rank):
    """In shards within a host, and whole on each host, here of one process."""
    model, mesh = network(), init_device_mesh("cpu", (2, 1), mesh_dim_names=("replicate", "shard"))
    fully_shard(model[0], mesh=mesh)
    return (model := fully_shard(model, mesh=mesh)), adam(model), data(rank), step


def hybrid_across(rank):
    model, mesh = network(), init_device_mesh("cpu", (1, 2), mesh_dim_names=("replicate", "shard"))
    fully_shard(model[0], mesh=mesh)
    return (model := fully_shard(model, mesh=mesh)), adam(model), data(rank), step


def no_sync(rank):
    """In shards, whose gradients are reduced at every second batch only."""
    model, mesh = network(), init_device_mesh("cpu", (2,))
    fully_shard(model[0], mesh=mesh)
    model, counter = fully_shard(model, mesh=mesh), itertools.count(1)

    def body(model, optimizer, batch):
        is_last = next(counter) % 2 == 0
        model.set_requires_gradient_sync(is_last)
        loss = F.mse_loss(model(batch[0]), batch[1])
        (loss / 2).backward()
        if is_last:
            nn.utils.clip_grad_norm_(model.parameters(), 0.5)
            optimizer.step()
            optimizer.zero_grad()
        return loss.detach()

    return model, adam(model), data(rank), body


def inside_a_closure(rank):
    """The search is given the bare model, and the step trains the one in DDP."""
    bare = network()
    wrapped = DistributedDataParallel(bare)

    def body(model, optimizer, batch):
        return step(wrapped, optimizer, batch)

    return bare, adam(bare), data(rank), body


def accelerate(rank):
    """Accelerate with accumulation, clipping, its scheduler, and losses gathered for a log."""
    made = Accelerator(cpu=True, gradient_accumulation_steps=2)
    model = network()
    optimizer = adam(model)
    scheduler = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.1, 64)
    model, optimizer, loader, scheduler = made.prepare(model, optimizer, data(0, length=512), scheduler)
    log = []

    def body(model, optimizer, batch):
        with made.accumulate(model):
            loss = F.mse_loss(model(batch[0]), batch[1])
            made.backward(loss)
            if made.sync_gradients:
                made.clip_grad_norm_(model.parameters(), 0.5)
            optimizer.step()
            scheduler.step()
            optimizer.zero_grad()
        log.append(made.gather(loss.detach()).mean().item())
        return loss.detach()

    return model, optimizer, loader, body, lambda: {"log": log, "rate": scheduler.get_last_lr()}


def fabric_sharded(rank):
    """Fabric's ``ModelParallelStrategy``, which shards by a function."""
    from lightning.fabric.strategies import ModelParallelStrategy

    def shard(model, mesh):
        fully_shard(model[0], mesh=mesh["data_parallel"])
        return fully_shard(model, mesh=mesh["data_parallel"])

    strategy = ModelParallelStrategy(shard, process_group_backend="gloo")
    made = Fabric(accelerator="cpu", devices=2, strategy=strategy)
    made.launch()
    model = made.setup(network())
    optimizer = made.setup_optimizers(adam(model))

    def body(model, optimizer, batch):
        optimizer.zero_grad()
        loss = F.mse_loss(model(batch[0]), batch[1])
        made.backward(loss)
        optimizer.step()
        return loss.detach()

    return model, optimizer, made.setup_dataloaders(data(0, length=512)), body


def fabric_accumulating(rank):
    made = Fabric(accelerator="cpu", devices=2, strategy="ddp")
    made.launch()
    model = network()
    model, optimizer = made.setup(model, adam(model))
    counter = itertools.count(1)

    def body(model, optimizer, batch):
        is_last = next(counter) % 4 == 0
        with made.no_backward_sync(model, enabled=not is_last):
            loss = F.mse_loss(model(batch[0]), batch[1])
            made.backward(loss / 4)
        if is_last:
            made.clip_gradients(model, optimizer, max_norm=0.5)
            optimizer.step()
            optimizer.zero_grad()
        return loss.detach()

    return model, optimizer, made.setup_dataloaders(data(0, length=1024)), body


def bucket_views(rank):
    """Gradients that are views of the memory that is reduced."""
    model = DistributedDataParallel(network(), gradient_as_bucket_view=True)

    def body(model, optimizer, batch):
        optimizer.zero_grad(set_to_none=False)
        loss = F.mse_loss(model(batch[0]), batch[1])
        loss.backward()
        optimizer.step()
        return loss.detach()

    return model, adam(model), data(rank), body


def by_hand(rank):
    """A plain model, whose gradients the step averages over ranks."""
    model = network()

    def body(model, optimizer, batch):
        optimizer.zero_grad()
        loss = F.mse_loss(model(batch[0]), batch[1])
        loss.backward()
        for one in model.parameters():
            dist.all_reduce(one.grad)
            one.grad /= dist.get_world_size()
        optimizer.step()
        return loss.detach()

    return model, adam(model), data(rank), body


def sharded(model, **options):
    mesh = init_device_mesh("cpu", (2,))
    fully_shard(model[0], mesh=mesh, **options)
    return fully_shard(model, mesh=mesh, **options)


def adapters(rank):
    """A frozen network in shards, of which some layers are trained, and an average of them that is kept by hand."""
    model = nn.Sequential(nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 16)), nn.Linear(16, 1))
    model[0].requires_grad_(False)
    model[0][2].bias.requires_grad_(True)
    model = sharded(model)
    trained = [one for one in model.parameters() if one.requires_grad]
    means = [local(one) for one in trained]
    optimizer = torch.optim.Adam(trained, lr=2e-3)

    def body(model, optimizer, batch):
        loss = step(model, optimizer, batch)
        for mean, one in zip(means, trained, strict=True):
            mean.lerp_(local(one), 0.1)
        return loss

    return model, optimizer, data(rank), body, lambda: dict(zip("ab", means, strict=False))


def offloaded(rank):
    return (
        (model := sharded(network(), offload_policy=CPUOffloadPolicy(pin_memory=False))),
        adam(model),
        data(rank),
        step,
    )


def checkpointed_shards(rank):
    model = nn.Sequential(Checkpointed(), nn.Linear(1, 1))
    model[0].reentrant = False
    return (model := sharded(model)), adam(model), data(rank), step


def compiled_shards(rank):
    model = sharded(network())
    model.compile(backend="aot_eager")
    return model, adam(model), data(rank), step


def teacher(rank):
    """A frozen teacher in shards, which is only evaluated."""
    taught, model = sharded(network()).requires_grad_(False), sharded(network())
    taught.eval()

    def body(model, optimizer, batch):
        optimizer.zero_grad()
        with torch.no_grad():
            wanted = taught(batch[0])
        loss = F.mse_loss(model(batch[0]), wanted)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return model, adam(model), data(rank), body, lambda: {n: local(one) for n, one in taught.state_dict().items()}


def both(rank):
    """In columns and in shards: a mesh of two dimensions."""
    mesh = init_device_mesh("cpu", (2, 1), mesh_dim_names=("data", "tensor"))
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1))
    parallelize_module(model, mesh["tensor"], {"0": ColwiseParallel(), "2": RowwiseParallel()})
    return (model := fully_shard(model, mesh=mesh["data"])), adam(model), data(rank), step


def frozen_shards(rank):
    """Of a frozen network in shards nothing is copied: returned is the share of the weights here that is."""
    model = sharded(nn.Sequential(nn.Linear(1024, 1024), nn.Linear(1024, 1)))
    model[0].requires_grad_(False)
    with Kept((model, torch.optim.Adam(model[1].parameters()))) as kept:
        copied = sum(then.nbytes for rule, _, then in kept._notes if rule is COPIED)
    return {"share": copied / sum(local(one).nbytes for one in model.parameters())}


TRAININGS = {
    "a GAN of two models in DDP": gan,
    "DDP with unused parameters": unused,
    "DDP with a static graph": static_graph,
    "DDP with buffers that are broadcast": broadcast_buffers,
    "DDP with a norm over all ranks": sync_norm,
    "DDP with set_epoch": set_epoch,
    "DDP with a stream in parts": stream,
    "DDP with an average of weights": average,
    "DDP with ZeroRedundancyOptimizer": zero,
    "DDP with gradients in float16": compressed,
    "DDP with PowerSGD": power_sgd,
    "DDP of a compiled model": compiled_inside,
    "a compiled DDP": compiled,
    "DDP in a closure": inside_a_closure,
    "gradients averaged by hand": by_hand,
    "fsdp2 with adapters and their average": adapters,
    "fsdp2 offloaded": offloaded,
    "fsdp2 checkpointed": checkpointed_shards,
    "fsdp2 compiled": compiled_shards,
    "fsdp2 with a teacher in shards": teacher,
    "fsdp2 and tensor parallel": both,
    "fsdp2 on a mesh of 2 x 1": hybrid,
    "fsdp2 on a mesh of 1 x 2": hybrid_across,
    "fsdp2 with accumulation and clipping": no_sync,
    "Accelerate with accumulation and a scheduler": accelerate,
    "Fabric with accumulation": fabric_accumulating,
    "Fabric in shards": fabric_sharded,
}
CASES = {name: published(make) for name, make in TRAININGS.items()}
COPIES = {"frozen shards are not copied": frozen_shards}
BEGUN = {
    "DDP with a static graph": static_graph,
    "DDP with PowerSGD": power_sgd,
    "DDP with ZeroRedundancyOptimizer": zero,
}
BEGUN |= {"DDP with gradients as views": bucket_views, "fsdp2 with a teacher in shards": teacher}
CASES |= {f"{name}, mid-training": published(make, begun=3) for name, make in BEGUN.items()}
CASES["DDP with more data on one rank"] = published(uneven, within=lambda model: model.join())
