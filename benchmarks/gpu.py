"""On a GPU: is training equal bit for bit after a search, and what does a search cost in time and in memory?

Run: ``python -m benchmarks.gpu`` where there is a CUDA GPU; it prints Markdown with the name of the card.
``--tiny`` runs what needs no GPU on the CPU, with a small model, to see that this file works.
"""

from __future__ import annotations

import itertools
import os
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from time import perf_counter
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import lrfind
from benchmarks.overhead.unread import Unread
from lrfind.schedules import ramp

WORDS = 512
STEPS = 60
"""Of the probes that are timed."""
REPEATS = 5
"""Of a bare loop and a probe, in turns."""
TARGETS = (1.0, 5.0, 50.0)
"""The steps that are timed, in milliseconds of a bare loop."""


@dataclass(frozen=True, slots=True)
class Size:
    """How large the model is, and where it runs.

    Attributes:
        device: ``"cuda"`` or ``"cpu"``.
        width: Of each block.
        layers: How many blocks.
        length: Words of a text.
    """

    device: str
    width: int
    layers: int
    length: int

    @property
    def is_cuda(self) -> bool:
        """Whether it is a GPU."""
        return self.device == "cuda"


TINY, FULL = Size("cpu", 16, 1, 8), Size("cuda", 1024, 24, 128)
"""The full one has 300 million parameters."""


class Adapted(nn.Module):
    """A frozen linear layer and, beside it, one of low rank that trains.

    Args:
        frozen: The layer.
        rank: Of what trains.
    """

    def __init__(self, frozen: nn.Linear, rank: int = 8) -> None:
        super().__init__()
        self.frozen = frozen.requires_grad_(False)
        self.down = nn.Linear(frozen.in_features, rank, bias=False)
        self.up = nn.Linear(rank, frozen.out_features, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return what both make of the inputs."""
        found: torch.Tensor = self.frozen(x) + self.up(self.down(x))
        return found


class Transformer(nn.Module):
    """A transformer that says which word follows, of random weights.

    Args:
        size: How large.
        is_adapted: Whether only adapters of low rank train.
    """

    def __init__(self, size: Size, *, is_adapted: bool = False) -> None:
        super().__init__()
        block = partial(nn.TransformerEncoderLayer, nhead=4, dim_feedforward=4 * size.width, batch_first=True)
        self.words = nn.Embedding(WORDS, size.width)
        self.blocks = nn.ModuleList(block(size.width, dropout=0.1) for _ in range(size.layers))
        self.head = nn.Linear(size.width, WORDS)
        if is_adapted:
            self.requires_grad_(False)
            for each in self.blocks:
                each.linear1, each.linear2 = Adapted(each.linear1), Adapted(each.linear2)

    def forward(self, words: torch.Tensor) -> torch.Tensor:
        """Return a score of each word at each place."""
        x = self.words(words)
        for block in self.blocks:
            x = block(x)
        scores: torch.Tensor = self.head(x)
        return scores


class Raised(Unread):
    """The same, at rates that move the weights far."""

    def propose(self, records: Sequence[lrfind.Record]) -> list[lrfind.Probe] | lrfind.Finding:
        """Return the ramp, then a finding that means nothing."""
        return super().propose(records) if records else [lrfind.Probe(ramp(1e-5, 1e-1, self.steps))]


Step = Callable[[nn.Module, torch.optim.Optimizer, Any], torch.Tensor]
Training = tuple[nn.Module, torch.optim.Optimizer, Any, Step]


def loss_of(model: nn.Module, batch: Any) -> torch.Tensor:
    """Return the loss of a batch of texts."""
    device = next(model.parameters()).device
    words = batch[0].to(device, non_blocking=True)
    return F.cross_entropy(model(words[:, :-1]).flatten(0, 1), words[:, 1:].flatten())


def plain_step(model: nn.Module, optimizer: torch.optim.Optimizer, batch: Any) -> torch.Tensor:
    """Take a step."""
    optimizer.zero_grad()
    loss = loss_of(model, batch)
    loss.backward()
    optimizer.step()
    return loss.detach()


def training(size: Size, step: Step = plain_step, *, is_adapted: bool = False, **options: Any) -> Training:
    """Return a model, its optimizer, its data and its step."""
    model = Transformer(size, is_adapted=is_adapted).to(size.device)
    optimizer = torch.optim.AdamW([one for one in model.parameters() if one.requires_grad], lr=1e-4)
    texts = TensorDataset(torch.randint(WORDS, (64, size.length)))
    return model, optimizer, DataLoader(texts, batch_size=8, shuffle=True, **options), step


def in_half(size: Size) -> Training:
    """Train in float16 with a scaler."""
    scaler = torch.amp.GradScaler(size.device)

    def step(model: nn.Module, optimizer: torch.optim.Optimizer, batch: Any) -> torch.Tensor:
        optimizer.zero_grad()
        with torch.autocast(size.device, dtype=torch.float16):
            loss = loss_of(model, batch)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        return loss.detach()

    return training(size, step)


def in_bfloat16(size: Size) -> Training:
    """Train in bfloat16."""

    def step(model: nn.Module, optimizer: torch.optim.Optimizer, batch: Any) -> torch.Tensor:
        optimizer.zero_grad()
        with torch.autocast(size.device, dtype=torch.bfloat16):
            loss = loss_of(model, batch)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return training(size, step)


def compiled(size: Size, mode: str = "default") -> Training:
    """Train a compiled model of two layers; without a GPU, one that is only traced.

    Its dropout is torch's own: with the generator's, torch 2.11 on a GPU does not repeat a training bit for bit.
    """
    import torch._inductor.config

    torch._inductor.config.fallback_random = True
    torch.compiler.reset()
    model, *rest = training(replace(size, layers=min(size.layers, 2)))
    options: dict[str, Any] = {"mode": mode} if size.is_cuda else {"backend": "aot_eager"}
    return torch.compile(model, **options), *rest  # type: ignore[return-value]


def with_generator(size: Size) -> Training:
    """Train with noise from a generator of the device."""
    generator = torch.Generator(size.device).manual_seed(0)

    def step(model: nn.Module, optimizer: torch.optim.Optimizer, batch: Any) -> torch.Tensor:
        weight = torch.rand((), device=size.device, generator=generator)
        optimizer.zero_grad()
        loss = loss_of(model, batch) * (0.5 + weight)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return training(size, step)


def with_workers(size: Size) -> Training:
    """Train on what workers load, into pinned memory where there is a GPU."""
    return training(size, num_workers=2, pin_memory=size.is_cuda, persistent_workers=True)


def sharded(size: Size) -> Training:
    """Train with ``fully_shard`` on one device."""
    from torch.distributed.fsdp import fully_shard

    if not dist.is_initialized():
        store = dist.HashStore()
        dist.init_process_group("nccl" if size.is_cuda else "gloo", store=store, rank=0, world_size=1)
    model, _, loader, step = training(size)
    mesh = dist.device_mesh.init_device_mesh(size.device, (1,))
    for block in model.blocks:  # type: ignore[union-attr]
        fully_shard(block, mesh=mesh)
    fully_shard(model, mesh=mesh)
    return model, torch.optim.AdamW(model.parameters(), lr=1e-4), loader, step


CHECKS: dict[str, Callable[[Size], Training]] = {
    "float32": training,
    "float16 with a scaler": in_half,
    "bfloat16": in_bfloat16,
    "compiled model": compiled,
    "compiled model, CUDA graphs": partial(compiled, mode="reduce-overhead"),
    "generator of the device": with_generator,
    "workers, pinned memory": with_workers,
    "LoRA": partial(training, is_adapted=True),
    "FSDP2 on one device": sharded,
}


def trained(make: Callable[[Size], Training], size: Size, *, is_searched: bool, steps: int = 12) -> dict[str, Any]:
    """Return the state and the losses of a training, searched or not in the middle."""
    torch.manual_seed(0)
    model, optimizer, loader, step = make(size)
    for batch in itertools.islice(loader, 2):
        step(model, optimizer, batch)
    if is_searched:
        lrfind.find(model, optimizer, loader, step=step, strategy=Raised(STEPS), progress=False)
    losses = [_local(step(model, optimizer, batch)).cpu() for batch in itertools.islice(_endless(loader), steps)]
    found = {name: _local(each).detach().cpu() for name, each in model.state_dict().items()}
    return found | {"losses": torch.stack(losses), "random numbers": _random(size)}


def verdict(make: Callable[[Size], Training], size: Size) -> str:
    """Compare a training after a search with one without; where they differ, ask whether training repeats at all."""
    alone = trained(make, size, is_searched=False)
    searched = trained(make, size, is_searched=True)
    moved = [name for name in alone if not torch.equal(alone[name], searched[name])]
    if not moved:
        return "equal bit for bit"
    again = trained(make, size, is_searched=False)
    if any(not torch.equal(alone[name], again[name]) for name in alone):
        return "could not be told: training does not repeat without a search either"
    return f"differs: {', '.join(moved[:3])}"


def overhead(size: Size, milliseconds: float) -> list[tuple[float, float]]:
    """Return, for each repeat, the step of a bare loop that never waits for the device and that of a probe, in ms.

    A small network with SGD, whose batch is made larger until a bare step takes as long as asked.
    """
    model = nn.Sequential(nn.Linear(size.width, size.width), nn.ReLU(), nn.Linear(size.width, WORDS)).to(size.device)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9)

    def step(model: nn.Module, optimizer: torch.optim.Optimizer, batch: Any) -> torch.Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(batch[0]), batch[1])
        loss.backward()
        optimizer.step()
        return loss.detach()

    def bare(batch: Any) -> float:
        return _milliseconds(lambda: [step(model, optimizer, batch) for _ in range(STEPS)], size)

    rows = 64
    while True:
        batch = [
            torch.randn(rows, size.width, device=size.device),
            torch.randint(WORDS, (rows,), device=size.device),
        ]
        bare(batch)  # a new size of batch is slow at first
        reached = bare(batch)
        if reached >= 0.9 * milliseconds or not size.is_cuda:
            break
        rows = int(rows * min(max(milliseconds / reached, 1.1), 4)) + 1
    found = []
    for _ in range(REPEATS):
        alone = bare(batch)
        finding = lrfind.find(model, optimizer, [batch], step=step, strategy=Unread(STEPS), progress=False)
        found.append((alone, 1000 * finding.records[0].seconds / STEPS))
    return found


def memory(make: Callable[[Size], Training], size: Size) -> tuple[float, float, float]:
    """Return the weights, and the peaks of device memory of a step and of a search, in GB."""
    peaks = []
    for is_searched in (False, True):
        model, optimizer, loader, step = make(size)
        torch.cuda.reset_peak_memory_stats()
        if is_searched:
            lrfind.find(model, optimizer, loader, step=step, strategy=Unread(4), progress=False)
        else:
            step(model, optimizer, next(iter(loader)))
        peaks.append(torch.cuda.max_memory_allocated() / 1e9)
        weights = sum(one.nbytes for one in model.parameters()) / 1e9
        del model, optimizer, loader, step
        torch.cuda.empty_cache()
    return weights, peaks[0], peaks[1]


def report(size: Size) -> Iterator[str]:
    """Yield lines of Markdown."""
    card = torch.cuda.get_device_name() if size.is_cuda else "CPU, tiny"
    yield f"{card}; torch {torch.__version__}, CUDA {torch.version.cuda}.\n"
    yield "| training | after a search |\n| --- | --- |"
    for name, make in CHECKS.items():
        yield f"| {name} | {verdict(make, size)} |"
    torch.use_deterministic_algorithms(False)  # nothing below is compared bit for bit
    yield "\n| bare step, ms | step of a probe, ms | ratio: median (quartiles) |\n| --- | --- | --- |"
    for target in TARGETS if size.is_cuda else TARGETS[:1]:
        times = overhead(size, target)
        low, ratio, high = statistics.quantiles([probe / bare for bare, probe in times], n=4)
        bare, probe = (statistics.median(column) for column in zip(*times, strict=True))
        yield f"| {bare:.2f} | {probe:.2f} | {ratio:.3f} ({low:.3f}..{high:.3f}) |"
    if size.is_cuda:
        yield "\n| training | weights, GB | peak of a step, GB | peak of a search, GB |\n| --- | --- | --- | --- |"
        for name in ("float32", "LoRA"):
            weights, step, search = memory(CHECKS[name], size)
            yield f"| {name} | {weights:.2f} | {step:.2f} | {search:.2f} |"


def main(arguments: list[str]) -> None:
    """Print the report, or why there is none."""
    is_tiny = "--tiny" in arguments
    if not is_tiny and not torch.cuda.is_available():
        print("There is no CUDA GPU here, so nothing is measured; python -m benchmarks.gpu --tiny runs on the CPU.")
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # which deterministic algorithms ask for
    torch.use_deterministic_algorithms(True)
    for line in report(TINY if is_tiny else FULL):
        print(line, flush=True)
    if dist.is_initialized():
        dist.destroy_process_group()


def _endless(loader: Any) -> Iterator[Any]:
    while True:
        yield from loader


def _local(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.to_local() if hasattr(tensor, "to_local") else tensor


def _random(size: Size) -> torch.Tensor:
    return torch.cuda.get_rng_state() if size.is_cuda else torch.get_rng_state()


def _milliseconds(run: Callable[[], Any], size: Size) -> float:
    start = perf_counter()
    run()
    if size.is_cuda:
        torch.cuda.synchronize()
    return 1000 * (perf_counter() - start) / STEPS


if __name__ == "__main__":
    main(sys.argv[1:])
