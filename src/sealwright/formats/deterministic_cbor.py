"""CBOR in its one deterministic spelling, read strictly and within bounds.

Shortest lengths and numbers, definite lengths, map keys in bytewise order and none twice; no floating-point numbers and
no simple values but false, true and null.  Nothing is allocated that the input does not hold.
Reference: RFC 8949, sections 3 and 4.2.1.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from sealwright.core.errors import FormatError

UNSIGNED, NEGATIVE, BYTES, TEXT, LIST, MAP, TAG, SIMPLE = range(8)
"""Major types (RFC 8949, section 3.1)."""
MAX_DEPTH = 16
MAX_HEAD_BYTES = 9
_SIMPLE_VALUES = {20: False, 21: True, 22: None}


class Tagged(NamedTuple):
    """A tag and what it is about; its meaning is the caller's business."""

    number: int
    value: Any


class Head(NamedTuple):
    """Major type and argument of one data item, and how many bytes say so."""

    major: int
    argument: int
    size: int


def read_head(data: bytes, at: int, *, base: int = 0) -> Head:
    """Read the head at ``at``; ``base`` is the place of ``data`` in the image, for the error."""
    if at >= len(data):
        raise FormatError("CBOR ends before its end", at=base + at)
    major, info = data[at] >> 5, data[at] & 31
    if info < 24:
        return Head(major, info, 1)
    if info > 27:
        what = "an indefinite length" if info == 31 else "a reserved length"
        raise FormatError(f"CBOR with {what}, deterministic CBOR has none", at=base + at)
    size = 1 << (info - 24)
    raw = data[at + 1 : at + 1 + size]
    if len(raw) < size:
        raise FormatError("CBOR ends inside a number", at=base + at)
    argument = int.from_bytes(raw)
    if major != SIMPLE and argument < (24 if size == 1 else 1 << (4 * size)):
        raise FormatError("CBOR number or length is not in its shortest form", at=base + at)
    return Head(major, argument, 1 + size)


def decode(data: bytes, *, what: str, base: int = 0) -> Any:
    """Return the one data item in ``data``; ``FormatError`` for anything else, or for more.

    Maps become dictionaries, lists that are map keys become tuples.
    """
    value, end = _item(data, 0, base, 0)
    if end != len(data):
        raise FormatError(f"{what} has {len(data) - end} bytes behind its end", at=base + end)
    return value


def _item(data: bytes, at: int, base: int, depth: int) -> tuple[Any, int]:
    if depth > MAX_DEPTH:
        raise FormatError(f"CBOR is nested deeper than {MAX_DEPTH}", at=base + at)
    head = read_head(data, at, base=base)
    end = at + head.size
    if head.major in (UNSIGNED, NEGATIVE):
        return (head.argument if head.major == UNSIGNED else -1 - head.argument), end
    if head.major in (BYTES, TEXT):
        return _string(data, end, head, base)
    if head.major == SIMPLE:
        if head.size > 1 or head.argument not in _SIMPLE_VALUES:
            raise FormatError("CBOR holds a floating-point number or an unknown simple value", at=base + at)
        return _SIMPLE_VALUES[head.argument], end
    if head.major == TAG:
        value, end = _item(data, end, base, depth + 1)
        return Tagged(head.argument, value), end
    # Each member takes a byte at least: a count beyond the input is a lie, and nothing is set aside for it.
    if head.argument > len(data) - end:
        raise FormatError(f"CBOR announces {head.argument} members, the input ends before", at=base + at)
    if head.major == LIST:
        return _list(data, end, head.argument, base, depth)
    return _map(data, end, head.argument, base, depth)


def _string(data: bytes, at: int, head: Head, base: int) -> tuple[bytes | str, int]:
    end = at + head.argument
    if end > len(data):
        raise FormatError(f"CBOR string of {head.argument} bytes, the input ends before", at=base + at)
    if head.major == BYTES:
        return data[at:end], end
    try:
        return data[at:end].decode("utf-8"), end
    except UnicodeDecodeError:
        raise FormatError("CBOR text is not UTF-8", at=base + at) from None


def _list(data: bytes, at: int, count: int, base: int, depth: int) -> tuple[list[Any], int]:
    members = []
    for _ in range(count):
        value, at = _item(data, at, base, depth + 1)
        members.append(value)
    return members, at


def _map(data: bytes, at: int, count: int, base: int, depth: int) -> tuple[dict[Any, Any], int]:
    members: dict[Any, Any] = {}
    last = b""
    for _ in range(count):
        key, after = _item(data, at, base, depth + 1)
        check_order(last, data[at:after], at=base + at)
        last = data[at:after]
        value, at = _item(data, after, base, depth + 1)
        members[_hashable(key, base + after)] = value
    return members, at


def check_order(last: bytes, key: bytes, *, at: int) -> None:
    """Raise ``FormatError`` unless the encoded ``key`` comes behind the one before it."""
    if key == last:
        raise FormatError("CBOR map has a key twice", at=at)
    if key < last:
        raise FormatError("CBOR map keys are not in bytewise order (RFC 8949, section 4.2.1)", at=at)


def _hashable(key: Any, at: int) -> Any:
    if isinstance(key, list):
        return tuple(_hashable(part, at) for part in key)
    # False and 0 are one key to Python, and two to CBOR: neither hides the other if there is none of them.
    if isinstance(key, dict | Tagged | bool) or key is None:
        raise FormatError("CBOR map has a key that is no number, string or list of them", at=at)
    return key


def encode_head(major: int, argument: int) -> bytes:
    """Return the shortest head (RFC 8949, section 4.2.1)."""
    if argument < 24:
        return bytes([major << 5 | argument])
    power = next(p for p in range(4) if argument < 1 << (8 << p))
    return bytes([major << 5 | 24 + power]) + argument.to_bytes(1 << power)


def encode(value: Any) -> bytes:
    """Return the deterministic encoding of what ``decode`` returns."""
    return b"".join(_encoded(value))


def _encoded(value: Any) -> Iterator[bytes]:
    match value:
        case None | True | False:
            yield encode_head(SIMPLE, next(n for n, simple in _SIMPLE_VALUES.items() if simple is value))
        case int():
            yield encode_head(UNSIGNED, value) if value >= 0 else encode_head(NEGATIVE, -1 - value)
        case bytes():
            yield encode_head(BYTES, len(value)) + value
        case str():
            text = value.encode("utf-8")
            yield encode_head(TEXT, len(text)) + text
        case Tagged():
            yield encode_head(TAG, value.number) + encode(value.value)
        case list() | tuple():
            yield encode_head(LIST, len(value)) + b"".join(map(encode, value))
        case dict():
            members = sorted((encode(key), encode(member)) for key, member in value.items())
            yield encode_head(MAP, len(value)) + b"".join(key + member for key, member in members)
        case _:
            raise TypeError(f"{type(value).__name__} has no encoding here")
