"""Private keys in the memory of this process: making, reading and using them.

Reads PEM and DER (PKCS#8, PKCS#1, SEC 1; encrypted or not) and PKCS#12 (RFC 7292); ML-DSA as PKCS#8 with its seed (RFC
9881, section 6), SLH-DSA as plain PKCS#8.  Errors name the problem and never repeat what was read.
"""

from collections.abc import Callable

from asn1crypto import pem
from asn1crypto import x509 as asn1
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, rsa, utils
from cryptography.hazmat.primitives.serialization import pkcs12

from sealwright.core.certificates import UNREADABLE
from sealwright.core.errors import Code, ConfigurationError, FormatError, VerificationError
from sealwright.core.keys import Algorithm, Family, OwnKey, PublicKey, hash_of, rsa_padding
from sealwright.keystores import hss_lms_keys
from sealwright.keystores.hss_lms_keys import HssLmsPrivateKey
from sealwright.keystores.pbes2 import decrypt
from sealwright.keystores.pkcs8 import MlDsaPrivateKey, load_ml_dsa
from sealwright.keystores.slh_dsa_keys import SlhDsaPrivateKey, load_pkcs8

LibraryPrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | MlDsaPrivateKey
PrivateKey = LibraryPrivateKey | SlhDsaPrivateKey | HssLmsPrivateKey
MAX_KEY_FILE_BYTES = 1 << 20
_UNSUPPORTED = "its type, curve or size is not supported"

_CURVES: dict[Algorithm, ec.EllipticCurve] = {
    Algorithm.ECDSA_P256_SHA256: ec.SECP256R1(),
    Algorithm.ECDSA_P384_SHA384: ec.SECP384R1(),
    Algorithm.ECDSA_P521_SHA512: ec.SECP521R1(),
}
_ML_DSA: dict[Algorithm, type[MlDsaPrivateKey]] = {
    Algorithm.ML_DSA_44: mldsa.MLDSA44PrivateKey,
    Algorithm.ML_DSA_65: mldsa.MLDSA65PrivateKey,
    Algorithm.ML_DSA_87: mldsa.MLDSA87PrivateKey,
}
_PROBE = b"sealwright: do these halves belong together?"


def generate(algorithm: Algorithm, size_bits: int, parameters: str = "") -> PrivateKey:
    """Make a key in memory; ``size_bits`` is the RSA modulus, ``parameters`` are those of HSS/LMS."""
    match algorithm.family:
        case Family.RSA:
            return rsa.generate_private_key(65537, size_bits)
        case Family.ECDSA:
            return ec.generate_private_key(_CURVES[algorithm])
        case Family.ED25519:
            return ed25519.Ed25519PrivateKey.generate()
        case Family.ML_DSA:
            return _ML_DSA[algorithm].generate()
        case Family.SLH_DSA:
            return SlhDsaPrivateKey.generate(algorithm)
        case Family.HSS_LMS:
            return HssLmsPrivateKey.generate(parameters)


def sign(key: PrivateKey, algorithm: Algorithm, payload: bytes) -> bytes:
    """Sign a digest, or a message where the algorithm is not prehashed; the encodings of ``core.keys``."""
    return signing(key, algorithm)(payload)


def signing(key: PrivateKey, algorithm: Algorithm) -> Callable[[bytes], bytes]:
    """Return what signs as ``sign`` does."""
    match key:
        case rsa.RSAPrivateKey():
            padding, digest = rsa_padding(algorithm), utils.Prehashed(hash_of(algorithm))
            return lambda payload: key.sign(payload, padding, digest)
        case ec.EllipticCurvePrivateKey():
            ecdsa = ec.ECDSA(utils.Prehashed(hash_of(algorithm)))
            return lambda payload: key.sign(payload, ecdsa)
        case HssLmsPrivateKey():
            raise ValueError("a stateful key signs with a number that was taken for it")
        case _:
            return key.sign


def public_half(key: PrivateKey) -> PublicKey:
    """Return the public half, by which the key is named."""
    public = key.public_key()
    if isinstance(public, OwnKey):
        return PublicKey(public.spki_der)
    return PublicKey(public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo))


def pkcs8_der(key: PrivateKey) -> bytes:
    """Return the unencrypted PKCS#8 form, which ``load_private_key`` reads."""
    if isinstance(key, SlhDsaPrivateKey | HssLmsPrivateKey):
        return key.pkcs8_der()
    return key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def load_pkcs8_der(data: bytes) -> PrivateKey:
    """Read what ``pkcs8_der`` wrote."""
    key = load_pkcs8(data) or hss_lms_keys.load_pkcs8(data) or serialization.load_der_private_key(data, None)
    if not isinstance(key, PrivateKey):
        raise _not_a_key(_UNSUPPORTED)
    return key


def load_private_key(data: bytes, passphrase: bytes | None) -> tuple[PrivateKey, tuple[bytes, ...]]:
    """Read a private key and the certificates beside it (DER, the key's own first; empty if there are none).

    ``FormatError``: no supported private key, or certificates of other keys only.  ``ConfigurationError``
    (credential): the passphrase is wrong, missing, or given for a key that has none.
    """
    if len(data) > MAX_KEY_FILE_BYTES:
        raise _not_a_key(f"{len(data)} bytes, at most {MAX_KEY_FILE_BYTES} are read")
    key, certificates = _read(data, passphrase)
    if not isinstance(key, PrivateKey):
        raise _not_a_key(_UNSUPPORTED)
    public, ordered = check_importable(key, certificates)
    if isinstance(key, SlhDsaPrivateKey):  # its public half is read, not computed: only a signature shows a mismatch
        try:
            public.verify(key.algorithm, _PROBE, key.sign(_PROBE))
        except VerificationError:
            raise _not_a_key("its halves do not belong together") from None
    return key, ordered


def check_importable(key: PrivateKey, certificates: tuple[bytes, ...]) -> tuple[PublicKey, tuple[bytes, ...]]:
    """Return public half and ordered certificates; ``FormatError`` for a key that signs nothing of ours."""
    public = public_half(key)
    if not _is_supported(public):
        raise _not_a_key(_UNSUPPORTED)
    return public, _own_first(public, certificates)


def _own_first(key: PublicKey, certificates: tuple[bytes, ...]) -> tuple[bytes, ...]:
    """Put the certificate of ``key`` first; ``FormatError`` if there are certificates but none is of this key."""
    own = [c for c in certificates if _certified_key(c) == key.spki_der]
    if certificates and not own:
        raise FormatError("none of the certificates is of this key", code=Code.INVALID_DOCUMENT)
    return (*own, *(c for c in certificates if c not in own))


def _read(data: bytes, passphrase: bytes | None) -> tuple[object, tuple[bytes, ...]]:
    try:
        if (known := _own_key(data)) is not None:
            if passphrase:
                raise TypeError  # as the library says it below
            return known, _pem_certificates(data)
        if passphrase and (known := _own_encrypted_key(data, passphrase)) is not None:
            return known, _pem_certificates(data)
        if b"-----BEGIN " in data[:4096]:
            return serialization.load_pem_private_key(data, passphrase), _pem_certificates(data)
        if _is_pkcs12(data):
            key, own, others = pkcs12.load_key_and_certificates(data, passphrase)
            found = [c.public_bytes(serialization.Encoding.DER) for c in (own, *others) if c is not None]
            return key, tuple(found)
        return serialization.load_der_private_key(data, passphrase), ()
    except TypeError as e:
        # The library's way to say that a passphrase is missing, or that one was given for a plain key.
        problem = "is not encrypted, but a passphrase was given" if passphrase else "is encrypted; give its passphrase"
        raise ConfigurationError(f"the key file {problem}", setting="passphrase", code=Code.CREDENTIAL) from e
    except (ValueError, UnsupportedAlgorithm, x509.InvalidVersion):
        # The library does not say reliably whether passphrase or bytes are wrong, so the sentence names both.
        if passphrase is None and not _is_pkcs12(data):
            raise _not_a_key("neither PEM, DER nor PKCS#12") from None
        raise ConfigurationError(
            "the key file cannot be read with this passphrase (wrong passphrase, or damaged file)",
            setting="passphrase",
            code=Code.CREDENTIAL,
            hint="if the passphrase is right: of post-quantum keys only AES-CBC is read, as "
            "`openssl pkcs8 -topk8 -v2 aes-256-cbc` writes it",
        ) from None


def _own_key(data: bytes) -> PrivateKey | None:
    """Look for what the library does not read."""
    if b"-----BEGIN PRIVATE KEY-----" not in data[:4096]:
        return load_pkcs8(data) or load_ml_dsa(data)
    try:
        found = [der for name, _, der in pem.unarmor(data, multiple=True) if name == "PRIVATE KEY"]
    except ValueError:
        return None
    return load_pkcs8(found[0]) or load_ml_dsa(found[0]) if len(found) == 1 else None


def _own_encrypted_key(data: bytes, passphrase: bytes) -> PrivateKey | None:
    """The same inside encrypted PKCS#8; ``FormatError`` for one that is of our kinds and cannot be taken in."""
    encrypted = [data]
    if b"-----BEGIN " in data[:4096]:
        try:
            encrypted = [der for name, _, der in pem.unarmor(data, multiple=True) if name == "ENCRYPTED PRIVATE KEY"]
        except ValueError:
            return None
    plain = decrypt(encrypted[0], passphrase) if len(encrypted) == 1 else None
    return load_pkcs8(plain) or load_ml_dsa(plain) if plain is not None else None


def _pem_certificates(data: bytes) -> tuple[bytes, ...]:
    if b"-----BEGIN CERTIFICATE-----" not in data:
        return ()
    return tuple(c.public_bytes(serialization.Encoding.DER) for c in x509.load_pem_x509_certificates(data))


def _is_pkcs12(data: bytes) -> bool:
    """Whether the first member of the outer SEQUENCE is the integer 3 (RFC 7292, section 4: PFX version)."""
    if len(data) < 8 or data[0] != 0x30:
        return False
    length_bytes = data[1] & 0x7F if data[1] & 0x80 else 0
    return data[2 + length_bytes : 5 + length_bytes] == b"\x02\x01\x03"


def _is_supported(key: PublicKey) -> bool:
    for algorithm in Algorithm:
        try:
            key.check_algorithm(algorithm)
        except FormatError:
            continue
        return True
    return False


def _certified_key(certificate: bytes) -> bytes:
    try:
        x509.load_der_x509_certificate(certificate)  # strict; but it has no key object for SLH-DSA
        return bytes(asn1.Certificate.load(certificate)["tbs_certificate"]["subject_public_key_info"].dump())
    except UNREADABLE:
        return b""


def _not_a_key(why: str) -> FormatError:
    return FormatError(f"not a private key that can be imported: {why}", code=Code.INVALID_DOCUMENT)
