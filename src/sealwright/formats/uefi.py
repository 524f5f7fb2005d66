"""What authenticated variables and capsules of UEFI share: GUIDs, times, and a certificate around a PKCS #7.

Reference: UEFI 2.10, appendix A (GUID), section 8.3.1 (EFI_TIME), section 32.2.4 (WIN_CERTIFICATE_UEFI_GUID).
"""

import struct
import uuid
from datetime import UTC, datetime

from sealwright.core.errors import Code, FormatError
from sealwright.core.keys import Algorithm
from sealwright.formats.der import extent
from sealwright.formats.interface import TargetProfile

TIME = struct.Struct("<H5BxIhBx")  # Year, Month, Day, Hour, Minute, Second, Nanosecond, TimeZone, Daylight
CERTIFICATE_HEADER = struct.Struct("<IHH16s")  # dwLength, wRevision, wCertificateType, CertType
REVISION_2_0 = 0x0200
WIN_CERT_TYPE_EFI_GUID = 0x0EF1
GUID_PATTERN = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
CERT_TYPE_PKCS7 = "4aafd29d-68df-49ee-8aa9-347d375665a7"
MAX_CERTIFICATE_BYTES = 0xFFFF  # edk2 looks for the digest algorithm behind lengths of two bytes
PKCS7 = TargetProfile(
    name="uefi-pkcs7",
    description="What every UEFI firmware verifies in variables and capsules.",
    algorithms=frozenset({Algorithm.RSA_PKCS1_SHA256}),
    key_sizes_bits=frozenset({2048, 3072, 4096}),
)


def guid(text: str) -> bytes:
    """Return the 16 bytes of a GUID, its first three fields little-endian."""
    return uuid.UUID(text).bytes_le


def guid_text(data: bytes) -> str:
    """Return a GUID as it is written."""
    return str(uuid.UUID(bytes_le=data))


def time(seconds: int) -> bytes:
    """Return an EFI_TIME in UTC, all that a signature must not hold (section 8.2.2) being zero."""
    try:
        at = datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        raise FormatError(f"time {seconds} is beyond the year 9999", code=Code.INVALID_DOCUMENT) from None
    return TIME.pack(at.year, at.month, at.day, at.hour, at.minute, at.second, 0, 0, 0)


def read_time(data: bytes, at: int) -> int:
    """Return the seconds since 1970 of an EFI_TIME; ``FormatError`` unless it is one that ``time`` writes."""
    year, month, day, hour, minute, second, *rest = TIME.unpack(data)
    try:
        seconds = int(datetime(year, month, day, hour, minute, second, tzinfo=UTC).timestamp())
    except ValueError:
        raise FormatError("EFI_TIME is no date", at=at) from None
    if any(rest) or seconds < 0 or time(seconds) != data:
        raise FormatError("EFI_TIME of a signature is not UTC in whole seconds since 1970", at=at)
    return seconds


def certificate(pkcs7: bytes) -> bytes:
    """Wrap a PKCS #7 into a WIN_CERTIFICATE_UEFI_GUID."""
    length = CERTIFICATE_HEADER.size + len(pkcs7)
    header = CERTIFICATE_HEADER.pack(length, REVISION_2_0, WIN_CERT_TYPE_EFI_GUID, guid(CERT_TYPE_PKCS7))
    return header + pkcs7


def read_certificate(data: bytes, at: int) -> bytes:
    """Return the PKCS #7 of the WIN_CERTIFICATE_UEFI_GUID with which ``data`` begins; ``at`` is where it stands."""
    if len(data) < CERTIFICATE_HEADER.size:
        raise FormatError("WIN_CERTIFICATE_UEFI_GUID is cut short", at=at)
    length, revision, kind, cert_type = CERTIFICATE_HEADER.unpack_from(data)
    if (revision, kind, guid_text(cert_type)) != (REVISION_2_0, WIN_CERT_TYPE_EFI_GUID, CERT_TYPE_PKCS7):
        raise FormatError(
            f"certificate of revision {revision:#x}, type {kind:#x}, {guid_text(cert_type)}: only PKCS #7 is read",
            at=at,
            code=Code.UNSUPPORTED_IMAGE,
        )
    if not CERTIFICATE_HEADER.size < length <= min(len(data), CERTIFICATE_HEADER.size + MAX_CERTIFICATE_BYTES):
        raise FormatError(f"WIN_CERTIFICATE_UEFI_GUID of {length} bytes, {len(data)} are there", at=at)
    _, end = extent(data, CERTIFICATE_HEADER.size, length)
    if end != length:
        raise FormatError("bytes behind the PKCS #7 in its WIN_CERTIFICATE_UEFI_GUID", at=at + end)
    return data[CERTIFICATE_HEADER.size : length]
