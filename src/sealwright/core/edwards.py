"""Ed25519 points that are refused wherever a public key is read.

For a point of small order some signatures verify over many messages, so anybody can sign for it; a y coordinate of
2^255 - 19 or above is a second spelling of a smaller one.
Reference: RFC 8032, section 5.1.3; ``docs/spec/signatures.md``, "Authenticators".
"""

from sealwright.core.errors import Code, FormatError

KEY_BYTES = 32
_SPKI = bytes.fromhex("302a300506032b6570032100")  # SubjectPublicKeyInfo up to the key (RFC 8410, section 4)
_P25519 = 2**255 - 19
_ORDER_8 = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
_WEAK_Y = (0, 1, _P25519 - 1, _ORDER_8, _P25519 - _ORDER_8)


def check_point(raw: bytes) -> None:
    """Raise ``FormatError`` for 32 bytes that no honest key pair has."""
    y = int.from_bytes(raw, "little") & (1 << 255) - 1
    if len(raw) != KEY_BYTES or y >= _P25519 or y in _WEAK_Y:
        raise FormatError("Ed25519 key is not canonical, or of small order", code=Code.INVALID_DOCUMENT)


def spki_of(raw: bytes) -> bytes:
    """Return the SubjectPublicKeyInfo of a raw key, to compare it with keys of other kinds."""
    return _SPKI + raw
