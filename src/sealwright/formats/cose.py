"""COSE_Sign1 with the signer outside: first the structure to sign, later the tagged message.

Maps are written and read in deterministic CBOR only, so that one content has one spelling; a header parameter that is
critical (``crit``) and unknown is refused.  What the payload means is the caller's business.
References: RFC 9052, sections 3 and 4; RFC 8949, section 4.2.1; algorithm numbers: RFC 9053, RFC 9864 (fully
specified), RFC 9964 (ML-DSA), RFC 8778 (HSS/LMS).  SLH-DSA has no registered number yet and is refused.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from cryptography.hazmat.primitives.asymmetric import utils

from sealwright.core.errors import Code, FormatError, VerificationError
from sealwright.core.keys import Algorithm, Family, PublicKey
from sealwright.formats import deterministic_cbor
from sealwright.formats.cms_shapes import check_signature

SIGN1_TAG = 18
ALGORITHM, CRITICAL, KEY_ID = 1, 2, 4
"""Labels of header parameters (RFC 9052, section 3.1)."""
MAX_SIGN1_BYTES = 1 << 18
MAX_HEADERS = 32


class Numbers(StrEnum):
    """Which algorithm numbers are written; both kinds are read."""

    FULLY_SPECIFIED = "fully-specified"  # RFC 9864: the number names curve and hash
    POLYMORPHIC = "polymorphic"  # RFC 9053, deprecated: ES256 and EdDSA, which older readers know


_NUMBERS = {
    Numbers.FULLY_SPECIFIED: {
        Algorithm.ECDSA_P256_SHA256: -9,  # ESP256
        Algorithm.ECDSA_P384_SHA384: -51,  # ESP384
        Algorithm.ECDSA_P521_SHA512: -52,  # ESP512
        Algorithm.ED25519: -19,
        Algorithm.ML_DSA_44: -48,
        Algorithm.ML_DSA_65: -49,
        Algorithm.ML_DSA_87: -50,
        Algorithm.HSS_LMS: -46,
    },
    Numbers.POLYMORPHIC: {
        Algorithm.ECDSA_P256_SHA256: -7,  # ES256
        Algorithm.ECDSA_P384_SHA384: -35,  # ES384
        Algorithm.ECDSA_P521_SHA512: -36,  # ES512
        Algorithm.ED25519: -8,  # EdDSA
    },
}
_COORDINATE_BYTES = {
    Algorithm.ECDSA_P256_SHA256: 32,
    Algorithm.ECDSA_P384_SHA384: 48,
    Algorithm.ECDSA_P521_SHA512: 66,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sign1:
    """A COSE_Sign1 as read: well-formed, its signature not yet checked."""

    protected: bytes
    """The protected header as it is signed."""
    header: Mapping[Any, Any]
    """The same, decoded."""
    unprotected: Mapping[Any, Any]
    payload: bytes | None
    """None where it is detached."""
    signature: bytes

    @property
    def algorithm(self) -> Algorithm | None:
        """What the protected header names; None where that is not used here."""
        number = self.header.get(ALGORITHM)
        if type(number) is not int:
            return None
        return next((a for table in _NUMBERS.values() for a, n in table.items() if n == number), None)

    @property
    def key_id(self) -> bytes | None:
        """The key identifier that either header gives; nothing vouches for it in the unprotected one."""
        value = self.header.get(KEY_ID, self.unprotected.get(KEY_ID))
        return value if isinstance(value, bytes) else None

    def verify(self, key: PublicKey, payload: bytes, external_aad: bytes = b"") -> Algorithm:
        """Check the signature over ``payload`` by ``key`` and return its algorithm; ``VerificationError``."""
        algorithm = self.algorithm
        if algorithm is None:
            raise VerificationError(f"COSE algorithm {str(self.header.get(ALGORITHM))[:40]} is not accepted")
        message = signature_structure(self.protected, payload, external_aad)
        try:
            check_signature(key, algorithm, message, canonical_signature(algorithm, self.signature))
        except FormatError as e:  # the key is of another kind than the number says
            raise VerificationError(e.message) from None
        return algorithm


def algorithm_number(algorithm: Algorithm, numbers: Numbers = Numbers.FULLY_SPECIFIED) -> int:
    """Return the number of an algorithm; ``FormatError`` for one that has none.

    ML-DSA and HSS/LMS have a single number.
    """
    both = _NUMBERS[Numbers.FULLY_SPECIFIED] | _NUMBERS[numbers]
    if algorithm not in both:
        could = ", ".join(_NUMBERS[Numbers.FULLY_SPECIFIED])
        raise FormatError(
            f"COSE has no registered number for {algorithm} that is used here",
            code=Code.INVALID_DOCUMENT,
            hint=f"algorithms: {could}",
        )
    return both[algorithm]


def protected_header(parameters: Mapping[Any, Any]) -> bytes:
    """Encode a protected header: a deterministic map, or nothing where it is empty (RFC 9052, section 3)."""
    return deterministic_cbor.encode(dict(parameters)) if parameters else b""


def signature_structure(protected: bytes, payload: bytes, external_aad: bytes = b"") -> bytes:
    """Return the Sig_structure, which is the message to sign (RFC 9052, section 4.4)."""
    return deterministic_cbor.encode(["Signature1", protected, external_aad, payload])


def sign1(protected: bytes, unprotected: Mapping[Any, Any], payload: bytes | None, signature: bytes) -> bytes:
    """Return the tagged COSE_Sign1; a detached payload is None (RFC 9052, section 4.2)."""
    parts = [protected, dict(unprotected), payload, signature]
    return deterministic_cbor.encode(deterministic_cbor.Tagged(SIGN1_TAG, parts))


def cose_signature(algorithm: Algorithm, canonical: bytes) -> bytes:
    """Turn a canonical signature into COSE's form: ECDSA as r and s, both as long as the order (RFC 9053, 2.1)."""
    if algorithm.family is not Family.ECDSA:
        return canonical
    r, s = utils.decode_dss_signature(canonical)
    size = _COORDINATE_BYTES[algorithm]
    return r.to_bytes(size) + s.to_bytes(size)


def canonical_signature(algorithm: Algorithm, value: bytes) -> bytes:
    """The way back; ``VerificationError`` for a length that no such signature has."""
    if algorithm.family is not Family.ECDSA:
        return value
    size = _COORDINATE_BYTES[algorithm]
    if len(value) != 2 * size:
        raise VerificationError(f"{algorithm} signature of {len(value)} bytes, {2 * size} expected")
    return utils.encode_dss_signature(int.from_bytes(value[:size]), int.from_bytes(value[size:]))


def parse_sign1(data: bytes) -> Sign1:
    """Read a tagged COSE_Sign1; ``FormatError`` unless it is one, in deterministic CBOR, with nothing behind it."""
    tagged = decode(data, what="COSE_Sign1")
    if not isinstance(tagged, deterministic_cbor.Tagged) or tagged.number != SIGN1_TAG:
        raise FormatError("not a tagged COSE_Sign1 (RFC 9052, section 4.2)")
    parts = tagged.value
    if not isinstance(parts, list) or len(parts) != 4:
        raise FormatError("COSE_Sign1 is not a list of four")
    protected, unprotected, payload, signature = parts
    if not (
        isinstance(protected, bytes)
        and isinstance(unprotected, Mapping)
        and isinstance(payload, bytes | None)
        and isinstance(signature, bytes)
    ):
        raise FormatError("COSE_Sign1 has members of other types than RFC 9052 says")
    header = decode(protected, what="protected header") if protected else {}
    if not isinstance(header, Mapping) or len(header) + len(unprotected) > MAX_HEADERS:
        raise FormatError("COSE header is no map, or too large")
    if header.keys() & unprotected.keys() or CRITICAL in header or CRITICAL in unprotected:
        raise FormatError("COSE header says something twice, or calls a parameter critical")
    return Sign1(protected=protected, header=header, unprotected=unprotected, payload=payload, signature=signature)


def decode(data: bytes, *, what: str) -> Any:
    """Decode deterministic CBOR; ``FormatError`` for anything else."""
    if len(data) > MAX_SIGN1_BYTES:
        raise FormatError(f"{what} of {len(data)} bytes, at most {MAX_SIGN1_BYTES} are accepted")
    return deterministic_cbor.decode(data, what=what)
