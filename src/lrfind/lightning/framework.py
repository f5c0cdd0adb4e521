"""The installed Lightning, ``lightning`` or ``pytorch_lightning``: how it fits, and its launchers."""

import signal
import sys
import threading
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from lrfind.errors import MissingExtraError
from lrfind.records import Finding

PACKAGES = {"lightning": "lightning.pytorch", "pytorch_lightning": "pytorch_lightning"}

LOGGER_NAMES = ("lightning.pytorch", "lightning.fabric", "pytorch_lightning")
"""Loggers that give advice on devices, workers and log intervals."""


def callback_bases() -> tuple[type[Any], ...]:
    """Return the ``Callback`` class of every installed Lightning package."""
    return tuple(module.Callback for module in _installed())


def _installed() -> list[Any]:
    modules = [import_module(module) for package, module in PACKAGES.items() if find_spec(package)]
    if not modules:
        raise MissingExtraError("Lightning", "lightning")
    return modules


def package_of(part: Any = None) -> Any:
    """Return the Lightning package of a module, its class or a trainer; else the installed one, the new if both are."""
    for kind in (part if isinstance(part, type) else type(part)).__mro__:
        for package in PACKAGES.values():
            if kind.__module__.startswith(f"{package}."):
                return import_module(package)
    return _installed()[0]


def fit(trainer: Any, module: Any, **data: Any) -> None:
    """Call ``trainer.fit``; raise ``KeyboardInterrupt`` on Ctrl-C, also where Lightning exits."""
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


def send_back(trainer: Any, callback: Any) -> None:
    """Send a callback's findings to the caller's callback if a launcher trains copies in other processes.

    ``ddp_spawn``, ``ddp_fork`` and ``ddp_notebook`` do; rank 0 sends what its launcher collects.
    """
    launcher = trainer.strategy.launcher
    collect = getattr(launcher, "get_extra_results", None)
    if collect is not None:
        launcher.get_extra_results = lambda trainer: {**collect(trainer), "lrfind": _Parcel(callback)}


class _Parcel:
    """Carries a callback's findings between processes; unpickled, it gives them to the caller's of that class.

    It is no collection, since Lightning would look into one.
    """

    def __init__(self, callback: Any) -> None:
        self._contents = type(callback), [finding.to_dict() for finding in callback.findings]

    def __reduce__(self) -> tuple[Any, ...]:
        return _arrive, self._contents


def _arrive(kind: type, findings: list[dict[str, Any]]) -> None:
    """Give findings to the callback of the trainer that waits for its processes, further up the stack."""
    frame = sys._getframe()
    while frame := frame.f_back:  # type: ignore[assignment]
        trainer: Any = frame.f_locals.get("trainer")
        if hasattr(trainer, "callbacks"):
            callback: Any = next(item for item in trainer.callbacks if type(item) is kind)
            callback.findings = [Finding.from_dict(each) for each in findings]
            return
