"""The loop: the adapter that runs one probe inside a training loop and puts everything back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from lrfind.records import Probe, Record

OnStep = Callable[[float, float], None]
"""Told the rate and the loss of each step of a probe, for showing progress."""


class Loop(Protocol):
    """What the search needs of a framework."""

    def run(self, probe: Probe, on_step: OnStep) -> Record:
        """Run one probe from the starting point and put everything back, on every exit."""
        ...
