"""What a device takes of an accepted image, cut out by the specification and not by our parser.

A mutant that verifies must have the same as its seed.
"""

import re
import struct

import cbor2

ESP_SECTOR = 4096


def uefi_program(data: bytes) -> bytes:
    """All but CheckSum, directory entry and certificate table (Authenticode)."""
    pe_at = struct.unpack_from("<I", data, 0x3C)[0]
    optional_at = pe_at + 24
    entry_at = optional_at + (112 if data[optional_at : optional_at + 2] == b"\x0b\x02" else 96) + 32
    start, size = struct.unpack_from("<II", data, entry_at)
    body = data[:start] + data[start + size :] if size else data
    return body[: optional_at + 64] + body[optional_at + 68 : entry_at] + body[entry_at + 8 :]


def uefi_capsule(data: bytes) -> bytes:
    """Monotonic count and payload."""
    (length,) = struct.unpack_from("<I", data, 100)
    return data[92:100] + data[100 + length :]


def uefi_variable(data: bytes) -> bytes:
    """Time and contents."""
    (length,) = struct.unpack_from("<I", data, 16)
    return data[:16] + data[16 + length :]


def mcuboot(data: bytes) -> bytes:
    """Header, payload and protected TLVs."""
    header_size, protected, size = struct.unpack_from("<HHI", data, 8)
    return data[: header_size + size + protected]


def esp32(data: bytes) -> bytes:
    """All before the signature sector."""
    return data[:-ESP_SECTOR]


def suit(data: bytes) -> bytes:
    """The manifest, as another reader of CBOR finds it."""
    envelope = cbor2.loads(data)
    return bytes((envelope.value if isinstance(envelope, cbor2.CBORTag) else envelope)[3])


def intel_hex(data: bytes) -> bytes:
    """Every byte of memory with its address, and the start address."""
    memory, base, start = {}, 0, b""
    for line in re.findall(rb":([0-9A-Fa-f]+)", data):
        record = bytes.fromhex(line.decode())
        kind, body = record[3], record[4:-1]
        if kind == 0:
            at = int.from_bytes(record[1:3])
            memory |= {base + at + n: value for n, value in enumerate(body)}
        elif kind in (2, 4):
            base = int.from_bytes(body) << (4 if kind == 2 else 16)
        elif kind in (3, 5):
            start = record[3:-1]
    return _spelled(memory, start)


def s_record(data: bytes) -> bytes:
    """The same of S-records."""
    memory, start = {}, b""
    for kind, line in re.findall(rb"S([0-9])([0-9A-Fa-f]+)", data):
        record = bytes.fromhex(line.decode())
        width = {b"1": 2, b"2": 3, b"3": 4, b"7": 4, b"8": 3, b"9": 2}.get(kind, 0)
        address = int.from_bytes(record[1 : 1 + width])
        if kind in (b"1", b"2", b"3"):
            memory |= {address + n: value for n, value in enumerate(record[1 + width : -1])}
        elif kind in (b"7", b"8", b"9") and address:
            start = address.to_bytes(4)
    return _spelled(memory, start)


def uf2(data: bytes) -> bytes:
    """The same of UF2, with the family of each byte."""
    found = {}
    for at in range(0, len(data), 512):
        flags, address, size = struct.unpack_from("<III", data, at + 8)
        family = data[at + 28 : at + 32] if flags & 0x2000 else b""
        if not flags & 1:  # "not main flash": the device ignores the block
            found |= {(family, address + n): value for n, value in enumerate(data[at + 32 : at + 32 + size])}
    return repr(sorted(found.items())).encode()


def _spelled(memory: dict[int, int], start: bytes) -> bytes:
    return repr(sorted(memory.items())).encode() + start
