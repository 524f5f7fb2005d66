"""Checksums put right after a mutation, as an attacker would: behind them lies most of a parser.

A repair never raises; what it cannot read it returns as it is.
"""

import hashlib
import re
import struct
import zlib

from tests.formats.dfu_files import with_new_crc
from tests.formats.esp32_images import with_right_sums

_ESP_BLOCK, _ESP_SECTOR = 1216, 4096
_HEX_LINE = re.compile(rb":((?:[0-9A-Fa-f]{2}){4,})[0-9A-Fa-f]{2}(?=\r?$)", re.MULTILINE)
_S_LINE = re.compile(rb"(S[0-9])[0-9A-Fa-f]{2}((?:[0-9A-Fa-f]{2}){2,})[0-9A-Fa-f]{2}(?=\r?$)", re.MULTILINE)


def dfu(data: bytes) -> bytes:
    """The CRC at the end of the suffix, and the suffix itself where it was cut off."""
    if len(data) < 16:
        return data
    data = data[:-8] + b"UFD\x10" + data[-4:]
    return with_new_crc(data)


def dfuse(data: bytes) -> bytes:
    """DFUImageSize, then as ``dfu``."""
    if len(data) < 27:
        return data
    return dfu(data[:6] + struct.pack("<I", len(data) - 16) + data[10:-16] + data[-16:])


def esp32(data: bytes) -> bytes:
    """Checksum and hash of the image, CRC of each signature block."""
    try:
        data = with_right_sums(data)
    except (struct.error, IndexError):
        return data
    at = len(data) // _ESP_SECTOR * _ESP_SECTOR - _ESP_SECTOR
    for start in (at + n * _ESP_BLOCK for n in range(3)):
        if start >= 0 and data[start : start + 1] == b"\xe7":
            crc = zlib.crc32(data[start : start + 1196]).to_bytes(4, "little")
            data = data[: start + 1196] + crc + data[start + 1200 :]
    return data


def mcuboot(data: bytes) -> bytes:
    """The SHA-256 among the TLVs."""
    if len(data) < 32:
        return data
    header_size, protected, size = struct.unpack_from("<HHI", data, 8)
    end = header_size + size + protected
    at = end + 4
    while at + 36 <= len(data):
        kind, length = struct.unpack_from("<HH", data, at)
        if (kind, length) == (0x10, 32):
            return data[: at + 4] + hashlib.sha256(data[:end]).digest() + data[at + 36 :]
        at += 4 + length
    return data


def suit(data: bytes) -> bytes:
    """The SHA-256 of the manifest in the authentication wrapper, where both are byte strings below 64 KiB."""
    wrapper, manifest = data.find(b"\x58\x24\x82\x2f\x58\x20"), data.find(b"\x03\x58")
    if wrapper < 0:
        return data
    if manifest < wrapper:
        manifest = data.find(b"\x03\x59", wrapper + 38)
    if manifest < 0 or manifest + 4 > len(data):
        return data
    head = 2 if data[manifest + 1] == 0x58 else 3
    stop = manifest + 1 + head + int.from_bytes(data[manifest + 2 : manifest + 1 + head])
    digest = hashlib.sha256(data[manifest + 1 : stop]).digest()
    return data[: wrapper + 6] + digest + data[wrapper + 38 :]


def intel_hex(data: bytes) -> bytes:
    """Length and checksum of each line."""

    def mended(line: re.Match[bytes]) -> bytes:
        body = bytes.fromhex(line[1].decode())
        body = bytes([len(body) - 4 & 0xFF]) + body[1:]
        return b":" + (body + bytes([-sum(body) & 0xFF])).hex().upper().encode()

    return _HEX_LINE.sub(mended, data)


def s_record(data: bytes) -> bytes:
    """Length and checksum of each line."""

    def mended(line: re.Match[bytes]) -> bytes:
        body = bytes.fromhex(line[2].decode())
        body = bytes([len(body) + 1 & 0xFF]) + body
        return line[1] + (body + bytes([~sum(body) & 0xFF])).hex().upper().encode()

    return _S_LINE.sub(mended, data)


def capsule(data: bytes) -> bytes:
    """The two sizes that firmware looks at."""
    if len(data) < 112:
        return data
    changed = bytearray(data)
    struct.pack_into("<I", changed, 24, len(data))
    struct.pack_into("<I", changed, 68, len(data) - 92)
    return bytes(changed)


def devicetree(data: bytes) -> bytes:
    """The total size, where the file is shorter: data may stand behind a devicetree."""
    if len(data) < 40 or int.from_bytes(data[4:8]) <= len(data):
        return data
    return data[:4] + struct.pack(">I", len(data)) + data[8:]
