"""HSS/LMS keys (RFC 8554): stateful, each signature uses up one of a fixed number.

SubjectPublicKeyInfo by RFC 9802, section 3: an AlgorithmIdentifier without parameters, then the HSS public key.  The
key says its parameters, so the algorithm has one name.  The canonical signature is the HSS signature of RFC 8554,
section 6.2.
"""

from dataclasses import dataclass

from sealwright.core import lms
from sealwright.core.errors import FormatError
from sealwright.core.keys.algorithms import Algorithm

ALGORITHM_IDENTIFIER = bytes.fromhex("300d 060b 2a864886f70d0109100311")
"""1.2.840.113549.1.9.16.3.17, id-alg-hss-lms-hashsig."""


@dataclass(frozen=True, slots=True)
class HssLmsPublicKey:
    """A public key with the parameters it names."""

    hss: lms.HssKey

    @property
    def raw(self) -> bytes:
        """The HSS public key."""
        return self.hss.encoded

    @property
    def spki_der(self) -> bytes:
        """The SubjectPublicKeyInfo in DER; every length is below 128."""
        bits = bytes([0x03, 1 + len(self.raw), 0]) + self.raw
        return bytes([0x30, len(ALGORITHM_IDENTIFIER) + len(bits)]) + ALGORITHM_IDENTIFIER + bits


def load(spki_der: bytes) -> HssLmsPublicKey | None:
    """Return the key, or None for bytes that are not exactly the SubjectPublicKeyInfo of an HSS/LMS key."""
    head = 2 + len(ALGORITHM_IDENTIFIER) + 3
    if spki_der[2 : head - 3] != ALGORITHM_IDENTIFIER:
        return None
    try:
        key = HssLmsPublicKey(lms.parse_public_key(spki_der[head:]))
    except FormatError:
        return None
    return key if key.spki_der == spki_der else None


def size_bits(key: HssLmsPublicKey) -> int:
    """Return the length of the public key in bits."""
    return 8 * len(key.raw)


def fits(key: HssLmsPublicKey, algorithm: Algorithm) -> bool:  # noqa: ARG001 - one shape
    """Whether this key can make signatures of ``algorithm``."""
    return algorithm is Algorithm.HSS_LMS


def verify(key: HssLmsPublicKey, algorithm: Algorithm, payload: bytes, signature: bytes) -> None:  # noqa: ARG001
    """Check a signature over a message; raises ``VerificationError``."""
    lms.verify(key.hss, payload, signature)
