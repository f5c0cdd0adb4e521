"""How much host memory a search takes on each of two processes beside a training step: DDP and FSDP2, full and LoRA.

As ``memory.py`` measures it on one, with the same models; gloo joins the processes.

Run: ``python -m benchmarks.overhead.ranks`` (Linux); it writes the second table of docs/loops.md.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import socket
from itertools import product
from multiprocessing.queues import SimpleQueue
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel

from benchmarks.overhead.memory import (
    LAYERS,
    M_MMAP_THRESHOLD,
    MB,
    RUNS,
    STEPS,
    WIDTH,
    Loader,
    resident,
    size_of,
    step,
    training,
    write,
)
from benchmarks.overhead.unread import MIN_LR

SIZE = 2
KINDS = {
    "all weights, at the start": "full",
    "all weights, in the middle": "middle",
    "LoRA, at the start": "lora",
    "LoRA, in the middle": "lora in the middle",
}


def spread(kind: str, how: str, width: int, layers: int) -> tuple[nn.Module, torch.optim.Optimizer, Loader, int]:
    """Return a model in DDP or in shards, Adam, one batch, and how many bytes the whole weights have.

    Args:
        kind: One of the values of ``KINDS``.
        how: ``"DDP"`` or ``"FSDP2"``.
        width: Of each layer.
        layers: How many.
    """
    whole, _, loader = training(kind.split()[0].replace("middle", "full"), width, layers)
    size = size_of(whole)
    if how == "DDP":
        model: nn.Module = DistributedDataParallel(whole)
    else:
        mesh = init_device_mesh("cpu", (SIZE,))
        for layer in whole:  # type: ignore[attr-defined]
            fully_shard(layer, mesh=mesh)
        model = fully_shard(whole, mesh=mesh)
    trained = [one for one in model.parameters() if one.requires_grad]
    optimizer = torch.optim.Adam(trained, lr=MIN_LR, foreach=False)
    if "middle" in kind:
        step(model, optimizer, loader)
    return model, optimizer, loader, size


def measure(rank: int, port: int, kind: str, how: str, name: str, results: SimpleQueue[float]) -> None:
    """Put the peak of this process above what it held before, in multiples of the whole weights, into a queue."""
    torch.manual_seed(0)
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=SIZE)
    RUNS[name](*spread(kind, how, 8, 1)[:3])
    model, optimizer, loader, size = spread(kind, how, WIDTH, LAYERS)
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak begins anew
    before = resident("VmRSS")
    RUNS[name](model, optimizer, loader)
    results.put((resident("VmHWM") - before) / size)
    dist.barrier()
    dist.destroy_process_group()


def peak(kind: str, how: str, name: str) -> float:
    """Return the higher of the peaks of two fresh processes."""
    context = multiprocessing.get_context("fork")
    results: SimpleQueue[float] = context.SimpleQueue()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    about = [(rank, port, kind, how, name, results) for rank in range(SIZE)]
    processes = [context.Process(target=measure, args=each) for each in about]
    for one in processes:
        one.start()
    for one in processes:
        one.join()
    if any(one.exitcode for one in processes):
        raise SystemExit(f"{how}, {kind}: a process failed; see above.")
    return max(results.get() for _ in processes)


def table() -> str:
    """Measure every case; return the table."""
    rows = ["| two processes | a training step | `lrfind.find` |", "| --- | --- | --- |"]
    for how, title in product(("DDP", "FSDP2"), KINDS):
        own, ours = (peak(KINDS[title], how, name) for name in ("a training step", "`lrfind.find`"))
        rows.append(f"| {how}: {title} | {own:.2f} | {ours - own:+.2f} |")
        print(rows[-1], flush=True)
    return "\n".join(rows)


def about() -> str:
    """Say what was measured, and with what."""
    full, lora = (size_of(training(kind, WIDTH, LAYERS)[0]) / MB for kind in ("full", "lora"))
    return (
        f"Measured by `python -m benchmarks.overhead.ranks` on each of two processes (gloo), in multiples of the whole "
        f"weights ({full:.0f} and {lora:.0f} MB): the models above, probes of {STEPS} steps, torch {torch.__version__}."
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, 1 << 16)
    write(f"{table()}\n\n{about()}", "memory on two processes")
