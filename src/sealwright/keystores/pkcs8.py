"""PKCS#8 for the kinds of keys that the library does not read or write.  Reference: RFC 5958, RFC 9881, RFC 9909."""

import hashlib

from cryptography.hazmat.primitives.asymmetric import mldsa

from sealwright.core.errors import Code, FormatError

SEED_BYTES = 32
_ML_DSA = (  # last byte of the object identifier, type, size of the expanded key, rows and columns (FIPS 204, table 1)
    (0x11, mldsa.MLDSA44PrivateKey, 2560, bytes([4, 4])),
    (0x12, mldsa.MLDSA65PrivateKey, 4032, bytes([6, 5])),
    (0x13, mldsa.MLDSA87PrivateKey, 4896, bytes([8, 7])),
)
_ARC = bytes.fromhex("06096086480165030403")
_VERSION = b"\x02\x01\x00"

MlDsaPrivateKey = mldsa.MLDSA44PrivateKey | mldsa.MLDSA65PrivateKey | mldsa.MLDSA87PrivateKey


def private_key_info(algorithm_identifier: bytes, key: bytes) -> bytes:
    """Return a PrivateKeyInfo in DER, without attributes."""
    return _element(0x30, _VERSION, algorithm_identifier, _element(0x04, key))


def load_ml_dsa(der: bytes) -> MlDsaPrivateKey | None:
    """Read an ML-DSA key with seed and expanded key, which OpenSSL writes; None for anything else.

    ``FormatError`` for a key without its seed, and for two halves that are not one key (RFC 9881, section 8.2).
    """
    for number, kind, size, shape in _ML_DSA:
        identifier = _element(0x30, _ARC, bytes([number]))
        expanded = der[-size:]
        if der in (private_key_info(identifier, key) for key in (expanded, _element(0x04, expanded))):
            raise _invalid("the ML-DSA key is without its seed, from which alone it can be taken in")
        seed = der[-size - SEED_BYTES - 4 : -size - 4]  # between them: tag and length of the expanded key
        both = _element(0x30, _element(0x04, seed), _element(0x04, expanded))
        if der == private_key_info(identifier, both):
            key = kind.from_seed_bytes(seed)
            if expanded[:128] != _beginning(key.public_key().public_bytes_raw(), seed, shape):
                raise _invalid("seed and expanded key are not of one ML-DSA key")
            return key
    return None


def _beginning(public: bytes, seed: bytes, shape: bytes) -> bytes:
    """Return rho, K and tr, with which an expanded key begins (FIPS 204, algorithms 6 and 24)."""
    secret = hashlib.shake_256(seed + shape).digest(128)[96:]
    return public[:32] + secret + hashlib.shake_256(public).digest(64)


def _element(tag: int, *parts: bytes) -> bytes:
    content = b"".join(parts)
    length = len(content).to_bytes((len(content).bit_length() + 7) // 8)
    return bytes([tag, len(content)] if len(content) < 0x80 else [tag, 0x80 + len(length), *length]) + content


def _invalid(message: str) -> FormatError:
    return FormatError(message, code=Code.INVALID_DOCUMENT, hint="export it with its seed")
