"""USB DFU files: a CMS signature between firmware and suffix, the suffix with a new CRC.

The signature covers the firmware and the suffix up to its CRC, which dfu-util recomputes and nobody may trust.
DfuSe, ST's container of addresses, is ``dfuse``.  Reference: USB "Device Firmware Upgrade Specification", revision 1.1,
appendix B; ``docs/formats/dfu.md``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sealwright.core import records
from sealwright.core.errors import FormatError
from sealwright.core.images import ByteSource, Range
from sealwright.core.patches import Edit, Patch, PatchedSource
from sealwright.formats import dfu_signing, dfu_suffix
from sealwright.formats.dfu_signing import Block, Prepared
from sealwright.formats.dfu_suffix import Suffix
from sealwright.formats.interface import Inspection, SigningKey, TargetProfile, Trust, Verified

name = "dfu"
DFUSE_MAGIC = b"DfuSe"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the caller chooses."""

    signing_time: records.Time


def matches(image: ByteSource) -> bool:
    """Whether the file ends with a DFU suffix that is not for DfuSe."""
    return dfu_suffix.version(image) not in (None, dfu_suffix.DFUSE_VERSION)


def inspect(image: ByteSource) -> Inspection:
    """Show which device the file is for, and what of it is signed."""
    suffix, block = _read(image)
    firmware_stop = block.range.start if block else suffix.start
    crc_at = image.size - dfu_suffix.CRC_BYTES
    uncovered = [(Range(crc_at, image.size), "CRC: anybody can recompute it")]
    if block:
        uncovered.insert(0, (block.range, "the signature itself"))
    return Inspection(
        format=name,
        facts={**suffix.facts, "Firmware": f"{firmware_stop} bytes"},
        signatures=(block.signature,) if block else (),
        covered=(Range(0, firmware_stop), Range(suffix.start, crc_at)),
        uncovered=tuple(uncovered),
    )


def prepare(
    image: ByteSource, keys: Sequence[SigningKey], options: Mapping[str, Any], target: TargetProfile
) -> Prepared:
    """Check the suffix, hash firmware and suffix, and lay out the signed attributes."""
    chosen = records.load(Options, dict(options))
    suffix, block = _read(image)
    dfu_signing.refuse_signed(block)

    def embed(signature_block: bytes) -> list[Edit]:
        return [Edit(offset=suffix.start, old=b"", new=signature_block)]

    return dfu_signing.prepare(image, keys, chosen, target, format_name=name, embed=embed)


def verify(image: ByteSource, trust: Trust, sidecars: Mapping[str, bytes]) -> Verified:  # noqa: ARG001  (the interface names it)
    """Take the signature block out and check it against what is left."""
    _, block = _read(image)
    unsigned = image
    if block:
        taken = Edit(offset=block.range.start, old=image.read(block.range.start, _size(block)), new=b"")
        unsigned = PatchedSource(image, Patch(old_size=image.size, edits=(taken,)))
    return dfu_signing.verify(unsigned, block, trust, format_name=name)


def _read(image: ByteSource) -> tuple[Suffix, Block | None]:
    suffix = dfu_suffix.read(image)
    if suffix.version not in dfu_suffix.DFU_VERSIONS:
        raise FormatError(f"bcdDFU is {suffix.version:#06x}, which is not DFU 1.0 or 1.1", at=suffix.start)
    if image.read(0, min(len(DFUSE_MAGIC), suffix.start)) == DFUSE_MAGIC:
        # dfu-util looks at the first bytes, others at the version: one file, two meanings.
        raise FormatError("body begins like DfuSe, the suffix says plain DFU", at=0)
    block = dfu_signing.find(image, 0, suffix.start)
    if (block.range.start if block else suffix.start) == 0:
        raise FormatError("no firmware before the suffix", at=0)
    return suffix, block


def _size(block: Block) -> int:
    return block.range.stop - block.range.start
