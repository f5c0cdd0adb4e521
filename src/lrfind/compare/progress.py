"""Progress of a comparison: a bar in a terminal or a notebook, lines in a log."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from time import perf_counter

from lrfind.compare.arms import labels
from lrfind.compare.comparison import Arm
from lrfind.compare.running import Event, OnEvent
from lrfind.progress import Show, place

_EVERY = 15.0  # seconds between two lines about steps in a log


@contextmanager
def progress_shown(*, shown: bool, runs: int, arms: Sequence[Arm], also: OnEvent | None) -> Iterator[OnEvent]:
    """Show events on stderr, arms by their labels; yield the function to call with each, which also calls ``also``."""
    where, bar = place() if shown else ("", nullcontext[Show](lambda *now: None))
    with bar as show:
        tell = _teller(runs, arms, None if where == "log" else show)

        def tell_all(event: Event) -> None:
            tell(event)
            if also is not None:
                also(event)

        yield tell_all


def _teller(runs: int, arms: Sequence[Arm], show: Show | None) -> OnEvent:
    ended = trained = 0
    begun = said = perf_counter()

    def tell(event: Event) -> None:
        nonlocal ended, trained, said
        trained += event.kind in ("finished", "failed")
        ended += event.kind in ("finished", "failed", "kept")
        now = perf_counter()
        if event.kind == "started" or (show is None and event.kind == "step" and now - said < _EVERY):
            return
        said = now
        left = f", about {(now - begun) / trained * (runs - ended):.0f} s left" if trained and ended < runs else ""
        whole = f" ({ended} of {runs} runs{left})" if ended else ""
        words = _words(event, labels(arms))
        if show is not None:
            show(words + whole, ended, runs)
        else:
            print(f"{words}{whole}", file=sys.stderr, flush=True)

    return tell


def _words(event: Event, names: Mapping[str, str]) -> str:
    if event.kind in ("searching", "found"):
        return f"{event.kind} a rate for {event.arm}{event.words and ': '}{event.words}"
    run = f"{names.get(event.arm, event.arm)}, seed {event.seed}"
    if event.kind == "step":
        return f"{run}: {event.done} of {event.total} steps, {event.words}"
    return f"{event.kind}: {run}{event.words and ': '}{event.words}"
