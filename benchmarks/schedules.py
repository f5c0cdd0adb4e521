"""The four shapes a rate follows in the benchmark."""

from __future__ import annotations

from lrfind.schedules import SCHEDULES, Shape

SHAPES: dict[str, Shape] = {name: SCHEDULES[name] for name in ("constant", "linear", "cosine-warmup", "one-cycle")}
