"""Which Lightning: ``lightning`` and ``pytorch_lightning`` are twins whose classes do not know each other."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from lrfind.errors import MissingExtraError

PACKAGES = {"lightning": "lightning.pytorch", "pytorch_lightning": "pytorch_lightning"}


def callback_bases() -> tuple[type[Any], ...]:
    """Return the ``Callback`` class of every Lightning that is installed.

    Raises:
        MissingExtraError: If there is none.
    """
    modules = [import_module(module) for package, module in PACKAGES.items() if find_spec(package)]
    if not modules:
        raise MissingExtraError("Lightning", "lightning")
    return tuple(module.Callback for module in modules)


def package_of(trainer: Any) -> Any:
    """Return the Lightning package that a trainer, or a subclass of one, comes from."""
    for kind in type(trainer).__mro__:
        for module in PACKAGES.values():
            if kind.__module__.startswith(f"{module}.trainer"):
                return import_module(module)
    raise TypeError(f"trainer must be a Lightning Trainer, got {type(trainer).__name__}.")
