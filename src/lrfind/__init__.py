"""lrfind: the learning-rate finder you can trust.

    import lrfind

    finding = lrfind.find(model, optimizer, loader, torch.nn.CrossEntropyLoss(), epochs=10)
    print(finding)            # the rate, how sure it is, where the optimizer's own rate lies
    finding.plot()            # the loss against the rate
    finding.apply(optimizer)  # sets the rate, and checks it at every step from now on

The model, the optimizer, the loader and the random numbers are as before.

    lrfind.find                  for plain PyTorch, Fabric, Accelerate; help(lrfind.find) has every option
    lrfind.lightning.LRFinder    a callback for Lightning; lrfind.lightning.find only finds
    lrfind.huggingface.LRFinder  a callback for Hugging Face's Trainer; lrfind.huggingface.find only finds
    lrfind.compare               trains at several rates and schedules, and says which is best
    lrfind.Finding               what a search gives: lr, interval, apply, plot, save, judge, at
    lrfind.RangeTest, lrfind.Replicated, lrfind.Strategy, lrfind.SearchOptions, lrfind.Probe, lrfind.Record
    lrfind.LRFindError           every error: BadInputError, ProbeError, RateNotAppliedError, NotPutBackError,
                                 RankError, DataError, MissingExtraError

On the command line: ``lrfind --help``.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from lrfind.errors import (
    BadInputError,
    DataError,
    LRFindError,
    MissingExtraError,
    NotPutBackError,
    ProbeError,
    RankError,
    RateNotAppliedError,
)
from lrfind.records import Finding, Probe, Record
from lrfind.strategies import Strategy
from lrfind.strategies.range_test import RangeTest
from lrfind.strategies.replicated import Replicated

if TYPE_CHECKING:
    from lrfind import compare as compare
    from lrfind import huggingface as huggingface
    from lrfind import lightning as lightning
    from lrfind import pytorch as pytorch
    from lrfind.options import SearchOptions
    from lrfind.pytorch import find

__version__ = "0.2.0"

__all__ = ["Finding", "Probe", "RangeTest", "Record", "Replicated", "SearchOptions", "Strategy", "__version__", "find"]
__all__ += ["BadInputError", "DataError", "LRFindError", "MissingExtraError", "NotPutBackError", "ProbeError"]
__all__ += ["RankError", "RateNotAppliedError"]

_HOMES = {"find": "pytorch", "SearchOptions": "options"}
_ROOMS = ("compare", "huggingface", "lightning", "pytorch")


if not TYPE_CHECKING:  # else every name would be taken for one of the package's

    def __getattr__(name: str) -> Any:
        """Import what needs torch or more when it is asked for: the command line answers ``--help`` without it."""
        if name in _HOMES:
            return getattr(import_module(f"lrfind.{_HOMES[name]}"), name)
        if name in _ROOMS:
            return import_module(f"lrfind.{name}")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*__all__, *_ROOMS, *(name for name in globals() if name.startswith("__"))})
