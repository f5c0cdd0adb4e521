"""Rules: how things are noted, compared and put back in place, whatever they are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from operator import eq, is_
from typing import Any, NamedTuple

NOTHING = object()
"""What a rule keeps of a thing of which nothing is to be put back."""
MISSING = object()
"""The value of a name that is not bound."""


class Rule(NamedTuple):
    """How one kind of thing, or one aspect of it, is put back.

    Attributes:
        keep: Given the thing: what is kept of it.
        is_same: Given the thing and what was kept: whether it is as it was.
        put_back: Given both: makes it so.
    """

    keep: Callable[[Any], Any]
    is_same: Callable[[Any, Any], bool]
    put_back: Callable[[Any, Any], Any]


class Note(NamedTuple):
    """A rule, a thing, and what was kept of it."""

    rule: Rule
    it: Any
    kept: Any


def put_back(notes: Iterable[Note]) -> None:
    """Put back what has moved. What cannot be does not keep the others from it; the check finds it."""
    for rule, it, kept in moved(notes):
        with suppress(Exception):
            rule.put_back(it, kept)


def moved(notes: Iterable[Note]) -> Iterator[Note]:
    """Yield the notes of what is not as it was, or cannot be compared."""
    for note in notes:
        try:
            if note[0].is_same(note[1], note[2]):
                continue
        except Exception:  # noqa: BLE001, what cannot be compared is put back
            pass
        yield note


def do_nothing(*_: Any) -> None:
    """Put nothing back: what has moved is found by the check."""


def rule_of(
    keep: Callable[[Any], Any], put_back: Callable[[Any, Any], Any] = do_nothing, same: Callable[[Any, Any], bool] = eq
) -> Rule:
    """Return a rule for what is as it was where what would be kept of it now is the same."""
    return Rule(keep, lambda it, kept: same(keep(it), kept), put_back)


def nested(keep: Callable[[Any], list[Note]]) -> Rule:
    """Return a rule for a thing of which notes of other things are kept."""
    return Rule(lambda it: keep(it) or NOTHING, lambda _, kept: not any(True for _ in moved(kept)), _put_nested)


def _put_nested(_: Any, kept: list[Note]) -> None:
    put_back(kept)


def get_attribute(it: Any, name: str) -> Any:
    """Return an attribute, past what a class of the user's makes of that; ``MISSING`` where it is not bound."""
    try:
        return object.__getattribute__(it, name)
    except (AttributeError, ValueError):  # a cell that is empty yet
        return MISSING


def named(
    names: Callable[[Any], Iterable[str]],
    get: Callable[[Any, str], Any] = get_attribute,
    put: Callable[[Any, str, Any], Any] = object.__setattr__,
    remove: Callable[[Any, str], Any] = object.__delattr__,
    same: Callable[[Any, Any], bool] = is_,
) -> Rule:
    """Return a rule for what a thing has under some names; what it has under others since is taken away.

    Args:
        names: Given the thing: the names.
        get: Given it and a name: the value, or ``MISSING``.
        put: Given both and a value: binds the name.
        remove: Given it and a name: makes it missing.
        same: Whether two values are the same.
    """

    def keep(it: Any) -> Any:
        return {name: get(it, name) for name in names(it)} or NOTHING

    def is_same(it: Any, kept: dict[str, Any]) -> bool:
        is_known = all(name in kept for name in names(it))
        return is_known and all(same(get(it, name), value) for name, value in kept.items())

    def put_back(it: Any, kept: dict[str, Any]) -> None:
        for name, value in {**dict.fromkeys(names(it), MISSING), **kept}.items():
            if not same(get(it, name), value):
                remove(it, name) if value is MISSING else put(it, name, value)

    return Rule(keep, is_same, put_back)
