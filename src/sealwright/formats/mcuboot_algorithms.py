"""MCUboot's signatures: which TLV holds which, over which hash of the image, and how a key is named.

One public key fits exactly one row.  RSA keys are embedded and named as PKCS#1, all others as SubjectPublicKeyInfo.
Reference: MCUboot boot/bootutil/include/bootutil/image.h, docs/imgtool.md; boot/bootutil/src/image_ed25519.c.
"""

import hashlib
from dataclasses import dataclass
from typing import Literal

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from sealwright.core.errors import Code, FormatError
from sealwright.core.keys import Algorithm, PublicKey
from sealwright.formats.mcuboot_layout import Kind

HashName = Literal["sha256", "sha384", "sha512"]
HASHES: dict[int, HashName] = {Kind.SHA256: "sha256", Kind.SHA384: "sha384", Kind.SHA512: "sha512"}
HASH_SIZES = {kind: hashlib.new(name).digest_size for kind, name in HASHES.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheme:
    """One way to sign an image."""

    algorithm: Algorithm
    key_size_bits: int
    signature: Kind
    hashes: tuple[Kind, ...]
    """What may stand in the image as its hash; the first is the usual one."""
    longest_signature: int


SCHEMES = (
    Scheme(algorithm=Algorithm.RSA_PSS_SHA256, key_size_bits=2048, signature=Kind.RSA2048_PSS, hashes=(Kind.SHA256,),
           longest_signature=256),
    Scheme(algorithm=Algorithm.RSA_PSS_SHA256, key_size_bits=3072, signature=Kind.RSA3072_PSS, hashes=(Kind.SHA256,),
           longest_signature=384),
    Scheme(algorithm=Algorithm.ECDSA_P256_SHA256, key_size_bits=256, signature=Kind.ECDSA_SIG, hashes=(Kind.SHA256,),
           longest_signature=72),
    Scheme(algorithm=Algorithm.ECDSA_P384_SHA384, key_size_bits=384, signature=Kind.ECDSA_SIG, hashes=(Kind.SHA384,),
           longest_signature=104),
    # SHA-256 for compatibility, as imgtool has it; SHA-512 where the bootloader was built with one hash for all.
    Scheme(algorithm=Algorithm.ED25519, key_size_bits=256, signature=Kind.ED25519, hashes=(Kind.SHA256, Kind.SHA512),
           longest_signature=64),
)  # fmt: skip
ALGORITHMS = tuple(dict.fromkeys(scheme.algorithm for scheme in SCHEMES))
SIGNATURES = frozenset(scheme.signature for scheme in SCHEMES)


def scheme_of(key: PublicKey, algorithm: Algorithm) -> Scheme:
    """Return the row for this key; ``FormatError`` (``target-cannot-verify``) where MCUboot has none."""
    key.check_algorithm(algorithm)
    found = next((s for s in SCHEMES if (s.algorithm, s.key_size_bits) == (algorithm, key.size_bits)), None)
    if found is None:
        could = ", ".join(f"{s.algorithm} with {s.key_size_bits} bits" for s in SCHEMES)
        raise FormatError(
            f"MCUboot images are not signed with {algorithm} and a key of {key.size_bits} bits here",
            code=Code.TARGET_CANNOT_VERIFY,
            hint=f"MCUboot knows {could}",
        )
    return found


def scheme_of_trusted(key: PublicKey) -> Scheme | None:
    """Return the only row that a trusted key fits, if it fits one."""
    for scheme in SCHEMES:
        try:
            key.check_algorithm(scheme.algorithm)
        except FormatError:
            continue
        if key.size_bits == scheme.key_size_bits:
            return scheme
    return None


def public_bytes(key: PublicKey) -> bytes:
    """Return the public key as the bootloader holds it."""
    if isinstance(key.key, rsa.RSAPublicKey):
        return key.key.public_bytes(Encoding.DER, PublicFormat.PKCS1)
    return key.spki_der


def key_hash(key: PublicKey, hash_kind: Kind) -> bytes:
    """Return what a KEYHASH TLV says of a key: hashed with the hash of the image."""
    return hashlib.new(HASHES[hash_kind], public_bytes(key)).digest()
