"""Keys as PKCS#11 objects: templates to make them, attributes to read them, mechanisms to use them.

The odd places are here: DigestInfo in front of the digest for RSA PKCS#1, raw r||s of ECDSA, Edwards curve names.
References: PKCS #11 Current Mechanisms Version 3.1, sections 2.1 and 2.3; RFC 8017, section 9.2, note 1; RFC 8410.
"""

import ctypes
import sys
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, rsa, utils

from sealwright.core.errors import Code, ConfigurationError, FormatError, UnavailableError
from sealwright.core.keys import Algorithm, Family, LibraryKey, PublicKey, hash_of
from sealwright.keystores import pkcs11_abi as abi
from sealwright.keystores.pkcs11_devices import EDWARDS, Device, Edwards
from sealwright.keystores.pkcs11_session import Mechanism, Session, Template
from sealwright.keystores.private_keys import PrivateKey

_CURVES: dict[bytes, ec.EllipticCurve] = {
    bytes.fromhex("06082a8648ce3d030107"): ec.SECP256R1(),
    bytes.fromhex("06052b81040022"): ec.SECP384R1(),
    bytes.fromhex("06052b81040023"): ec.SECP521R1(),
}
_CURVE_PARAMETERS = {curve.name: parameters for parameters, curve in _CURVES.items()}
_ALGORITHM_CURVES = {
    Algorithm.ECDSA_P256_SHA256: "secp256r1",
    Algorithm.ECDSA_P384_SHA384: "secp384r1",
    Algorithm.ECDSA_P521_SHA512: "secp521r1",
}
_PARAMETER_SETS = {Algorithm.ML_DSA_44: 1, Algorithm.ML_DSA_65: 2, Algorithm.ML_DSA_87: 3}  # CKP_ML_DSA_*
_ML_DSA_KEYS: dict[int, Any] = {1: mldsa.MLDSA44PublicKey, 2: mldsa.MLDSA65PublicKey, 3: mldsa.MLDSA87PublicKey}
_DIGEST_INFO = {
    "sha256": bytes.fromhex("3031300d060960864801650304020105000420"),
    "sha384": bytes.fromhex("3041300d060960864801650304020205000430"),
    "sha512": bytes.fromhex("3051300d060960864801650304020305000440"),
}
_PSS = {
    "sha256": (abi.CKM_SHA256, abi.CKG_MGF1_SHA256),
    "sha384": (abi.CKM_SHA384, abi.CKG_MGF1_SHA384),
    "sha512": (abi.CKM_SHA512, abi.CKG_MGF1_SHA512),
}
_KEPT_INSIDE: Template = {
    abi.CKA_TOKEN: True,
    abi.CKA_PRIVATE: True,
    abi.CKA_SENSITIVE: True,
    abi.CKA_EXTRACTABLE: False,
    abi.CKA_SIGN: True,
    abi.CKA_DECRYPT: False,
    abi.CKA_UNWRAP: False,
    abi.CKA_DERIVE: False,
}
_SHOWN: Template = {abi.CKA_TOKEN: True, abi.CKA_PRIVATE: False, abi.CKA_VERIFY: True}
EVIDENCE_ATTRIBUTES = {
    "SENSITIVE": abi.CKA_SENSITIVE,
    "EXTRACTABLE": abi.CKA_EXTRACTABLE,
    "ALWAYS_SENSITIVE": abi.CKA_ALWAYS_SENSITIVE,
    "NEVER_EXTRACTABLE": abi.CKA_NEVER_EXTRACTABLE,
    "LOCAL": abi.CKA_LOCAL,
}


class TokenKey(NamedTuple):
    """A key pair on the token: its public half as bytes, its private half as a handle."""

    public_key: PublicKey
    private_handle: int


def find_keys(session: Session) -> dict[str, TokenKey]:
    """Return the usable key pairs by fingerprint.

    The halves are paired by CKA_ID; a private key whose public half is missing or not the only one cannot be named by
    its public key, and is not offered.
    """
    public: dict[bytes, list[PublicKey]] = {}
    for handle in session.find({abi.CKA_CLASS: abi.CKO_PUBLIC_KEY, abi.CKA_TOKEN: True}):
        if (key := read_public_key(session, handle)) is not None:
            public.setdefault(session.attribute(handle, abi.CKA_ID) or b"", []).append(key)
    private: dict[bytes, list[int]] = {}
    for handle in session.find({abi.CKA_CLASS: abi.CKO_PRIVATE_KEY, abi.CKA_TOKEN: True}):
        private.setdefault(session.attribute(handle, abi.CKA_ID) or b"", []).append(handle)
    keys: dict[str, TokenKey] = {}
    for key_id, handles in private.items():
        halves = public.get(key_id, [])
        if key_id and len(handles) == len(halves) == 1 and _belongs(session, handles[0], halves[0]):
            keys[halves[0].fingerprint] = TokenKey(halves[0], handles[0])
    return keys


def read_public_key(session: Session, handle: int) -> PublicKey | None:
    """Build the SubjectPublicKeyInfo from a public key object; None for a type that we do not use."""
    key = _read_key(session, handle)
    if key is None:
        return None
    return PublicKey(key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo))


def read_evidence(session: Session, private_handle: int) -> dict[str, bool]:
    """Read back what the token says about how it keeps a private key."""
    return {name: session.attribute(private_handle, n) == b"\x01" for name, n in EVIDENCE_ATTRIBUTES.items()}


def generation(
    device: Device, algorithm: Algorithm, size_bits: int, label: str, key_id: bytes
) -> tuple[Mechanism, Template, Template]:
    """Return mechanism and templates (public, private) that make a key pair that stays on the token."""
    mechanism = Mechanism(device.numbers(algorithm).generate)
    names: Template = {abi.CKA_LABEL: label.encode(), abi.CKA_ID: key_id}
    if algorithm.startswith("rsa-"):
        kind: Template = {abi.CKA_MODULUS_BITS: size_bits, abi.CKA_PUBLIC_EXPONENT: b"\x01\x00\x01"}
    elif algorithm is Algorithm.ED25519:
        kind = {abi.CKA_EC_PARAMS: device.edwards.parameters}
    elif algorithm in _PARAMETER_SETS:
        kind = {abi.CKA_PARAMETER_SET: _PARAMETER_SETS[algorithm]}
    elif algorithm not in _ALGORITHM_CURVES:
        raise _not_on_tokens(algorithm)
    else:
        kind = {abi.CKA_EC_PARAMS: _CURVE_PARAMETERS[_ALGORITHM_CURVES[algorithm]]}
    return mechanism, {**_SHOWN, **names, **kind}, {**_KEPT_INSIDE, **names}


def import_objects(device: Device, key: PrivateKey, label: str, key_id: bytes) -> tuple[Template, Template]:
    """Return the templates (public, private) that store an existing key pair."""
    names: Template = {abi.CKA_LABEL: label.encode(), abi.CKA_ID: key_id}
    public, private = _key_values(key, device.edwards)
    return (
        {abi.CKA_CLASS: abi.CKO_PUBLIC_KEY, **_SHOWN, **names, **public},
        {abi.CKA_CLASS: abi.CKO_PRIVATE_KEY, **_KEPT_INSIDE, **names, **private},
    )


def sign(session: Session, device: Device, key: TokenKey, algorithm: Algorithm, payload: bytes) -> bytes:
    """Sign with a key on the token and return the canonical encoding."""
    return signing(session, device, key, algorithm)(payload)


def signing(session: Session, device: Device, key: TokenKey, algorithm: Algorithm) -> Callable[[bytes], bytes]:
    """Return what signs as ``sign`` does."""
    how, prefix = mechanism(device, algorithm)
    sign_raw = session.signing(key.private_handle, how)
    if algorithm.family is Family.ECDSA:
        return lambda payload: _der_signature(sign_raw(payload))
    return (lambda payload: sign_raw(prefix + payload)) if prefix else sign_raw


@lru_cache(maxsize=256)
def mechanism(device: Device, algorithm: Algorithm) -> tuple[Mechanism, bytes]:
    """Return what is given to C_SignInit, and what goes in front of the payload."""
    number = device.numbers(algorithm).sign
    if algorithm.startswith("rsa-pkcs1-"):
        return Mechanism(number), _DIGEST_INFO[algorithm.hash_name]
    if algorithm.startswith("rsa-pss-"):  # CK_RSA_PKCS_PSS_PARAMS: hash, mask generation function, salt length
        parameter = (ctypes.c_ulong * 3)(*_PSS[algorithm.hash_name], hash_of(algorithm).digest_size)
        return Mechanism(number, bytes(parameter)), b""
    # ML-DSA without a parameter: the token hedges as it likes, the context is empty (CK_SIGN_ADDITIONAL_CONTEXT).
    return Mechanism(number), b""


def _der_signature(raw: bytes) -> bytes:
    if not raw or len(raw) % 2:
        raise UnavailableError(
            f"the token answered an ECDSA signature of {len(raw)} bytes", code=Code.KEYSTORE_UNAVAILABLE
        )
    half = len(raw) // 2
    return utils.encode_dss_signature(int.from_bytes(raw[:half]), int.from_bytes(raw[half:]))


def _read_key(session: Session, handle: int) -> LibraryKey | None:
    try:
        match _number(session, handle, abi.CKA_KEY_TYPE):
            case abi.CKK_RSA:
                modulus, exponent = (
                    int.from_bytes(session.attribute(handle, n) or b"")
                    for n in (abi.CKA_MODULUS, abi.CKA_PUBLIC_EXPONENT)
                )
                return rsa.RSAPublicNumbers(exponent, modulus).public_key()
            case abi.CKK_EC:
                curve = _CURVES.get(session.attribute(handle, abi.CKA_EC_PARAMS) or b"")
                if curve is None:
                    return None
                point = _point(session, handle, 1 + 2 * ((curve.key_size + 7) // 8))
                return ec.EllipticCurvePublicKey.from_encoded_point(curve, point)
            case abi.CKK_ML_DSA:
                kind = _ML_DSA_KEYS.get(_number(session, handle, abi.CKA_PARAMETER_SET) or 0)
                return kind and kind.from_public_bytes(session.attribute(handle, abi.CKA_VALUE) or b"")
            case key_type if (key_type, session.attribute(handle, abi.CKA_EC_PARAMS)) in EDWARDS:
                return ed25519.Ed25519PublicKey.from_public_bytes(_point(session, handle, 32))
            case _:
                return None
    except (ValueError, FormatError):  # not a key: somebody else's object, and not ours to judge
        return None


def _point(session: Session, handle: int, size: int) -> bytes:
    """Read CKA_EC_POINT: a DER OCTET STRING by the specification, the bare point of ``size`` bytes on some tokens."""
    value = session.attribute(handle, abi.CKA_EC_POINT) or b""
    return value if len(value) == size else value.removeprefix(_octet_string(value[-size:])[:-size])


def _belongs(session: Session, private_handle: int, key: PublicKey) -> bool:
    """Whether what a private key object shows of its public half (modulus, curve, set) is that of ``key``."""
    if isinstance(key.key, rsa.RSAPublicKey):
        return session.attribute(private_handle, abi.CKA_MODULUS) == _unsigned(key.key.public_numbers().n)
    if isinstance(key.key, ec.EllipticCurvePublicKey):
        return session.attribute(private_handle, abi.CKA_EC_PARAMS) == _CURVE_PARAMETERS[key.key.curve.name]
    for parameter_set, kind in _ML_DSA_KEYS.items():
        if isinstance(key.key, kind):
            return _number(session, private_handle, abi.CKA_PARAMETER_SET) == parameter_set
    return _number(session, private_handle, abi.CKA_KEY_TYPE) in {edwards.key_type for edwards in EDWARDS}


def _key_values(key: PrivateKey, edwards: Edwards) -> tuple[Template, Template]:
    """Return what names the public half and what makes up the private half."""
    if isinstance(key, rsa.RSAPrivateKey):
        numbers = key.private_numbers()
        public: Template = {
            abi.CKA_KEY_TYPE: abi.CKK_RSA,
            abi.CKA_MODULUS: _unsigned(numbers.public_numbers.n),
            abi.CKA_PUBLIC_EXPONENT: _unsigned(numbers.public_numbers.e),
        }
        return public, {
            **public,
            abi.CKA_PRIVATE_EXPONENT: _unsigned(numbers.d),
            abi.CKA_PRIME_1: _unsigned(numbers.p),
            abi.CKA_PRIME_2: _unsigned(numbers.q),
            abi.CKA_EXPONENT_1: _unsigned(numbers.dmp1),
            abi.CKA_EXPONENT_2: _unsigned(numbers.dmq1),
            abi.CKA_COEFFICIENT: _unsigned(numbers.iqmp),
        }
    if isinstance(key, ec.EllipticCurvePrivateKey):
        encoding, point_format = serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
        point = key.public_key().public_bytes(encoding, point_format)
        kind: Template = {
            abi.CKA_KEY_TYPE: abi.CKK_EC,
            abi.CKA_EC_PARAMS: _CURVE_PARAMETERS[key.curve.name],
        }
        scalar = key.private_numbers().private_value.to_bytes((key.key_size + 7) // 8)
    elif not isinstance(key, ed25519.Ed25519PrivateKey):
        raise _not_on_tokens(type(key).__name__)
    else:
        point, scalar = key.public_key().public_bytes_raw(), key.private_bytes_raw()
        kind = {abi.CKA_KEY_TYPE: edwards.key_type, abi.CKA_EC_PARAMS: edwards.parameters}
    return {**kind, abi.CKA_EC_POINT: _octet_string(point)}, {**kind, abi.CKA_VALUE: scalar}


def _not_on_tokens(what: str) -> ConfigurationError:
    return ConfigurationError(
        f"{what} is not used through PKCS#11 here",
        setting="algorithm",
        hint="keep this key in the embedded keystore (files)",
    )


def _octet_string(value: bytes) -> bytes:
    length = bytes([len(value)]) if len(value) < 0x80 else bytes([0x81, len(value)])
    return b"\x04" + length + value


def _unsigned(value: int) -> bytes:
    return value.to_bytes((value.bit_length() + 7) // 8)


def _number(session: Session, handle: int, attribute: int) -> int | None:
    value = session.attribute(handle, attribute)
    return None if value is None else int.from_bytes(value, sys.byteorder)
