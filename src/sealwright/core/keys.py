"""Public keys and exact algorithms: one name says key type, hash, padding and salt.

Signatures have one canonical encoding each: RSA as the modulus-long integer, ECDSA as DER (RFC 3279, section 2.2.3),
Ed25519 as 64 raw bytes (RFC 8032).  A format converts where it wants another shape.
"""

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property, lru_cache

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils

from sealwright.core.errors import Code, FormatError, VerificationError

MAX_WHOLE_MESSAGE_BYTES = 64 * 1024


class Algorithm(StrEnum):
    """One exact signature algorithm."""

    RSA_PKCS1_SHA256 = "rsa-pkcs1-sha256"
    RSA_PKCS1_SHA384 = "rsa-pkcs1-sha384"
    RSA_PKCS1_SHA512 = "rsa-pkcs1-sha512"
    RSA_PSS_SHA256 = "rsa-pss-sha256"  # MGF1 with the same hash, salt as long as the hash
    RSA_PSS_SHA384 = "rsa-pss-sha384"
    RSA_PSS_SHA512 = "rsa-pss-sha512"
    ECDSA_P256_SHA256 = "ecdsa-p256-sha256"
    ECDSA_P384_SHA384 = "ecdsa-p384-sha384"
    ECDSA_P521_SHA512 = "ecdsa-p521-sha512"
    ED25519 = "ed25519"  # PureEdDSA: signs the message itself

    @property
    def hash_name(self) -> str:
        """The hash of the message as hashlib names it; for Ed25519 the hash that names a whole message (SHA-256)."""
        return "sha256" if self is Algorithm.ED25519 else self.rsplit("-", 1)[1]

    @property
    def is_prehashed(self) -> bool:
        """Whether the keystore gets the digest of the message; otherwise it gets the message."""
        return self is not Algorithm.ED25519


_HASHES: dict[str, hashes.HashAlgorithm] = {
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}
_CURVES = {"p256": "secp256r1", "p384": "secp384r1", "p521": "secp521r1"}

Key = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey


@lru_cache(maxsize=1024)
def _load(spki_der: bytes) -> Key:
    try:
        key = serialization.load_der_public_key(spki_der)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise FormatError("not a public key (SubjectPublicKeyInfo, DER)", code=Code.INVALID_DOCUMENT) from None
    if not isinstance(key, Key):
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
    def key(self) -> Key:
        """The key as the library knows it; ``FormatError`` if the bytes are none."""
        return _load(self.spki_der)

    @property
    def size_bits(self) -> int:
        """Modulus or field size in bits."""
        return 256 if isinstance(self.key, ed25519.Ed25519PublicKey) else self.key.key_size

    def check_algorithm(self, algorithm: Algorithm) -> None:
        """Raise ``FormatError`` unless this key can make signatures of ``algorithm``."""
        match self.key:
            case rsa.RSAPublicKey():
                fits = algorithm.startswith("rsa-") and 2048 <= self.size_bits <= 8192
            case ec.EllipticCurvePublicKey() as key:
                family, _, rest = algorithm.partition("-")
                fits = family == "ecdsa" and key.curve.name == _CURVES[rest.split("-")[0]]
            case _:
                fits = algorithm is Algorithm.ED25519
        if not fits:
            raise FormatError(
                f"a {type(self.key).__name__} of {self.size_bits} bits cannot sign {algorithm}",
                code=Code.INVALID_DOCUMENT,
            )

    def verify(self, algorithm: Algorithm, payload: bytes, signature: bytes) -> None:
        """Check a signature in canonical encoding.

        ``payload`` is the digest of the message when ``algorithm.is_prehashed``, otherwise the message.
        Raises ``VerificationError``.
        """
        self.check_algorithm(algorithm)
        key = self.key
        try:
            if isinstance(key, ed25519.Ed25519PublicKey):
                key.verify(signature, payload)
                return
            hash_algorithm = _HASHES[algorithm.hash_name]
            if isinstance(key, ec.EllipticCurvePublicKey):
                key.verify(signature, payload, ec.ECDSA(utils.Prehashed(hash_algorithm)))
            else:
                key.verify(signature, payload, rsa_padding(algorithm), utils.Prehashed(hash_algorithm))
        except (InvalidSignature, ValueError):
            raise VerificationError(f"{algorithm} signature does not verify with key {self.fingerprint[:16]}") from None


def rsa_padding(algorithm: Algorithm) -> padding.AsymmetricPadding:
    """Return the padding object of an RSA algorithm (PSS: MGF1 with the same hash, salt as long as the hash)."""
    hash_algorithm = _HASHES[algorithm.hash_name]
    if "-pss-" in algorithm:
        return padding.PSS(padding.MGF1(hash_algorithm), hash_algorithm.digest_size)
    return padding.PKCS1v15()


def hash_of(algorithm: Algorithm) -> hashes.HashAlgorithm:
    """Return the hash object of a prehashed algorithm."""
    return _HASHES[algorithm.hash_name]
