"""The self-signed certificate that is made together with a key.

One fixed template, a code-signing leaf that is its own trust anchor: RFC 5280 with basicConstraints CA false, keyUsage
digitalSignature (both critical) and extendedKeyUsage codeSigning.  ``openssl cms -verify``, sbverify and osslsigncode
take it as the only anchor.  The key that signs is anywhere: here is only a function that calls it.  A key that the
library does not know (SLH-DSA, HSS/LMS) gets the same template, its key and algorithm put in afterwards (RFC 9909,
RFC 9802).
"""

import hashlib
from collections.abc import Callable
from typing import Any, NoReturn

from asn1crypto import core, parser
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from sealwright.core.errors import ConfigurationError
from sealwright.core.keys import Algorithm, LibraryKey, OwnKey, PublicKey, hash_of, rsa_padding
from sealwright.keystores.interface import CertificateTemplate
from sealwright.keystores.private_keys import LibraryPrivateKey

SignPayload = Callable[[bytes], bytes]
"""Signs a digest (or, where the algorithm is not prehashed, a message) in canonical encoding."""

_SIGNATURE_AT, _KEY_AT = 2, 6
"""Members of a TBSCertificate with a version (RFC 5280, section 4.1): algorithm of the signature, and public key."""
_KEY_USAGE = x509.KeyUsage(
    digital_signature=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=False,
    crl_sign=False,
    encipher_only=False,
    decipher_only=False,
)


def self_signed(key: PublicKey, algorithm: Algorithm, sign: SignPayload, template: CertificateTemplate) -> bytes:
    """Return the certificate in DER, signed by ``sign`` with exactly ``algorithm`` and checked.

    Raises ``ConfigurationError`` for a name or validity that cannot be, ``VerificationError`` when ``sign`` answers
    with something that ``key`` did not make.
    """
    try:
        if isinstance(key.key, OwnKey):
            return _spliced(key, key.key, algorithm, sign, template)
        certificate = _builder(key.key, x509.SubjectKeyIdentifier.from_public_key(key.key), template).sign(
            _outside_key(key.key, algorithm, sign),
            hash_of(algorithm) if algorithm.is_prehashed else None,  # type: ignore[arg-type]
            rsa_padding=rsa_padding(algorithm) if algorithm.startswith("rsa-") else None,  # type: ignore[arg-type]
        )
    except ValueError as e:
        raise ConfigurationError(f"no certificate can say this: {e}", setting="certificate") from e
    tbs = certificate.tbs_certificate_bytes
    key.verify(algorithm, _payload(algorithm, tbs), certificate.signature)
    return certificate.public_bytes(serialization.Encoding.DER)


def _spliced(
    key: PublicKey, own: OwnKey, algorithm: Algorithm, sign: SignPayload, template: CertificateTemplate
) -> bytes:
    """Make the template with a key of no meaning, then put key and algorithm in and have it signed."""
    stand_in = ed25519.Ed25519PrivateKey.generate()
    # RFC 5280, section 4.2.1.2, method 1: SHA-1 of the key bits is a name, nothing rests on its strength.
    identifier = x509.SubjectKeyIdentifier(hashlib.sha1(own.raw, usedforsecurity=False).digest())
    made = _builder(stand_in.public_key(), identifier, template).sign(stand_in, None)
    parts = _children(made.tbs_certificate_bytes)
    identified, _ = _children(key.spki_der)  # names the algorithm of signatures too
    parts[_SIGNATURE_AT], parts[_KEY_AT] = identified, key.spki_der
    message = _sequence(*parts)
    signature = sign(message)
    key.verify(algorithm, message, signature)
    return _sequence(message, identified, bytes(core.OctetBitString(signature).dump()))


def _children(der: bytes) -> list[bytes]:
    """Split a SEQUENCE; the library's own type knows too few public keys."""
    content, found = parser.parse(der)[4], []
    while content:
        found.append(content[: parser.peek(content)])
        content = content[len(found[-1]) :]
    return found


def _sequence(*parts: bytes) -> bytes:
    return bytes(parser.emit(0, 1, 16, b"".join(parts)))


def _builder(
    key: LibraryKey, identifier: x509.SubjectKeyIdentifier, template: CertificateTemplate
) -> x509.CertificateBuilder:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, template.common_name)])
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(template.not_before)
        .not_valid_after(template.not_after)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_KEY_USAGE, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False)
        .add_extension(identifier, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
    )


def _outside_key(key: LibraryKey, algorithm: Algorithm, sign: SignPayload) -> LibraryPrivateKey:
    """Return a key object that can do nothing but sign, and does that elsewhere.

    The library asks for its abstract classes; all they demand beyond ``sign`` refuses.
    """

    def refuse(*_: object, **__: object) -> NoReturn:
        raise TypeError("this key object only signs")

    def call(_self: object, message: bytes, *_: object, **__: object) -> bytes:
        return sign(_payload(algorithm, message))

    match key:
        case rsa.RSAPublicKey():
            base: type[Any] = rsa.RSAPrivateKey
        case ec.EllipticCurvePublicKey():
            base = ec.EllipticCurvePrivateKey
        case ed25519.Ed25519PublicKey():
            base = ed25519.Ed25519PrivateKey
        case mldsa.MLDSA44PublicKey():
            base = mldsa.MLDSA44PrivateKey
        case mldsa.MLDSA65PublicKey():
            base = mldsa.MLDSA65PrivateKey
        case mldsa.MLDSA87PublicKey():
            base = mldsa.MLDSA87PrivateKey
    methods: dict[str, Any] = dict.fromkeys(base.__abstractmethods__, refuse)
    methods |= {"sign": call, "public_key": lambda _self: key}
    outside: LibraryPrivateKey = type("OutsideKey", (base,), methods)()
    return outside


def _payload(algorithm: Algorithm, message: bytes) -> bytes:
    return hashlib.new(algorithm.hash_name, message).digest() if algorithm.is_prehashed else message
