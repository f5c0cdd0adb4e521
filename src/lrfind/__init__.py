"""lrfind: the learning-rate finder you can trust."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from lrfind.errors import LRFindError
from lrfind.records import Finding, Probe, Record
from lrfind.strategies.range_test import RangeTest

if TYPE_CHECKING:
    from lrfind import compare as compare
    from lrfind import huggingface as huggingface
    from lrfind import lightning as lightning
    from lrfind import pytorch as pytorch
    from lrfind.pytorch import find

__version__ = "0.2.0"

__all__ = ["Finding", "LRFindError", "Probe", "RangeTest", "Record", "__version__", "find"]

_LOOPS = ("compare", "huggingface", "lightning", "pytorch")


if not TYPE_CHECKING:  # else every name would be taken for one of the package's

    def __getattr__(name: str) -> Any:
        """Import what needs torch or more when it is asked for: the command line answers ``--help`` without it."""
        if name == "find":
            from lrfind.pytorch import find

            return find
        if name in _LOOPS:
            return import_module(f"lrfind.{name}")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_LOOPS})
