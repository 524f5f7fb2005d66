"""The bytes of an ESP32 application or bootloader image: header, segments, checksum, SHA-256, padding.

The XOR checksum and the appended SHA-256 find transmission errors; only a signature keeps an attacker out.
The ESP8266 has another header and is not an ESP32.
Reference: esptool documentation, "Firmware Image Format"; ESP-IDF ``esp_app_desc_t`` and ``esp_bootloader_desc_t``.
"""

import struct
from dataclasses import dataclass

from sealwright.core.errors import Code, FormatError
from sealwright.core.images import ByteSource, Message, Range, read_chunks

MAGIC, SECTOR_BYTES = 0xE9, 4096
# magic, segments, flash mode, flash size and frequency, entry; pins, drive strengths, chip, revisions, hash appended
HEADER = struct.Struct("<BBBBI B3sHBHH4sB")
SEGMENT = struct.Struct("<II")  # load address, length
MAX_SEGMENTS, MAX_SEGMENT_BYTES = 16, 16 << 20
CHECKSUM_SEED, CHECKSUM_ALIGNMENT = 0xEF, 16
HASH_BYTES = 32
STEP_BYTES = 1 << 16

APP_MAGIC = 0xABCD5432
# magic, secure version, version, project, time, date, ESP-IDF, hash of the ELF file
APP = struct.Struct("<II8x32s32s16s16s32s32s")
BOOTLOADER_MAGIC = 80
BOOTLOADER = struct.Struct("<B2xBI32s24s")  # magic, secure version, version, ESP-IDF, date

CHIPS = {
    0: "ESP32",
    2: "ESP32-S2",
    5: "ESP32-C3",
    9: "ESP32-S3",
    12: "ESP32-C2",
    13: "ESP32-C6",
    16: "ESP32-H2",
    18: "ESP32-P4",
    20: "ESP32-C61",
    23: "ESP32-C5",
    25: "ESP32-H21",
    28: "ESP32-H4",
    32: "ESP32-S31",
}


@dataclass(frozen=True, slots=True)
class Segment:
    """One part of the image; ``start`` is where its data begins in the file."""

    address: int
    start: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An image taken apart, its checksum and hash right."""

    chip: int
    entry: int
    least_revision: int
    most_revision: int
    """Chip revisions: major * 100 + minor."""
    segments: tuple[Segment, ...]
    checksum_at: int
    has_hash: bool
    end: int
    """Checksum and hash end here; padding to the sector follows."""
    description: dict[str, str]

    @property
    def signed_end(self) -> int:
        """Where the ROM and bootloader look for the signature sector: behind the padding to 4 KiB."""
        return -(-self.end // SECTOR_BYTES) * SECTOR_BYTES


def claims(image: ByteSource) -> bool:
    """Whether the file begins like an image for a known chip; one byte of magic alone would claim too much."""
    if image.size < HEADER.size + SEGMENT.size:
        return False
    magic, count, *_, chip, _, _, _, reserved, hashed = HEADER.unpack(image.read(0, HEADER.size))
    return magic == MAGIC and 1 <= count <= MAX_SEGMENTS and chip in CHIPS and not any(reserved) and hashed <= 1


def parse(image: ByteSource) -> Image:
    """Take an image apart and check it as the bootloader does; ``FormatError`` with the offset."""
    if image.size == 0:
        raise FormatError("image is empty", at=0)
    magic, count, _, _, entry, _, _, chip, _, least, most, reserved, hashed = HEADER.unpack(image.read(0, HEADER.size))
    if magic != MAGIC:
        raise FormatError(f"no ESP32 image: it begins with {magic:#04x}, not {MAGIC:#04x}", at=0)
    if not 1 <= count <= MAX_SEGMENTS:
        raise FormatError(f"image states {count} segments, 1 to {MAX_SEGMENTS} can be", at=1)
    if chip not in CHIPS:
        raise FormatError(f"image is for chip {chip:#x}, which is not known", at=12, code=Code.UNSUPPORTED_IMAGE)
    if any(reserved) or hashed > 1:
        raise FormatError("reserved bytes of the header are in use", at=19, code=Code.UNSUPPORTED_IMAGE)
    segments = _segments(image, count)
    checksum_at = _checksum_place(segments[-1].start + segments[-1].size)
    end = checksum_at + 1 + (HASH_BYTES if hashed else 0)
    _check_sums(image, segments, checksum_at, has_hash=bool(hashed))
    return Image(
        chip=chip,
        entry=entry,
        least_revision=least,
        most_revision=most,
        segments=segments,
        checksum_at=checksum_at,
        has_hash=bool(hashed),
        end=end,
        description=_description(image, segments[0]),
    )


def revision_name(revision: int) -> str:
    """Return ``v3.1`` for 301."""
    return f"v{revision // 100}.{revision % 100}"


def _segments(image: ByteSource, count: int) -> tuple[Segment, ...]:
    at, segments = HEADER.size, []
    for i in range(count):
        address, size = SEGMENT.unpack(image.read(at, SEGMENT.size))
        if size > MAX_SEGMENT_BYTES:
            raise FormatError(f"segment {i} states {size} bytes, at most {MAX_SEGMENT_BYTES} can be", at=at + 4)
        start = at + SEGMENT.size
        if start + size > image.size:
            raise FormatError(f"segment {i} ends at {start + size:#x}, the image at {image.size:#x}", at=at + 4)
        segments.append(Segment(address, start, size))
        at = start + size
    return tuple(segments)


def _checksum_place(end: int) -> int:
    """Return the offset of the checksum: the last byte of the 16 in which it fits."""
    return end // CHECKSUM_ALIGNMENT * CHECKSUM_ALIGNMENT + CHECKSUM_ALIGNMENT - 1


def _check_sums(image: ByteSource, segments: tuple[Segment, ...], checksum_at: int, *, has_hash: bool) -> None:
    stated = image.read(checksum_at, 1)[0]
    checksum = CHECKSUM_SEED
    for segment in segments:
        checksum ^= _xor(image, segment)
    if stated != checksum:
        raise FormatError(
            f"checksum in the image is {stated:#04x}, that of its segments {checksum:#04x}", at=checksum_at
        )
    if not has_hash:
        return
    at = checksum_at + 1
    stored, digest = image.read(at, HASH_BYTES), Message((Range(0, at),)).digest(image, "sha256")
    if stored != digest:
        raise FormatError(f"SHA-256 in the image is {stored.hex()}, that of the image {digest.hex()}", at=at)


def _xor(image: ByteSource, segment: Segment) -> int:
    """XOR all bytes of a segment, many at a time."""
    total = 0
    for chunk in read_chunks(image, segment.start, segment.start + segment.size):
        for at in range(0, len(chunk), STEP_BYTES):
            total ^= int.from_bytes(chunk[at : at + STEP_BYTES], "little")
    width = STEP_BYTES
    while width > 1:
        width //= 2
        total = total >> (8 * width) ^ total & ((1 << 8 * width) - 1)
    return total


def _description(image: ByteSource, first: Segment) -> dict[str, str]:
    """Read the descriptor at the beginning of the first segment, which says what the image is."""
    head = image.read(first.start, min(first.size, APP.size))
    if len(head) == APP.size and head[:4] == APP_MAGIC.to_bytes(4, "little"):
        _, secure_version, version, project, time, date, idf, elf = APP.unpack(head)
        return {
            "Kind": "application",
            "Project": _text(project),
            "Version": _text(version),
            "Secure version": f"{secure_version} (rollback counter)",
            "Built": _text(b" ".join(field.split(b"\0")[0] for field in (date, time)).strip()),
            "ESP-IDF": _text(idf),
            "SHA-256 of the ELF file": elf.hex(),
        }
    if len(head) >= BOOTLOADER.size and head[0] == BOOTLOADER_MAGIC and head[1:3] == b"\0\0":
        _, secure_version, number, idf, date = BOOTLOADER.unpack(head[: BOOTLOADER.size])
        return {
            "Kind": "bootloader",
            "Version": str(number),
            "Secure version": f"{secure_version} (rollback counter)",
            "Built": _text(date),
            "ESP-IDF": _text(idf),
        }
    return {"Kind": "image without a descriptor: version and secure version are not known"}


def _text(field: bytes) -> str:
    """Return a zero-terminated field; what no terminal should get is shown as escapes."""
    text = field.split(b"\0")[0].decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text) or "not said"
