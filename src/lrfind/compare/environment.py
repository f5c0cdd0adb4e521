"""What a comparison ran on: names and versions."""

from __future__ import annotations

import os
import platform
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version

import torch

_PACKAGES = ("lrfind", "torch", "numpy", "lightning", "pytorch_lightning")


def versions() -> dict[str, str]:
    """Return the versions of what computes, as far as it is installed."""
    known = {}
    for package in _PACKAGES:
        with suppress(PackageNotFoundError):
            known[package] = version(package)
    return {**known, "Python": platform.python_version()}


def environment() -> dict[str, str]:
    """Return the versions of what computes, and the kind of machine."""
    capability = torch.backends.cpu.get_cpu_capability()
    machine = f"{platform.system()} {platform.machine()} ({capability}) with {os.cpu_count()} cores"
    return {**versions(), "on": machine}
