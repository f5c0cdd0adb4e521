"""Frozen data as JSON and back: one way for findings, records, runs and comparisons; and files written whole or not."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from lrfind.errors import BadInputError, LRFindError

T = TypeVar("T")


def encode(value: Any) -> Any:
    """Return plain JSON types for nested data; numbers that are not finite become the strings that ``float`` reads.

    Example:
        >>> encode({"losses": (1.0, math.inf)})
        {'losses': [1.0, 'inf']}
    """
    if is_dataclass(value):
        return {field.name: encode(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): encode(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [encode(item) for item in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def decode(kind: type[T], data: Any, what: str) -> T:
    """Build a dataclass from what ``encode`` returned; a field that is not there takes its default.

    Args:
        kind: The dataclass. A field that had another name carries it as ``metadata={"was": name}``.
        data: The plain data; None in place of a number is NaN, as earlier versions wrote it.
        what: What it should be, for people.

    Raises:
        BadInputError: If a field is missing or cannot be read.
    """
    try:
        return cast(T, _decode(kind, data))
    except (KeyError, TypeError, IndexError, ValueError, OverflowError, AttributeError) as error:
        raise BadInputError(f"{what} cannot be read: {type(error).__name__} {error}.") from error


def _decode(kind: Any, data: Any) -> Any:
    origin, arguments = get_origin(kind), get_args(kind)
    if is_dataclass(kind):
        return _decode_fields(kind, data)
    if origin in (Union, UnionType):
        return None if data is None else _decode(arguments[0], data)
    if origin is tuple and arguments[-1] is ...:
        return tuple(_decode(arguments[0], item) for item in data)
    if origin is tuple:
        return tuple(_decode(each, item) for each, item in zip(arguments, data, strict=True))
    if origin is not None and origin is not Literal:
        return {name: _decode(arguments[1], item) for name, item in data.items()}
    if kind is float:
        return math.nan if data is None else float(data)
    if origin is Literal and data not in arguments:
        raise ValueError(f"{data!r} is none of {', '.join(map(repr, arguments))}")
    if kind is str and not isinstance(data, str):
        raise TypeError(f"{data!r} is no text")
    return kind(data) if kind in (int, bool) else data


def _decode_fields(kind: Any, data: Mapping[str, Any]) -> Any:
    hints, values = _hints(kind), {}
    for field in fields(kind):
        name = field.name if field.name in data else field.metadata.get("was", field.name)
        if name in data or not _has_default(field):
            values[field.name] = _decode(hints[field.name], data[name])
    return kind(**values)


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def _has_default(field: Field[Any]) -> bool:
    return field.default is not MISSING or field.default_factory is not MISSING


def read_json(path: str | os.PathLike[str], what: str) -> dict[str, Any]:
    """Read a JSON object; ``what`` says what it should be.

    Raises:
        BadInputError: If the file is missing, is not JSON or is not an object.
    """
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInputError(f"{path} cannot be read as {what} ({error.strerror}); give another file.") from error
    except ValueError as error:
        raise BadInputError(f"{path} cannot be read as {what} ({error}); give another file, or delete it.") from error
    if not isinstance(data, dict):
        raise BadInputError(f"{path} does not hold {what} but a {type(data).__name__}.")
    return data


def write_json(path: str | os.PathLike[str], data: Mapping[str, Any]) -> Path:
    """Write JSON as ``write_text`` writes."""
    return write_text(path, json.dumps(data, indent=1, allow_nan=False) + "\n")


def write_text(path: str | os.PathLike[str], text: str) -> Path:
    """Write a file atomically: to a neighbouring one first, then moved into place; a missing folder is made.

    Raises:
        LRFindError: If the file cannot be written.
    """
    path = Path(path)
    draft = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(text, encoding="utf-8", newline="")
        draft.replace(path)
    except OSError as error:
        raise LRFindError(f"{path} cannot be written ({error.strerror}); choose another place.") from error
    return path
