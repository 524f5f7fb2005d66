"""The bytes of an MCUboot image: 32-byte header, payload, protected TLVs, TLVs.

Strict: areas have the sizes they state, entries fill them exactly, and nothing follows.  Little endian only.
Reference: MCUboot docs/design.md, "Image format"; boot/bootutil/include/bootutil/image.h.
"""

import re
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum, IntFlag

from sealwright.core.errors import Code, FormatError
from sealwright.core.images import ByteSource

IMAGE_MAGIC, TLV_INFO_MAGIC, TLV_PROT_INFO_MAGIC = 0x96F3B83D, 0x6907, 0x6908
HEADER = struct.Struct("<IIHHIIBBHI4x")  # magic, load address, header, protected and image size, flags, version
INFO = struct.Struct("<HH")  # magic, size of the area with these four bytes
ENTRY = struct.Struct("<HH")  # type, length
DEPENDENCY = struct.Struct("<B3xBBHI")  # image number, least version
MAGIC_BYTES = IMAGE_MAGIC.to_bytes(4, "little")
MAX_IMAGE_BYTES = 1 << 30
"""Slots are kilobytes to a few megabytes; payloads are streamed, so the limit only keeps out what is no image."""
MAX_AREA_BYTES = 0xFFFF
MIN_VENDOR_KIND, MAX_VENDOR_KIND = 0x00A0, 0xFFFE


class Flag(IntFlag):
    """``ih_flags``."""

    PIC = 0x1
    ENCRYPTED_AES128 = 0x4
    ENCRYPTED_AES256 = 0x8
    NON_BOOTABLE = 0x10
    RAM_LOAD = 0x20
    ROM_FIXED = 0x100
    COMPRESSED_LZMA1 = 0x200
    COMPRESSED_LZMA2 = 0x400
    COMPRESSED_ARM_THUMB = 0x800


class Kind(IntEnum):
    """TLV types."""

    KEYHASH = 0x01
    PUBKEY = 0x02
    SHA256 = 0x10
    SHA384 = 0x11
    SHA512 = 0x12
    RSA2048_PSS = 0x20
    ECDSA224 = 0x21
    ECDSA_SIG = 0x22
    RSA3072_PSS = 0x23
    ED25519 = 0x24
    SIG_PURE = 0x25
    ENC_RSA2048 = 0x30
    ENC_KW = 0x31
    ENC_EC256 = 0x32
    ENC_X25519 = 0x33
    ENC_X25519_SHA512 = 0x34
    DEPENDENCY = 0x40
    SEC_CNT = 0x50
    BOOT_RECORD = 0x60
    DECOMP_SIZE = 0x70
    DECOMP_SHA = 0x71
    DECOMP_SIGNATURE = 0x72
    COMP_DEC_SIZE = 0x73
    UUID_VID = 0x74
    UUID_CID = 0x75


SIGNATURES = frozenset({Kind.RSA2048_PSS, Kind.ECDSA224, Kind.ECDSA_SIG, Kind.RSA3072_PSS, Kind.ED25519})
"""Every TLV that holds a signature, also those that nobody makes any more."""
SUPPORTED_FLAGS = Flag.PIC | Flag.NON_BOOTABLE | Flag.RAM_LOAD | Flag.ROM_FIXED

# The bootloader reads these wherever they stand; in the protected area they could only mislead.
_NEVER_PROTECTED = SIGNATURES | {Kind.SHA256, Kind.SHA384, Kind.SHA512, Kind.KEYHASH, Kind.PUBKEY, Kind.SIG_PURE}
_LENGTHS = {
    Kind.SHA256: 32,
    Kind.SHA384: 48,
    Kind.SHA512: 64,
    Kind.RSA2048_PSS: 256,
    Kind.RSA3072_PSS: 384,
    Kind.ED25519: 64,
    Kind.SEC_CNT: 4,
    Kind.DEPENDENCY: DEPENDENCY.size,
    Kind.UUID_VID: 16,
    Kind.UUID_CID: 16,
}
_ONCE = {
    Kind.SEC_CNT: "security counter",
    Kind.BOOT_RECORD: "boot record",
    Kind.UUID_VID: "vendor identifier",
    Kind.UUID_CID: "class identifier",
}
# The last 14 bytes of a slot: ``boot_img_magic`` without its first two, which state the alignment where it is not 8.
_BOOT_MAGICS = (bytes.fromhex("95f360d2ef7f3552500f2cb67980"), bytes.fromhex("2de15d29410b8d77679c110f1f8a"))


@dataclass(frozen=True, slots=True, order=True)
class Version:
    """Version of an image, as the header and dependencies hold it."""

    major: int
    minor: int
    revision: int
    build: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.revision}+{self.build}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """``struct image_header``."""

    load_address: int
    header_size: int
    protected_size: int
    image_size: int
    flags: Flag
    version: Version

    def pack(self) -> bytes:
        """Return the 32 bytes."""
        sizes = (self.load_address, self.header_size, self.protected_size, self.image_size, self.flags)
        v = self.version
        return HEADER.pack(IMAGE_MAGIC, *sizes, v.major, v.minor, v.revision, v.build)


@dataclass(frozen=True, slots=True)
class Entry:
    """One TLV; ``at`` is where its four-byte head stands in the image."""

    kind: int
    value: bytes
    at: int

    @property
    def end(self) -> int:
        return self.at + ENTRY.size + len(self.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """An image taken apart."""

    header: Header
    protected: tuple[Entry, ...]
    entries: tuple[Entry, ...]
    """The TLVs outside the protected area."""
    signed_end: int
    """Hash and signature cover everything before this offset; here the unprotected area begins."""
    end: int

    def dependencies(self) -> tuple[tuple[int, Version], ...]:
        """Return image number and least version of each dependency."""
        unpacked = (DEPENDENCY.unpack(e.value) for e in self.protected if e.kind == Kind.DEPENDENCY)
        return tuple((number, Version(*version)) for number, *version in unpacked)

    def protected_value(self, kind: Kind) -> bytes | None:
        """Return the value of the first protected TLV of this type."""
        return next((e.value for e in self.protected if e.kind == kind), None)

    def security_counter(self) -> int | None:
        """Return the security counter of the protected area."""
        found = self.protected_value(Kind.SEC_CNT)
        return None if found is None else int.from_bytes(found, "little")


def kind_name(kind: int) -> str:
    """Return the name of a TLV type, or its number."""
    return Kind(kind).name if kind in list(Kind) else f"{kind:#06x}"


def parse_version(text: str) -> Version:
    """Read ``1.2.3+4``; later parts may be left out and are then 0."""
    match = re.fullmatch(r"(\d{1,3})(?:\.(\d{1,3})(?:\.(\d{1,5})(?:\+(\d{1,10}))?)?)?", text, re.ASCII)
    parts = [int(part or 0) for part in match.groups()] if match else [256]
    if any(part > most for part, most in zip(parts, (0xFF, 0xFF, 0xFFFF, 0xFFFFFFFF), strict=False)):
        raise FormatError(
            f"{text[:40]!r} is not a version of an MCUboot image",
            code=Code.INVALID_DOCUMENT,
            hint="give MAJOR.MINOR.REVISION+BUILD, at most 255.255.65535+4294967295",
        )
    return Version(*parts)


def area(magic: int, entries: Iterable[tuple[int, bytes]]) -> bytes:
    """Return a TLV area; no bytes at all when there are no entries."""
    body = b"".join(ENTRY.pack(kind, len(value)) + value for kind, value in entries)
    if INFO.size + len(body) > MAX_AREA_BYTES:
        raise FormatError(f"TLVs of {len(body)} bytes do not fit an area of {MAX_AREA_BYTES}")
    return INFO.pack(magic, INFO.size + len(body)) + body if body else b""


def parse(image: ByteSource) -> Layout:
    """Take an image apart; ``FormatError`` with the offset where it contradicts itself."""
    check_size(image)
    magic, load_address, header_size, protected_size, image_size, flags, *version = HEADER.unpack(
        image.read(0, HEADER.size)
    )
    if magic != IMAGE_MAGIC:
        raise FormatError(f"no MCUboot header: magic is {magic:#010x}, not {IMAGE_MAGIC:#010x}", at=0)
    if header_size < HEADER.size:
        raise FormatError(f"header states its own size as {header_size} bytes, it has {HEADER.size}", at=8)
    at = header_size + image_size
    if at > image.size:
        raise FormatError(f"header and payload end at {at:#x}, the image at {image.size:#x}", at=12)
    protected: tuple[Entry, ...] = ()
    if protected_size:
        protected = _parse_area(image, at, TLV_PROT_INFO_MAGIC)
        if (found := _area_size(image, at)) != protected_size:
            raise FormatError(f"protected TLVs of {found} bytes, the header says {protected_size}", at=at)
    signed_end = at + protected_size
    entries = _parse_area(image, signed_end, TLV_INFO_MAGIC)
    end = signed_end + _area_size(image, signed_end)
    if end != image.size:
        padded = ": the image is padded to its slot, with a trailer" if _has_trailer(image, end) else ""
        raise FormatError(
            f"{image.size - end} bytes follow the TLVs, which no signature covers{padded}",
            at=end,
            hint="sign and verify the image before it is padded to its slot",
        )
    header = Header(
        load_address=load_address,
        header_size=header_size,
        protected_size=protected_size,
        image_size=image_size,
        flags=Flag(flags),
        version=Version(*version),
    )
    return Layout(header=header, protected=protected, entries=entries, signed_end=signed_end, end=end)


def has_magic(image: ByteSource) -> bool:
    """Whether the image begins with the magic of MCUboot; a bare application has none."""
    return image.size >= len(MAGIC_BYTES) and image.read(0, len(MAGIC_BYTES)) == MAGIC_BYTES


def check_supported(found: Layout) -> None:
    """Raise ``FormatError`` for what is neither signed nor verified here, although it may be right."""
    # Plain integers: ~ of an IntFlag forgets the bits that have no name.
    if more := int(found.header.flags) & ~int(SUPPORTED_FLAGS):
        raise FormatError(f"image flags not supported: {flag_names(Flag(more))}", at=16, code=Code.UNSUPPORTED_IMAGE)
    kinds = [entry.kind for entry in found.protected]
    if misplaced := _NEVER_PROTECTED & set(kinds):
        raise FormatError(
            f"TLV {', '.join(sorted(map(kind_name, misplaced)))} inside the protected area", at=found.protected[0].at
        )
    for kind, what in _ONCE.items():
        if kinds.count(kind) > 1:
            raise FormatError(f"image has more than one {what}", at=found.protected[0].at)
    if {Flag.RAM_LOAD, Flag.ROM_FIXED} <= set(found.header.flags):
        raise FormatError("image is to be loaded to RAM and to stay at a fixed place of the flash", at=16)


def flag_names(flags: Flag) -> str:
    """Return the names of the flags that are set, unknown bits as a number."""
    known = [flag.name or "" for flag in Flag if flag in flags]
    unknown = int(flags) & ~sum(Flag)
    return ", ".join([*known, *([f"{unknown:#x}"] if unknown else [])]) or "none"


def check_size(image: ByteSource) -> None:
    """Raise ``FormatError`` for an empty image and for one that no slot holds."""
    if image.size == 0:
        raise FormatError("image is empty", at=0)
    if image.size > MAX_IMAGE_BYTES:
        raise FormatError(
            f"image of {image.size} bytes, at most {MAX_IMAGE_BYTES} are accepted for MCUboot",
            code=Code.UNSUPPORTED_IMAGE,
        )


def _has_trailer(image: ByteSource, end: int) -> bool:
    size = len(_BOOT_MAGICS[0])
    return image.size - end >= size and image.read(image.size - size, size) in _BOOT_MAGICS


def _area_size(image: ByteSource, at: int) -> int:
    return int(INFO.unpack(image.read(at, INFO.size))[1])


def _parse_area(image: ByteSource, start: int, expected_magic: int) -> tuple[Entry, ...]:
    magic, size = INFO.unpack(image.read(start, INFO.size))
    if magic != expected_magic:
        raise FormatError(f"TLV area begins with {magic:#06x}, not {expected_magic:#06x}", at=start)
    if size < INFO.size:
        raise FormatError(f"TLV area states its size as {size} bytes", at=start)
    data, at, entries = image.read(start, size), INFO.size, []
    while at < size:
        if size - at < ENTRY.size:
            raise FormatError(f"{size - at} stray bytes at the end of a TLV area", at=start + at)
        kind, length = ENTRY.unpack_from(data, at)
        if length > size - at - ENTRY.size:
            raise FormatError(f"TLV {kind_name(kind)} of {length} bytes leaves its area", at=start + at)
        if length != _LENGTHS.get(kind, length):
            raise FormatError(f"TLV {kind_name(kind)} has {length} bytes, not {_LENGTHS[kind]}", at=start + at)
        entries.append(Entry(kind, data[at + ENTRY.size : at + ENTRY.size + length], start + at))
        at += ENTRY.size + length
    return tuple(entries)
