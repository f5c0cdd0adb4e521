"""From a rate of a ramp to a rate of training with steps as long, for optimizers whose step length changes."""

import math

import numpy as np

from lrfind.curves import Curve
from lrfind.replies import Reply

ADAM = 0.728
"""The gain of Adam, as ``lrfind.optim.reply_of`` measures it."""

USUAL_STEPS = 2_000
"""The length of training that is assumed if unknown."""


def reply_to(curve: Curve) -> Reply:
    """Return how the optimizer of a curve replies to its rate; if the record does not say, by its class name."""
    if curve.reply is not None:
        return curve.reply
    name = curve.optimizer.lower()
    is_free = any(each in name for each in ("adam", "rmsprop")) and "adamax" not in name
    return Reply((ADAM if is_free else 1.0,), (math.inf,), is_free)


def is_adaptive(curve: Curve) -> bool:
    """Say whether the length of a step does not depend on the scale of the loss."""
    return reply_to(curve).is_scale_free


def follows(curve: Curve) -> bool:
    """Say whether a ramp shows anything: steps follow the rate, or the optimizer's own rate is unknown."""
    return reply_to(curve).follows or curve.used <= 0


def in_training(curve: Curve, lr: float, steps: float | None) -> float:
    """Return the rate whose steps, in the middle of training, are as long as those of a rate at its place in a ramp.

    It is infinite if the rate is above the cap: then no rate is known to be too high.
    """
    reply, at = reply_to(curve), int(np.searchsorted(curve.lrs, lr)) + 1
    return lr * reply.gain(at) / reply.gain(_middle(steps)) if lr < reply.cap(at) else math.inf


def as_adam(curve: Curve, lr: float, steps: float | None) -> float:
    """Return the rate whose steps, in the middle of training, are as long as Adam's at ``lr``."""
    return lr * ADAM / reply_to(curve).gain(_middle(steps))


def highest(curve: Curve, steps: float | None) -> float:
    """Return the highest rate that makes a difference in training; infinite if steps have no cap.

    It is the cap after a sixteenth of training: a higher rate changes next to nothing.
    """
    return reply_to(curve).cap((steps or USUAL_STEPS) / 16)


def _middle(steps: float | None) -> float:
    return (steps or USUAL_STEPS) / 2
