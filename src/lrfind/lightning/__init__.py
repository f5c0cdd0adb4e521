"""Lightning: a callback that finds, applies and verifies; a ``find``; a subcommand for ``LightningCLI``."""

from lrfind.lightning.attributes import apply
from lrfind.lightning.callbacks import LRFinder, VerifyLR
from lrfind.lightning.cli import with_lr_find
from lrfind.lightning.loop import find

__all__ = ["LRFinder", "VerifyLR", "apply", "find", "with_lr_find"]
