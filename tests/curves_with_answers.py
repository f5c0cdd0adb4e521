"""Synthetic range tests whose answers are known."""

import numpy as np

from lrfind.curves import DivergenceWatch
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


def flat_then_diverging(*, seed=0, noise=0.1, fall=0.0, diverges=0.1, steps=128):
    """A loss that hardly depends on the rate, by ``fall`` times its noise, until it explodes around ``diverges``."""
    random, watch, losses = np.random.default_rng(seed), DivergenceWatch(), []
    lrs = ramp(1e-6, 30.0, steps)
    for octave in np.log2(np.array(lrs) / diverges):
        explosion = 0.5 * 2 ** min(2 * octave, 40)
        losses.append(2.3 + noise * (random.standard_normal() - fall / (1 + 2 ** (-2 * (octave + 5))) + explosion))
        if watch.observe(losses[-1]):
            break
    stop = "diverged" if len(losses) < steps else "done"
    return Record(Probe(lrs), lrs[: len(losses)], tuple(map(float, losses)), stop)


def drifting(decay, shift, *, noise=0.0, seed=0, fall=2.0):
    """A loss that a running mean raises by a share of it while the rate does not matter yet; then it explodes."""
    lrs = np.array(ramp(1e-6, 30.0, 128))
    explosion = 6.0 * np.minimum(np.maximum(lrs / RISE, 1.0) ** 2 - 1.0, 1e30)
    losses = 2.3 - fall / (1 + np.exp(-6 * np.log10(lrs / FALL))) + explosion
    losses = losses + noise * np.random.default_rng(seed).standard_normal(len(lrs))
    losses = losses * (1 + shift * (1 - decay ** np.arange(len(lrs))))
    watch = DivergenceWatch()
    steps = next((step for step, loss in enumerate(map(float, losses), 1) if watch.observe(loss)), len(lrs))
    stop = "diverged" if steps < len(lrs) else "done"
    return Record(Probe(tuple(lrs)), tuple(lrs[:steps]), tuple(map(float, losses[:steps])), stop, optimizer="SGD")
