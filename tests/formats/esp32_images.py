"""Images for Espressif's chips, made here: esptool's image-info judges whether they are right."""

import hashlib
import random
import struct
from collections.abc import Sequence
from functools import reduce
from operator import xor

C3, S3 = 5, 9
DATA_ADDRESS, CODE_ADDRESS = 0x3FC8_0000, 0x4038_0000


def description(version: str = "1.4.2", project: str = "gateway", secure_version: int = 3) -> bytes:
    """Return an ``esp_app_desc_t``."""
    texts = struct.pack("<32s32s16s16s32s", version.encode(), project.encode(), b"10:11:12", b"Nov 21 2026", b"v6.0.1")
    head = struct.pack("<II8x", 0xABCD5432, secure_version)
    return (head + texts + hashlib.sha256(b"elf").digest()).ljust(256, b"\0")


def bootloader_description() -> bytes:
    """Return an ``esp_bootloader_desc_t``."""
    return struct.pack("<B2xBI32s24s16x", 80, 2, 7, b"v6.0.1", b"Nov 21 2026 10:11:12")


def build(
    segments: Sequence[tuple[int, bytes]], *, chip: int = C3, with_hash: bool = True, entry: int = CODE_ADDRESS
) -> bytes:
    header = struct.pack("<BBBBI", 0xE9, len(segments), 2, 0x20, entry)
    header += struct.pack("<B3sHBHH4sB", 0xEE, b"", chip, 0, 3, 199, b"", int(with_hash))
    body = b"".join(struct.pack("<II", address, len(data)) + data for address, data in segments)
    image = header + body
    image += bytes(15 - len(image) % 16) + bytes([checksum(segments)])
    return image + hashlib.sha256(image).digest() if with_hash else image


def checksum(segments: Sequence[tuple[int, bytes]]) -> int:
    return reduce(xor, b"".join(data for _, data in segments), 0xEF)


def application(*, size: int = 600, chip: int = C3, with_hash: bool = True, seed: int = 1) -> bytes:
    draw = random.Random(seed)  # noqa: S311  (repeatable content)
    data = description() + draw.randbytes(size // 2 // 4 * 4)
    segments = [(0x3C00_0020, data), (DATA_ADDRESS, draw.randbytes(100)), (CODE_ADDRESS, draw.randbytes(size // 4 * 4))]
    return build(segments, chip=chip, with_hash=with_hash)


def bootloader(*, chip: int = C3) -> bytes:
    data = bootloader_description() + bytes(range(48))
    return build([(DATA_ADDRESS, data), (CODE_ADDRESS, bytes(range(200)))], chip=chip)


def with_right_sums(image: bytes) -> bytes:
    """Recompute checksum and hash of a changed image, as an attacker would; what follows them is kept."""
    count, at, segments = image[1], 24, []
    for _ in range(count):
        address, size = struct.unpack_from("<II", image, at)
        segments.append((address, image[at + 8 : at + 8 + size]))
        at += 8 + size
    place = at // 16 * 16 + 15
    fixed = image[:place] + bytes([checksum(segments)])
    if not image[23]:
        return fixed + image[place + 1 :]
    return fixed + hashlib.sha256(fixed).digest() + image[place + 33 :]
