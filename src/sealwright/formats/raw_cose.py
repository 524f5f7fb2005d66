"""The detached COSE_Sign1 beside a raw file: its payload is the digest of the file, and is not in it.

A verifier hashes the file, by the hash that the protected header names, and hands the digest to its COSE library as the
detached payload.  References: RFC 9052; RFC 9597 (claims in headers) with RFC 8392 (``iat``, the time of signing).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sealwright.core.errors import FormatError
from sealwright.formats import cose
from sealwright.formats.cms_shapes import check_signature, digest_name
from sealwright.formats.interface import SigningKey, Slot, Trust
from sealwright.formats.raw_outputs import Digest, Found, Output, not_trusted, slot_of, suffix_of

CLAIMS, ISSUED_AT = 15, 6
PAYLOAD_HASH_ALGORITHM = 258
"""Of the COSE hash envelope: the payload is the digest of what is signed, by this hash."""
HASH_NUMBERS = {"sha256": -16, "sha384": -43, "sha512": -44}
"""COSE numbers of hashes (RFC 9054, section 2.1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CoseDraft:
    """A COSE_Sign1 that lacks only its signature; hash and time stand in the protected header."""

    key: SigningKey
    digest: bytes
    signing_time: int
    numbers: cose.Numbers

    def __post_init__(self) -> None:
        cose.algorithm_number(self.key.algorithm, self.numbers)  # which refuses what has none

    @property
    def suffix(self) -> str:
        return suffix_of(Output.COSE, self.key.algorithm)

    @property
    def protected(self) -> bytes:
        return cose.protected_header(
            {
                cose.ALGORITHM: cose.algorithm_number(self.key.algorithm, self.numbers),
                CLAIMS: {ISSUED_AT: self.signing_time},
                PAYLOAD_HASH_ALGORITHM: HASH_NUMBERS[digest_name(self.key.algorithm)],
            }
        )

    def slots(self) -> tuple[Slot, ...]:
        return (slot_of(self.key, cose.signature_structure(self.protected, self.digest)),)

    def content(self, signatures: Sequence[bytes]) -> bytes:
        (signature,) = signatures
        algorithm = self.key.algorithm
        message = cose.signature_structure(self.protected, self.digest)
        check_signature(self.key.public_key, algorithm, message, signature)
        unprotected = {cose.KEY_ID: bytes.fromhex(self.key.public_key.fingerprint)}
        return cose.sign1(self.protected, unprotected, None, cose.cose_signature(algorithm, signature))


def check(content: bytes, trust: Trust, digest: Digest) -> Found:
    """Check the signature over the digest of the file: a changed file and a changed signature look alike."""
    signed = cose.parse_sign1(content)
    if signed.payload is not None:
        raise FormatError(".cose file is not a detached signature")
    number = signed.header.get(PAYLOAD_HASH_ALGORITHM)  # of any type: a list cannot be looked up in a dictionary
    hash_name = next((name for name, n in HASH_NUMBERS.items() if type(number) is int and number == n), None)
    if hash_name is None:
        raise FormatError("COSE header names no hash of the file (SHA-256, SHA-384 or SHA-512)")
    key_id = signed.unprotected.get(cose.KEY_ID)
    key = next((k for k in trust.keys if bytes.fromhex(k.fingerprint) == key_id), None)
    if key is None:
        raise not_trusted(trust, key_id.hex()[:16] if isinstance(key_id, bytes) else "none")
    return Found(signed.verify(key, digest(hash_name)), key.fingerprint[:16], key)
