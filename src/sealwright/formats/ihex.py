"""Intel HEX: a detached CMS signature beside the file; by default over the memory image, whatever its spelling.

Reading: ``ihex_records``; what is signed and how: ``memory_signing``.
Reference: Intel, "Hexadecimal Object File Format Specification", revision A (1988); ``docs/formats/intel-hex.md``.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sealwright.core.images import ByteSource, Range
from sealwright.formats import memory_signing
from sealwright.formats.ihex_records import read
from sealwright.formats.interface import Inspection, SigningKey, TargetProfile, Trust, Verified
from sealwright.formats.memory_signing import Options, Prepared

__all__ = ["Options", "content", "inspect", "matches", "name", "prepare", "verify"]

name = "intel-hex"
FIRST_RECORD = re.compile(rb":[0-9A-Fa-f]{10}")


def matches(image: ByteSource) -> bool:
    """Whether the file begins with a colon and the digits of a record."""
    return FIRST_RECORD.match(image.read(0, min(image.size, 16))) is not None


def inspect(image: ByteSource) -> Inspection:
    """Describe the memory image, its entry and its gaps."""
    facts = memory_signing.facts(read(image))
    return Inspection(
        format=name,
        facts=facts | {"Not covered by profile segments": "letter case, line ends, length and order of records"},
        covered=(Range(0, image.size),),
    )


def prepare(
    image: ByteSource, keys: Sequence[SigningKey], options: Mapping[str, Any], target: TargetProfile
) -> Prepared:
    """Read the file, hash what the profile covers, and lay out the signed attributes."""
    return memory_signing.prepare(image, keys, options, target, format_name=name, read=read)


def verify(image: ByteSource, trust: Trust, sidecars: Mapping[str, bytes]) -> Verified:
    """Check the ``.p7s`` beside the file against what it says it covers."""
    return memory_signing.verify(image, trust, sidecars, format_name=name, read=read)


def content(image: ByteSource, options: Mapping[str, Any]) -> Iterator[bytes]:
    """Yield the bytes that a signature with these options covers."""
    return memory_signing.content(image, options, read=read)
