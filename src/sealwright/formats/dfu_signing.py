"""The signature block of DFU and DfuSe files: a CMS signature inside the body, found from its end.

The block is the DER of the CMS, then a trailer: its length (32 bits, little endian) and eight letters.  What is signed
is the unsigned file up to its CRC, so a verifier takes the block out, puts back what it changed, and hashes that.
Reference: RFC 5652, section 5; ``docs/formats/dfu.md`` and ``docs/formats/dfuse.md``.
"""

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sealwright.core import records
from sealwright.core.errors import Code, FormatError, VerificationError
from sealwright.core.images import ByteSource, Message, Range
from sealwright.core.patches import Edit, Patch, PatchedSource
from sealwright.formats import cms, dfu_suffix, signed_data
from sealwright.formats.cms_shapes import DATA, digest_name
from sealwright.formats.interface import ExistingSignature, SigningKey, Slot, TargetProfile, Trust, Verified

TRAILER = struct.Struct("<I8s")  # length of the CMS, magic
MAGIC = b"SWDFUSIG"


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A signature block as found."""

    range: Range
    """From the first byte of the CMS to the end of the trailer."""
    cms: bytes

    @property
    def signature(self) -> ExistingSignature:
        """Describe it without judging it."""
        signed = signed_data.parse(self.cms)
        return ExistingSignature(name=cms.SLOT, algorithm=signed.description, signer=signed.signer)


def find(image: ByteSource, start: int, stop: int) -> Block | None:
    """Return the block that ends at ``stop``, or None; ``FormatError`` when it would begin before ``start``."""
    if stop - start < TRAILER.size:
        return None
    length, magic = TRAILER.unpack(image.read(stop - TRAILER.size, TRAILER.size))
    if magic != MAGIC:
        return None
    begin = stop - TRAILER.size - length
    if not start <= begin or not 0 < length <= signed_data.MAX_DER_BYTES:
        raise FormatError(f"signature block of {length} bytes does not fit", at=stop - TRAILER.size)
    return Block(range=Range(begin, stop), cms=image.read(begin, length))


Embed = Callable[[bytes], list[Edit]]
"""Given the block, the edits that put it into the body, all of them before the suffix."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A file read and hashed, its signed attributes laid out; ``embed`` says how the block gets in."""

    image: ByteSource
    embed: Embed
    draft: cms.Draft
    options: Mapping[str, Any]

    @property
    def slots(self) -> tuple[Slot, ...]:
        return (self.draft.slot(),)

    def assemble(self, signatures: Mapping[str, bytes]) -> Patch:
        """Return the patch that puts the block into the body and a new CRC into the suffix."""
        der = self.draft.assemble(signatures)
        edits = self.embed(der + TRAILER.pack(len(der), MAGIC))
        crc_at = self.image.size - dfu_suffix.CRC_BYTES
        body = PatchedSource(self.image, Patch(old_size=self.image.size, edits=tuple(edits)))
        covered = Message((Range(0, body.size - dfu_suffix.CRC_BYTES),))
        crc = dfu_suffix.crc_of(covered.chunks(body)).to_bytes(4, "little")
        edits.append(Edit(offset=crc_at, old=self.image.read(crc_at, dfu_suffix.CRC_BYTES), new=crc))
        return Patch(old_size=self.image.size, edits=tuple(edits))


def covered(image: ByteSource) -> Message:
    """Return what is signed, of an unsigned file: everything up to the CRC."""
    return Message((Range(0, image.size - dfu_suffix.CRC_BYTES),))


def prepare(
    image: ByteSource,
    keys: Sequence[SigningKey],
    chosen: Any,
    target: TargetProfile,
    *,
    format_name: str,
    embed: Embed,
    description: str | None = None,
) -> Prepared:
    """Hash the file up to its CRC and lay out the signed attributes."""
    key = cms.only_key(keys, format_name)
    target.check(format_name, key)
    return Prepared(
        image=image,
        embed=embed,
        options=records.dump(chosen),
        draft=cms.Draft(
            key=key,
            content_type=DATA,
            message_digest=covered(image).digest(image, digest_name(key.algorithm)),
            signing_time=chosen.signing_time,
            content_description=description,
        ),
    )


def refuse_signed(block: Block | None) -> None:
    """Raise ``FormatError`` where a signature is there already."""
    if block is not None:
        raise FormatError(
            "image is signed already",
            at=block.range.start,
            code=Code.ALREADY_SIGNED,
            hint="sign the file it was made from",
        )


def verify(
    unsigned: ByteSource, block: Block | None, trust: Trust, *, format_name: str, description: str | None = None
) -> Verified:
    """Check the CMS, then the file as it was before signing against its message digest."""
    if block is None:
        raise VerificationError("image carries no signature block", hint="it was never signed, or it was stripped")
    signed = signed_data.parse(block.cms)
    if signed.content_type != DATA or signed.content is not None:
        raise FormatError("signature block is not a detached signature over data", at=block.range.start)
    key = signed.verify(trust)
    if signed.content_description != description:
        raise VerificationError(
            "signature is for another content",
            expected=str(description),
            got=str(signed.content_description),
            code=Code.IMAGE_MISMATCH,
        )
    digest = covered(unsigned).digest(unsigned, signed.digest_algorithm)
    if digest != signed.message_digest:
        raise VerificationError(
            "image is not the one that was signed",
            expected=signed.message_digest.hex(),
            got=digest.hex(),
            code=Code.IMAGE_MISMATCH,
        )
    return Verified(format=format_name, signatures=(block.signature,), keys=(key,))
