"""Where things lie in an FMP capsule: headers, authentication, payload header, payload.

One payload, no embedded drivers, image header of version 3.
Reference: UEFI 2.10, sections 8.5.3 (EFI_CAPSULE_HEADER), 23.2 (EFI_FIRMWARE_MANAGEMENT_CAPSULE_HEADER and its image
header), 23.1.2 (EFI_FIRMWARE_IMAGE_AUTHENTICATION); edk2, ``FmpPayloadHeaderLib`` (FMP_PAYLOAD_HEADER).
"""

import struct
from dataclasses import dataclass

from sealwright.core.errors import Code, FormatError
from sealwright.core.images import ByteSource, Range
from sealwright.formats import bare_signature, uefi
from sealwright.formats.bare_signature import BareSignature

CAPSULE_HEADER = struct.Struct("<16sIII")  # CapsuleGuid, HeaderSize, Flags, CapsuleImageSize
FMP_HEADER = struct.Struct("<IHHQ")  # Version, EmbeddedDriverCount, PayloadItemCount, ItemOffsetList[0]
# Version, UpdateImageTypeId, UpdateImageIndex, reserved, UpdateImageSize, UpdateVendorCodeSize,
# UpdateHardwareInstance, ImageCapsuleSupport
IMAGE_HEADER = struct.Struct("<I16sB3sIIQQ")
MONOTONIC_COUNT = struct.Struct("<Q")
PAYLOAD_HEADER = struct.Struct("<4sIII")  # Signature, HeaderSize, FwVersion, LowestSupportedVersion
PAYLOAD_SIGNATURE = b"MSS1"
FMP_CAPSULE = "6dcbd5ed-e82d-4c44-bda1-7194199ad92a"
CAPSULE_FLAGS_PERSIST_ACROSS_RESET = 0x10000
FMP_VERSION, IMAGE_VERSION = 1, 3
CAPSULE_SUPPORT_AUTHENTICATION = 1
IMAGE_AT = CAPSULE_HEADER.size + FMP_HEADER.size
BODY_AT = IMAGE_AT + IMAGE_HEADER.size
"""Where the authentication begins, or in an unsigned capsule the payload."""
MAX_BYTES = 0xFFFFFFFF


@dataclass(frozen=True, slots=True, kw_only=True)
class Versions:
    """What the payload header says against rollback."""

    fw_version: int
    lowest_supported_version: int

    def pack(self) -> bytes:
        """Return the payload header."""
        return PAYLOAD_HEADER.pack(
            PAYLOAD_SIGNATURE, PAYLOAD_HEADER.size, self.fw_version, self.lowest_supported_version
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Capsule:
    """A capsule whose headers hold together; made by ``read`` only."""

    flags: int
    image_type: str
    image_index: int
    hardware_instance: int
    monotonic_count: bytes
    """Empty in an unsigned capsule, as ``signature`` is None."""
    signature: BareSignature | None
    payload: Range
    """With its payload header, if it has one."""
    versions: Versions | None

    @property
    def is_signed(self) -> bool:
        return self.signature is not None


def matches(image: ByteSource) -> bool:
    """Say whether the GUID of an FMP capsule is there."""
    return image.size >= 16 and image.read(0, 16) == uefi.guid(FMP_CAPSULE)


def head(
    *, image_type: str, image_index: int, hardware_instance: int, body_bytes: int, is_authenticated: bool
) -> bytes:
    """Return the three headers before a body of authentication and payload."""
    size = BODY_AT + body_bytes
    if size > MAX_BYTES:
        raise FormatError(f"capsule of {size} bytes, its header ends at {MAX_BYTES}")
    support = CAPSULE_SUPPORT_AUTHENTICATION if is_authenticated else 0
    return (
        CAPSULE_HEADER.pack(uefi.guid(FMP_CAPSULE), CAPSULE_HEADER.size, CAPSULE_FLAGS_PERSIST_ACROSS_RESET, size)
        + FMP_HEADER.pack(FMP_VERSION, 0, 1, FMP_HEADER.size)
        + IMAGE_HEADER.pack(
            IMAGE_VERSION, uefi.guid(image_type), image_index, bytes(3), body_bytes, 0, hardware_instance, support
        )
    )


def read(image: ByteSource) -> Capsule:
    """Read the headers and the signature; ``FormatError`` with the offset where they lie."""
    guid, header_size, flags, size = CAPSULE_HEADER.unpack(image.read(0, CAPSULE_HEADER.size))
    if uefi.guid_text(guid) != FMP_CAPSULE:
        raise FormatError("not an FMP capsule", at=0)
    if (header_size, size) != (CAPSULE_HEADER.size, image.size):
        raise FormatError(f"capsule header of {header_size} bytes says {size} bytes, {image.size} are there", at=16)
    version, drivers, items, offset = FMP_HEADER.unpack(image.read(CAPSULE_HEADER.size, FMP_HEADER.size))
    if (version, drivers, items, offset) != (FMP_VERSION, 0, 1, FMP_HEADER.size):
        raise FormatError(
            f"FMP capsule of version {version} with {drivers} drivers and {items} payloads at {offset:#x}: "
            "one payload right behind its header is read",
            at=CAPSULE_HEADER.size,
            code=Code.UNSUPPORTED_IMAGE,
        )
    fields = IMAGE_HEADER.unpack(image.read(IMAGE_AT, IMAGE_HEADER.size))
    version, image_type, index, reserved, body_bytes, vendor_bytes, instance, support = fields
    if version != IMAGE_VERSION or support not in (0, CAPSULE_SUPPORT_AUTHENTICATION):
        raise FormatError(
            f"image header of version {version}, capsule support {support:#x}: version 3 without dependencies is read",
            at=IMAGE_AT,
            code=Code.UNSUPPORTED_IMAGE,
        )
    if any(reserved) or vendor_bytes or BODY_AT + body_bytes != image.size:
        raise FormatError(
            f"image of {body_bytes} bytes and vendor code of {vendor_bytes}, {image.size - BODY_AT} are there",
            at=IMAGE_AT,
        )
    count, signature, payload_at = _authentication(image) if support else (b"", None, BODY_AT)
    return Capsule(
        flags=flags,
        image_type=uefi.guid_text(image_type),
        image_index=index,
        hardware_instance=instance,
        monotonic_count=count,
        signature=signature,
        payload=Range(payload_at, image.size),
        versions=read_versions(image, payload_at),
    )


def read_versions(image: ByteSource, at: int) -> Versions | None:
    """Return the payload header at ``at``, or None if the payload begins otherwise."""
    if image.size - at < PAYLOAD_HEADER.size or image.read(at, 4) != PAYLOAD_SIGNATURE:
        return None
    _, size, version, lowest = PAYLOAD_HEADER.unpack(image.read(at, PAYLOAD_HEADER.size))
    if size != PAYLOAD_HEADER.size or lowest > version:
        raise FormatError(f"payload header of {size} bytes, version {version} but lowest supported {lowest}", at=at)
    return Versions(fw_version=version, lowest_supported_version=lowest)


def _authentication(image: ByteSource) -> tuple[bytes, BareSignature, int]:
    """Return monotonic count, signature, and where the payload begins."""
    count = image.read(BODY_AT, MONOTONIC_COUNT.size)
    at = BODY_AT + MONOTONIC_COUNT.size
    most = uefi.CERTIFICATE_HEADER.size + uefi.MAX_CERTIFICATE_BYTES
    der = uefi.read_certificate(image.read(at, min(most, image.size - at)), at)
    signature = bare_signature.parse(der, has_content_info=True)
    payload_at = at + uefi.CERTIFICATE_HEADER.size + len(der)
    if payload_at == image.size:
        raise FormatError("capsule has no payload", at=payload_at)
    return count, signature, payload_at
