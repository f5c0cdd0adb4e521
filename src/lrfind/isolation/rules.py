"""Rules: how things are noted, compared and put back in place, whatever they are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from operator import is_
from typing import Any, NamedTuple


class Rule(NamedTuple):
    """How one kind of thing, or one aspect of it, is put back.

    Attributes:
        keep: Given the thing: what is kept of it; None where there is nothing to put back.
        put_back: Given the thing and what was kept: makes it so.
        is_same: Given both: whether it is so; by default, where the same would be kept now.
    """

    keep: Callable[[Any], Any]
    put_back: Callable[[Any, Any], Any]
    is_same: Callable[[Any, Any], bool] | None = None


Note = tuple[Rule, Any, Any]
"""A rule, a thing, and what was kept of it."""


def put_back(notes: Iterable[Note]) -> None:
    """Put back what has moved. What cannot be does not keep the others from it; the check finds it."""
    for rule, it, kept in moved(notes):
        with suppress(Exception):
            rule.put_back(it, kept)


def moved(notes: Iterable[Note]) -> Iterator[Note]:
    """Yield the notes of what is not as it was, or cannot be compared."""
    for note in notes:
        (keep, _, is_same), it, kept = note
        try:
            if is_same(it, kept) if is_same else _same(keep(it), kept):
                continue
        except Exception:  # noqa: BLE001, what cannot be compared is put back
            pass
        yield note


def _same(now: Any, then: Any) -> bool:
    """Say whether dictionaries and lists hold the very same objects in the same order; whether others are equal."""
    if type(then) is dict:
        return len(now) == len(then) and all(map(is_, now, then)) and all(map(is_, now.values(), then.values()))
    if type(then) is list:
        return len(now) == len(then) and all(map(is_, now, then))
    return bool(now == then)


def do_nothing(*_: Any) -> None:
    """Put nothing back: what has moved is found by the check."""
