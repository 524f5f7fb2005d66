"""The ASN.1 of CMS: shapes that asn1crypto lacks, algorithm identifiers, and what is needed of a certificate.

Reference: RFC 5652; RFC 5754 (SHA-2), RFC 4056 (RSASSA-PSS), RFC 8419 (Ed25519), RFC 9882 (ML-DSA), RFC 9814 (SLH-DSA),
RFC 9708 (HSS/LMS); RFC 2315 for what Authenticode keeps.
"""

import hashlib
from dataclasses import dataclass
from typing import Any, ClassVar

from asn1crypto import algos, cms, core

from sealwright.core.keys import Algorithm, Family, PublicKey

DATA = "1.2.840.113549.1.7.1"
SIGNED_DATA = "1.2.840.113549.1.7.2"
NIST_SIGNATURES = "2.16.840.1.101.3.4.3"
"""The arc of ML-DSA (17 to 19, RFC 9882, section 2) and SLH-DSA (20 to 31, RFC 9814, section 3)."""
FIRST_NIST_SIGNATURE = 17
HSS_LMS_SIGNATURE = "1.2.840.113549.1.9.16.3.17"
"""id-alg-hss-lms-hashsig (RFC 9708, section 3)."""
_NIST_ALGORITHMS = tuple(a for a in Algorithm if a.family in (Family.ML_DSA, Family.SLH_DSA))


class Explicit(core.SequenceOf):  # type: ignore[misc]
    """What stands in an explicit tag, as a list of one: asn1crypto loses the tag around an ANY."""

    _child_spec = core.Any


class EncapsulatedContent(core.Sequence):  # type: ignore[misc]
    """EncapsulatedContentInfo (an OCTET STRING), and the ContentInfo that PKCS #7 has in its place (any type)."""

    _fields: ClassVar[list[Any]] = [
        ("content_type", core.ObjectIdentifier),
        ("content", Explicit, {"implicit": 0, "optional": True}),
    ]


class SignedDataShape(core.Sequence):  # type: ignore[misc]
    """SignedData (RFC 5652, section 5.1)."""

    _fields: ClassVar[list[Any]] = [
        ("version", cms.CMSVersion),
        ("digest_algorithms", cms.DigestAlgorithms),
        ("encap_content_info", EncapsulatedContent),
        ("certificates", cms.CertificateSet, {"implicit": 0, "optional": True}),
        ("crls", cms.RevocationInfoChoices, {"implicit": 1, "optional": True}),
        ("signer_infos", cms.SignerInfos),
    ]


class ContentInfo(core.Sequence):  # type: ignore[misc]
    """ContentInfo around a SignedData (RFC 5652, section 3)."""

    _fields: ClassVar[list[Any]] = [
        ("content_type", core.ObjectIdentifier),
        ("content", SignedDataShape, {"explicit": 0}),
    ]


def digest_name(algorithm: Algorithm) -> str:
    """Return the hash of the content as hashlib names it.

    SHA-512 for Ed25519 (RFC 8419, section 3), for ML-DSA (RFC 9882, section 3.3: the one that all must support) and
    for SLH-DSA, whose every parameter set it matches in strength.  SHA-256 for HSS/LMS, the
    hash of its trees, also of those that keep 192 bits of it (RFC 9708, section 5).
    """
    return "sha512" if algorithm is Algorithm.ED25519 else algorithm.hash_name


def digest_identifier(algorithm: Algorithm) -> Any:
    """Return the AlgorithmIdentifier of the content's hash."""
    # Parameters absent where asn1crypto would write NULL: RFC 8419, section 3.1; RFC 5754, section 2.
    # For SHA-256 beside HSS/LMS they are preferred absent (RFC 9708, section 5).
    if algorithm is Algorithm.ED25519 or algorithm.is_post_quantum:
        plain = algos.AlgorithmIdentifier({"algorithm": algos.DigestAlgorithmId(digest_name(algorithm)).dotted})
        return algos.DigestAlgorithm.load(plain.dump())
    return algos.DigestAlgorithm({"algorithm": digest_name(algorithm)})


def signature_identifier(algorithm: Algorithm) -> Any:
    """Return the AlgorithmIdentifier of the signature (RSA PKCS #1: rsaEncryption, as PKCS #7 and OpenSSL write it)."""
    if algorithm is Algorithm.ED25519:
        value: dict[str, Any] = {"algorithm": "ed25519"}
    elif algorithm in _NIST_ALGORITHMS:  # parameters absent
        value = {"algorithm": f"{NIST_SIGNATURES}.{FIRST_NIST_SIGNATURE + _NIST_ALGORITHMS.index(algorithm)}"}
    elif algorithm is Algorithm.HSS_LMS:  # parameters absent
        value = {"algorithm": HSS_LMS_SIGNATURE}
    elif algorithm.startswith("ecdsa-"):
        value = {"algorithm": f"{algorithm.hash_name}_ecdsa"}
    elif algorithm.startswith("rsa-pss-"):
        digest = {"algorithm": algorithm.hash_name}
        parameters = {
            "hash_algorithm": digest,
            "mask_gen_algorithm": {"algorithm": "mgf1", "parameters": digest},
            "salt_length": hashlib.new(algorithm.hash_name).digest_size,
        }
        value = {"algorithm": "rsassa_pss", "parameters": parameters}
    else:
        value = {"algorithm": "rsassa_pkcs1v15"}
    return algos.SignedDigestAlgorithm(value)


def check_signature(key: PublicKey, algorithm: Algorithm, message: bytes, signature: bytes) -> None:
    """Check a signature over a whole message; ``VerificationError`` if it is not one of this key."""
    payload = hashlib.new(algorithm.hash_name, message).digest() if algorithm.is_prehashed else message
    key.verify(algorithm, payload, signature)


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """Of an X.509 certificate what CMS needs; its signature, times and extensions are not judged."""

    subject: str
    spki_der: bytes
    issuer_and_serial: tuple[bytes, int]

    @property
    def claim(self) -> str:
        """Name the key, and what the certificate says of its holder: anybody can put another one around that key."""
        return f"key {hashlib.sha256(self.spki_der).hexdigest()}, certificate in the file says {self.subject}"

    @classmethod
    def read(cls, certificate: Any) -> "Certificate":
        """Take it from an ``asn1crypto.x509.Certificate``; raises what asn1crypto raises."""
        names = certificate.subject.native.items()
        text = ", ".join(f"{_NAMES.get(kind, kind)}={value}" for kind, value in names)
        return cls(
            subject="".join(c if c.isprintable() else "?" for c in text)[:200],
            spki_der=certificate["tbs_certificate"]["subject_public_key_info"].dump(),
            issuer_and_serial=(certificate.issuer.dump(), certificate.serial_number),
        )


_NAMES = {"common_name": "CN", "organization_name": "O", "organizational_unit_name": "OU", "country_name": "C"}
