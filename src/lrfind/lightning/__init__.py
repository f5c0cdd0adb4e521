"""Lightning: one callback that finds, applies and verifies; or a find of its own."""

from lrfind.lightning.callbacks import LRFinder, VerifyLR
from lrfind.lightning.functions import apply, find

__all__ = ["LRFinder", "VerifyLR", "apply", "find"]
