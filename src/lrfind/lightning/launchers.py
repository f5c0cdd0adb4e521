"""Launchers: what is found in processes that ``fit`` starts, and that end with it, reaches the callback of the caller.

``ddp_spawn``, ``ddp_fork`` and ``ddp_notebook`` train copies of the trainer; rank 0 sends back what its launcher
collects.
"""

from __future__ import annotations

import sys
from typing import Any

from lrfind.records import Finding


def send_back(trainer: Any, callback: Any) -> None:
    """Let the launcher of this process also collect what a callback finds; nothing where it was started by none."""
    launcher = trainer.strategy.launcher
    collect = getattr(launcher, "get_extra_results", None)
    if collect is None:
        return

    def collect_all(trainer: Any) -> dict[str, Any]:
        return {**collect(trainer), "lrfind": _Parcel(type(callback), callback.findings)}

    launcher.get_extra_results = collect_all


class _Parcel:
    """Findings on their way, which are given to the callback of the caller where they arrive.

    Args:
        kind: The class of the callback, of which a trainer may have one.
        findings: What it has found.
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
            callback: Any = next(one for one in trainer.callbacks if type(one) is kind)
            callback.findings = [Finding.from_dict(each) for each in findings]
            return
