"""What the ranks tell each other beside their collectives: by the store that their process group was made with."""

import math
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, cast

import torch.distributed as dist

POLL = 0.2
"""Seconds between two looks for what another rank has said."""
PATIENCE = 5.0
"""A rank that fails waits at most so many seconds until all others have heard of it."""
GRACE = 3.0
"""A rank that searches alone takes the others to begin within so many seconds, if they do."""
STUCK = 10.0
"""A rank that waits for another one longer than so many seconds says so."""


class _Listener(threading.Thread):
    """Looks at the store now and then, beside the search: the search may be waiting for another rank."""

    def __init__(self) -> None:
        super().__init__(name="lrfind-ranks", daemon=True)
        self._rank, self._ended = dist.get_rank(), threading.Event()
        store = dist.distributed_c10d._get_default_store()
        self._store = store.clone() if hasattr(store, "clone") else store
        self._begun = time.monotonic()

    def end(self) -> None:
        """Stop listening."""
        self._ended.set()
        self.join()

    def _warn(self, said: str) -> None:
        print(f"lrfind: {said}", file=sys.stderr, flush=True)


class Failure(_Listener):
    """The first failure of a rank, told to the others.

    When the wait of another rank breaks off, the process that has failed may be gone, and the store with it.
    """

    def __init__(self, group: Any) -> None:
        super().__init__()
        self._ranks, self._prefix = dist.get_process_group_ranks(group), f"lrfind/{group.group_name}"
        self._count = self._store.add(f"{self._prefix}/searches/{self._rank}", 1)  # all ranks count alike
        self._key = f"{self._prefix}/search/{self._count}"
        self._first: str | None = None
        self.start()

    def run(self) -> None:
        """Listen, until something is heard or the search ends."""
        late = self._begun + STUCK
        while not (self._ended.wait(POLL) or self._listen()):
            if time.monotonic() > late:
                self._warn_of_missing()
                late = math.inf
        if self._first is not None and not self._ended.wait(STUCK):
            self._warn(f"{self._first}. Rank {self._rank} waits for it and goes on when that process ends.")

    def say(self, error: str) -> str | None:
        """Say that this rank has failed; return what the first one said, None where that is this one."""
        self.end()
        is_told = False
        with suppress(RuntimeError):  # the store is gone with the rank that kept it
            if not self._listen() and self._store.add(f"{self._key}/failed", 1) == 1:
                is_told = True
                self._store.set(self._key, f"rank {self._rank} failed with {error}")
                self._wait(lambda: self._store.add(f"{self._key}/heard", 0) >= len(self._ranks) - 1)
        if not is_told:
            self._wait(self._listen)
        return self._first

    def _listen(self) -> bool:
        """Look for what the first rank that failed has said; return whether it is known."""
        with suppress(RuntimeError):
            if self._first is None and self._store.check([self._key]):
                self._first = self._store.get(self._key).decode()
                self._store.add(f"{self._key}/heard", 1)
        return self._first is not None

    def _warn_of_missing(self) -> None:
        with suppress(RuntimeError):
            counts = {rank: self._store.add(f"{self._prefix}/searches/{rank}", 0) for rank in self._ranks}
            for rank in [rank for rank, count in counts.items() if count < self._count]:
                self._warn(
                    f"rank {rank} has not begun this search, and rank {self._rank} waits for it; call find there."
                )

    def _wait(self, is_done: Callable[[], bool]) -> None:
        end = time.monotonic() + PATIENCE
        while not is_done() and time.monotonic() < end:
            time.sleep(POLL / 10)


class Alone(_Listener):
    """Tells the others that this rank searches alone, or that a step of its search has communicated after all.

    Each rank has a line in the store, written anew at each poll: "alone", "waits" where it is done and waits for the
    others, "joins" and the ranks of its group, "joined" once it searches with these, or "ended".
    """

    def __init__(self) -> None:
        super().__init__()
        self._counts, self._state, self._beat = _collectives(), "alone", 0
        self._tell()
        self.start()

    def run(self) -> None:
        """Tell the others, until the search ends."""
        while not self._ended.wait(POLL):
            self._tell()

    def end(self, state: str = "ended") -> None:
        """Tell the others that this search has ended."""
        super().end()
        self._state = state
        self._tell()

    def joined(self) -> Any:
        """Return the group that this rank has used a collective of, of several that of all; None where it has not."""
        now = _collectives()
        if now == self._counts:
            return None
        used = [group for group, count in now.items() if count != self._counts.get(group, 0)]
        return used[0] if len(used) == 1 else dist.group.WORLD

    def missing(self, group: Any) -> list[int]:
        """Tell the others that this rank searches with a group; return the ranks of it that do not search."""
        self.end("joined")
        lines = {rank: self._line_of(rank) for rank in dist.get_process_group_ranks(group) if rank != self._rank}
        return [rank for rank, line in lines.items() if line.split()[0] in ("absent", "ended")]

    def is_awaited(self) -> bool:
        """Wait until no other rank searches alone; say whether one of them waits, in a collective, for this one."""
        self._state = "waits"  # so that two that wait do not wait for each other
        self._tell()
        seen = {rank: ("", 0.0) for rank in range(dist.get_world_size()) if rank != self._rank}  # the line, since when
        beside = set()
        while seen:
            for rank, (before, since) in list(seen.items()):
                line, now = self._line_of(rank), time.monotonic()
                state, *members = line.split()
                if state == "joins" and str(self._rank) in members:
                    self._state = "alone"
                    self._tell()
                    return True
                if state == "alone":
                    beside.add(rank)
                seen[rank] = (before, since) if line == before else (line, now)
                limit = {"absent": self._begun + GRACE, "alone": seen[rank][1] + STUCK}  # its process may be gone
                if now > limit.get(state, 0.0):
                    del seen[rank]
            time.sleep(POLL / 10)
        if beside:
            ranks = ", ".join(map(str, sorted({*beside, self._rank})))
            self._warn(
                f"ranks {ranks} search each for itself, since nothing says that they train together, and may find "
                f"different rates; if they do train together, wrap the model before find."
            )
        return False

    def _line_of(self, rank: int) -> str:
        key = f"lrfind/alone/{rank}"
        with suppress(RuntimeError):  # the store is gone with the rank that kept it
            if self._store.check([key]):
                return self._store.get(key).decode()
        return "absent"

    def _tell(self) -> None:
        self._beat += 1
        group = self.joined() if self._state in ("alone", "waits") else None
        ranks = [] if group is None else dist.get_process_group_ranks(group)
        line = ["joins", *ranks] if ranks else [self._state, self._beat]
        with suppress(RuntimeError):
            self._store.set(f"lrfind/alone/{self._rank}", " ".join(map(str, line)))


def _collectives() -> dict[Any, int]:
    """Return how many collectives this process has used of each group, as far as the backend counts."""
    counts = {}
    for group in list(dist.distributed_c10d._world.pg_map):
        if group.size() > 1:
            with suppress(RuntimeError):
                counts[group] = cast(Any, group)._get_sequence_number_for_group()
    return counts
