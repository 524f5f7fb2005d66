"""UF2: a detached CMS signature beside the file; by default over the memory image of each family of devices.

Reading: ``uf2_blocks``; what is signed and how: ``memory_signing``.
Reference: Microsoft, "USB Flashing Format (UF2)"; ``docs/formats/uf2.md``.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sealwright.core.images import ByteSource, Range
from sealwright.formats import memory_signing, uf2_blocks
from sealwright.formats.interface import Inspection, SigningKey, TargetProfile, Trust, Verified
from sealwright.formats.memory_image import MemoryImage
from sealwright.formats.memory_signing import Options, Prepared

__all__ = ["Options", "content", "inspect", "matches", "name", "prepare", "verify"]

name = "uf2"


def matches(image: ByteSource) -> bool:
    """Whether the file begins with the two magic numbers of a block."""
    return image.read(0, min(image.size, 8)) == uf2_blocks.MAGIC_START


def inspect(image: ByteSource) -> Inspection:
    """Describe the blocks, the families and the memory image."""
    found = uf2_blocks.read(image)
    families = [uf2_blocks.family_name(family) for family, _ in found.memory.families if family is not None]
    facts = {"Blocks": str(found.blocks), "Families": ", ".join(families) or "none named"}
    if any(found.file_sizes):
        facts["File size field"] = f"{found.file_sizes[0]} bytes, ignored by loaders"
    return Inspection(
        format=name,
        facts=facts
        | memory_signing.facts(found.memory)
        | {"Not covered by profile segments": "payload bytes in each block, and a file size field"},
        covered=(Range(0, image.size),),
    )


def prepare(
    image: ByteSource, keys: Sequence[SigningKey], options: Mapping[str, Any], target: TargetProfile
) -> Prepared:
    """Read the file, hash what the profile covers, and lay out the signed attributes."""
    return memory_signing.prepare(image, keys, options, target, format_name=name, read=_read)


def verify(image: ByteSource, trust: Trust, sidecars: Mapping[str, bytes]) -> Verified:
    """Check the ``.p7s`` beside the file against what it says it covers."""
    return memory_signing.verify(image, trust, sidecars, format_name=name, read=_read)


def content(image: ByteSource, options: Mapping[str, Any]) -> Iterator[bytes]:
    """Yield the bytes that a signature with these options covers."""
    return memory_signing.content(image, options, read=_read)


def _read(image: ByteSource) -> MemoryImage:
    return uf2_blocks.read(image).memory
