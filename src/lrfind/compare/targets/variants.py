"""Variants of a training, side by side in one comparison: each value of an argument at its own found rates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lrfind.compare.runs import Arm, Run
from lrfind.compare.targets.protocol import Survey, Target, Told
from lrfind.errors import BadInputError


@dataclass(frozen=True)
class Variants:
    """One target or several by name; an arm says which of them it trains.

    Args:
        targets: By name; a single one may have an empty name.
    """

    targets: Mapping[str, Target]

    def __post_init__(self) -> None:
        if not self.targets or ("" in self.targets and len(self.targets) > 1):
            raise BadInputError("give the target, or a dict of several by name; no name may be empty.")

    @property
    def title(self) -> str:
        """What is trained on what, for people."""
        return next(iter(self.targets.values())).title

    @property
    def setting(self) -> str:
        """What all runs have in common."""
        first, *others = (target.setting.split(", ") for target in self.targets.values())
        return ", ".join(each for each in first if all(each in other for other in others))

    def identities(self) -> dict[str, Any]:
        """Return plain data that names what is trained, by ``target`` and its name."""
        return {f"target {name}".rstrip(): target.identity() for name, target in self.targets.items()}

    def survey(self) -> Survey:
        """Find out what there is to train and to evaluate; the length of an epoch is none where it differs."""
        known = {name: target.survey() for name, target in self.targets.items()}
        lengths = {name: survey.epoch_steps for name, survey in known.items()}
        first, *others = known.values()
        metrics = tuple(name for name in first.metrics if all(name in other.metrics for other in others))
        notes = dict.fromkeys(note for survey in known.values() for note in survey.notes)
        if len(set(lengths.values())) == 1:
            return Survey(first.epoch_steps, metrics, tuple(notes))
        words = ", ".join(f"{length} steps with {name}" for name, length in lengths.items())
        return Survey(None, metrics, (*notes, f"An epoch is {words}; all arms train equally many steps."))

    def train(self, arm: Arm, seed: int, steps: int, told: Told) -> Run:
        """Train one arm; see ``lrfind.compare.targets.Target``."""
        return self.targets[arm.variant].train(arm, seed, steps, told)
