"""lrfind: the learning-rate finder you can trust."""

from lrfind.errors import LRFindError
from lrfind.pytorch import find
from lrfind.records import Finding, Probe, Record
from lrfind.strategies.range_test import RangeTest

__version__ = "0.1.0"

__all__ = ["Finding", "LRFindError", "Probe", "RangeTest", "Record", "__version__", "find"]
