"""Throw-away keys with self-signed certificates, made anew at each run, and an outside signer that uses them."""

import base64
import functools
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from sealwright.core.keys import Algorithm, PublicKey
from sealwright.formats.interface import Prepared, SigningKey, Slot, Trust
from sealwright.keystores import private_keys
from sealwright.keystores.certificates import self_signed
from sealwright.keystores.interface import CertificateTemplate
from sealwright.keystores.private_keys import PrivateKey
from sealwright.keystores.slh_dsa_keys import SlhDsaPrivateKey

CURVES = {"p256": ec.SECP256R1(), "p384": ec.SECP384R1(), "p521": ec.SECP521R1()}
VALIDITY = datetime(2024, 1, 1, tzinfo=UTC), datetime(2049, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Signer:
    """A private key, its certificate, and the algorithm it signs with."""

    key: PrivateKey
    algorithm: Algorithm
    certificate: x509.Certificate

    @property
    def public_key(self) -> PublicKey:
        return private_keys.public_half(self.key)

    @property
    def certificate_der(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def trust(self) -> Trust:
        return Trust(keys=(self.public_key,))

    @property
    def claim(self) -> str:
        """What is shown of a signature by this key whose certificate nobody exchanged."""
        subject = self.certificate.subject.rfc4514_string()
        return f"key {self.public_key.fingerprint}, certificate in the file says {subject}"

    def signing_key(self, *more: bytes) -> SigningKey:
        return SigningKey(
            profile="test/firmware",
            public_key=self.public_key,
            algorithm=self.algorithm,
            certificates=(self.certificate_der, *more),
        )

    def sign(self, slot: Slot, before: bytes = b"") -> bytes:
        """Sign as a keystore would: it gets the digest, or the message where the algorithm is not prehashed.

        ``before`` is the signature of the slot after which this one comes.
        """
        if slot.algorithm.is_prehashed:
            return private_keys.sign(self.key, slot.algorithm, slot.digest)
        assert slot.whole_message is not None
        return private_keys.sign(self.key, slot.algorithm, before + slot.whole_message)

    def sign_all(self, prepared: Prepared) -> Mapping[str, bytes]:
        made: dict[str | None, bytes] = {None: b""}
        for slot in prepared.slots:
            made[slot.name] = self.sign(slot, made[slot.after])
        return {name: value for name, value in made.items() if name is not None}

    def anchor(self, folder: Path) -> Path:
        """Write the certificate where a verifier can read it."""
        path = folder / f"{self.public_key.fingerprint[:8]}.pem"
        path.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))
        return path

    def private_file(self, folder: Path) -> Path:
        path = folder / f"{self.public_key.fingerprint[:8]}.key"
        encoded = base64.encodebytes(private_keys.pkcs8_der(self.key))
        path.write_bytes(b"-----BEGIN PRIVATE KEY-----\n" + encoded + b"-----END PRIVATE KEY-----\n")
        return path


@functools.cache
def signer(algorithm: Algorithm, who: str = "maker", bits: int = 2048) -> Signer:
    """Return the signer of that name, the same all through a test run."""
    if algorithm.is_post_quantum or algorithm is Algorithm.ED25519:
        key: PrivateKey = private_keys.generate(algorithm, 0)
    elif algorithm.startswith("ecdsa-"):
        key = ec.generate_private_key(CURVES[algorithm.split("-")[1]])
    else:
        key = rsa.generate_private_key(65537, bits)
    return Signer(key, algorithm, certificate(key, who))


def certificate(key: PrivateKey, who: str) -> x509.Certificate:
    """Self-sign a certificate for ``key``, valid for a lifetime of firmware."""
    if isinstance(key, SlhDsaPrivateKey):  # which the library does not certify
        template = CertificateTemplate(common_name=f"TEST ONLY {who}", not_before=VALIDITY[0], not_after=VALIDITY[1])
        return x509.load_der_x509_certificate(
            self_signed(private_keys.public_half(key), key.algorithm, key.sign, template)
        )
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, f"TEST ONLY {who}")])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(VALIDITY[0])
        .not_valid_after(VALIDITY[1])
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.CODE_SIGNING]), critical=False)
    )
    return builder.sign(
        key, hashes.SHA256() if isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) else None
    )
