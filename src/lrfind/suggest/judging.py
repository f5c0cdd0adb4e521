"""Whether another rate would do: what the benchmark's trainings lost so far away from the rate that a search found."""

from __future__ import annotations

from dataclasses import dataclass
from math import log2
from typing import Literal

import numpy as np

Verdict = Literal["better", "as good", "worse"]

PLACES = (-4.0, -3.0, -2.0, -1.5, -1.0, -0.75, -0.5, -0.25, 0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0)
"""Octaves from the calibrated reading, as multiples of the way from there to that end of its interval."""

REGRETS = (0.95, 0.85, 0.6, 0.4, 0.2, 0.12, 0.06, 0.03, 0.02, 0.03, 0.08, 0.2, 0.35, 0.6, 0.8, 0.95)
"""The mean regret there; ``python -m benchmarks.judging`` prints it, and the next two."""

WORSE = (1.0, 1.0, 1.0, 0.98, 0.9, 0.8, 0.6, 0.4, 0.0, 0.3, 0.6, 0.8, 0.9, 0.97, 1.0, 1.0)
"""The share of trainings that lost more there than at the reading, by more than ``CLOSE``."""

CLOSE = 0.01
"""Regrets that differ by no more than this are as good."""

SURE = 0.95
"""From this share on, a judgement is sure."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a search says of a rate that it did not find.

    Attributes:
        lr: The rate.
        found: The rate that was found.
        verdict: ``"better"``, ``"as good"`` or ``"worse"`` than that.
        regret: How much of what training learns the rate is expected to lose, in [0, 1].
        certainty: In what share of the benchmark's trainings the verdict was right, that far from the reading.
    """

    lr: float
    found: float
    verdict: Verdict
    regret: float
    certainty: float

    def __str__(self) -> str:
        return self.sentence

    @property
    def is_sure(self) -> bool:
        """Whether the verdict was right in 95 % of them."""
        return self.certainty >= SURE

    @property
    def sentence(self) -> str:
        """The judgement in a sentence."""
        than = {"better": "better than", "as good": "about as good as", "worse": "worse than"}[self.verdict]
        sure = "is" if self.is_sure else "may well be" if self.certainty >= 0.5 else "may be"
        return (
            f"lr {self.lr:.3g} {sure} {than} the found {self.found:.3g}: expect it to lose {self.regret:.1%} of what "
            f"training learns (this was so for {self.certainty:.0%} of the benchmark's trainings)."
        )


def judge(lr: float, found: float, reading: float, ends: tuple[float, float]) -> Judgement:
    """Judge a rate by how far it lies from the calibrated reading, beside the rate that was found.

    Args:
        lr: The rate to judge.
        found: The rate that was found, by whatever method.
        reading: The calibrated reading of the same records.
        ends: Of its interval.
    """
    regret, worse = _expected(lr, reading, ends)
    than, others = _expected(found, reading, ends)
    if abs(regret - than) <= CLOSE:
        return Judgement(lr, found, "as good", regret, 1 - max(worse, others))
    if regret > than:
        return Judgement(lr, found, "worse", regret, max(worse - others, 0.0))
    return Judgement(lr, found, "better", regret, max(others - worse, 0.0))


def _expected(lr: float, reading: float, ends: tuple[float, float]) -> tuple[float, float]:
    """Return the mean regret at a rate, and the share of trainings that lose there."""
    away, half = log2(lr / reading), log2(reading / ends[0] if lr < reading else ends[1] / reading)
    place = away / max(half, 1e-6)
    return float(np.interp(place, PLACES, REGRETS)), float(np.interp(place, PLACES, WORSE))
