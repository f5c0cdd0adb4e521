"""The four shapes a rate follows in the benchmark: those of ``lrfind``, and two with a warmup."""

from __future__ import annotations

import math

from lrfind.schedules import Shape, constant, cosine, linear

WARMUP = 0.1
RISE = 0.3
"""Share of training for which one-cycle rises, as in ``torch.optim.lr_scheduler.OneCycleLR``."""

START = 1 / 25
"""Where one-cycle starts, as in ``OneCycleLR``; it ends at zero, there at 1e-4 of this."""


def cosine_warmup(fraction: float) -> float:
    """Rise in a straight line over the first tenth, then fall to 0 along half a cosine."""
    return (fraction + 1e-3) / (WARMUP + 1e-3) if fraction < WARMUP else cosine((fraction - WARMUP) / (1 - WARMUP))


def one_cycle(fraction: float) -> float:
    """Rise from 1/25 along half a cosine for three tenths, then fall to 0 (Smith, arXiv 1708.07120)."""
    if fraction < RISE:
        return START + (1 - START) * 0.5 * (1 - math.cos(math.pi * fraction / RISE))
    return cosine((fraction - RISE) / (1 - RISE))


SHAPES: dict[str, Shape] = {
    "constant": constant,
    "linear": linear,
    "cosine-warmup": cosine_warmup,
    "one-cycle": one_cycle,
}
