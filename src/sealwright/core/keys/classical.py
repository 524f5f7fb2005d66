"""RSA, ECDSA and Ed25519 keys.

Signatures have one canonical encoding each: RSA as the modulus-long integer, ECDSA as DER (RFC 3279, section 2.2.3),
Ed25519 as 64 raw bytes (RFC 8032).  A format converts where it wants another shape.
"""

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils

from sealwright.core.keys.algorithms import Algorithm, Family

ClassicalKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey

_HASHES: dict[str, hashes.HashAlgorithm] = {
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}
_CURVES = {"p256": "secp256r1", "p384": "secp384r1", "p521": "secp521r1"}


def size_bits(key: ClassicalKey) -> int:
    """Return modulus or field size."""
    return 256 if isinstance(key, ed25519.Ed25519PublicKey) else key.key_size


def fits(key: ClassicalKey, algorithm: Algorithm) -> bool:
    """Whether this key can make signatures of ``algorithm``."""
    match key:
        case rsa.RSAPublicKey():
            return algorithm.family is Family.RSA and 2048 <= key.key_size <= 8192
        case ec.EllipticCurvePublicKey():
            return algorithm.family is Family.ECDSA and key.curve.name == _CURVES[algorithm.split("-")[1]]
        case _:
            return algorithm is Algorithm.ED25519


def verify(key: ClassicalKey, algorithm: Algorithm, payload: bytes, signature: bytes) -> None:
    """Check a signature; raises ``InvalidSignature`` or ``ValueError``."""
    if isinstance(key, ed25519.Ed25519PublicKey):
        key.verify(signature, payload)
    elif isinstance(key, ec.EllipticCurvePublicKey):
        key.verify(signature, payload, ec.ECDSA(utils.Prehashed(hash_of(algorithm))))
    else:
        key.verify(signature, payload, rsa_padding(algorithm), utils.Prehashed(hash_of(algorithm)))


def rsa_padding(algorithm: Algorithm) -> padding.AsymmetricPadding:
    """Return the padding object of an RSA algorithm (PSS: MGF1 with the same hash, salt as long as the hash)."""
    hash_algorithm = hash_of(algorithm)
    if "-pss-" in algorithm:
        return padding.PSS(padding.MGF1(hash_algorithm), hash_algorithm.digest_size)
    return padding.PKCS1v15()


def hash_of(algorithm: Algorithm) -> hashes.HashAlgorithm:
    """Return the hash object of a prehashed algorithm."""
    return _HASHES[algorithm.hash_name]
