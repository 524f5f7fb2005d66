"""A public key as its SubjectPublicKeyInfo, and the table that sends each kind of key to its module."""

import base64
import hashlib
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization

from sealwright.core.errors import Code, FormatError, VerificationError
from sealwright.core.keys import classical, hss_lms, ml_dsa, slh_dsa
from sealwright.core.keys.algorithms import Algorithm

MAX_WHOLE_MESSAGE_BYTES = 64 * 1024

LibraryKey = classical.ClassicalKey | ml_dsa.MlDsaKey
"""Keys that ``cryptography`` knows."""
OwnKey = slh_dsa.SlhDsaPublicKey | hss_lms.HssLmsPublicKey
"""Keys that it does not know."""
Key = LibraryKey | OwnKey


class _Kind(NamedTuple):
    """A kind of key: its types and the module that knows them (``size_bits``, ``fits``, ``verify``)."""

    types: Any
    module: Any


_KINDS = (
    _Kind(classical.ClassicalKey, classical),
    _Kind(ml_dsa.MlDsaKey, ml_dsa),
    _Kind(slh_dsa.SlhDsaPublicKey, slh_dsa),
    _Kind(hss_lms.HssLmsPublicKey, hss_lms),
)
_OWN_LOADERS = (slh_dsa.load, hss_lms.load)
"""Of the keys that the library does not know; each accepts one spelling only and answers None to others."""


@lru_cache(maxsize=1024)
def _load(spki_der: bytes) -> Key:
    for load in _OWN_LOADERS:
        if (own := load(spki_der)) is not None:
            return own
    try:
        key = serialization.load_der_public_key(spki_der)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise FormatError("not a public key (SubjectPublicKeyInfo, DER)", code=Code.INVALID_DOCUMENT) from None
    if not isinstance(key, LibraryKey):
        raise FormatError(f"{type(key).__name__} keys are not supported", code=Code.INVALID_DOCUMENT)
    if (
        key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo) != spki_der
    ):  # one key, one spelling: fingerprints are compared
        raise FormatError("public key is not in its only DER form", code=Code.INVALID_DOCUMENT)
    return key


@dataclass(frozen=True)
class PublicKey:
    """A public key as its SubjectPublicKeyInfo in DER (RFC 5280, section 4.1.2.7)."""

    spki_der: bytes

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the SubjectPublicKeyInfo, lower-case hex."""
        return hashlib.sha256(self.spki_der).hexdigest()

    @property
    def pem(self) -> bytes:
        """The same in PEM (RFC 7468, section 13)."""
        return b"-----BEGIN PUBLIC KEY-----\n%s-----END PUBLIC KEY-----\n" % b"".join(
            base64.b64encode(self.spki_der[at : at + 48]) + b"\n" for at in range(0, len(self.spki_der), 48)
        )

    @property
    def key(self) -> Key:
        """The key as its library knows it; ``FormatError`` if the bytes are none."""
        return _load(self.spki_der)

    @property
    def size_bits(self) -> int:
        """Modulus or field size; for ML-DSA, SLH-DSA and HSS/LMS the length of the raw key."""
        return int(self._module.size_bits(self.key))

    def check_algorithm(self, algorithm: Algorithm) -> None:
        """Raise ``FormatError`` unless this key can make signatures of ``algorithm``."""
        if not self._module.fits(self.key, algorithm):
            raise FormatError(
                f"a key of the kind {type(self.key).__name__.removesuffix('PublicKey')} with {self.size_bits} bits "
                f"cannot sign {algorithm}",
                code=Code.INVALID_DOCUMENT,
            )

    def verify(self, algorithm: Algorithm, payload: bytes, signature: bytes) -> None:
        """Check a signature in canonical encoding.

        ``payload`` is the digest of the message when ``algorithm.is_prehashed``, otherwise the message.
        Raises ``VerificationError``.
        """
        self.check_algorithm(algorithm)
        try:
            self._module.verify(self.key, algorithm, payload, signature)
        except (InvalidSignature, ValueError):
            raise VerificationError(f"{algorithm} signature does not verify with key {self.fingerprint[:16]}") from None

    @property
    def _module(self) -> Any:
        return next(kind.module for kind in _KINDS if isinstance(self.key, kind.types))
