"""UF2 read strictly: every block of 512 bytes is checked, and each family of devices must be there as a whole.

Refused: blocks that are not for the main flash, file containers, MD5 tables, extension tags, unknown flags, bytes
behind the payload, numbers that are not those of their place, overlaps.  Loaders skip what they do not know, and a
signature over what is skipped would be worth nothing.
Reference: Microsoft, "USB Flashing Format (UF2)", sections "File format" and "Flags".
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from sealwright.core.errors import Code, FormatError
from sealwright.core.images import ByteSource
from sealwright.formats.memory_image import ADDRESS_END, Builder, MemoryImage

BLOCK = struct.Struct("<8I476sI")  # two magics, flags, address, payload size, number, count, family; data; magic
MAGIC_START = b"UF2\n\x57\x51\x5d\x9e"
MAGIC_0, MAGIC_1, MAGIC_END = 0x0A324655, 0x9E5D5157, 0x0AB16F30
DATA_BYTES = 476
FAMILY_PRESENT = 0x2000
REFUSED_FLAGS = {
    0x0001: "is not for the main flash",
    0x1000: "is a part of a file container",
    0x4000: "carries an MD5 of flash that a loader may skip",
    0x8000: "carries extension tags",
}
MAX_FAMILIES = 64
MAX_FILE_BYTES = 128 << 20
BLOCKS_AT_ONCE = 2048
ZEROS = bytes(DATA_BYTES)

FAMILIES = {
    0xE48BFF56: "RP2040",
    0xE48BFF57: "RP2xxx absolute",
    0xE48BFF58: "RP2xxx data",
    0xE48BFF59: "RP2350 Arm secure",
    0xE48BFF5A: "RP2350 RISC-V",
    0xE48BFF5B: "RP2350 Arm non-secure",
    0xADA52840: "nRF52840",
    0x68ED2B88: "SAMD21",
    0x55114460: "SAMD51",
    0x5EE21072: "STM32F103",
    0x57755A57: "STM32F4",
    0x1C5F21B0: "ESP32",
    0xBFDD4EEE: "ESP32-S2",
    0xC47E5767: "ESP32-S3",
    0xD42BA06C: "ESP32-C3",
}
"""Names that an approver may know; the number stands beside them."""


@dataclass(slots=True)
class Family:
    """The blocks of one family: how many are announced, how many have come, and their data."""

    total: int
    seen: int = 0
    memory: Builder = field(default_factory=Builder)


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What a UF2 file says."""

    memory: MemoryImage
    blocks: int
    file_sizes: tuple[int, ...]
    """The field that is a family where flagged, and else a size that loaders ignore; the distinct values."""


def read(image: ByteSource) -> Contents:
    """Read a UF2 file; ``FormatError`` names the block and the offset of what is wrong."""
    if image.size == 0 or image.size % BLOCK.size:
        raise FormatError(f"{image.size} bytes are no whole number of {BLOCK.size}-byte blocks", at=image.size)
    if image.size > MAX_FILE_BYTES:
        raise FormatError(f"{image.size} bytes, at most {MAX_FILE_BYTES} are read", code=Code.UNSUPPORTED_IMAGE)
    families: dict[int | None, Family] = {}
    sizes: set[int] = set()
    for index, fields in enumerate(_blocks(image)):
        _take(index, fields, families, sizes)
    for family, found in families.items():
        if found.seen != found.total:
            name = "the file" if family is None else f"family {family:#010x}"
            raise FormatError(f"{name} ends after {found.seen} of {found.total} blocks", at=image.size)
    ordered = sorted(families.items(), key=lambda item: item[0] or 0)
    return Contents(
        memory=MemoryImage(families=tuple((family, found.memory.segments()) for family, found in ordered)),
        blocks=image.size // BLOCK.size,
        file_sizes=tuple(sorted(sizes)),
    )


def family_name(family: int) -> str:
    """Return the number of a family with the name that people know it by."""
    return f"{family:#010x} ({FAMILIES.get(family, 'unknown')})"


def _blocks(image: ByteSource) -> Iterator[tuple[int, int, int, int, int, int, int, int, bytes, int]]:
    step = BLOCK.size * BLOCKS_AT_ONCE
    for at in range(0, image.size, step):
        yield from BLOCK.iter_unpack(image.read(at, min(step, image.size - at)))


def _take(
    index: int,
    fields: tuple[int, int, int, int, int, int, int, int, bytes, int],
    families: dict[int | None, Family],
    sizes: set[int],
) -> None:
    magic_0, magic_1, flags, address, size, number, total, family_or_size, data, magic_end = fields
    at = index * BLOCK.size
    if (magic_0, magic_1, magic_end) != (MAGIC_0, MAGIC_1, MAGIC_END):
        raise _error(index, "has not the magic numbers of UF2")
    if flags & ~FAMILY_PRESENT:
        reason = next((text for flag, text in REFUSED_FLAGS.items() if flags & flag), f"has unknown flags {flags:#x}")
        raise FormatError(f"block {index} {reason}", at=at, code=Code.UNSUPPORTED_IMAGE)
    if not 0 < size <= DATA_BYTES:
        raise _error(index, f"has {size} bytes of payload, 1 to {DATA_BYTES} are possible")
    if data[size:] != ZEROS[size:]:
        raise _error(index, "has bytes behind its payload")
    if address + size > ADDRESS_END:
        raise _error(index, f"goes beyond the last address, from {address:#x}")
    family = family_or_size if flags & FAMILY_PRESENT else None
    if family is None:
        sizes.add(family_or_size)
        if len(sizes) > 1:
            raise _error(index, "gives another file size than the blocks before")
    if family not in families:
        _check_new(index, family, families)
        families[family] = Family(total)
    found = families[family]
    if (number, total) != (found.seen, found.total):
        raise _error(index, f"is numbered {number} of {total}, expected {found.seen} of {found.total}")
    found.seen += 1
    found.memory.add(address, data[:size], at)


def _check_new(index: int, family: int | None, families: dict[int | None, Family]) -> None:
    if families and (family is None or None in families):
        raise _error(index, "names a family where others name none, or none where others do")
    if len(families) == MAX_FAMILIES:
        raise _error(index, f"is for more than {MAX_FAMILIES} families")


def _error(index: int, message: str) -> FormatError:
    return FormatError(f"block {index} {message}", at=index * BLOCK.size)
