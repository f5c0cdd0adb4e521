"""Synthetic range tests whose answers are known."""

import numpy as np

from lrfind.records import Probe, Record
from lrfind.schedules import ramp

FALL, RISE = 1e-3, 1e-1
"""Where the made-up loss falls fastest, and where it has risen halfway to its ceiling."""


def loss_at(lrs):
    """A fall by 2 around ``FALL``, one decade wide, and a rise by 6 around ``RISE``."""
    x = np.log10(lrs)
    return 2.3 - 2.0 / (1 + np.exp(-6 * (x - np.log10(FALL)))) + 6.0 / (1 + np.exp(-12 * (x - np.log10(RISE))))


def made_up(*, steps=128, kind="exponential", noise=0.02, seed=0, shift=0.0, scale=1.0, low=1e-6, high=1.0):
    lrs = ramp(low, high, steps, kind=kind)
    random = np.random.default_rng(seed)
    losses = shift + scale * (loss_at(np.array(lrs)) + noise * random.standard_normal(steps))
    return Record(Probe(lrs), lrs, tuple(map(float, losses)), "done")
