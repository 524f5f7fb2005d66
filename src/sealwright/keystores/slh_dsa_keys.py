"""SLH-DSA private keys in the memory of this process, and their PKCS#8 form.

The private key is the four strings of FIPS 205, section 9.1: SK.seed, SK.prf, PK.seed, PK.root; PKCS#8 holds them as
they are (RFC 9909, section 5).  Signatures are hedged: each takes fresh randomness.
"""

from dataclasses import dataclass, field

from sealwright.core.keys import Algorithm, SlhDsaPublicKey
from sealwright.core.keys.slh_dsa import ALGORITHMS, algorithm_identifier, implementation
from sealwright.keystores.pkcs8 import private_key_info


@dataclass(frozen=True, slots=True)
class SlhDsaPrivateKey:
    """A private key of one parameter set."""

    algorithm: Algorithm
    raw: bytes = field(repr=False)

    @classmethod
    def generate(cls, algorithm: Algorithm) -> "SlhDsaPrivateKey":
        """Make a key."""
        _, private = implementation(algorithm).keygen()
        return cls(algorithm, private)

    def public_key(self) -> SlhDsaPublicKey:
        """Return the public half: the last two of the four strings."""
        return SlhDsaPublicKey(self.algorithm, self.raw[len(self.raw) // 2 :])

    def sign(self, message: bytes) -> bytes:
        """Sign a message."""
        return bytes(implementation(self.algorithm).sign(self.raw, message))

    def pkcs8_der(self) -> bytes:
        """Return the PrivateKeyInfo in DER (RFC 5958), without attributes."""
        return private_key_info(algorithm_identifier(self.algorithm), self.raw)


def load_pkcs8(der: bytes) -> SlhDsaPrivateKey | None:
    """Return the key, or None for bytes that are not exactly what ``pkcs8_der`` writes."""
    for algorithm in ALGORITHMS:
        size = int(algorithm[-4:-1]) // 2  # four strings of n bytes
        key = SlhDsaPrivateKey(algorithm, der[-size:])
        if key.pkcs8_der() == der:
            return key
    return None
