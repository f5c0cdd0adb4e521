"""Runs cases on two processes each, of one launch, and prints a line of JSON per case and rank.

Each case is forked off a process that has imported everything and trained nothing, so that its search is the first of
its process. A case that hangs fails by its time limit and says where; the others go on.
"""

import faulthandler
import gc
import json
import os
import socket
import sys
import tempfile
import time
import traceback
import warnings
from importlib import import_module
from pathlib import Path

import torch
import torch.distributed as dist

import lrfind.isolation
import lrfind.progress
import lrfind.pytorch  # noqa: F401, so that every process has it

GROUPS = ("pytorch", "published", "lightning", "huggingface")
LIMIT = 60.0
"""Seconds, after which a case has hung."""
GRACE = 10.0
"""Seconds, for which the other rank may go on after one has ended."""
AT_ONCE = 2
"""Cases that run at the same time: their processes wait for each other much."""


def cases_of(group):
    """Return the cases of a group by name: each a function of the rank that returns what is to be compared."""
    return import_module(f"tests.two_processes_{group}").CASES


def all_of(group):
    """Return also what is looked at in a way of its own."""
    return {**cases_of(group), **getattr(import_module(f"tests.two_processes_{group}"), "COPIES", {})}


def main(group, *names):
    torch.set_num_threads(1)
    cases = all_of(group)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        gc.freeze()
        waiting, running = [*(names or cases)], []
        while waiting or running:
            while waiting and len(running) < AT_ONCE:
                name = waiting.pop(0)
                running.append(Running(name, cases[name], Path(tempfile.mkdtemp(dir=folder))))
            for one in [one for one in running if one.is_over()]:
                running.remove(one)
                one.tell()
            time.sleep(0.01)


class Running:
    """Two processes, forked for a case."""

    def __init__(self, name, case, folder):
        self.name, self.folder = name, folder
        port = free_port()
        self.start = time.monotonic()
        self.ends = self.start + LIMIT + GRACE
        self.children = [fork(case, rank, port, folder) for rank in (0, 1)]
        self.running = set(self.children)

    def is_over(self):
        for child in list(self.running):
            if os.waitpid(child, os.WNOHANG)[0]:
                self.running.remove(child)
                self.ends = min(self.ends, time.monotonic() + GRACE)
        return not self.running or time.monotonic() > self.ends

    def tell(self):
        """Print what each rank has left."""
        seconds = round(time.monotonic() - self.start, 2)
        for child in self.running:
            os.kill(child, 9)
            os.waitpid(child, 0)
        for rank, child in enumerate(self.children):
            left, said = self.folder / f"{rank}.json", (self.folder / f"{rank}.err").read_text()
            result = json.loads(left.read_text()) if left.exists() else {"error": "it left no result"}
            is_hung = child in self.running or "Timeout (" in said
            about = {"case": self.name, "rank": rank, "seconds": seconds, "hung": is_hung, "said": said[-3000:]}
            print(json.dumps({**about, **result}), flush=True)


def fork(case, rank, port, folder):
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        with (folder / f"{rank}.err").open("w") as said:
            os.chdir(folder)
            os.dup2(said.fileno(), 2)
            os.dup2(said.fileno(), 1)
            faulthandler.dump_traceback_later(LIMIT, exit=True)
            result = in_child(case, rank, port)
            (folder / f"{rank}.json").write_text(json.dumps(result))
            sys.stdout.flush()
            sys.stderr.flush()
        status = 0
    finally:
        os._exit(status)  # without what the parent would do at its end


def in_child(case, rank, port):
    address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "RANK": str(rank), "LOCAL_RANK": str(rank)}
    size = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "GROUP_RANK": "0", "TORCHELASTIC_RUN_ID": "none"}
    os.environ.update(address, **size)
    warnings.simplefilter("ignore")
    try:
        dist.init_process_group("gloo", init_method="env://")
        return {"result": case(rank)}
    except BaseException as error:  # noqa: BLE001, whatever it is, the test is to hear of it
        traceback.print_exc()
        return {"error": f"{type(error).__name__}: {error}"}


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


if __name__ == "__main__":
    main(*sys.argv[1:])
