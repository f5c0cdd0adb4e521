"""The comparison that settles it: found rates against given ones, fixed against scheduled, over paired seeds."""

from typing import TYPE_CHECKING, Any

from lrfind.compare.arms import ARMS, to_arms
from lrfind.compare.comparison import Comparison, Interval, Pair, Verdict
from lrfind.compare.function import CutShort, compare
from lrfind.compare.running import Event
from lrfind.compare.runs import Arm, Failure, Row, Run
from lrfind.compare.targets.protocol import Survey, Target
from lrfind.compare.targets.pytorch import PyTorchTarget, Training

if TYPE_CHECKING:
    from lrfind.compare.targets.lightning import LightningTarget

__all__ = [
    "ARMS",
    "Arm",
    "Comparison",
    "CutShort",
    "Event",
    "Failure",
    "Interval",
    "LightningTarget",
    "Pair",
    "PyTorchTarget",
    "Row",
    "Run",
    "Survey",
    "Target",
    "Training",
    "Verdict",
    "compare",
    "to_arms",
]


def __getattr__(name: str) -> Any:
    """Import what needs Lightning when it is asked for."""
    if name == "LightningTarget":
        from lrfind.compare.targets.lightning import LightningTarget

        return LightningTarget
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
