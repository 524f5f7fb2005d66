"""Canonical JSON: the one spelling in which documents are signed, hashed and kept.

RFC 8785 restricted so that Python's sorted compact JSON *is* the canonical form: no floats, no null, integers
0..2^53-1, ASCII member names, text free of control, bidirectional and invisible code points.  NFC is the writer's duty.
Specification: ``docs/spec/canonical-form.md``.
"""

import base64
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


def encode(value: Any) -> bytes:
    """Return the canonical bytes of a JSON value; ``FormatError`` if it has none."""
    _check(value, 0)
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def decode(data: bytes, *, max_bytes: int = MAX_DOCUMENT_BYTES) -> Any:
    """Parse canonical JSON; anything that is not byte for byte its own canonical form is a ``FormatError``."""
    if len(data) > max_bytes:
        raise _invalid(f"document of {len(data)} bytes, at most {max_bytes} are accepted")
    try:
        value = json.loads(data.decode(), parse_float=_no_float, parse_constant=_no_float)
    except (ValueError, RecursionError) as e:
        raise _invalid(f"not JSON: {str(e)[:120]}") from None
    if encode(value) != data:
        # Duplicate members, white space, escapes and member order all end here.
        raise _invalid("not in canonical form (order, white space, escapes or a member given twice)")
    return value


def to_base64(data: bytes) -> str:
    """Encode with the standard alphabet and padding, the only spelling ``from_base64`` takes."""
    return base64.b64encode(data).decode()


def from_base64(text: str) -> bytes:
    """Strict base64: must encode back to itself."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise _invalid("not base64") from None
    if to_base64(data) != text:
        raise _invalid("base64 with stray bits or wrong padding")
    return data


def _check(value: Any, depth: int) -> None:
    if isinstance(value, str):
        if found := _FORBIDDEN.search(value):
            raise _invalid(f"text holds the forbidden character U+{ord(found.group()):04X}")
    elif isinstance(value, bool):
        return
    elif isinstance(value, int):
        if not 0 <= value <= MAX_INTEGER:
            raise _invalid("integer outside 0..2^53-1")
    elif depth >= MAX_DEPTH:
        raise _invalid(f"nested deeper than {MAX_DEPTH}")
    elif isinstance(value, dict):
        for name, member in value.items():
            if not isinstance(name, str) or not name.isascii() or _FORBIDDEN.search(name):
                raise _invalid("member name is not printable ASCII")
            _check(member, depth + 1)
    elif isinstance(value, list | tuple):
        for item in value:
            _check(item, depth + 1)
    else:
        raise _invalid(f"{type(value).__name__} has no canonical form")


def _no_float(_: str) -> NoReturn:
    raise ValueError("numbers are integers here")


def _invalid(message: str) -> FormatError:
    return FormatError(message, code=Code.INVALID_DOCUMENT)
