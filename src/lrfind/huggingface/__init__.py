"""Hugging Face: a ``Trainer`` callback that finds, applies and verifies; and a ``find``."""

from lrfind.huggingface.callbacks import LRFinder, VerifyLR
from lrfind.huggingface.loop import find

__all__ = ["LRFinder", "VerifyLR", "find"]
