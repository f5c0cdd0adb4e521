"""The matrix: every loop with every optimizer, model, training, data, state, step and exit; nothing may have moved.

A cell trains twice, once with a probe before the first step and once without, and compares everything that is left,
bit for bit: weights, buffers, optimizer and scheduler state, Python attributes, random number generators, state beside
the model, batch order and the losses of every step.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass
from itertools import combinations, product

from matrix_loops import train
from matrix_nets import OPTIMIZERS, SCHEDULERS, STATES, STEPS

FACTORS = {
    "optimizer": tuple(OPTIMIZERS),
    "model": ("plain", "BatchNorm", "dropout", "buffer and counter", "tied", "frozen", "lazy", "EMA"),
    "training": ("plain", "accumulation", "clipping", "bf16", *SCHEDULERS),
    "data": ("shuffle", "workers", "sampler", "iterable", "short"),
    "state": STATES,
    "step": STEPS,
    "exit": ("done", "diverged", "NaN", "exception", "Ctrl-C"),
}

LOOPS = ("pytorch", "lightning", "pytorch_lightning", "huggingface")

UNTRAINABLE = (
    ("", {"data": "iterable", "state": "sampler"}, "torch gives an iterable dataset no sampler"),
    ("", {"optimizer": "Adagrad", "model": "lazy"}, "Adagrad makes its state at once"),
    ("huggingface", {"optimizer": "LBFGS"}, "Hugging Face's Trainer gives `step` no closure"),
    ("huggingface", {"optimizer": "two"}, "Hugging Face's Trainer takes one optimizer"),
    ("huggingface", {"model": "lazy"}, "Hugging Face's Trainer counts the weights before the first batch"),
)
"""What cannot be trained without a search either: how the loop's name begins, the values, and why."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One way to train, and one way for a probe to end."""

    optimizer: str
    model: str
    training: str
    data: str
    state: str
    step: str
    exit: str

    def __str__(self) -> str:
        return "-".join(map(str, astuple(self))).replace(" ", "_")


def cells(ways: int, loop: str = "") -> list[Cell]:
    """Cells in which every combination of values of so many factors occurs, but for what the loop cannot train.

    Each row begins with a combination that no row has yet, and takes of every other factor the value that brings
    the most new combinations; where steps bring the same, an eager one, which takes least time.
    """
    open_ = dict.fromkeys(combinations_of(ways, loop))
    rows = []
    while open_:
        row = dict(next(iter(open_)))
        for factor, values in FACTORS.items():
            if factor not in row:
                fitting = [value for value in values if is_trainable(loop, {**row, factor: value})]
                shift = len(rows) % len(fitting) if factor != "step" else 0
                turned = fitting[shift:] + fitting[:shift]
                row[factor] = max(turned, key=lambda value: _gain({**row, factor: value}, factor, ways, open_))
        for covered in combinations(sorted(row.items()), ways):
            open_.pop(covered, None)
        rows.append(Cell(**row))
    return rows


def combinations_of(ways: int, loop: str = ""):
    """Every combination of values of so many factors, as pairs of a factor and a value, sorted."""
    for factors in combinations(FACTORS, ways):
        for values in product(*(FACTORS[factor] for factor in factors)):
            chosen = tuple(sorted(zip(factors, values, strict=True)))
            if is_trainable(loop, dict(chosen)):
                yield chosen


def is_trainable(loop: str, row: dict[str, str]) -> bool:
    """Say whether a loop can train what has these values, as ``UNTRAINABLE`` knows it."""
    return not any(loop.startswith(one) and values.items() <= row.items() for one, values, _ in UNTRAINABLE)


def _gain(row, factor, ways, open_):
    others = [item for item in sorted(row.items()) if item[0] != factor]
    mine = (factor, row[factor])
    return sum(tuple(sorted((*rest, mine))) in open_ for rest in combinations(others, ways - 1))


def outcome(loop, cell):
    """Train a cell with and without a probe; say what moved, or ``"bit-exact"``."""
    with_probe, without = train(loop, cell, probe=True), train(loop, cell, probe=False)
    moved = [name for name, value in without.items() if with_probe[name] != value]
    return f"moved: {', '.join(moved)}" if moved else "bit-exact"
