"""Strategies: pure rules that turn the records so far into the next round of probes, or into a finding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from lrfind.records import Finding, Probe, Record


class Strategy(Protocol):
    """Proposes probes after every round; pure, so that a killed search resumes from its records."""

    def propose(self, records: Sequence[Record]) -> list[Probe] | Finding:
        """Return the next round of probes, or the finding; raise a ``ProbeError`` if the records cannot be read."""
        ...


@runtime_checkable
class TellsSoFar(Strategy, Protocol):
    """A strategy that can also tell the best rate so far during the search."""

    def so_far(self, records: Sequence[Record]) -> float | None:
        """Return the rate that the records give so far; None if they cannot be read yet."""
        ...
