"""What the callbacks of all frameworks share: when to search, and that training uses the found rate."""

import dis
import inspect
import re
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from types import CodeType
from typing import Any, NamedTuple, cast

from typing_extensions import Unpack

from lrfind.errors import BadInputError, ProbeError, RateNotAppliedError, check_rate
from lrfind.isolation import generators_kept
from lrfind.loggers import Metrics, log_search
from lrfind.loop import Loop
from lrfind.optim import CLOSE, AppliedRate, Optimizers, Rates, apply_rate, as_list, differing, groups_of, rates_of
from lrfind.options import NAMES, SearchOptions, to_strategy, with_names
from lrfind.progress import announce
from lrfind.records import Finding
from lrfind.search import find_with


class Training(NamedTuple):
    """What a framework tells of its training."""

    optimizers: Optimizers
    schedulers: tuple[Any, ...]
    steps: int  # made by the optimizer
    suspects: Callable[[], Sequence[str]]  # names of callbacks and modules that may change a rate
    named: Sequence[float]  # rates in its attributes or arguments


class Verifier(ABC):
    """Compares a rate with the optimizer's before training, and watches it to the end, in any framework.

    ``lr`` is the rate that the optimizer must start with, under a schedule its peak; None if it will be found.
    """

    applied: AppliedRate | None = None
    _apply = True

    def __init__(self, lr: float | None) -> None:
        if not isinstance(self, Finder):
            check_rate(lr)
        self.lr = lr
        self.findings: list[Finding] = []
        self._groups: list[int] = []
        self._ratios: tuple[float, ...] = ()  # of the param groups, as the optimizer was built
        self._begun = 0

    @abstractmethod
    def _training(self, trainer: Any) -> Training:
        """Return what the framework tells of its training."""

    @abstractmethod
    def _refusal(self, trainer: Any, used: float) -> RateNotAppliedError:
        """Return the error for an optimizer that starts with another rate."""

    @property
    def span(self) -> tuple[float, float]:
        """The least and the greatest rate read back so far; ``RateNotAppliedError`` if no step was watched."""
        if self.applied is None or not self.applied.steps:
            why = "nothing has been trained with this callback" if self._apply else "apply=False watches nothing"
            raise RateNotAppliedError(f"no step was watched: {why}.")
        return self.applied.least, self.applied.greatest

    def _begin(self, trainer: Any, *, is_resumed: bool = False) -> None:
        """Compare the rate with the one that training starts or resumes with; watch it from now on."""
        self.applied = None
        rates = self._rates(trainer)
        if self.lr is not None:
            is_told = len(set(self._ratios)) > 1 or not is_resumed  # whether it is known which group has the rate
            held = [rates.lr] if is_told else rates.peaks
            if all(differing([each], [self.lr], CLOSE) is not None for each in held):
                if not is_resumed:
                    raise self._refusal(trainer, rates.lr)
                raise RateNotAppliedError(
                    f"the checkpoint that training resumes from has lr={rates.lr}, not lr={self.lr}, and training goes "
                    f"on with what it has; if that is meant, verify VerifyLR({rates.lr}), else begin a new training "
                    f"from its weights."
                )
            self._ratios = rates.ratios if is_told else tuple(each / self.lr for each in held)
        self._watch(trainer)

    def _rates(self, trainer: Any) -> Rates:
        training = self._training(trainer)
        return rates_of(training.optimizers, training.schedulers, self._ratios, training.named)

    def _watch(self, trainer: Any) -> None:
        """Watch the optimizer from now on; param groups added after the first watch may hold any rate."""
        self._unwatch()
        optimizers, _, self._begun, suspects, _ = self._training(trainer)
        known: Any = {"groups": self._groups, "ratios": self._ratios, "before": self.applied}
        self.applied = AppliedRate(optimizers, partial(self._schedulers, trainer), suspects=suspects, **known)
        self._groups = self.applied.groups

    def _schedulers(self, trainer: Any) -> Sequence[Any]:
        return self._training(trainer).schedulers

    def _unwatch(self) -> None:
        """Stop watching; what was read back so far is kept."""
        if self.applied is not None:
            self.applied.remove()

    def _end(self, trainer: Any) -> None:
        """Stop watching, and check that the optimizer that was watched is the one that trained."""
        self._unwatch()
        if self.applied is not None and not self.applied.has_begun and self._training(trainer).steps > self._begun:
            raise RateNotAppliedError(
                "the optimizer that trained is not the one that the trainer had when training began, so its rate was "
                "never verified; do not replace the trainer's optimizer during training."
            )

    def state_dict(self) -> dict[str, Any]:
        """Return the state for checkpoints, so that a resumed training does not search again."""
        return {"groups": self._groups, "findings": [finding.to_dict() for finding in self.findings]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load the state of a resumed training; it is empty for a new one."""
        self._groups = state_dict.get("groups", [])
        self.findings = [Finding.from_dict(each) for each in state_dict.get("findings", ())]


class Finder(Verifier):
    """Finds a rate when training starts, applies it, and verifies it to the end, in any framework."""

    _depth = 3
    """The stack level of the user's call, for warnings."""

    def __init__(
        self, *given: Any, apply: bool = True, every: int | None = None, **options: Unpack[SearchOptions]
    ) -> None:
        super().__init__(None)
        if given:
            raise BadInputError(
                f"LRFinder takes all by name, got a {type(given[0]).__name__}; a trainer takes the callback: "
                f"Trainer(..., callbacks=[LRFinder()])."
            )
        names = {*inspect.signature(type(self)).parameters, *NAMES} - {"given", "options"}
        options = cast(SearchOptions, with_names(options, names, stacklevel=self._depth))
        to_strategy(**options)
        if every is not None and not (isinstance(every, int) and every >= 1):
            raise BadInputError(f"every must be a number of epochs, at least 1, got {every=}.")
        if every is not None and options.get("resume") is not None:
            raise BadInputError("resume= is for the one search at the start; leave it out where every= asks for more.")
        self._apply, self._every, self._options = apply, every, options
        self._is_new = False

    @abstractmethod
    def _loop(self, trainer: Any) -> Loop:
        """Return the loop of a search for what is left of training, after all checks that need none."""

    @abstractmethod
    def _write(self, trainer: Any, finding: Finding, *, is_fresh: bool) -> Finding:
        """Write the rate where the framework reads it, if not in the optimizer; return the finding, with notes."""

    def _loggers(self, trainer: Any) -> Sequence[Metrics]:
        """Return the training's loggers, in the process that logs."""
        return ()

    @property
    def finding(self) -> Finding | None:
        """The latest finding."""
        return self.findings[-1] if self.findings else None

    def _begin(self, trainer: Any, *, is_resumed: bool = False) -> None:
        """Use the finding of a resumed training; else, search."""
        self.applied, self._is_new = None, not self.findings
        if self.findings:
            self.findings[-1] = self._use(trainer, self.findings[-1], is_fresh=False)
            return
        if is_resumed and self._apply:  # the optimizer may be built with another rate
            as_list(self._training(trainer).optimizers)[0].defaults["lr"] = self._rates(trainer).lr
        self._take(trainer, self._search(trainer), is_fresh=not is_resumed)

    def _find_again(self, trainer: Any, epoch: float) -> None:
        """Search again if this epoch is due; keep the rate if the curve cannot be read."""
        is_new, self._is_new = self._is_new, False
        if is_new or not self._every or epoch <= 0 or epoch % self._every:
            return
        try:
            finding = self._search(trainer)
        except ProbeError as error:
            warnings.warn(f"At epoch {epoch:.0f} the rate is kept as it is: {error}", stacklevel=3)
        else:
            self._take(trainer, finding, is_fresh=False)

    def _search(self, trainer: Any) -> Finding:
        groups = groups_of(self._training(trainer).optimizers)
        if not any(each.requires_grad for group in groups for each in group["params"]):
            raise BadInputError(
                "every parameter of the optimizer is frozen when the search begins, so nothing would learn; search "
                "with find(trainer, ...) before, without the callback that freezes them, and train with VerifyLR(lr)."
            )
        with generators_kept():  # first of all
            return find_with(self._loop(trainer), **self._options)

    def _take(self, trainer: Any, finding: Finding, *, is_fresh: bool) -> None:
        """Use a new finding, and log it."""
        self.findings.append(self._use(trainer, finding, is_fresh=is_fresh))
        with generators_kept():
            for logger in self._loggers(trainer):
                log_search(logger, self.findings[-1], self._training(trainer).steps)

    def _use(self, trainer: Any, finding: Finding, *, is_fresh: bool) -> Finding:
        """Set a rate where training reads it and on the optimizer, and watch it."""
        if self._apply:
            finding = self._write(trainer, finding, is_fresh=is_fresh)
            optimizers, schedulers, *_ = self._training(trainer)
            self._ratios = finding.ratios or self._ratios
            if self._rates(trainer).lr != finding.lr:
                apply_rate(optimizers, finding.lr, schedulers, ratios=self._ratios).remove()
            as_list(optimizers)[0].defaults["lr"] = finding.lr
            self._watch(trainer)
        announce(finding, is_applied=self._apply, shown=bool(self._options.get("progress", True)))
        return finding


def handling_groups(holders: Iterable[Any], framework: str) -> list[str]:
    """Name the methods of callbacks, modules and trainers that set something in param groups.

    Classes in modules that match the pattern ``framework`` are the framework's own, and left out.
    """
    names = []
    for kind in map(type, holders):
        kinds = [each for each in reversed(kind.__mro__) if not re.search(framework, each.__module__)]
        methods = {name: value for each in kinds for name, value in vars(each).items()}
        codes = {name: getattr(method, "__code__", None) for name, method in methods.items()}
        names += [f"{kind.__name__}.{name}" for name, code in codes.items() if code and _sets_in_groups(code)]
    return names


def _sets_in_groups(code: CodeType) -> bool:
    sets = "update" in code.co_names or any(each.opname == "STORE_SUBSCR" for each in dis.get_instructions(code))
    return "param_groups" in code.co_names and sets
