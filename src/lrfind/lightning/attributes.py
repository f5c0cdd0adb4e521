"""Which attribute of a module its optimizer reads the learning rate from."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from lrfind.errors import RateNotAppliedError
from lrfind.isolation import Kept, generators_kept
from lrfind.optim import rates_of

_USUAL = ("lr", "learning_rate")


@dataclass(frozen=True, slots=True)
class Wiring:
    """Where a module keeps learning rates.

    Attributes:
        read: Attributes that the optimizer's rate follows, such as ``"lr"`` or ``"hparams.lr"``.
        unread: Attributes of the usual names that it does not follow.
        lr: The rate the optimizer is built with.
    """

    read: tuple[str, ...]
    unread: tuple[str, ...]
    lr: float


def trace(module: Any, *, also: str | None = None, optimizer: int = 0) -> Wiring:
    """Find out what a module's optimizer reads, by changing each candidate, building the optimizer and putting it back.

    Args:
        module: The module; it is not changed.
        also: One more attribute to try, whatever its value.
        optimizer: Which of several optimizers is meant.
    """
    with generators_kept(), Kept((module,)) as kept:
        lr = _built_lr(module, optimizer, kept)
        usual = [name for prefix in ("", "hparams.") for name in (prefix + usual for usual in _USUAL)]
        floats = [name for name, value in vars(module).items() if type(value) is float and value == lr]
        hparams = [
            f"hparams.{name}" for name, value in _hparams(module).items() if type(value) is float and value == lr
        ]
        names = dict.fromkeys([*usual, *floats, *hparams, *([also] if also else [])])
        present = [name for name in names if _is_rate(get(module, name))]
        read = tuple(name for name in present if _follows(module, name, lr, optimizer, kept))
        unread = tuple(name for name in present if name not in read and (name in usual or name == also))
    return Wiring(read, unread, lr)


def get(module: Any, name: str) -> Any:
    """Return an attribute of a module, or of its ``hparams``; None where there is none."""
    if name.startswith("hparams."):
        return _hparams(module).get(name.removeprefix("hparams."))
    return getattr(module, name, None)


def put(module: Any, name: str, value: float) -> None:
    """Set an attribute of a module, or of its ``hparams``."""
    if name.startswith("hparams."):
        _hparams(module)[name.removeprefix("hparams.")] = value
    else:
        setattr(module, name, value)


def complain(module: Any, wanted: str, wiring: Wiring) -> RateNotAppliedError:
    """Return the error for a rate written where the optimizer does not read it; it names both places."""
    name = type(module).__name__
    source = f"self.{wiring.read[0]}" if wiring.read else "something else, perhaps a literal"
    remedy = f'use attr="{wiring.read[0]}"' if wiring.read else f"read self.{wanted} there"
    return RateNotAppliedError(
        f"the rate was written to self.{wanted}, but the optimizer that {name}.configure_optimizers builds does not "
        f"read it: it has lr={wiring.lr} from {source}; {remedy}."
    )


def _hparams(module: Any) -> Any:
    """The module's hyperparameters, without the property that makes an empty set of them on asking."""
    return getattr(module, "_hparams", {})


def _is_rate(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < math.inf


def _follows(module: Any, name: str, lr: float, optimizer: int, kept: Kept) -> bool:
    put(module, name, float(get(module, name)) * 0.5)
    changed = _built_lr(module, optimizer, kept)
    return math.isfinite(changed) and math.isfinite(lr) and changed != lr


def _built_lr(module: Any, optimizer: int, kept: Kept) -> float:
    """The rate of the optimizer that the module builds, put back after it; NaN where that takes a trainer."""
    try:
        return rates_of(_optimizers(module.configure_optimizers())[optimizer]).lr
    except RuntimeError:
        return math.nan
    finally:
        kept.put_back()


def _optimizers(built: Any) -> list[Any]:
    """The optimizers in whatever ``configure_optimizers`` may return."""
    if isinstance(built, dict):
        return [built["optimizer"]]
    if isinstance(built, (list, tuple)):
        first = built[0] if len(built) == 2 and isinstance(built[0], (list, tuple)) else built
        return [optimizer for one in first for optimizer in _optimizers(one)]
    return [built]
