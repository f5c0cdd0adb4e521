"""What a search has run so far, in a file: so that one that is killed goes on where it was."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import distributed

from lrfind.codec import read_json, write_json
from lrfind.errors import BadInputError, ProbeError
from lrfind.records import Record

SCHEMA = "lrfind/search/1"

Keep = Callable[[Sequence[Record]], None]


@contextmanager
def kept(path: str | os.PathLike[str] | None) -> Iterator[tuple[list[Record], Keep]]:
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
        yield [], lambda records: None
        return
    file = Path(path)

    def keep(records: Sequence[Record]) -> None:
        if is_first():
            write_json(file, {"schema": SCHEMA, "records": [record.to_dict() for record in records]})

    records = _told(lambda: _begin(file, keep))
    try:
        yield records, keep
    except ProbeError:
        _remove(file)
        raise
    _remove(file)


def is_first() -> bool:
    """Say whether this is the only process of the training, or the first."""
    return not _is_parallel() or distributed.get_rank() == 0


def _begin(file: Path, keep: Keep) -> list[Record]:
    """Read the file; where there is none, find out before any work whether it can be written."""
    try:
        is_there = file.exists()
    except OSError as error:
        raise BadInputError(f"resume={str(file)!r} cannot be used ({error.strerror}); give another file.") from error
    if not is_there:
        keep([])
        return []
    data = read_json(file, "the records of a search")
    if data.get("schema") != SCHEMA:
        raise BadInputError(
            f"{file} does not hold the records of a search but {data.get('schema', 'something else')!r}; give resume= "
            f"a file of its own."
        )
    try:
        return [Record.from_dict(one) for one in data["records"]]
    except (KeyError, TypeError, BadInputError) as error:
        about = f"{type(error).__name__} {error}"
        raise BadInputError(
            f"{file} cannot be read as the records of a search ({about}); give another file, or delete it."
        ) from error


def _told(read: Callable[[], list[Record]]) -> list[Record]:
    """Return what the first process reads, in every process; or raise what it raises."""
    if not _is_parallel():
        return read()
    told: list[Any] = [None, None]
    if is_first():
        try:
            told[0] = read()
        except Exception as error:  # noqa: BLE001, the other processes wait to be told whatever it is
            told[1] = error
    distributed.broadcast_object_list(told, src=0)
    if told[1] is not None:
        raise told[1]
    return list(told[0])


def _remove(file: Path) -> None:
    if is_first():
        file.unlink(missing_ok=True)


def _is_parallel() -> bool:
    return distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1
