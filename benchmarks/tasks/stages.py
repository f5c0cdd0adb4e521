"""Second stages: searched after a part of a training, whose optimizer goes on."""

from __future__ import annotations

from functools import partial
from typing import Any

from torch.nn import functional as F

from benchmarks.data import clusters, digits, friedman, spirals
from benchmarks.models import mlp
from benchmarks.task import ADAM, ADAMW, MOMENTUM, Stage, Task

WHOLE = 1600
"""Steps of both stages together."""


def _after(share: float, lr: float) -> dict[str, Any]:
    steps = round(share * WHOLE)
    return {
        "stage": Stage(steps, lr),
        "horizon": WHOLE - steps,
        "wider": True,
        "schedules": ("constant", "linear"),
        "seeds": 2,
    }


_wide, _table = partial(mlp, 20, 64, 64, 5), partial(mlp, 10, 48, 48, 1)
_plane, _pixels = partial(mlp, 2, 48, 48, 2), partial(mlp, 64, 48, 10)
_FIT, _KEPT = {"family": "second stages"}, {"family": "second stages (kept)", "unseen": True}

TASKS = (
    Task("clusters-adam-25", data=clusters, model=_wide, optimizer=ADAM, batch_size=64, **_FIT, **_after(0.25, 2e-3)),
    Task("clusters-adam-90", data=clusters, model=_wide, optimizer=ADAM, batch_size=64, **_FIT, **_after(0.9, 2e-3)),
    Task("spirals-adam-50", data=spirals, model=_plane, optimizer=ADAM, batch_size=32, **_FIT, **_after(0.5, 1e-2)),
    Task(
        "friedman-momentum-50",
        data=friedman,
        model=_table,
        optimizer=MOMENTUM,
        batch_size=64,
        loss=F.mse_loss,
        **_FIT,
        **_after(0.5, 0.03),
    ),
    Task(
        "digits-momentum-25",
        data=digits,
        model=_pixels,
        optimizer=MOMENTUM,
        batch_size=32,
        **_FIT,
        **_after(0.25, 0.02),
    ),
    Task("digits-adamw-50", data=digits, model=_pixels, optimizer=ADAMW, batch_size=32, **_KEPT, **_after(0.5, 2e-3)),
    Task(
        "friedman-adam-90",
        data=friedman,
        model=_table,
        optimizer=ADAM,
        batch_size=64,
        loss=F.mse_loss,
        **_KEPT,
        **_after(0.9, 3e-3),
    ),
    Task(
        "spirals-momentum-25",
        data=spirals,
        model=_plane,
        optimizer=MOMENTUM,
        batch_size=32,
        **_KEPT,
        **_after(0.25, 0.05),
    ),
)
