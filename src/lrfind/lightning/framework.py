"""Which Lightning: ``lightning`` and ``pytorch_lightning`` are twins whose classes do not know each other."""

from __future__ import annotations

import signal
import threading
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from lrfind.errors import BadInputError, MissingExtraError

PACKAGES = {"lightning": "lightning.pytorch", "pytorch_lightning": "pytorch_lightning"}

TALKERS = ("lightning.pytorch", "lightning.fabric", "pytorch_lightning")
"""The loggers that give advice on devices, workers, log intervals."""


def callback_bases() -> tuple[type[Any], ...]:
    """Return the ``Callback`` class of every Lightning that is installed.

    Raises:
        MissingExtraError: If there is none.
    """
    return tuple(module.Callback for module in _installed())


def lightning_package() -> Any:
    """Return the Lightning package that is installed; ``lightning`` where both are.

    Raises:
        MissingExtraError: If there is none.
    """
    return _installed()[0]


def _installed() -> list[Any]:
    modules = [import_module(module) for package, module in PACKAGES.items() if find_spec(package)]
    if not modules:
        raise MissingExtraError("Lightning", "lightning")
    return modules


def package_of(trainer: Any) -> Any:
    """Return the Lightning package that a trainer, or a subclass of one, comes from."""
    for kind in type(trainer).__mro__:
        for module in PACKAGES.values():
            if kind.__module__.startswith(f"{module}.trainer"):
                return import_module(module)
    raise BadInputError(
        f"trainer must be a Lightning Trainer, as in find(trainer, model), got the {type(trainer).__name__} of "
        f"{type(trainer).__module__.partition('.')[0]}."
    )


def package_of_module(module: Any) -> Any:
    """Return the Lightning package that a module, or its class, comes from; the one installed for anything else."""
    for kind in (module if isinstance(module, type) else type(module)).__mro__:
        for package in PACKAGES.values():
            if kind.__module__.startswith(f"{package}."):
                return import_module(package)
    return lightning_package()


def fit(trainer: Any, module: Any, **data: Any) -> None:
    """Call ``trainer.fit``; where Lightning makes an exit of Ctrl-C, turn it back into ``KeyboardInterrupt``."""
    is_main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGINT) if is_main else None
    try:
        trainer.fit(module, **data)
    except SystemExit:
        if not trainer.interrupted:
            raise
    finally:
        if handler is not None:
            signal.signal(signal.SIGINT, handler)
    if trainer.interrupted:
        raise KeyboardInterrupt
