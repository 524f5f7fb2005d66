"""DER by hand as far as it takes: a guard before a lenient parser, and what stands behind a tag.

Reference: X.690, sections 8.1 and 10.1.
"""

from asn1crypto import parser

from sealwright.core.errors import FormatError

MAX_DEPTH = 32
MAX_ELEMENTS = 10_000
OBJECT_IDENTIFIER, MAX_OBJECT_IDENTIFIER_BYTES = 0x06, 64
"""asn1crypto takes the square of their length to spell them."""


def check_der(data: bytes) -> None:
    """Raise ``FormatError`` with the offset unless ``data`` is one element, DER in its tags and lengths throughout.

    So are more elements and longer object identifiers than anybody needs, which would cost their reader dearly.
    """
    pending, elements = [(0, len(data), 0)], 0
    while pending:
        at, stop, depth = pending.pop()
        if depth > MAX_DEPTH:
            raise FormatError(f"DER nested deeper than {MAX_DEPTH}", at=at)
        while at < stop:
            value, end = extent(data, at, stop)
            elements += 1
            if elements > MAX_ELEMENTS:
                raise FormatError(f"DER of more than {MAX_ELEMENTS} elements", at=at)
            if data[at] == OBJECT_IDENTIFIER and end - value > MAX_OBJECT_IDENTIFIER_BYTES:
                raise FormatError(
                    f"object identifier of {end - value} bytes, at most {MAX_OBJECT_IDENTIFIER_BYTES} are accepted",
                    at=at,
                )
            if data[at] & 0x20:
                pending.append((value, end, depth + 1))
            if depth == 0 and end != stop:
                raise FormatError(f"{stop - end} bytes behind the DER element", at=end)
            at = end
    if not data:
        raise FormatError("DER element is empty", at=0)


def octets(element: bytes) -> bytes:
    """Return the contents of a DER element, without tag and length."""
    return bytes(parser.parse(element, strict=True)[4])


def extent(data: bytes, at: int, stop: int) -> tuple[int, int]:
    """Return where the contents of the element at ``at`` start and end (X.690, sections 8.1 and 10.1)."""
    if stop - at < 2:
        raise FormatError("DER element is cut short", at=at)
    tag, length, value = data[at], data[at + 1], at + 2
    if tag & 0x1F == 0x1F or (tag & 0xE0 == 0x20 and tag not in (0x30, 0x31)):
        raise FormatError(f"DER tag {tag:#04x} is not accepted", at=at)
    if length & 0x80:
        count = length & 0x7F
        value += count
        length = int.from_bytes(data[at + 2 : value], "big")
        if not 1 <= count <= 4 or length < 0x80 or length.bit_length() <= 8 * (count - 1):
            raise FormatError("DER length is indefinite, not minimal or too large", at=at)
    if value + length > stop:
        raise FormatError(f"DER element ends at {value + length:#x}, what holds it at {stop:#x}", at=at)
    return value, value + length
