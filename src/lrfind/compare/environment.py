"""What a comparison ran on: names and versions."""

from __future__ import annotations

import os
import platform
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version

import torch

_PACKAGES = ("lrfind", "torch", "numpy", "lightning", "pytorch_lightning")


def environment() -> dict[str, str]:
    """Return the versions of what computes, as far as it is installed, and the kind of machine."""
    versions = {}
    for package in _PACKAGES:
        with suppress(PackageNotFoundError):
            versions[package] = version(package)
    capability = torch.backends.cpu.get_cpu_capability()
    machine = f"{platform.system()} {platform.machine()} ({capability}) with {os.cpu_count()} cores"
    return {**versions, "Python": platform.python_version(), "on": machine}
