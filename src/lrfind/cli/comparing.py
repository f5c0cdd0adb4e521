"""What ``lrfind compare`` and ``lrfind demo`` have in common: a comparison is told of as it goes, and concluded."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import TYPE_CHECKING

from rich.console import Console

if TYPE_CHECKING:
    from lrfind.compare.comparison import Comparison
    from lrfind.compare.running import Event, OnEvent


def concluded(run: Callable[[OnEvent], Comparison], conclude: Callable[[Comparison], None], *, runs: int) -> Comparison:
    """Run a comparison and conclude it, also the part that was finished when Ctrl-C was pressed.

    Args:
        run: Runs it, and tells of what happens.
        conclude: Writes and shows what it says.
        runs: How many runs it has.

    Raises:
        LRFindError: If something cannot be used; the message says what to change.
        KeyboardInterrupt: At Ctrl-C.
    """
    from lrfind.compare import CutShort

    try:
        comparison = run(_teller(runs))
    except CutShort as cut:
        if cut.comparison.runs:
            conclude(cut.comparison)
        raise
    conclude(comparison)
    return comparison


def _teller(runs: int) -> Callable[[Event], None]:
    """Print a line as each run ends, where there is no terminal that shows bars."""
    console, ended, begun = Console(stderr=True, highlight=False, markup=False, soft_wrap=True), 0, perf_counter()

    def tell(event: Event) -> None:
        nonlocal ended
        if console.is_terminal or event.kind in ("started", "step"):
            return
        if event.kind in ("searching", "found"):
            console.print(f"{event.kind} a rate for {event.arm} {event.words}".rstrip())
            return
        ended += event.kind != "died"
        left = (perf_counter() - begun) / max(ended, 1) * (runs - ended)
        of = f" ({ended} of {runs}, about {left:.0f} s left)" if event.kind != "died" else ""
        words = f": {event.words}" if event.words else ""
        console.print(f"{event.kind}: {event.arm}, seed {event.seed}{of}{words}")

    return tell
