"""The boot record of an MCUboot image, as an approver reads it: what attestation will say of this component.

Reference: MCUboot boot/bootutil/src/boot_record.c and scripts/imgtool/boot_record.py (keys of the CBOR map).
"""

from sealwright.core.errors import FormatError
from sealwright.formats.deterministic_cbor import BYTES, MAP, TEXT, UNSIGNED, read_head

NAMES = {1: "role", 2: "measurement", 4: "version", 5: "signer", 6: "hash"}
"""Software component type, measurement value, software version, signer identifier, measurement description."""
LABEL = "Boot record"
MAX_MEMBERS, MAX_TEXT, MAX_BYTES = 16, 64, 64


def facts(record: bytes) -> dict[str, str]:
    """Return its members; where it is something else, why it cannot be read."""
    try:
        return {f"{LABEL}, {_name(key)}": value for key, value in _members(record)}
    except FormatError as e:
        return {LABEL: f"cannot be read: {e.message}"}


def _name(key: int) -> str:
    return NAMES.get(key, f"member {key}")


def _members(record: bytes) -> list[tuple[int, str]]:
    """Return keys and values; the keys of imgtool stand in another order than deterministic CBOR wants."""
    head = read_head(record, 0)
    if head.major != MAP or head.argument > MAX_MEMBERS:
        raise FormatError("not a CBOR map, or too many members")
    at, found = head.size, list[tuple[int, str]]()
    for _ in range(head.argument):
        key = read_head(record, at)
        if key.major != UNSIGNED or key.argument in dict(found):
            raise FormatError("CBOR key is no number, or there twice", at=at)
        value, at = _value(record, at + key.size)
        found.append((key.argument, value))
    if at != len(record):
        raise FormatError(f"{len(record) - at} bytes behind its end", at=at)
    return found


def _value(record: bytes, at: int) -> tuple[str, int]:
    head = read_head(record, at)
    start, stop = at + head.size, at + head.size + head.argument
    if head.major not in (BYTES, TEXT) or stop > len(record):
        raise FormatError("CBOR value is no string, or leaves the record", at=at)
    content = record[start:stop]
    if head.major == TEXT and len(content) <= MAX_TEXT and content.isascii():
        return content.decode(), stop
    left_out = max(0, len(content) - MAX_BYTES)
    return content[:MAX_BYTES].hex() + (f"... {left_out} bytes more" if left_out else ""), stop
