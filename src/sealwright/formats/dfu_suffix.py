"""The suffix at the end of a DFU file: which device it is for, and a CRC that finds accidents, not attackers.

Reference: USB "Device Firmware Upgrade Specification", revision 1.1 (2004), appendix B.
"""

import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass

from sealwright.core.errors import FormatError
from sealwright.core.images import ByteSource, read_chunks

SUFFIX = struct.Struct("<HHHH3sBI")  # bcdDevice, idProduct, idVendor, bcdDFU, ucDfuSignature, bLength, dwCRC
SIGNATURE = b"UFD"
CRC_BYTES = 4
DFU_VERSIONS = (0x0100, 0x0101, 0x0110)
DFUSE_VERSION = 0x011A
ANY_ID = 0xFFFF


@dataclass(frozen=True, slots=True, kw_only=True)
class Suffix:
    """A suffix as read; ``start`` is where it begins, and where the body ends."""

    start: int
    device: int
    product: int
    vendor: int
    version: int
    crc: int

    @property
    def facts(self) -> dict[str, str]:
        """Describe it for an approver."""
        ids = {"Vendor": self.vendor, "Product": self.product, "Device release": self.device}
        shown = {label: f"{value:#06x}" + (" (any)" if value == ANY_ID else "") for label, value in ids.items()}
        return {**shown, "DFU version": f"{self.version:#06x}", "CRC": f"{self.crc:#010x}"}


def is_there(image: ByteSource) -> bool:
    """Whether the file ends as one with a DFU suffix."""
    return image.size >= SUFFIX.size and SUFFIX.unpack(image.read(image.size - SUFFIX.size, SUFFIX.size))[4:6] == (
        SIGNATURE,
        SUFFIX.size,
    )


def version(image: ByteSource) -> int | None:
    """Return bcdDFU; None where there is no suffix."""
    return SUFFIX.unpack(image.read(image.size - SUFFIX.size, SUFFIX.size))[3] if is_there(image) else None


def read(image: ByteSource) -> Suffix:
    """Read the suffix and check its CRC over the whole file; ``FormatError`` otherwise."""
    if image.size < SUFFIX.size:
        raise FormatError(f"{image.size} bytes are too few for a DFU suffix", at=0)
    start = image.size - SUFFIX.size
    device, product, vendor, bcd_dfu, signature, length, crc = SUFFIX.unpack(image.read(start, SUFFIX.size))
    if signature != SIGNATURE:
        raise FormatError("no DFU suffix at the end", at=start, hint="add one with dfu-suffix -a")
    if length != SUFFIX.size:
        raise FormatError(f"DFU suffix of {length} bytes, {SUFFIX.size} are known", at=start)
    found = crc_of(read_chunks(image, 0, image.size - CRC_BYTES))
    if found != crc:
        raise FormatError(f"DFU suffix says CRC {crc:#010x}, the file has {found:#010x}", at=start)
    return Suffix(start=start, device=device, product=product, vendor=vendor, version=bcd_dfu, crc=crc)


def crc_of(chunks: Iterable[bytes]) -> int:
    """Return dwCRC: the CRC of Ethernet without its last inversion."""
    crc = 0
    for chunk in chunks:
        crc = zlib.crc32(chunk, crc)
    return crc ^ 0xFFFFFFFF
