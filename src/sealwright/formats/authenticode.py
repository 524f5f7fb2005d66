"""Authenticode: what a PKCS #7 signature says of a PE image, written and read.

Reference: Microsoft, "Windows Authenticode Portable Executable Signature Format" (2008), SpcIndirectDataContent.
"""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar

from asn1crypto import algos, core

from sealwright.core.errors import Code, FormatError, VerificationError
from sealwright.core.keys import Algorithm, PublicKey
from sealwright.formats import signed_data
from sealwright.formats.cms import Draft
from sealwright.formats.der import octets
from sealwright.formats.interface import ExistingSignature, SigningKey, TargetProfile, Trust

SPC_INDIRECT_DATA = "1.3.6.1.4.1.311.2.1.4"
SPC_PE_IMAGE_DATA = "1.3.6.1.4.1.311.2.1.15"
PE_IMAGE_TYPES = (SPC_PE_IMAGE_DATA, "1.3.6.1.4.1.311.2.1.21")  # the second on what Debian signs; firmware takes both
# SpcPeImageData: flags, an empty BIT STRING; file, [0] { [2] { [0] "" } }
PE_IMAGE_DATA = bytes.fromhex("3009 030100 a004 a202 8000")
DIGEST = "sha256"
UEFI = TargetProfile(
    name="uefi-pe",
    description="What every UEFI firmware verifies.",
    algorithms=frozenset({Algorithm.RSA_PKCS1_SHA256}),
    key_sizes_bits=frozenset({2048, 3072, 4096}),
)


class _SpcAttributeTypeAndOptionalValue(core.Sequence):  # type: ignore[misc]
    _fields: ClassVar[list[Any]] = [("type", core.ObjectIdentifier), ("value", core.Any)]


class _DigestInfo(core.Sequence):  # type: ignore[misc]
    _fields: ClassVar[list[Any]] = [("digest_algorithm", algos.DigestAlgorithm), ("digest", core.OctetString)]


class _SpcIndirectDataContent(core.Sequence):  # type: ignore[misc]
    _fields: ClassVar[list[Any]] = [("data", _SpcAttributeTypeAndOptionalValue), ("message_digest", _DigestInfo)]


def draft(key: SigningKey, image_digest: bytes, signing_time: int | None) -> Draft:
    """Lay out a signature over the SHA-256 of a PE image."""
    data = {"type": SPC_PE_IMAGE_DATA, "value": core.Any.load(PE_IMAGE_DATA)}
    digest = {"digest_algorithm": {"algorithm": DIGEST}, "digest": image_digest}
    content = bytes(_SpcIndirectDataContent({"data": data, "message_digest": digest}).dump())
    return Draft(
        key=key,
        content_type=SPC_INDIRECT_DATA,
        content=content,
        # PKCS #7 hashes the content without its tag and length: the classic trap.
        message_digest=hashlib.new(DIGEST, octets(content)).digest(),
        signing_time=signing_time,
    )


_TIME = "%Y-%m-%d %H:%M:%S"


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """One Authenticode signature as read, not yet checked."""

    signed: signed_data.SignedData
    content: bytes
    digest_algorithm: str
    image_digest: bytes

    def verify(self, trust: Trust) -> PublicKey:
        """Check the signature down to ``image_digest``, which the caller compares with the image."""
        key = self.signed.verify(trust)
        if self.signed.algorithm is not Algorithm.RSA_PKCS1_SHA256 or self.digest_algorithm != DIGEST:
            raise VerificationError(
                "UEFI signature with another algorithm",
                expected=str(Algorithm.RSA_PKCS1_SHA256),
                got=f"{self.signed.description} over {self.digest_algorithm}",
            )
        if hashlib.new(DIGEST, octets(self.content)).digest() != self.signed.message_digest:
            raise VerificationError("SpcIndirectDataContent is not what was signed", code=Code.IMAGE_MISMATCH)
        return key

    def facts(self, name: str, image_digest: bytes) -> dict[str, str]:
        """Say when it claims to be of, and whether the image has the digest in it; nothing is verified."""
        time = self.signed.signing_time
        found = {} if time is None else {f"Signing time of {name}": f"{datetime.fromtimestamp(time, UTC):{_TIME}} UTC"}
        return found | {f"Digest in {name}": self._compared(image_digest)}

    def _compared(self, image_digest: bytes) -> str:
        if self.digest_algorithm != DIGEST:
            return f"{self.digest_algorithm} {self.image_digest.hex()}, not compared"
        if self.image_digest != image_digest:
            return f"WRONG, does not match this file: {self.image_digest.hex()}"
        if hashlib.new(DIGEST, octets(self.content)).digest() != self.signed.message_digest:
            return "WRONG, it is not the digest that was signed"
        return "right"

    def describe(self, name: str) -> ExistingSignature:
        """Say whose it claims to be."""
        return ExistingSignature(name=name, algorithm=self.signed.description, signer=self.signed.signer)


def parse(der: bytes) -> Signature:
    """Read the PKCS #7 of a WIN_CERTIFICATE; ``FormatError`` unless it speaks of a PE image."""
    signed = signed_data.parse(der)
    if signed.content_type != SPC_INDIRECT_DATA or signed.content is None:
        raise FormatError(f"PKCS#7 holds {signed.content_type}, expected SpcIndirectDataContent")
    try:
        content = _SpcIndirectDataContent.load(signed.content, strict=True)
        kind = content["data"]["type"].dotted
        digest = content["message_digest"]
        algorithm, value = str(digest["digest_algorithm"]["algorithm"].native), digest["digest"].native
    except (ValueError, TypeError, KeyError):
        raise FormatError("content of the PKCS#7 is not an SpcIndirectDataContent") from None
    if kind not in PE_IMAGE_TYPES:
        raise FormatError(f"SpcIndirectDataContent is of {kind}, not of a PE image")
    return Signature(signed=signed, content=signed.content, digest_algorithm=algorithm, image_digest=value)
