"""Canonical JSON: the one spelling in which documents are signed, hashed and kept.

RFC 8785 restricted so that Python's sorted compact JSON *is* the canonical form: no floats, no null, integers
0..2^53-1, ASCII member names, text free of control, bidirectional and invisible code points.  NFC is the writer's duty.
Specification: ``docs/spec/canonical-form.md``.
"""

import binascii
import json
import re
from typing import Any, NoReturn

from sealwright.core.errors import Code, FormatError

MAX_DOCUMENT_BYTES = 1 << 20
MAX_DEPTH = 16
MAX_INTEGER = (1 << 53) - 1

# Controls, bidirectional controls, invisible and filler characters, tags, noncharacters, lone surrogates.  A fixed
# list, not a Unicode property: the tables change, and what was valid when it was signed must stay valid.
_FORBIDDEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f"
    "\u3164\ufdd0-\ufdef\ufe00-\ufe0f\ufeff\uffa0\ufff0-\uffff\ud800-\udfff\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff]"
)


_ENCODER = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False, check_circular=False
)


def encode(value: Any) -> bytes:
    """Return the canonical bytes of a JSON value; ``FormatError`` if it has none."""
    _check(value, 0)
    text = _ENCODER.encode(value)
    if not (text.isascii() and text.isprintable()) or "\\" in text:
        # Otherwise no text in it can hold a forbidden character: JSON escapes controls, the others are not ASCII.
        _check_text(value)
    return text.encode()


def decode(data: bytes, *, max_bytes: int = MAX_DOCUMENT_BYTES) -> Any:
    """Parse canonical JSON; anything that is not byte for byte its own canonical form is a ``FormatError``."""
    if len(data) > max_bytes:
        raise _invalid(f"document of {len(data)} bytes, at most {max_bytes} are accepted")
    try:
        value = _DECODER.decode(data.decode())
    except (ValueError, RecursionError) as e:
        raise _invalid(f"not JSON: {str(e)[:120]}") from None
    if encode(value) != data:
        # Duplicate members, white space, escapes and member order all end here.
        raise _invalid("not in canonical form (order, white space, escapes or a member given twice)")
    return value


def to_base64(data: bytes) -> str:
    """Encode with the standard alphabet and padding, the only spelling ``from_base64`` takes."""
    return binascii.b2a_base64(data, newline=False).decode()


def from_base64(text: str) -> bytes:
    """Strict base64: must encode back to itself."""
    try:
        data = binascii.a2b_base64(text, strict_mode=True)
    except (binascii.Error, ValueError):
        raise _invalid("not base64") from None
    if to_base64(data) != text:
        raise _invalid("base64 with stray bits or wrong padding")
    return data


def _check(value: Any, depth: int) -> None:
    """Types, integers, member names and depth; exact types, since this runs over everything that is read or written."""
    kind = type(value)
    if kind is dict or kind is list or kind is tuple:
        if depth >= MAX_DEPTH:
            raise _invalid(f"nested deeper than {MAX_DEPTH}")
        if kind is dict:
            for name in value:
                if type(name) is not str or not name.isascii():
                    raise _invalid("member name is not printable ASCII")
            value = value.values()
        for item in value:
            if type(item) is not str:
                _check(item, depth + 1)
    elif kind is int:
        if not 0 <= value <= MAX_INTEGER:
            raise _invalid("integer outside 0..2^53-1")
    elif not isinstance(value, str | bool):
        raise _invalid(f"{kind.__name__} has no canonical form")


def _check_text(value: Any) -> None:
    """Look for forbidden characters in every text and member name."""
    if isinstance(value, str):
        if found := _FORBIDDEN.search(value):
            raise _invalid(f"text holds the forbidden character U+{ord(found.group()):04X}")
    elif isinstance(value, dict):
        for name, member in value.items():
            if _FORBIDDEN.search(name):
                raise _invalid("member name is not printable ASCII")
            _check_text(member)
    elif isinstance(value, list | tuple):
        for item in value:
            _check_text(item)


def _no_float(_: str) -> NoReturn:
    raise ValueError("numbers are integers here")


_DECODER = json.JSONDecoder(parse_float=_no_float, parse_constant=_no_float)


def _invalid(message: str) -> FormatError:
    return FormatError(message, code=Code.INVALID_DOCUMENT)
