"""The callbacks: ``LRFinder`` finds, applies and verifies; ``VerifyLR`` verifies a rate set by hand."""

import warnings
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

from typing_extensions import Unpack

from lrfind.errors import BadInputError, RateNotAppliedError
from lrfind.finder import Finder, Training, Verifier, handling_groups
from lrfind.isolation import generators_kept
from lrfind.lightning.attributes import Wiring, get, mismatch_error, named_rates, put, trace, unread_error
from lrfind.lightning.framework import callback_bases, send_back
from lrfind.lightning.loop import LightningLoop, checked_index, chosen_optimizers
from lrfind.loggers import Metrics
from lrfind.optim import counts, driving
from lrfind.options import SearchOptions, with_meanings
from lrfind.records import Finding

_BASES = r"\.(core\.module|core\.hooks|callbacks\.callback)$"  # Lightning's own classes, whose methods are no suspects


class VerifyLR(Verifier, *callback_bases()):  # type: ignore[misc]
    """Verifies that training really uses a learning rate, from before the first step to after the last.

    Args:
        lr: The rate that the optimizer must start with, such as a finding's ``lr``; under a schedule, its peak. If
            ``fit`` resumes from a checkpoint, the rate in the checkpoint.
        optimizer: Of several optimizers, the index of the one to verify; by default the first one must start with
            ``lr``, and all are watched.

    Raises:
        RateNotAppliedError: At the start of ``fit`` if the optimizer has another rate (the message names the
            attribute that holds the rate and the one that the optimizer reads); at a step, if something other than
            the module's own schedulers changed it.
    """

    def __init__(self, lr: float, *, optimizer: int | None = None) -> None:
        super().__init__(lr)
        self._optimizer = checked_index(optimizer)

    def on_init_end(self, *_: Any, **__: Any) -> None:
        """Refuse Hugging Face's Trainer, which calls this first; Lightning's never does."""
        ours = type(self).__name__
        raise BadInputError(f"this {ours} is Lightning's; a Hugging Face Trainer takes lrfind.huggingface.{ours}.")

    def setup(*of: Any, **_: Any) -> None:
        """Refuse to be the class itself, whose methods Lightning calls without ``self``."""
        if not isinstance(of[0], VerifyLR):
            raise BadInputError("callbacks= takes objects; write LRFinder() or VerifyLR(lr) for the class.")

    def on_exception(*of: Any) -> None:
        """Stop watching."""
        if isinstance(of[0], VerifyLR):
            of[0]._unwatch()

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        """Begin, unless a checkpoint is yet to be loaded."""
        names = [kind.__name__ for each in trainer.callbacks for kind in type(each).__mro__]
        if self._apply and "LearningRateFinder" in names:
            ours = type(self).__name__
            raise BadInputError(f"Lightning's LearningRateFinder also sets the rate; leave it or {ours} out.")
        is_late = trainer.strategy.restore_checkpoint_after_setup and trainer.ckpt_path is not None
        self._is_resumed = is_late or bool(trainer._checkpoint_connector._loaded_checkpoint)
        self._ratios = ()
        if self._is_resumed:  # the optimizer is still as it was built
            with suppress(BadInputError):  # it may have no rate
                self._ratios = self._rates(trainer).ratios
        else:
            self.load_state_dict({})
            self._begin(trainer)

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Begin, if training resumes from a checkpoint: it is loaded now."""
        if self._is_resumed:
            self._begin(trainer, is_resumed=True)

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Check that the optimizer that was watched is the one that trained."""
        self._end(trainer)

    def _training(self, trainer: Any) -> Training:
        chosen, module = chosen_optimizers(trainer, self._optimizer), trainer.lightning_module
        schedulers = driving(chosen, (config.scheduler for config in trainer.lr_scheduler_configs))
        suspects = partial(handling_groups, [*trainer.callbacks, module], _BASES)
        return Training(chosen, schedulers, trainer.global_step, suspects, named_rates(module))

    def _refusal(self, trainer: Any, used: float) -> RateNotAppliedError:
        return mismatch_error(trainer.lightning_module, self.lr, used)


@with_meanings
class LRFinder(Finder, VerifyLR):
    """Finds a learning rate when ``fit`` starts, applies it, and verifies it to the end of training.

    The search uses the trainer itself, without its callbacks and loggers, and puts everything back; training is bit
    for bit what it would be without the callback at the same rate. If ``fit`` resumes from a checkpoint of a run that
    had the callback, its finding is used and nothing is searched; from another checkpoint, the search starts from its
    weights and optimizer state. The trainer's loggers get the rate, its interval and the loss at each rate;
    TensorBoard, Weights & Biases and MLflow also get the picture.

    Args:
        apply: Whether to train with the found rate; else it is only found.
        attr: The attribute (``"lr"``, ``"hparams.learning_rate"``) to write the rate to; by default the one that
            the optimizer reads, found by trial; if there is none, the optimizer's param groups are set.
        optimizer: Of several optimizers, the index of the one to search; by default all move together, ratios kept,
            and ``finding.lr`` is the first one's.
        every: Search again at the start of every ``every``-th epoch, from the current state of training; if that curve
            cannot be read, the rate is kept, with a warning.
        **options: Those of every search, see ``lrfind.SearchOptions``; ``total_steps``, ``epochs`` and ``schedule``
            are by default the trainer's own.

    Attributes:
        finding: The latest finding, once ``fit`` has started; ``findings`` has all of them, in order.
        applied: The watch over the optimizer: the least and the greatest rate read back so far.

    Raises:
        BadInputError: If an option is unknown or out of its range.
        RateNotAppliedError: Before the search, if the optimizer does not read ``attr``; later, as ``VerifyLR``.
    """

    _depth = 4

    def __init__(
        self,
        *given: Any,
        apply: bool = True,
        attr: str | None = None,
        optimizer: int | None = None,
        every: int | None = None,
        **options: Unpack[SearchOptions],
    ) -> None:
        super().__init__(*given, apply=apply, every=every, **options)
        self._optimizer, self._attr = checked_index(optimizer), attr

    def _begin(self, trainer: Any, *, is_resumed: bool = False) -> None:
        send_back(trainer, self)
        if not trainer.fast_dev_run:
            super()._begin(trainer, is_resumed=is_resumed)
        elif not is_resumed:
            warnings.warn("fast_dev_run: no rate is searched; training keeps its own.", stacklevel=2)

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        """Search again, every ``every`` epochs."""
        self._find_again(trainer, trainer.current_epoch)

    def _loop(self, trainer: Any) -> LightningLoop:
        module = trainer.lightning_module
        chosen_optimizers(trainer, self._optimizer)
        if self._attr is not None:
            self._wiring(module)
        source = trainer.fit_loop._data_source.instance
        data = None if source is module else source
        return LightningLoop(trainer, module, data, optimizer=self._optimizer, is_fitting=True)

    def _loggers(self, trainer: Any) -> Sequence[Metrics]:
        return trainer.loggers if trainer.is_global_zero else ()

    def _write(self, trainer: Any, finding: Finding, *, is_fresh: bool) -> Finding:
        """Write the rate where the optimizer reads it; rebuild the optimizer if training has not begun."""
        module, schedulers = trainer.lightning_module, self._training(trainer).schedulers
        wiring, name = self._wiring(module, finding.lr, finding.ratios), type(module).__name__
        unread, untold = "which its optimizer does not read", "and it could not be told what its optimizer reads"
        fate = unread if wiring.is_known else untold
        notes = [
            f"{name} also has self.{each}={get(module, each)}, {fate}: it trains with {finding.lr:.3g}."
            for each in wiring.unread
        ]
        for each, value in (wiring.values or {}).items():
            put(module, each, value)
        if wiring.values is None:
            written, others = f"self.{self._attr or wiring.read[0]}", "gives other optimizers their rate, too"
            why = f"{written} {others}" if wiring.is_shared else f"No value of {written} gives the found rate"
            notes.append(f"{why}: the optimizer was set, the attribute not.")
        elif wiring.values and wiring.is_known and is_fresh and len(trainer.optimizers) == 1 and not counts(schedulers):
            with generators_kept():
                trainer.strategy.setup_optimizers(trainer)
        return replace(finding, notes=tuple(dict.fromkeys([*finding.notes, *notes])))

    def _wiring(self, module: Any, lr: float | None = None, ratios: Sequence[float] = ()) -> Wiring:
        wiring = trace(module, lr, ratios, attr=self._attr, optimizer=self._optimizer)
        if self._attr is not None and wiring.is_known and self._attr not in wiring.read:
            raise unread_error(module, self._attr, wiring)
        return wiring
