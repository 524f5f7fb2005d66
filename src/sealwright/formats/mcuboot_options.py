"""MCUboot: what a person can choose for an image, and the header flags and protected TLVs that it becomes.

TLVs stand in the order in which imgtool writes them.  Read back from an image that is built already.
Reference: MCUboot docs/design.md, "Image format"; docs/imgtool.md; boot/bootutil/src/boot_record.c.
"""

import dataclasses
import uuid
from dataclasses import dataclass
from typing import Annotated, Literal

from sealwright.core.errors import Code, FormatError
from sealwright.core.records import Bounds, Pattern
from sealwright.formats import mcuboot_layout as layout
from sealwright.formats.mcuboot_algorithms import HASH_SIZES, HashName
from sealwright.formats.mcuboot_layout import DEPENDENCY, HEADER, Flag, Kind, Layout

HASH_KINDS: dict[HashName, Kind] = {"sha256": Kind.SHA256, "sha384": Kind.SHA384, "sha512": Kind.SHA512}

_Version = Annotated[str, Bounds(1, 24)]
_Identifier = Annotated[str, Pattern(r"[\x20-\x7e]{1,200}")]
_Address = Annotated[int, Bounds(1, 0xFFFFFFFF)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependency:
    """Another image that must be there, in at least this version."""

    image: Annotated[int, Bounds(0, 255)]
    version: _Version


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomTlv:
    """A protected TLV of the product's own."""

    kind: Annotated[int, Bounds(layout.MIN_VENDOR_KIND, layout.MAX_VENDOR_KIND)]
    value: Annotated[str, Pattern("(?:[0-9a-f]{2}){0,4096}")]
    """Hex."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the caller chooses.  What goes into an image says the image itself if it is built; it may be repeated."""

    version: _Version | None = None
    header_size: Annotated[int, Bounds(HEADER.size, 0xFFFF)] | None = None
    load_address: _Address | None = None
    """Where in RAM the bootloader copies the image to (flag RAM_LOAD)."""
    rom_fixed: _Address | None = None
    """Where in flash the image was linked for (flag ROM_FIXED, for direct-xip)."""
    non_bootable: bool | None = None
    security_counter: Annotated[int, Bounds(0, 0xFFFFFFFF)] | None = None
    boot_record: Annotated[str, Pattern(r"[\x20-\x7e]{1,12}")] | None = None
    """Role of this software component in an attestation (``SW_TYPE``)."""
    dependencies: Annotated[tuple[Dependency, ...], Bounds(0, 16)] = ()
    vendor: _Identifier | None = None
    """A UUID, or a domain name from which one is made (RFC 9562, version 5)."""
    image_class: _Identifier | None = None
    """A UUID, or a name within the vendor."""
    custom_tlvs: Annotated[tuple[CustomTlv, ...], Bounds(0, 64)] = ()
    hash: HashName | None = None
    """Absent: the usual one of the algorithm."""
    pad_header: bool | None = None
    """Insert the header (true), or overwrite the zeros that the linker left for it (false); absent: look for them."""
    erased_value: Literal[0, 255] | None = None
    """What fills the rest of an inserted header; absent: 255."""
    public_key: Literal["hash", "full"] = "hash"
    """Name the key by its hash, or put all of it in (MCUBOOT_HW_KEY)."""
    slot_size: Annotated[int, Bounds(1, 0xFFFFFFFF)] | None = None
    """Refuse what would not fit there with the trailer that swapping needs."""
    align: Literal[1, 2, 4, 8, 16, 32] = 1
    max_align: Literal[8, 16, 32] | None = None
    """Absent: 8, or ``align`` if that is more."""
    max_sectors: Annotated[int, Bounds(1, 4096)] = 128
    overwrite_only: bool = False


ABOUT_THE_SLOT = ("public_key", "slot_size", "align", "max_align", "max_sectors", "overwrite_only")
"""What an image that is built does not say."""


def flags_of(chosen: Options) -> Flag:
    """Return the header's flags."""
    flags = Flag.RAM_LOAD if chosen.load_address else Flag(0)
    if chosen.rom_fixed:
        if chosen.load_address:
            raise FormatError(
                "an image is either loaded to load_address or stays at rom_fixed", code=Code.INVALID_DOCUMENT
            )
        flags |= Flag.ROM_FIXED
    return flags | Flag.NON_BOOTABLE if chosen.non_bootable else flags


def protected_area(chosen: Options, *, signer: bytes) -> bytes:
    """Return the protected TLVs of settled options; ``signer`` is the hash of the public key."""
    entries: list[tuple[int, bytes]] = []
    if chosen.security_counter is not None:
        entries.append((Kind.SEC_CNT, chosen.security_counter.to_bytes(4, "little")))
    if chosen.boot_record is not None:
        entries.append((Kind.BOOT_RECORD, boot_record(chosen, signer)))
    for dependency in chosen.dependencies:
        v = layout.parse_version(dependency.version)
        packed = DEPENDENCY.pack(dependency.image, v.major, v.minor, v.revision, v.build)
        entries.append((Kind.DEPENDENCY, packed))
    for kind, name in ((Kind.UUID_VID, chosen.vendor), (Kind.UUID_CID, chosen.image_class)):
        if name is not None:
            entries.append((kind, uuid.UUID(name).bytes))
    entries += [(custom.kind, bytes.fromhex(custom.value)) for custom in chosen.custom_tlvs]
    return layout.area(layout.TLV_PROT_INFO_MAGIC, entries)


def boot_record(chosen: Options, signer: bytes) -> bytes:
    """Return the CBOR map of a boot record (PSA attestation); the bootloader puts the hash of the image at its end."""
    v, hash_kind = layout.parse_version(chosen.version or ""), HASH_KINDS[chosen.hash or "sha256"]
    members = (
        (1, _cbor(3, (chosen.boot_record or "").encode())),
        (4, _cbor(3, f"{v.major}.{v.minor}.{v.revision}".encode())),
        (5, _cbor(2, signer)),
        (6, _cbor(3, hash_kind.name.encode())),
        (2, _cbor(2, bytes(HASH_SIZES[hash_kind]))),
    )
    return bytes([0xA0 + len(members)]) + b"".join(bytes([key]) + value for key, value in members)


def settled(chosen: Options) -> Options:
    """Return the options with names and versions in the one spelling that goes into the image."""
    kinds = [custom.kind for custom in chosen.custom_tlvs]
    if repeated := next((kind for kind in kinds if kinds.count(kind) > 1), None):
        raise FormatError(f"custom TLV {repeated:#06x} is given twice", code=Code.INVALID_DOCUMENT)
    vendor = None if chosen.vendor is None else _identifier(chosen.vendor, uuid.NAMESPACE_DNS)
    image_class = None if chosen.image_class is None else _identifier(chosen.image_class, vendor)
    dependencies = tuple(
        dataclasses.replace(d, version=str(layout.parse_version(d.version))) for d in chosen.dependencies
    )
    return dataclasses.replace(
        chosen,
        version=None if chosen.version is None else str(layout.parse_version(chosen.version)),
        dependencies=dependencies,
        vendor=None if vendor is None else str(vendor),
        image_class=None if image_class is None else str(image_class),
    )


def read_back(found: Layout, chosen: Options, hash_name: HashName) -> Options:
    """Return the options as a built image has them, those about its slot as they were chosen."""
    header, about_the_slot = found.header, {name: getattr(chosen, name) for name in ABOUT_THE_SLOT}
    record = found.protected_value(Kind.BOOT_RECORD)
    identifiers = {kind: found.protected_value(kind) for kind in (Kind.UUID_VID, Kind.UUID_CID)}
    vendor, image_class = (None if value is None else str(uuid.UUID(bytes=value)) for value in identifiers.values())
    return Options(
        version=str(header.version),
        header_size=header.header_size,
        load_address=header.load_address if Flag.RAM_LOAD in header.flags and header.load_address else None,
        rom_fixed=header.load_address if Flag.ROM_FIXED in header.flags and header.load_address else None,
        non_bootable=True if Flag.NON_BOOTABLE in header.flags else None,
        security_counter=found.security_counter(),
        boot_record=None if record is None else component_type(record),
        dependencies=tuple(Dependency(image=n, version=str(v)) for n, v in found.dependencies()),
        vendor=vendor,
        image_class=image_class,
        custom_tlvs=tuple(
            CustomTlv(kind=e.kind, value=e.value.hex())
            for e in found.protected
            if layout.MIN_VENDOR_KIND <= e.kind <= layout.MAX_VENDOR_KIND
        ),
        hash=hash_name,
        **about_the_slot,
    )


def component_type(record: bytes) -> str:
    """Return the ``SW_TYPE`` of a boot record; ``FormatError`` for what is none."""
    length = record[2] - 0x60 if record[:2] == b"\xa5\x01" and len(record) > 2 else 0
    name = record[3 : 3 + length]
    if not 1 <= length <= 12 or not name.isascii() or not name.decode().isprintable():
        raise FormatError("boot record does not begin with the type of a software component")
    return name.decode()


def _cbor(major: int, content: bytes) -> bytes:
    """Return a byte string (2) or text (3) of less than 256 bytes (RFC 8949, section 3)."""
    head = [major << 5 | len(content)] if len(content) < 24 else [major << 5 | 24, len(content)]
    return bytes(head) + content


def _identifier(text: str, namespace: uuid.UUID | None) -> uuid.UUID:
    if len(text.replace("-", "")) == 32:
        try:
            return uuid.UUID(text)
        except ValueError:
            pass
    if namespace is None:
        raise FormatError(
            f"image_class {text[:40]!r} is a name, and a name is unique only within a vendor",
            code=Code.INVALID_DOCUMENT,
            hint="give the option vendor too, or a UUID",
        )
    return uuid.uuid5(namespace, text)
