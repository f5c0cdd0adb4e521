"""Which attribute of a module its optimizer reads the learning rate from, and what to write there."""

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch

from lrfind.errors import BadInputError, RateNotAppliedError
from lrfind.isolation import Kept
from lrfind.lightning.framework import LOGGER_NAMES, package_of
from lrfind.loop import quiet
from lrfind.optim import driving, groups_of, held_by, rates_of, unwrapped
from lrfind.records import Finding, warn_of_another

_USUAL = ("lr", "learning_rate")

_STEPS = 1_000
"""The length of training told to a module that has no trainer."""

_SET_BY_CALLBACK = "or train with LRFinder(), which sets the optimizer itself"


class Built(NamedTuple):
    """The optimizers that a module builds."""

    lr: float = math.nan  # the chosen one's; NaN if they cannot be built outside training
    others: tuple[float, ...] = ()  # rates of the param groups of the others
    optimizer: str = ""  # the class of the chosen one


BuiltWith = Callable[[dict[str, float]], Built]
"""Builds the optimizers with changed attributes."""


def apply(finding: Finding, model: Any, *, attr: str | None = None, optimizer: int | None = None) -> None:
    """Write a found rate to the attribute that the module's optimizer reads.

    Args:
        finding: What ``find`` returned.
        model: The module, before ``fit``.
        attr: The attribute (``"lr"``, ``"hparams.lr"``); by default those that the optimizer reads, found by trial. If
            the module scales the attribute, it gets the value that gives the optimizer the found rate.
        optimizer: Of several optimizers, the index of the one that was searched, if they did not move together.

    Raises:
        RateNotAppliedError: If the optimizer does not read it; the message names what it does read.

    Warns:
        UserWarning: If what the optimizer reads is unknown.
    """
    if not isinstance(finding, Finding):
        raise BadInputError(f"apply takes (finding, model) in this order, got a {type(finding).__name__} first.")
    wiring = trace(model, finding.lr, finding.ratios, attr=attr, optimizer=optimizer)
    kind = type(model).__name__
    values, name = wiring.values, attr or (*wiring.read, *wiring.unread, "lr")[0]
    if not wiring.is_known:
        warnings.warn(
            f"The rate is written to self.{name}, and it could not be told whether the optimizer reads it: "
            f"{kind}.configure_optimizers asks for what only training has. Train with VerifyLR({finding.lr!r}), "
            f"{_SET_BY_CALLBACK}.",
            stacklevel=2,
        )
        values = {name: finding.lr}
    elif name not in wiring.read:
        raise unread_error(model, name, wiring)
    if optimizer is None and 0 < len(finding.ratios) <= len(wiring.built.others):
        raise RateNotAppliedError(
            f"the finding is of one optimizer, and {kind}.configure_optimizers makes several; say which: optimizer=."
        )
    if values is None:
        why = f"no value of self.{name} gives the optimizer of {kind} lr={finding.lr!r}"
        if wiring.is_shared:
            why = f"self.{name} of {kind} gives other optimizers their rate, too"
        raise RateNotAppliedError(
            f"{why}; let configure_optimizers use an attribute of its own as it is, {_SET_BY_CALLBACK}."
        )
    warn_of_another(finding, wiring.built.optimizer or finding.optimizer)
    for each, value in values.items():
        put(model, each, value)


class Wiring(NamedTuple):
    """Where a module keeps learning rates."""

    read: tuple[str, ...]  # attributes that the optimizer's rate follows, such as "lr" or "hparams.lr"
    unread: tuple[str, ...]  # attributes of the usual names that it does not follow
    built: Built
    values: dict[str, float] | None
    """What to write, by attribute, so that the optimizer is built with exactly the wanted rate; None if no value gives
    it, or it would change another optimizer's rate."""
    is_shared: bool  # whether the attribute changes another optimizer's rate

    @property
    def is_known(self) -> bool:
        """Whether it is known what the optimizer reads."""
        return math.isfinite(self.built.lr)


def trace(
    module: Any,
    lr: float | None = None,
    ratios: Sequence[float] = (),
    *,
    attr: str | None = None,
    optimizer: int | None = None,
) -> Wiring:
    """Find what a module's optimizer reads: change each candidate, build the optimizer, put everything back.

    ``lr`` is the rate that it should have, ``ratios`` those of its param groups, if known. ``attr`` is the attribute
    to write to, by default those that it reads; ``optimizer`` is an index, by default the first, with which all move.
    """
    with _trials(module, optimizer or 0, ratios) as built_with:
        built = built_with({})
        usual = [name for prefix in ("", "hparams.") for name in (prefix + usual for usual in _USUAL)]
        kept = {**vars(module), **{f"hparams.{name}": value for name, value in _hparams(module).items()}}
        alike = [name for name, value in kept.items() if type(value) is float and built.lr in _held_as(value)]
        names = dict.fromkeys([*usual, *alike, *([attr] if attr else [])])
        present = [name for name in names if _is_rate(get(module, name))]
        halved = {name: built_with({name: get(module, name) * 0.5}) for name in present}
        read = tuple(name for name in present if math.isfinite(halved[name].lr) and halved[name].lr != built.lr)
        unread = tuple(name for name in present if name not in read and (name in usual or name == attr))
        written = (attr,) if attr else read
        is_shared = optimizer is not None and any(
            name in read and halved[name].others != built.others for name in written
        )
        values: dict[str, float] | None = None if is_shared else dict.fromkeys(written, lr or built.lr)
        if lr and values and math.isfinite(built.lr):
            values = _values_for(lr, written, built_with)
    return Wiring(read, unread, built, values, is_shared)


def _values_for(lr: float, names: Sequence[str], built_with: BuiltWith) -> dict[str, float] | None:
    held = built_with(dict.fromkeys(names, lr)).lr
    if not 0 < held < math.inf:
        return None
    value = lr * (lr / held)  # a constant factor is divided out, to the last bit
    near = (lr, value, math.nextafter(value, 0.0), math.nextafter(value, math.inf))
    tried = (dict.fromkeys(names, each) for each in near)
    return next((each for each in tried if built_with(each).lr in _held_as(lr)), None)


def _held_as(lr: float) -> tuple[float, float]:
    """Return what an optimizer may hold of a rate: itself, or a tensor of single precision."""
    return lr, float(torch.tensor(lr))


def get(module: Any, name: str) -> Any:
    """Return an attribute of a module, or of its ``hparams``; None if missing."""
    if name.startswith("hparams."):
        return _hparams(module).get(name.removeprefix("hparams."))
    return getattr(module, name, None)


def put(module: Any, name: str, value: float) -> None:
    """Set an attribute of a module, or of its ``hparams``."""
    if name.startswith("hparams."):
        _hparams(module)[name.removeprefix("hparams.")] = value
    else:
        setattr(module, name, value)


def unread_error(module: Any, wanted: str, wiring: Wiring) -> RateNotAppliedError:
    """Return the error for an attribute that the optimizer does not read; it names what it reads."""
    source = "something else, perhaps a literal, a partial or a config object"
    remedy = f"read self.{wanted} there, {_SET_BY_CALLBACK}"
    if wiring.read:
        source, remedy = f"self.{wiring.read[0]}", f'use attr="{wiring.read[0]}"'
    return RateNotAppliedError(
        f"a rate written to self.{wanted} would not train: the optimizer that {type(module).__name__}."
        f"configure_optimizers builds does not read it; it has lr={wiring.built.lr} from {source}; {remedy}."
    )


def mismatch_error(module: Any, wanted: float | None, used: float) -> RateNotAppliedError:
    """Return the error for an optimizer that is built with another rate; it names the attribute to set."""
    wiring = trace(module)
    holders = [name for name in (*wiring.unread, *wiring.read) if get(module, name) == wanted]
    if wiring.is_known and holders and holders[0] not in wiring.read:
        return unread_error(module, holders[0], wiring)
    source, remedy = "", "let configure_optimizers read an attribute and set that"
    if wiring.read:
        source, remedy = f" from self.{wiring.read[0]}", f"set self.{wiring.read[0]}"
    return RateNotAppliedError(
        f"the optimizer of {type(module).__name__} starts with lr={used}{source}, not with lr={wanted}; {remedy} "
        f"before fit, which lrfind.lightning.apply(finding, model) does with a finding."
    )


def named_rates(module: Any) -> list[float]:
    """Return the rates that a module keeps under the usual names."""
    kept = [holder.get(name) for holder in (vars(module), _hparams(module)) for name in _USUAL]
    return [float(value) for value in kept if _is_rate(value)]


def _hparams(module: Any) -> Any:
    """Return the hyperparameters; unlike the property ``hparams``, this creates none."""
    return getattr(module, "_hparams", {})


def _is_rate(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < math.inf


@contextmanager
def _trials(module: Any, index: int, ratios: Sequence[float]) -> Iterator[BuiltWith]:
    """Yield a function that builds the optimizers with some attributes changed, and puts everything back each time."""
    with Kept((module,)) as kept, quiet(*LOGGER_NAMES):

        def built_with(values: dict[str, float]) -> Built:
            with kept.probe(0):
                try:
                    for name, value in values.items():
                        put(module, name, value)
                    return _rates_as_built(module, index, ratios)
                except Exception:  # noqa: BLE001, user code may need what only training has
                    return Built()

        yield built_with


def _rates_as_built(module: Any, index: int, ratios: Sequence[float]) -> Built:
    if getattr(module, "_trainer", None) is None:
        module.trainer = _trainer_to_ask(module)
        module.configure_model()  # some modules make their layers there
    configure = package_of(module).core.optimizer._configure_optimizers
    optimizers, schedulers, _ = configure(module.configure_optimizers())
    known = [each["scheduler"] if isinstance(each, dict) else each for each in schedulers]
    chosen, *others = (unwrapped(each) for each in (optimizers[index], *optimizers[:index], *optimizers[index + 1 :]))
    rates = rates_of(chosen, driving([chosen], known), ratios, named_rates(module))
    return Built(rates.lr, tuple(held_by(groups_of(others))), type(chosen).__name__)


def _trainer_to_ask(module: Any) -> Any:
    """Return a trainer that tells a module without one how long training is."""
    lengths = dict.fromkeys(("estimated_stepping_batches", "num_training_batches"), _STEPS)
    trainer: Any = type("Asked", (package_of(module).Trainer,), lengths)
    silent = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    return trainer(accelerator="cpu", devices=1, max_epochs=10, enable_model_summary=False, **silent)
