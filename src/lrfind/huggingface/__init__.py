"""Hugging Face: one callback of a ``Trainer`` that finds, applies and verifies; or a find of its own."""

from lrfind.huggingface.callbacks import LRFinder, VerifyLR
from lrfind.huggingface.loop import find

__all__ = ["LRFinder", "VerifyLR", "find"]
