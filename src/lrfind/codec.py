"""Frozen dataclasses to JSON and back, for all files; files are written atomically."""

import json
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Any, ClassVar, Literal, Union, cast, get_args, get_origin, get_type_hints

from typing_extensions import Self

from lrfind.errors import BadInputError, LRFindError


class Plain:
    """A dataclass that is stored as JSON; a renamed field has its former name in ``metadata={"was": name}``."""

    __slots__ = ()
    schema: ClassVar[str] = ""
    """For data with its own file: type and version."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types; non-finite numbers become strings that ``float`` reads."""
        return dict(encode(self))

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Build an instance from ``to_dict``'s result; a missing field takes its default.

        Raises:
            BadInputError: If it is not a dict, the schema is another one, or a field is missing or cannot be read.
        """
        kind, found = cls.__name__.lower(), _object(data).get("schema", "")
        if found != cls.schema:
            raise BadInputError(f"expected a {kind} of schema {cls.schema!r}, got {found!r}.")
        try:
            return cast(Self, _decode(cls, data))
        except (TypeError, ValueError, OverflowError, AttributeError) as error:
            raise BadInputError(f"the {kind} cannot be read: {str(error).rstrip('.')}.") from error

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read an instance from its file; ``BadInputError`` if it is missing, is not JSON or holds something else."""
        return cast(Self, read_json(path, f"a {cls.__name__.lower()}", cls.from_dict))


def encode(value: Any) -> Any:
    """Return plain JSON types for nested data; infinite numbers and NaN as text."""
    if is_dataclass(value):
        plain = {field.name: encode(getattr(value, field.name)) for field in fields(value)}
        schema = getattr(value, "schema", "")
        return {"schema": schema, **plain} if schema else plain
    if isinstance(value, Mapping):
        return {str(key): encode(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [encode(item) for item in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def leaves(data: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each value within nested dicts, with its path, such as ``model.width``."""
    if not isinstance(data, dict):
        yield place, data
        return
    for name, value in data.items():
        yield from leaves(value, f"{place}.{name}".lstrip("."))


def _decode(kind: Any, data: Any) -> Any:
    """Return data as a type says; None for a number is NaN, as earlier versions wrote it."""
    origin, arguments = get_origin(kind), get_args(kind)
    if is_dataclass(kind):
        values = {}
        for field in fields(kind):
            name = field.name if field.name in data else field.metadata.get("was", field.name)
            if name in data:
                values[field.name] = _decode(_hints(cast(Any, kind))[field.name], data[name])
            elif field.default is MISSING and field.default_factory is MISSING:
                raise BadInputError(f"it has no {field.name!r}")
        return cast(Any, kind)(**values)
    if origin in (Union, UnionType):
        return None if data is None else _decode(arguments[0], data)
    if origin is tuple:
        kinds = arguments[:1] * len(data) if arguments[-1] is ... else arguments
        return tuple(_decode(each, item) for each, item in zip(kinds, data, strict=True))
    if origin is not None and origin is not Literal:
        return {name: _decode(arguments[1], item) for name, item in data.items()}
    if kind is float:
        return math.nan if data is None else float(data)
    if origin is Literal and data not in arguments:
        raise ValueError(f"{data!r} is none of {', '.join(map(repr, arguments))}")
    if kind is str and not isinstance(data, str):
        raise TypeError(f"{data!r} is no text")
    return kind(data) if kind in (int, bool) else data


_hints = cache(get_type_hints)


def _object(data: Any) -> Any:
    """Return what is a JSON object; ``BadInputError`` if it is another value."""
    if not isinstance(data, Mapping):
        raise BadInputError(f"expected a JSON object, got a {type(data).__name__}.")
    return data


def read_json(path: str | os.PathLike[str], what: str, build: Callable[[Any], Any] = _object) -> Any:
    """Read a JSON object and build something of it; ``BadInputError`` if that fails. ``what`` says what is expected."""
    try:
        return build(json.loads(Path(path).read_text(encoding="utf-8")))
    except (OSError, TypeError, ValueError) as error:
        why = str(getattr(error, "strerror", None) or error).rstrip(".")
        raise BadInputError(f"{path!s:.200} cannot be read as {what} ({why}); give another file.") from error


def write_json(path: str | os.PathLike[str], data: Mapping[str, Any]) -> Path:
    """Write JSON with ``write_text``."""
    return write_text(path, json.dumps(data, indent=1, allow_nan=False) + "\n")


def write_text(path: str | os.PathLike[str], text: str) -> Path:
    """Write a file atomically, and create its folder; ``LRFindError`` if it cannot be written."""
    try:
        whole = Path(path)
        draft = whole.with_name(whole.name + ".part")
        whole.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(text, encoding="utf-8", newline="")
        return draft.replace(whole)
    except (OSError, TypeError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise LRFindError(f"{path!s:.200} cannot be written ({why}); choose another place.") from error
