"""SLH-DSA keys (FIPS 205): pure signatures over the message, with an empty context (RFC 9814, RFC 9909).

The library for X.509 does not know them, so their SubjectPublicKeyInfo is read and written here: an AlgorithmIdentifier
without parameters, then the raw key, PK.seed and PK.root (RFC 9909, sections 3 and 4).  The canonical signature is the
byte string of FIPS 205.
"""

import importlib
from dataclasses import dataclass
from typing import Any

from sealwright.core.keys.algorithms import Algorithm, Family

_ARC = bytes.fromhex("06096086480165030403")
"""2.16.840.1.101.3.4.3 with tag and length of the whole identifier; the last byte names the parameter set."""
FIRST_NUMBER = 20
ALGORITHMS = tuple(algorithm for algorithm in Algorithm if algorithm.family is Family.SLH_DSA)
"""In the order of their object identifiers, 2.16.840.1.101.3.4.3.20 to .31 (RFC 9909, section 3)."""


@dataclass(frozen=True, slots=True)
class SlhDsaPublicKey:
    """A public key of one parameter set."""

    algorithm: Algorithm
    raw: bytes
    """PK.seed and PK.root (FIPS 205, section 9.1)."""

    @property
    def spki_der(self) -> bytes:
        """The SubjectPublicKeyInfo in DER."""
        return _head(self.algorithm) + self.raw


def load(spki_der: bytes) -> SlhDsaPublicKey | None:
    """Return the key, or None for bytes that are not exactly the SubjectPublicKeyInfo of an SLH-DSA key."""
    for algorithm in ALGORITHMS:
        head = _head(algorithm)
        if spki_der.startswith(head) and len(spki_der) == len(head) + _key_bytes(algorithm):
            return SlhDsaPublicKey(algorithm, spki_der[len(head) :])
    return None


def algorithm_identifier(algorithm: Algorithm) -> bytes:
    """Return the AlgorithmIdentifier in DER, parameters absent."""
    oid = _ARC + bytes([FIRST_NUMBER + ALGORITHMS.index(algorithm)])
    return bytes([0x30, len(oid)]) + oid


def size_bits(key: SlhDsaPublicKey) -> int:
    """Return the length of the public key in bits, as OpenSSL counts it."""
    return 8 * len(key.raw)


def fits(key: SlhDsaPublicKey, algorithm: Algorithm) -> bool:
    """Whether this key can make signatures of ``algorithm``."""
    return key.algorithm is algorithm


def verify(key: SlhDsaPublicKey, algorithm: Algorithm, payload: bytes, signature: bytes) -> None:
    """Check a signature over a message; raises ``ValueError``."""
    implementation(algorithm).verify(key.raw, payload, signature)


def implementation(algorithm: Algorithm) -> Any:
    """Return the functions of one parameter set: ``keygen``, ``sign`` and ``verify`` on raw bytes."""
    # Imported at the first use: the library brings every key encapsulation with it, for 20 ms.
    return getattr(importlib.import_module("pqcrypto.sign"), algorithm.replace("-", "_"))


def _key_bytes(algorithm: Algorithm) -> int:
    return 2 * int(algorithm[-4:-1]) // 8


def _head(algorithm: Algorithm) -> bytes:
    """Everything in front of the raw key: all lengths are below 128, so DER has one byte for each."""
    identifier = algorithm_identifier(algorithm)
    bits = bytes([0x03, 1 + _key_bytes(algorithm), 0])
    return bytes([0x30, len(identifier) + len(bits) + _key_bytes(algorithm)]) + identifier + bits
