"""What is trained: the user's Lightning module, a plain PyTorch training, or the built-in task."""

from lrfind.compare.targets.lightning import LightningTarget
from lrfind.compare.targets.protocol import Survey, Target, Told
from lrfind.compare.targets.pytorch import PyTorchTarget, Training

__all__ = ["LightningTarget", "PyTorchTarget", "Survey", "Target", "Told", "Training"]
