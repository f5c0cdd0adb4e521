"""The errors of lrfind: each message says what happened and what to change."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from numbers import Real
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lrfind.records import Record


TYPO = 0.8
"""From this similarity on (``difflib``), a word is taken for another one with a typing error."""


class LRFindError(Exception):
    """Base class of lrfind's errors; the message is one sentence for the person who reads it."""


class BadInputError(LRFindError, ValueError):
    """An argument, a file or an object that cannot be used as it is."""


def check_rate(lr: object) -> None:
    """Check that a rate is a number, positive and finite."""
    if not isinstance(lr, Real) or not 0 < float(lr) < math.inf:
        raise BadInputError(f"lr must be a number, positive and finite, got {lr!r}.")


class ProbeError(LRFindError, RuntimeError):
    """A probe ran but its losses cannot be read.

    Attributes:
        records: What the search has run, to look at or to read by another method:
            ``RangeTest(method="minimum").read(error.records[0])``.
    """

    records: tuple[Record, ...] = ()


class RateNotAppliedError(LRFindError, RuntimeError):
    """The optimizer steps with a rate other than the one that was applied."""


class NotPutBackError(LRFindError, RuntimeError):
    """Something that a search moved could not be put back; the message names it."""


class RankError(LRFindError, RuntimeError):
    """Another process of the same training failed in the search; the message names it and its error."""


class DataError(LRFindError, OSError):
    """A data file is missing, truncated or altered."""


class MissingExtraError(LRFindError, ImportError):
    """An optional library is needed and not installed."""

    def __init__(self, library: str, extra: str) -> None:
        super().__init__(f"{library} is not installed; install it with: pip install 'lrfind[{extra}]'.")


@contextmanager
def from_extra(extra: str) -> Iterator[None]:
    """Import what an extra installs inside this; raise ``MissingExtraError`` if it is not installed."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("lrfind"):
            raise
        raise MissingExtraError(error.name.split(".")[0], extra) from error
