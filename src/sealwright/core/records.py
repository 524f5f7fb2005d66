"""Frozen dataclasses in and out of JSON values, strictly, by their annotations.

A record is a keyword-only frozen dataclass.  Unknown or missing members, wrong types and values outside their bounds
are refused with the path of the member.  ``X | None = None`` means "may be absent" (there is no null).  The same
annotations make the JSON schemas of ``docs/spec/schemas``.
"""

import dataclasses
import re
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, Literal, TypeVar

from sealwright.core import canonical
from sealwright.core.errors import Code, FormatError


@dataclass(frozen=True, slots=True)
class Pattern:
    """Text must match this regular expression as a whole."""

    regex: str


@dataclass(frozen=True, slots=True)
class Bounds:
    """Integer value, or length of a list, text or byte string, between both ends inclusive."""

    least: int
    most: int


Id = Annotated[str, Pattern("[a-z0-9][a-z0-9._/-]{0,95}")]
"""A name in signed documents: lower-case ASCII, no spaces."""
Text = Annotated[str, Bounds(1, 200)]
Digest = Annotated[str, Pattern("[0-9a-f]{64}")]
"""32 bytes as lower-case hex."""
Digest512 = Annotated[str, Pattern("[0-9a-f]{128}")]
Salt = Annotated[str, Pattern("[0-9a-f]{32,64}")]
Time = Annotated[int, Bounds(0, 1 << 40)]
"""Seconds since 1970-01-01T00:00:00Z, leap seconds ignored (POSIX)."""
Count = Annotated[int, Bounds(0, canonical.MAX_INTEGER)]

T = TypeVar("T")
_Reader = Callable[[Any, str], Any]


def load(record: type[T], value: Any, *, at: str = "") -> T:
    """Read a JSON value as ``record``; ``FormatError`` names the first member that does not fit."""
    result: T = _reader_of(record)(value, at)
    return result


def parse(record: type[T], data: bytes, *, max_bytes: int = canonical.MAX_DOCUMENT_BYTES) -> T:
    """Read canonical bytes as ``record``."""
    return load(record, canonical.decode(data, max_bytes=max_bytes))


def dump(value: Any) -> Any:
    """Turn a record (or a part of one) into a JSON value; absent members stay absent."""
    if dataclasses.is_dataclass(value):
        members = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
        return {name: dump(member) for name, member in members.items() if member is not None}
    if isinstance(value, bytes):
        return canonical.to_base64(value)
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, tuple | list):
        return [dump(item) for item in value]
    if isinstance(value, dict):
        return {name: dump(member) for name, member in value.items()}
    return value


def serialise(value: Any) -> bytes:
    """Return the canonical bytes of a record."""
    return canonical.encode(dump(value))


_readers: dict[type[Any], _Reader] = {}


def _reader_of(record: type[Any]) -> _Reader:
    if record not in _readers:
        _readers[record] = _record_reader(record)
    return _readers[record]


def _record_reader(record: type[Any]) -> _Reader:
    hints = typing.get_type_hints(record, include_extras=True)
    readers = {f.name: _reader(hints[f.name]) for f in dataclasses.fields(record)}
    required = frozenset(f.name for f in dataclasses.fields(record) if f.default is dataclasses.MISSING)

    def read(value: Any, at: str) -> Any:
        if not isinstance(value, dict):
            raise _invalid(at, f"expected an object, found {_kind(value)}")
        if not required <= value.keys() or not value.keys() <= readers.keys():
            missing, unknown = sorted(required - value.keys()), sorted(value.keys() - readers.keys())
            raise _invalid(at, f"missing members {missing}" if missing else f"unknown members {unknown[:5]}")
        return record(**{name: readers[name](member, f"{at}.{name}" if at else name) for name, member in value.items()})

    return read


def _reader(hint: Any) -> _Reader:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        return _checked(_reader(arguments[0]), arguments[1:])
    if origin is Literal:
        return _one_of(arguments)
    if origin in (types.UnionType, typing.Union):
        return _reader(next(a for a in arguments if a is not types.NoneType))
    if origin is tuple:
        return _list_of(_reader(arguments[0]))
    if hint is bytes:
        return lambda value, at: canonical.from_base64(_typed(str, value, at))
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return _enum(hint)
    if dataclasses.is_dataclass(hint):
        return _reader_of(typing.cast(type[Any], hint))
    if origin is dict or hint in (str, int, bool, dict):
        plain = origin or hint
        return lambda value, at: _typed(plain, value, at)
    raise TypeError(f"no JSON form for {hint}")


def _checked(inner: _Reader, constraints: tuple[Any, ...]) -> _Reader:
    patterns = [re.compile(c.regex) for c in constraints if isinstance(c, Pattern)]
    bounds = [c for c in constraints if isinstance(c, Bounds)]

    def read(value: Any, at: str) -> Any:
        result = inner(value, at)
        for pattern in patterns:
            if not pattern.fullmatch(result):
                raise _invalid(at, f"{result[:40]!r} does not match {pattern.pattern}")
        for bound in bounds:
            measure = result if isinstance(result, int) else len(result)
            if not bound.least <= measure <= bound.most:
                raise _invalid(at, f"{measure} is outside {bound.least}..{bound.most}")
        return result

    return read


def _one_of(choices: tuple[Any, ...]) -> _Reader:
    def read(value: Any, at: str) -> Any:
        if not any(type(value) is type(choice) and value == choice for choice in choices):
            raise _invalid(at, f"expected one of {list(choices)}, found {str(value)[:40]!r}")
        return value

    return read


def _enum(choices: type[StrEnum]) -> _Reader:
    def read(value: Any, at: str) -> Any:
        if not isinstance(value, str) or value not in choices._value2member_map_:
            raise _invalid(at, f"expected one of {[str(c) for c in choices]}, found {str(value)[:40]!r}")
        return choices(value)

    return read


def _list_of(item: _Reader) -> _Reader:
    return lambda value, at: tuple(item(v, f"{at}[{i}]") for i, v in enumerate(_typed(list, value, at)))


def _typed(kind: type[Any], value: Any, at: str) -> Any:
    # bool is an int in Python, not in JSON.
    if type(value) is not kind:
        raise _invalid(at, f"expected {kind.__name__}, found {_kind(value)}")
    return value


def _kind(value: Any) -> str:
    return type(value).__name__


def _invalid(at: str, message: str) -> FormatError:
    return FormatError(f"{at or 'document'}: {message}", code=Code.INVALID_DOCUMENT)
