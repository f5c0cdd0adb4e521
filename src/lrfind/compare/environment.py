"""What a comparison ran on: names and versions."""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version

import torch


def environment() -> dict[str, str]:
    """Return the versions of what computes, and the kind of machine."""
    capability = torch.backends.cpu.get_cpu_capability()
    packages = {"lrfind": "lrfind", "torch": "torch", "numpy": "numpy"}
    packages |= {name: name for name in ("lightning", "pytorch_lightning") if name in sys.modules}
    return {
        **{name: _version(package) for name, package in packages.items()},
        "Python": platform.python_version(),
        "on": f"{platform.system()} {platform.machine()} ({capability}) with {os.cpu_count()} cores",
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"
