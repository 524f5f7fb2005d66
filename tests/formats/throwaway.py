"""Throw-away keys with self-signed certificates, made anew at each run, and an outside signer that uses them."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa, utils

from sealwright.core.keys import Algorithm, PublicKey, hash_of, rsa_padding
from sealwright.formats.interface import Prepared, SigningKey, Slot, Trust

CURVES = {"p256": ec.SECP256R1(), "p384": ec.SECP384R1(), "p521": ec.SECP521R1()}
PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


@dataclass(frozen=True)
class Signer:
    """A private key, its certificate, and the algorithm it signs with."""

    key: PrivateKey
    algorithm: Algorithm
    certificate: x509.Certificate

    @property
    def public_key(self) -> PublicKey:
        encoding, shape = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        return PublicKey(self.key.public_key().public_bytes(encoding, shape))

    @property
    def certificate_der(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def trust(self) -> Trust:
        return Trust(keys=(self.public_key,))

    def signing_key(self, *more: bytes) -> SigningKey:
        return SigningKey(
            profile="test/firmware",
            public_key=self.public_key,
            algorithm=self.algorithm,
            certificates=(self.certificate_der, *more),
        )

    def sign(self, slot: Slot) -> bytes:
        """Sign as a keystore would: it gets the digest, or for Ed25519 the message."""
        if isinstance(self.key, ed25519.Ed25519PrivateKey):
            assert slot.whole_message is not None
            return self.key.sign(slot.whole_message)
        prehashed = utils.Prehashed(hash_of(slot.algorithm))
        if isinstance(self.key, ec.EllipticCurvePrivateKey):
            return self.key.sign(slot.digest, ec.ECDSA(prehashed))
        return self.key.sign(slot.digest, rsa_padding(slot.algorithm), prehashed)

    def sign_all(self, prepared: Prepared) -> Mapping[str, bytes]:
        return {slot.name: self.sign(slot) for slot in prepared.slots}

    def anchor(self, folder: Path) -> Path:
        """Write the certificate where a verifier can read it."""
        path = folder / f"{self.public_key.fingerprint[:8]}.pem"
        path.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))
        return path

    def private_file(self, folder: Path) -> Path:
        path = folder / f"{self.public_key.fingerprint[:8]}.key"
        encoding, shape = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
        path.write_bytes(self.key.private_bytes(encoding, shape, serialization.NoEncryption()))
        return path


@functools.cache
def signer(algorithm: Algorithm, who: str = "maker", bits: int = 2048) -> Signer:
    """Return the signer of that name, the same all through a test run."""
    if algorithm is Algorithm.ED25519:
        key: PrivateKey = ed25519.Ed25519PrivateKey.generate()
    elif algorithm.startswith("ecdsa-"):
        key = ec.generate_private_key(CURVES[algorithm.split("-")[1]])
    else:
        key = rsa.generate_private_key(65537, bits)
    return Signer(key, algorithm, certificate(key, who))


def certificate(key: PrivateKey, who: str) -> x509.Certificate:
    """Self-sign a certificate for ``key``, valid for a lifetime of firmware."""
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, f"TEST ONLY {who}")])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime(2024, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2049, 1, 1, tzinfo=UTC))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.CODE_SIGNING]), critical=False)
    )
    return builder.sign(key, None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256())
