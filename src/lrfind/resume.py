"""What a search has run so far, in a file: so that one that is killed goes on where it was."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from lrfind.codec import Plain, write_json
from lrfind.errors import ProbeError
from lrfind.ranks import is_first, told_by_first
from lrfind.records import Record

Keep = Callable[[Sequence[Record]], None]


@dataclass(frozen=True, slots=True)
class Search(Plain):
    """What a search has run so far, in the order that it ran."""

    schema: ClassVar[str] = "lrfind/search/1"

    records: tuple[Record, ...]


@contextmanager
def kept(path: str | os.PathLike[str] | None) -> Iterator[tuple[Sequence[Record], Keep]]:
    """Yield the records that an earlier search left in a file, and what to call with the records at each new one.

    The file is replaced whole at each record, and removed where the search comes to an end: with a finding, or because
    the losses cannot be read. In data-parallel training the first process reads and writes, and tells the others.

    Args:
        path: The file; None keeps nothing.

    Raises:
        BadInputError: If the file holds something else.
        LRFindError: If it cannot be written.
    """
    if path is None:
        yield (), lambda records: None
        return
    file = Path(path)

    def keep(records: Sequence[Record]) -> None:
        if is_first():
            write_json(file, Search(tuple(records)).to_dict())

    def remove() -> None:
        if is_first():
            file.unlink(missing_ok=True)

    records = told_by_first(lambda: _begin(file, keep))
    try:
        yield records, keep
    except ProbeError:
        remove()
        raise
    remove()


def _begin(file: Path, keep: Keep) -> Sequence[Record]:
    """Read the file; where there is none, find out before any work whether it can be written."""
    if not os.path.exists(file):  # that of Path raises where a name is too long
        keep(())
        return ()
    return Search.load(file).records
