"""The callbacks: ``LRFinder`` finds, applies and verifies; ``VerifyLR`` verifies a rate set by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from typing_extensions import Unpack

from lrfind.errors import RateNotAppliedError
from lrfind.isolation import preserved
from lrfind.lightning.attributes import Wiring, complain, get, put, trace
from lrfind.lightning.framework import callback_bases
from lrfind.lightning.loop import LightningLoop, only_optimizer
from lrfind.optim import AppliedRate, apply_rate, rates_of
from lrfind.records import Finding
from lrfind.search import SearchOptions, find_with, to_strategy


class VerifyLR(*callback_bases()):  # type: ignore[misc]
    """Verifies that training really uses a learning rate, from before the first step to after the last.

    Args:
        lr: The rate that the optimizer must start with; a finding's ``lr``, say.

    Attributes:
        applied: The watch over the optimizer: the least and the greatest rate read back so far.

    Raises:
        RateNotAppliedError: At the start of ``fit`` if the optimizer has another rate (the message names the
            attribute that holds the rate and the one that the optimizer reads); at a step, if something but
            the module's own schedulers changed it.
    """

    def __init__(self, lr: float) -> None:
        self.lr: float | None = lr
        self.applied: AppliedRate | None = None

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        """Compare the rate with what the optimizer was built with, and start watching."""
        optimizer = only_optimizer(trainer)
        if self.lr is not None and not math.isclose(rates_of(optimizer).lr, self.lr, rel_tol=1e-12):
            raise _liar(pl_module, self.lr, rates_of(optimizer).lr)
        self.watch(trainer)

    def watch(self, trainer: Any) -> None:
        """Watch the trainer's optimizer from now on."""
        self.unwatch()
        schedulers = tuple(config.scheduler for config in trainer.lr_scheduler_configs)
        self.applied = AppliedRate(only_optimizer(trainer), schedulers)

    @property
    def span(self) -> tuple[float, float]:
        """The least and the greatest rate read back from the optimizer.

        Raises:
            RateNotAppliedError: If no step was watched.
        """
        if self.applied is None or not self.applied.steps:
            raise RateNotAppliedError("no step was watched: fit has not trained with this callback.")
        return self.applied.least, self.applied.greatest

    def unwatch(self) -> None:
        """Stop watching; what was read back so far is kept."""
        if self.applied is not None:
            self.applied.remove()

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Check that the optimizer that was watched is the one that trained."""
        self.unwatch()
        if self.applied is not None and trainer.global_step > 0 and not self.applied.steps:
            raise RateNotAppliedError(
                "the optimizer that trained is not the one that was set up at the start of fit, so its rate was "
                "never verified; do not replace trainer.optimizers during training."
            )

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Stop watching."""
        self.unwatch()


class LRFinder(VerifyLR):
    """Finds a learning rate when ``fit`` starts, applies it, and verifies it to the end of training.

    The search runs on a copy of the module in a Trainer of its own; training itself is bit for bit what it would
    be without the callback at the same rate. Where ``fit`` resumes from a checkpoint of a run that had the
    callback, its finding is used and nothing is searched.

    Args:
        apply: Whether to train with the found rate; else it is only found.
        attr: The attribute (``"lr"``, ``"hparams.learning_rate"``) to write the rate to; by default the one that
            the optimizer is seen to read, or none, in which case the optimizer's param groups are set.
        **options: See ``lrfind.search.SearchOptions``.

    Attributes:
        finding: The finding, once ``fit`` has started.
        applied: The watch over the optimizer: the least and the greatest rate read back so far.

    Raises:
        BadInputError: If an option is unknown or out of its range.
        RateNotAppliedError: Before the search, if the optimizer does not read ``attr``; later, as ``VerifyLR``.
    """

    def __init__(self, *, apply: bool = True, attr: str | None = None, **options: Unpack[SearchOptions]) -> None:
        to_strategy(**options)
        self.lr = None
        self.applied = None
        self.finding: Finding | None = None
        self._is_resumed = False
        self._apply, self._attr, self._options = apply, attr, options

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        """Find (unless a resumed training brought its finding), apply, and start watching."""
        wiring = self._wiring(pl_module) if self._apply else None
        if self.finding is None or not self._is_resumed:
            loop = LightningLoop(trainer, pl_module, data_of(trainer, pl_module), is_set_up=True)
            self.finding = find_with(loop, **self._options)
        self._is_resumed = False
        if wiring is not None:
            self._set(trainer, pl_module, self.finding.lr, wiring)
            stale = [note for note in _stale(pl_module, self.finding.lr, wiring) if note not in self.finding.notes]
            self.finding = replace(self.finding, notes=(*self.finding.notes, *stale))
            self.watch(trainer)

    def state_dict(self) -> dict[str, Any]:
        """Keep the finding in checkpoints, so that a resumed training does not search again."""
        return {"finding": self.finding.to_dict()} if self.finding else {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the finding of the training that is resumed."""
        if "finding" in state_dict:
            self.finding = Finding.from_dict(state_dict["finding"])
            self._is_resumed = True

    def _wiring(self, module: Any) -> Wiring:
        wiring = trace(module, also=self._attr)
        if self._attr is not None and self._attr not in wiring.read:
            raise complain(module, self._attr, wiring)
        return wiring

    def _set(self, trainer: Any, module: Any, lr: float, wiring: Wiring) -> None:
        names = (self._attr,) if self._attr else wiring.read
        for name in names:
            put(module, name, lr)
        if names:
            with preserved():
                trainer.strategy.setup_optimizers(trainer)
        if rates_of(only_optimizer(trainer)).lr != lr:
            schedulers = [config.scheduler for config in trainer.lr_scheduler_configs]
            apply_rate(only_optimizer(trainer), lr, schedulers).remove()


def data_of(trainer: Any, module: Any) -> Any:
    """Return what a trainer that is in ``fit`` trains on: a datamodule, loaders, or None for the module's own."""
    if trainer.datamodule is not None:
        return trainer.datamodule
    source = trainer.fit_loop._data_source.instance
    return None if source is module else source


def _stale(module: Any, lr: float, wiring: Wiring) -> list[str]:
    return [
        f"{type(module).__name__} also has self.{name}={get(module, name)}, which its optimizer does not read: "
        f"it trains with {lr:.3g}."
        for name in wiring.unread
    ]


def _liar(module: Any, lr: float, used: float) -> RateNotAppliedError:
    wiring = trace(module)
    holders = [name for name in (*wiring.unread, *wiring.read) if get(module, name) == lr]
    if holders and holders[0] not in wiring.read:
        return complain(module, holders[0], wiring)
    source = f" from self.{wiring.read[0]}" if wiring.read else ""
    return RateNotAppliedError(
        f"the optimizer of {type(module).__name__} starts with lr={used}{source}, not with lr={lr}; "
        f"call lrfind.lightning.apply(finding, model) before fit."
    )
