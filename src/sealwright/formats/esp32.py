"""ESP32 Secure Boot v2: applications and bootloaders of Espressif's chips, their signatures in a sector behind them.

The signatures cover the image with its padding to 4 KiB.  Flash encryption, Secure Boot v1 and P-192 are not done here.
Reference: ESP-IDF documentation, "Secure Boot v2"; ``docs/formats/esp32-secure-boot-v2.md``.
"""

from collections.abc import Mapping

from sealwright.core.errors import Code, VerificationError
from sealwright.core.images import ByteSource, Range
from sealwright.formats import esp32_blocks, esp32_image, esp32_signing
from sealwright.formats.esp32_blocks import BLOCK_BYTES, MAX_BLOCKS, Block
from sealwright.formats.esp32_image import CHIPS, SECTOR_BYTES, Image
from sealwright.formats.interface import ExistingSignature, Inspection, Trust, Verified

name = esp32_signing.NAME
Options = esp32_signing.Options
prepare = esp32_signing.prepare
matches = esp32_image.claims


def inspect(image: ByteSource) -> Inspection:
    """Describe an application or bootloader; its checksum and hash are right, or there is a ``FormatError``."""
    parsed = esp32_image.parse(image)
    blocks = esp32_signing.existing_blocks(image, parsed)
    return Inspection(
        format=name,
        facts=_facts(image, parsed, blocks),
        signatures=tuple(map(_signature, range(MAX_BLOCKS), blocks)),
        covered=(Range(0, min(image.size, parsed.signed_end)),),
        uncovered=_uncovered(parsed, blocks),
    )


def verify(image: ByteSource, trust: Trust, sidecars: Mapping[str, bytes]) -> Verified:  # noqa: ARG001  (it has none)
    """Check the image, and every block in it: all must be right, and at least one by a trusted key."""
    parsed = esp32_image.parse(image)
    blocks = esp32_signing.existing_blocks(image, parsed)
    if not blocks:
        raise VerificationError("image is not signed: it has no signature block")
    digests: dict[str, bytes] = {}
    for block in blocks:
        esp32_signing.check_block(image, parsed, block, digests)
    trusted = tuple(block.public_key for block in blocks if block.public_key in trust.keys)
    if not trusted:
        raise VerificationError(
            "no signature block is by a trusted key",
            expected=" or ".join(key.fingerprint for key in trust.keys) or "a trusted key",
            got=" and ".join(block.public_key.fingerprint for block in blocks),
            code=Code.NOT_TRUSTED,
        )
    return Verified(format=name, signatures=tuple(map(_signature, range(MAX_BLOCKS), blocks)), keys=trusted)


def _signature(number: int, block: Block) -> ExistingSignature:
    signer = f"key {block.public_key.fingerprint}"
    return ExistingSignature(name=f"block-{number}", algorithm=str(block.algorithm), signer=signer)


def _facts(image: ByteSource, parsed: Image, blocks: tuple[Block, ...]) -> dict[str, str]:
    facts = {
        **parsed.description,
        "Chip": f"{CHIPS[parsed.chip]} (chip id {parsed.chip})",
        "Chip revisions": f"{esp32_image.revision_name(parsed.least_revision)} to "
        f"{esp32_image.revision_name(parsed.most_revision)}",
        "Entry address": f"{parsed.entry:#010x}",
    }
    for i, segment in enumerate(parsed.segments):
        facts[f"Segment {i}"] = f"{segment.size} bytes at {segment.address:#010x}, in the file at {segment.start:#x}"
    facts["Checksum"] = f"{image.read(parsed.checksum_at, 1)[0]:#04x}, right"
    facts["SHA-256 in the image"] = (
        f"{image.read(parsed.checksum_at + 1, 32).hex()}, right" if parsed.has_hash else "none"
    )
    facts["Padding"] = f"{min(image.size, parsed.signed_end) - parsed.end} bytes of 0xff"
    for i, block in enumerate(blocks):
        # What a person burns into the eFuses, or finds there.
        facts[f"Key digest for eFuse, block {i}"] = esp32_blocks.key_digest(block.public_key, block.algorithm)
    return facts


def _uncovered(parsed: Image, blocks: tuple[Block, ...]) -> tuple[tuple[Range, str], ...]:
    if not blocks:
        return ()
    at = parsed.signed_end
    parts = [
        (Range(at + i * BLOCK_BYTES, at + (i + 1) * BLOCK_BYTES), "signature block: its key, signature and CRC")
        for i in range(len(blocks))
    ]
    rest = Range(at + len(blocks) * BLOCK_BYTES, at + SECTOR_BYTES)
    return (*parts, (rest, "rest of the signature sector: must be erased (0xff)"))
