"""Strategies: pure rules that turn the records so far into the next round of probes, or into a finding."""

from collections.abc import Sequence
from typing import Protocol

from lrfind.records import Finding, Probe, Record


class Strategy(Protocol):
    """Proposes probes after every round; pure, so that a killed search resumes from its records.

    Progress also shows the rate so far if there is a method ``so_far(records)`` that returns it, or None.
    """

    def propose(self, records: Sequence[Record]) -> list[Probe] | Finding:
        """Return the next round of probes, or the finding; raise a ``ProbeError`` if the records cannot be read."""
        ...
