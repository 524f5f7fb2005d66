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
from functools import cache
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
Salt = Annotated[str, Pattern("([0-9a-f]{2}){16,32}")]
Time = Annotated[int, Bounds(0, 1 << 40)]
"""Seconds since 1970-01-01T00:00:00Z, leap seconds ignored (POSIX)."""
Count = Annotated[int, Bounds(0, canonical.MAX_INTEGER)]

T = TypeVar("T")
_Reader = Callable[[Any], Any]


def load(record: type[T], value: Any) -> T:
    """Read a JSON value as ``record``; ``FormatError`` names the first member that does not fit."""
    try:
        result: T = _reader_of(record)(value)
    except _MisfitError as e:
        raise FormatError(f"{e.at.removeprefix('.') or 'document'}: {e}", code=Code.INVALID_DOCUMENT) from None
    return result


def parse(record: type[T], data: bytes, *, max_bytes: int = canonical.MAX_DOCUMENT_BYTES) -> T:
    """Read canonical bytes as ``record``."""
    return load(record, canonical.decode(data, max_bytes=max_bytes))


def dump(value: Any) -> Any:
    """Turn a record (or a part of one) into a JSON value; absent members stay absent."""
    kind = type(value)
    if kind in _PLAIN:
        return value
    if kind is bytes:
        return canonical.to_base64(value)
    if kind is tuple or kind is list:
        return [dump(item) for item in value]
    if kind is dict:
        return {name: dump(member) for name, member in value.items()}
    if isinstance(value, StrEnum):
        return value.value
    if not dataclasses.is_dataclass(kind):
        return value
    return {name: dump(member) for name in _member_names(kind) if (member := getattr(value, name)) is not None}


def serialise(value: Any) -> bytes:
    """Return the canonical bytes of a record."""
    return canonical.encode(dump(value))


_PLAIN = frozenset({str, int, bool})
_readers: dict[type[Any], _Reader] = {}


@cache
def _member_names(record: type[Any]) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(record))


class _MisfitError(Exception):
    """A value that does not fit.  The path to it grows on the way out: when all fits, no path is ever built."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.at = ""

    def inside(self, step: str) -> "_MisfitError":
        self.at = step + self.at
        return self


def _reader_of(record: type[Any]) -> _Reader:
    if record not in _readers:
        _readers[record] = _record_reader(record)
    return _readers[record]


def _record_reader(record: type[Any]) -> _Reader:
    hints = typing.get_type_hints(record, include_extras=True)
    readers = {f.name: _reader(hints[f.name]) for f in dataclasses.fields(record)}
    required = frozenset(f.name for f in dataclasses.fields(record) if f.default is dataclasses.MISSING)

    def read(value: Any) -> Any:
        if type(value) is not dict:
            raise _MisfitError(f"expected an object, found {_kind(value)}")
        if not required <= value.keys() or not value.keys() <= readers.keys():
            missing, unknown = sorted(required - value.keys()), sorted(value.keys() - readers.keys())
            raise _MisfitError(f"missing members {missing}" if missing else f"unknown members {unknown[:5]}")
        members = {}
        for name, member in value.items():
            try:
                members[name] = readers[name](member)
            except _MisfitError as e:
                raise e.inside(f".{name}") from None
        return record(**members)

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
        text = _exactly(str)
        return lambda value: canonical.from_base64(text(value))
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return _enum(hint)
    if dataclasses.is_dataclass(hint):
        return _reader_of(typing.cast(type[Any], hint))
    if origin is dict or hint in (str, int, bool, dict):
        return _exactly(origin or hint)
    raise TypeError(f"no JSON form for {hint}")


def _checked(inner: _Reader, constraints: tuple[Any, ...]) -> _Reader:
    for constraint in constraints:
        if isinstance(constraint, Pattern):
            inner = _matching(inner, constraint.regex)
        elif isinstance(constraint, Bounds):
            inner = _bounded(inner, constraint)
    return inner


def _matching(inner: _Reader, regex: str) -> _Reader:
    matches = re.compile(regex).fullmatch

    def read(value: Any) -> Any:
        result = inner(value)
        if not matches(result):
            raise _MisfitError(f"{result[:40]!r} does not match {regex}")
        return result

    return read


def _bounded(inner: _Reader, bounds: Bounds) -> _Reader:
    least, most = bounds.least, bounds.most

    def read(value: Any) -> Any:
        result = inner(value)
        measure = result if type(result) is int else len(result)
        if not least <= measure <= most:
            raise _MisfitError(f"{measure} is outside {least}..{most}")
        return result

    return read


def _one_of(choices: tuple[Any, ...]) -> _Reader:
    def read(value: Any) -> Any:
        for choice in choices:
            if value == choice and type(value) is type(choice):
                return value
        raise _MisfitError(f"expected one of {list(choices)}, found {str(value)[:40]!r}")

    return read


def _enum(choices: type[StrEnum]) -> _Reader:
    by_value = {choice.value: choice for choice in choices}

    def read(value: Any) -> Any:
        if type(value) is not str or value not in by_value:
            raise _MisfitError(f"expected one of {list(by_value)}, found {str(value)[:40]!r}")
        return by_value[value]

    return read


def _list_of(item: _Reader) -> _Reader:
    def read(value: Any) -> Any:
        if type(value) is not list:
            raise _MisfitError(f"expected list, found {_kind(value)}")
        items = []
        for i, v in enumerate(value):
            try:
                items.append(item(v))
            except _MisfitError as e:
                raise e.inside(f"[{i}]") from None
        return tuple(items)

    return read


def _exactly(kind: type[Any]) -> _Reader:
    def read(value: Any) -> Any:
        if type(value) is not kind:  # bool is an int in Python, not in JSON
            raise _MisfitError(f"expected {kind.__name__}, found {_kind(value)}")
        return value

    return read


def _kind(value: Any) -> str:
    return type(value).__name__
