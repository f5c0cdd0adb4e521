"""Whether another rate would do: what the benchmark's trainings lost that far from the reading."""

from dataclasses import asdict, dataclass
from html import escape
from math import log2
from typing import Any, Literal

import numpy as np

from lrfind.suggest.calibrated import Evidence

Verdict = Literal["better", "as good", "worse"]

PLACES = (-12.0, -9.0, -7.0, -6.0, -5.0, -4.0, -3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 12.0)
"""Octaves from the calibrated reading."""

Table = tuple[float, ...]


def _row(numbers: str) -> Table:
    return tuple(map(float, numbers.split()))


TABLES: dict[Evidence, tuple[Table, Table]] = {
    "edge": (
        _row("0.91 0.78 0.61 0.46 0.33 0.21 0.12 0.055 0.023 0.016 0.038 0.12 0.26 0.44 0.56 0.63 0.73 0.78"),
        _row("1 1 1 0.999 0.973 0.86 0.78 0.77 0.62 0.39 0.39 0.41 0.56 0.72 0.78 0.82 0.89 0.91"),
    ),
    "edge, adaptive": (
        _row("0.91 0.81 0.66 0.55 0.39 0.25 0.11 0.051 0.017 0.0068 0.019 0.066 0.18 0.35 0.49 0.59 0.76 0.89"),
        _row("1 1 1 1 1 0.999 0.965 0.82 0.6 0.46 0.59 0.79 0.9 0.953 0.995 0.999 0.999 1"),
    ),
    "prior": (
        _row("0.978 0.94 0.88 0.8 0.64 0.4 0.19 0.071 0.019 0.0096 0.046 0.14 0.3 0.51 0.67 0.76 0.9 0.98"),
        _row("1 1 1 1 1 0.974 0.88 0.75 0.58 0.38 0.46 0.63 0.74 0.83 0.93 0.979 0.991 0.999"),
    ),
    "weak": (
        _row("0.975 0.94 0.87 0.81 0.69 0.6 0.43 0.28 0.13 0.08 0.12 0.31 0.52 0.72 0.89 0.962 0.983 0.998"),
        _row("0.995 0.974 0.959 0.959 0.954 0.93 0.92 0.82 0.7 0.43 0.43 0.5 0.7 0.88 0.994 0.998 0.998 1"),
    ),
    "in use": (
        _row(
            "0.017 0.017 0.015 0.015 0.011 0.011 0.0063 0.0056 0.0056 0.0056 0.036 0.12 0.28 0.56 0.77 0.92 0.968 0.995"
        ),
        _row("0.71 0.7 0.69 0.67 0.67 0.67 0.6 0.58 0.45 0.42 0.43 0.66 0.77 0.96 0.999 1 1 1"),
    ),
}
"""By evidence: the mean regret at each place, and the share of trainings that lose more there than at the reading.
``python -m benchmarks.judging`` prints them."""

JUDGED_AS: dict[Evidence, Evidence] = {"saturated, adaptive": "edge", "capped": "edge", "none": "edge"}
"""Evidence that is too rare for its own table."""

CLOSE = 0.01
"""Rates whose mean regrets differ by no more than this are as good."""

SURE = 0.95
"""From this certainty on, a judgement is sure."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a search says of a rate that it did not find.

    Attributes:
        lr: The rate.
        found: The rate that was found.
        verdict: ``"better"``, ``"as good"`` or ``"worse"`` than the found rate: the likeliest of them, sure or not.
        regret: How much of what training learns the rate is expected to lose, in [0, 1].
        found_regret: The same of the found rate.
        certainty: The share of the benchmark's trainings for which the verdict was right, that far from the reading.
        is_short: Whether training is shorter than the benchmark's, which then say little of it.
        shown: The share of ramps that show something of this training; the others give only what is usual.
    """

    lr: float
    found: float
    verdict: Verdict
    regret: float
    found_regret: float
    certainty: float
    is_short: bool = False
    shown: float = 1.0

    def __str__(self) -> str:
        return self.sentence

    def _repr_html_(self) -> str:
        """Return the sentence, for notebooks."""
        return f"<p>{escape(self.sentence)}</p>"

    def to_dict(self) -> dict[str, Any]:
        """Return the judgement as plain JSON types: its attributes and the sentence."""
        return {**asdict(self), "is_read": self.is_read, "is_sure": self.is_sure, "sentence": self.sentence}

    @property
    def is_read(self) -> bool:
        """Whether the reading rests on this training, not only on what is usual."""
        return self.shown > 0

    @property
    def is_sure(self) -> bool:
        """Whether the verdict was right for 95 % of the benchmark's trainings, and this one is like them."""
        return self.certainty >= SURE and self.is_read and not self.is_short

    @property
    def sentence(self) -> str:
        """The judgement in a sentence."""
        if self._is_found:
            return f"lr {self.lr:.3g} is the found rate; against the best rate, {self.expected}."
        than = "as" if self.verdict == "as good" else "than"
        share = f"a rate so far off was {self._verdict} in {self.certainty:.0%} of the benchmark's trainings"
        right = f" ({share})" if self._is_likely else ""
        return f"lr {self.lr:.3g} {self.words} {than} the found {self.found:.3g}, {self.expected}{right}."

    @property
    def words(self) -> str:
        """The verdict and how sure it is, such as "may well be worse"."""
        sure = "is" if self.is_sure else "may well be" if self._is_likely else "may be"
        return f"{sure} {self._verdict}"

    @property
    def expected(self) -> str:
        """What the rate costs, in words."""
        if self.is_short:
            return "how much it loses could not be told: training is shorter than the benchmark's"
        beside = "" if self._is_found else f", the found one {self.found_regret:.1%}"
        return f"expected to lose {self.regret:.1%} of what training learns{beside}"

    @property
    def _is_found(self) -> bool:
        return abs(self.lr / self.found - 1) < 0.005  # both print the same

    @property
    def _is_likely(self) -> bool:
        return self.certainty >= 0.5 and not self.is_short

    @property
    def _verdict(self) -> str:
        return "about as good" if self.verdict == "as good" else self.verdict


def judge(lr: float, found: float, known: float, rests_on: Evidence) -> Judgement:
    """Judge a rate by its distance from the calibrated one (``known``), compared with the found rate."""
    table = TABLES[JUDGED_AS.get(rests_on, rests_on)]
    regret, worse = expected(lr, known, table)
    than, others = expected(found, known, table)
    if abs(regret - than) <= CLOSE:
        return Judgement(lr, found, "as good", regret, than, 1 - max(worse, others))
    if regret > than:
        return Judgement(lr, found, "worse", regret, than, worse if found == known else max(worse - others, 0.0))
    return Judgement(lr, found, "better", regret, than, max(others - worse, 0.0))


def expected(lr: float, reading: float, table: tuple[Table, Table]) -> tuple[float, float]:
    """Return the mean regret of a rate, and the share of trainings that lose more with it than with the reading."""
    away = log2(lr / reading)
    return float(np.interp(away, PLACES, table[0])), float(np.interp(away, PLACES, table[1]))
