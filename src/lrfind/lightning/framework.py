"""Lightning itself: which of its twins, ``lightning`` or ``pytorch_lightning``, how it fits, and its launchers."""

from __future__ import annotations

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
"""The loggers that give advice on devices, workers, log intervals."""


def callback_bases() -> tuple[type[Any], ...]:
    """Return the ``Callback`` class of every Lightning that is installed."""
    return tuple(module.Callback for module in _installed())


def lightning_package() -> Any:
    """Return the Lightning package that is installed; ``lightning`` where both are."""
    return _installed()[0]


def _installed() -> list[Any]:
    modules = [import_module(module) for package, module in PACKAGES.items() if find_spec(package)]
    if not modules:
        raise MissingExtraError("Lightning", "lightning")
    return modules


def package_of(part: Any) -> Any:
    """Return the Lightning package that a module, its class or a trainer comes from; else the one installed."""
    for kind in (part if isinstance(part, type) else type(part)).__mro__:
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


def send_back(trainer: Any, callback: Any) -> None:
    """Let what a callback finds reach that of the caller, where a launcher trains copies of both in its processes.

    So do ``ddp_spawn``, ``ddp_fork`` and ``ddp_notebook``; rank 0 sends back what its launcher collects.
    """
    launcher = trainer.strategy.launcher
    collect = getattr(launcher, "get_extra_results", None)
    if collect is not None:
        launcher.get_extra_results = lambda trainer: {
            **collect(trainer),
            "lrfind": _Parcel(type(callback), callback.findings),
        }


class _Parcel:
    """Findings on their way, which are given to the callback of that class, of the caller's, where they arrive.

    It is no collection, into which Lightning would look.
    """

    def __init__(self, kind: type, findings: list[Finding]) -> None:
        self._contents = kind, [finding.to_dict() for finding in findings]

    def __reduce__(self) -> tuple[Any, ...]:
        return _arrive, self._contents


def _arrive(kind: type, findings: list[dict[str, Any]]) -> None:
    """Give findings to the callback of the trainer that waits for its processes, further up on the stack."""
    frame = sys._getframe()
    while frame := frame.f_back:  # type: ignore[assignment]
        trainer: Any = frame.f_locals.get("trainer")
        if hasattr(trainer, "callbacks"):
            callback: Any = next(item for item in trainer.callbacks if type(item) is kind)
            callback.findings = [Finding.from_dict(each) for each in findings]
            return
