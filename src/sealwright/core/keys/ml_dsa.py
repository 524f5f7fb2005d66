"""ML-DSA keys (FIPS 204): pure signatures over the message, with an empty context (RFC 9881, RFC 9882).

The canonical signature is the byte string of FIPS 204: 2,420, 3,309 or 4,627 bytes.
"""

from cryptography.hazmat.primitives.asymmetric import mldsa

from sealwright.core.keys.algorithms import Algorithm

MlDsaKey = mldsa.MLDSA44PublicKey | mldsa.MLDSA65PublicKey | mldsa.MLDSA87PublicKey

_ALGORITHMS: tuple[tuple[type[MlDsaKey], Algorithm], ...] = (
    (mldsa.MLDSA44PublicKey, Algorithm.ML_DSA_44),
    (mldsa.MLDSA65PublicKey, Algorithm.ML_DSA_65),
    (mldsa.MLDSA87PublicKey, Algorithm.ML_DSA_87),
)


def size_bits(key: MlDsaKey) -> int:
    """Return the length of the public key in bits, as OpenSSL counts it."""
    return 8 * len(key.public_bytes_raw())


def fits(key: MlDsaKey, algorithm: Algorithm) -> bool:
    """Whether this key can make signatures of ``algorithm``."""
    return any(algorithm is named and isinstance(key, kind) for kind, named in _ALGORITHMS)


def verify(key: MlDsaKey, algorithm: Algorithm, payload: bytes, signature: bytes) -> None:  # noqa: ARG001 - one shape
    """Check a signature over a message; raises ``InvalidSignature`` or ``ValueError``."""
    key.verify(signature, payload)
