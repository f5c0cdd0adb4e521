"""Compare found rates with given ones, and a fixed rate with schedules, over paired seeds."""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

from lrfind.compare.arms import ARMS, to_arms
from lrfind.compare.comparison import Arm, Comparison, Failure, Interval, Pair, Row, Run, Verdict

if TYPE_CHECKING:
    from lrfind.compare.function import CutShort, compare
    from lrfind.compare.running import Event
    from lrfind.compare.targets.lightning import LightningTarget
    from lrfind.compare.targets.protocol import Survey, Target
    from lrfind.compare.targets.pytorch import PyTorchTarget, Training

__all__ = ["ARMS", "Arm", "Comparison", "CutShort", "Event", "Failure", "Interval", "LightningTarget", "Pair"]
__all__ += ["PyTorchTarget", "Row", "Run", "Survey", "Target", "Training", "Verdict", "compare", "to_arms"]

_HOMES = {"compare": "function", "CutShort": "function", "Event": "running", "LightningTarget": "targets.lightning"}
_HOMES |= {"Survey": "targets.protocol", "Target": "targets.protocol"}
_HOMES |= {"PyTorchTarget": "targets.pytorch", "Training": "targets.pytorch"}

if not TYPE_CHECKING:  # with __getattr__, mypy accepts any name

    def __getattr__(name: str) -> Any:
        """Import what needs torch or Lightning on first use."""
        if name in _HOMES:
            return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class _Callable(ModuleType):
    """Makes ``lrfind.compare(...)`` call ``lrfind.compare.compare(...)``."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.compare(*args, **kwargs)


sys.modules[__name__].__class__ = _Callable


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
