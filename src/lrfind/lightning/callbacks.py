"""The callbacks: ``LRFinder`` finds, applies and verifies; ``VerifyLR`` verifies a rate set by hand."""

from __future__ import annotations

import math
import warnings
from dataclasses import replace
from functools import partial
from typing import Any

from typing_extensions import Unpack

from lrfind.errors import BadInputError, ProbeError, RateNotAppliedError
from lrfind.isolation import generators_kept
from lrfind.lightning.attributes import Wiring, complain, get, put, trace, values_for
from lrfind.lightning.framework import callback_bases
from lrfind.lightning.functions import with_plan
from lrfind.lightning.launchers import send_back
from lrfind.lightning.loop import LightningLoop, chosen_optimizers
from lrfind.optim import AppliedRate, Verifier, apply_rate, driving, handling_groups, rates_of
from lrfind.progress import announce
from lrfind.records import Finding
from lrfind.search import SearchOptions, find_with, to_strategy


class VerifyLR(Verifier, *callback_bases()):  # type: ignore[misc]
    """Verifies that training really uses a learning rate, from before the first step to after the last.

    Args:
        lr: The rate that the optimizer must start with; a finding's ``lr``, say.
        optimizer: Of several optimizers, the index of the one meant; by default the first one is verified to start
            with ``lr``, and all are watched.

    Attributes:
        applied: The watch over the optimizer: the least and the greatest rate read back so far.

    Raises:
        RateNotAppliedError: At the start of ``fit`` if the optimizer has another rate (the message names the
            attribute that holds the rate and the one that the optimizer reads); at a step, if something but
            the module's own schedulers changed it.
    """

    def __init__(self, lr: float, *, optimizer: int | None = None) -> None:
        self.lr: float | None = lr
        self._optimizer = optimizer

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        """Compare the rate with what the optimizer was built with, and start watching."""
        used = rates_of(chosen_optimizers(trainer, self._optimizer), schedulers_of(trainer)).lr
        if self.lr is not None and not math.isclose(used, self.lr, rel_tol=1e-12):
            raise _liar(pl_module, self.lr, used)
        self.watch(trainer)

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Watch what a checkpoint has put in place, where training resumes from one."""
        if self.applied is not None and trainer.global_step > 0:
            self.watch(trainer)

    def watch(self, trainer: Any) -> None:
        """Watch the trainer's optimizer from now on."""
        self.unwatch()
        optimizers, suspects = chosen_optimizers(trainer, self._optimizer), partial(_suspects, trainer, self)
        self.applied = AppliedRate(optimizers, schedulers_of(trainer), suspects=suspects)

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """Let the schedulers that a callback brought in since (averaging of weights, say) change the rate."""
        if self.applied is not None:
            self.applied.schedulers = schedulers_of(trainer)

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

    The search trains with the trainer itself, without its callbacks and loggers, and puts everything back; training is
    bit for bit what it would be without the callback at the same rate. Where ``fit`` resumes from a checkpoint, the
    resume happens: of a run that had the callback, its finding is used and nothing is searched; of another, the search
    starts from the weights and the optimizer state of the checkpoint.

    Args:
        apply: Whether to train with the found rate; else it is only found.
        attr: The attribute (``"lr"``, ``"hparams.learning_rate"``) to write the rate to; by default the one that
            the optimizer is seen to read, or none, in which case the optimizer's param groups are set.
        optimizer: Of several optimizers, the index of the one to search; by default all move together, ratios kept,
            and ``finding.lr`` is the first one's.
        every: Search again at the start of every so many epochs, from the state that training is in; where that
            curve cannot be read, the rate is kept, with a warning.
        **options: See ``lrfind.search.SearchOptions``; ``horizon``, ``epochs`` and ``schedule`` are by default the
            trainer's own.

    Attributes:
        finding: The latest finding, once ``fit`` has started.
        findings: All of them, in order.
        applied: The watch over the optimizer: the least and the greatest rate read back so far.

    Raises:
        BadInputError: If an option is unknown or out of its range.
        RateNotAppliedError: Before the search, if the optimizer does not read ``attr``; later, as ``VerifyLR``.
    """

    def __init__(
        self,
        *,
        apply: bool = True,
        attr: str | None = None,
        optimizer: int | None = None,
        every: int | None = None,
        **options: Unpack[SearchOptions],
    ) -> None:
        to_strategy(**options)
        if every is not None and every < 1:
            raise BadInputError(f"every must be a number of epochs, at least 1, got {every=}.")
        if every is not None and options.get("resume") is not None:
            raise BadInputError("resume= is for the one search at the start; leave it out where every= asks for more.")
        self.lr = None
        self.findings: list[Finding] = []
        self._is_resumed = False
        self._optimizer, self._every = optimizer, every
        self._apply, self._attr, self._options = apply, attr, options

    @property
    def finding(self) -> Finding | None:
        """The latest finding."""
        return self.findings[-1] if self.findings else None

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        """Find, apply, and start watching; not yet where a checkpoint will be resumed from."""
        send_back(trainer, self)
        if trainer.fast_dev_run:
            warnings.warn("fast_dev_run: no rate is searched; training keeps its own.", stacklevel=2)
        elif not self._is_resumed:
            self.findings = []
            if trainer.ckpt_path is None:
                self._find(trainer, pl_module, is_fresh=True)

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Find now, or take the finding of the run that is resumed; the checkpoint is in place."""
        if self._is_resumed and self._apply:
            self._announce()
            self.watch(trainer)
        elif not self.findings and not trainer.fast_dev_run:
            self._find(trainer, pl_module, is_fresh=False)
        self._is_resumed = False

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        """Find again, every so many epochs."""
        epoch = trainer.current_epoch
        if self._every and epoch > 0 and epoch % self._every == 0:
            try:
                self._find(trainer, pl_module, is_fresh=False)
            except ProbeError as error:
                warnings.warn(f"At epoch {epoch} the rate is kept as it is: {error}", stacklevel=2)

    def state_dict(self) -> dict[str, Any]:
        """Keep the findings in checkpoints, so that a resumed training does not search again."""
        return {"findings": [finding.to_dict() for finding in self.findings]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the findings of the training that is resumed."""
        self.findings = [Finding.from_dict(each) for each in state_dict.get("findings", [])]
        self._is_resumed = bool(self.findings)

    def _find(self, trainer: Any, module: Any, *, is_fresh: bool) -> None:
        chosen_optimizers(trainer, self._optimizer)
        with generators_kept():  # first of all
            wiring = self._wiring(module) if self._apply else None
            loop = LightningLoop(trainer, module, data_of(trainer, module), optimizer=self._optimizer, is_fitting=True)
            finding = find_with(loop, **with_plan(self._options, trainer, trainer.lr_scheduler_configs))
        if wiring is not None:
            self._set(trainer, module, finding.lr, wiring, is_fresh=is_fresh)
            finding = replace(finding, notes=(*finding.notes, *_stale(module, finding.lr, wiring)))
            self.watch(trainer)
        self.findings.append(finding)
        self._announce()

    def _announce(self) -> None:
        announce(self.findings[-1], is_applied=self._apply, shown=bool(self._options.get("progress", True)))

    def _wiring(self, module: Any) -> Wiring:
        wiring = trace(module, also=self._attr, optimizer=self._optimizer or 0)
        if self._attr is not None and self._attr not in wiring.read:
            raise complain(module, self._attr, wiring)
        return wiring

    def _set(self, trainer: Any, module: Any, lr: float, wiring: Wiring, *, is_fresh: bool) -> None:
        """Write the rate where the optimizer reads it; build a fresh one anew, set one in training in place."""
        names = (self._attr,) if self._attr else wiring.read
        values = values_for(module, names, lr, optimizer=self._optimizer or 0) or dict.fromkeys(names, lr)
        for name, value in values.items():
            put(module, name, value)
        if names and is_fresh and len(trainer.optimizers) == 1:
            with generators_kept():
                trainer.strategy.setup_optimizers(trainer)
        chosen = chosen_optimizers(trainer, self._optimizer)
        schedulers = driving(chosen, schedulers_of(trainer))
        if rates_of(chosen, schedulers).lr != lr:
            apply_rate(chosen, lr, schedulers).remove()


def schedulers_of(trainer: Any) -> tuple[Any, ...]:
    """Return the schedulers that a trainer steps, or that its module steps by hand."""
    return tuple(config.scheduler for config in trainer.lr_scheduler_configs)


def data_of(trainer: Any, module: Any) -> Any:
    """Return what a trainer that is in ``fit`` trains on: a datamodule, loaders, or None for the module's own."""
    if trainer.datamodule is not None:
        return trainer.datamodule
    source = trainer.fit_loop._data_source.instance
    return None if source is module else source


_FRAMEWORK = (".core.module", ".core.hooks", ".callbacks.callback")
"""Where Lightning keeps its base classes, whose methods are nobody's doing."""


def _suspects(trainer: Any, watcher: Any) -> list[str]:
    """Name the callbacks, and the module's methods, whose code handles param groups."""
    holders = [*(one for one in trainer.callbacks if one is not watcher), trainer.lightning_module]
    return handling_groups(holders, lambda module: module.endswith(_FRAMEWORK))


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
    remedy = f"set self.{wiring.read[0]}" if wiring.read else "let configure_optimizers read an attribute and set that"
    return RateNotAppliedError(
        f"the optimizer of {type(module).__name__} starts with lr={used}{source}, not with lr={lr}; {remedy} before "
        f"fit, which lrfind.lightning.apply(finding, model) does with a finding."
    )
