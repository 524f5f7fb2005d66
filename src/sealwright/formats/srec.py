"""Motorola S-records: a detached CMS signature beside the file; by default over the memory image.

Reading: ``srec_records``; what is signed and how: ``memory_signing``.
Reference: Motorola, "M68000 Family Programmer's Reference Manual" (1992), appendix C; ``docs/formats/s-record.md``.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sealwright.core.images import ByteSource, Range
from sealwright.formats import memory_signing, srec_records
from sealwright.formats.interface import Inspection, SigningKey, TargetProfile, Trust, Verified
from sealwright.formats.memory_image import MemoryImage
from sealwright.formats.memory_signing import Options, Prepared

__all__ = ["Options", "content", "inspect", "matches", "name", "prepare", "verify"]

name = "s-record"
FIRST_RECORD = re.compile(rb"S[0-9][0-9A-Fa-f]{8}")


def matches(image: ByteSource) -> bool:
    """Whether the file begins with S, a type and the digits of a record."""
    return FIRST_RECORD.match(image.read(0, min(image.size, 16))) is not None


def inspect(image: ByteSource) -> Inspection:
    """Describe the memory image, its entry, its gaps and its name for people."""
    found = srec_records.read(image)
    shown = "".join(c if c.isprintable() else "?" for c in found.header.decode("latin-1"))
    facts = {"Header": shown or "none", "Data records": str(found.data_records)} | memory_signing.facts(found.memory)
    header = ((Range(0, found.header_stop), "header record: profile file alone covers it"),)
    return Inspection(
        format=name,
        facts=facts
        | {"Not covered by profile segments": "header, letter case, line ends, length and order of records"},
        covered=(Range(found.header_stop, image.size),),
        uncovered=header if found.header_stop else (),
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
    return srec_records.read(image).memory
