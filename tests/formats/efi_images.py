"""Real UEFI programs from Debian packages, and ways to spoil them."""

import functools
import struct
from pathlib import Path

from tests.conftest import missing
from tests.formats.throwaway import Signer, signer

from sealwright.core.images import MemorySource
from sealwright.core.keys import Algorithm
from sealwright.core.patches import Patch
from sealwright.formats import pe, targets
from sealwright.formats.interface import TargetProfile

RSA = Algorithm.RSA_PKCS1_SHA256
MEMTEST = Path("/boot/memtest86+x64.efi")
PATHS = {
    "memtest86+ (PE32+)": MEMTEST,
    "memtest86+ (PE32)": Path("/boot/memtest86+ia32.efi"),
    "grub (PE32+)": Path("/usr/lib/grub/x86_64-efi/monolithic/grubx64.efi"),
}


@functools.cache
def image(path: Path = MEMTEST) -> bytes:
    if not path.is_file():
        missing(f"{path.name} (Debian packages memtest86+ and grub-efi-amd64-bin)")
    return path.read_bytes()


def patch(data: bytes, who: Signer, **options: object) -> Patch:
    prepared = pe.prepare(MemorySource(data), [who.signing_key()], options, targets.ANY)
    return prepared.assemble(who.sign_all(prepared))


def sign(data: bytes, who: Signer | None = None, **options: object) -> bytes:
    return b"".join(patch(data, who or signer(RSA), **options).apply(MemorySource(data)))


def signed_by_all(data: bytes, *by: Signer, target: TargetProfile = targets.ANY, **options: object) -> bytes:
    """Have several keys sign in one go, each into a WIN_CERTIFICATE of its own."""
    prepared = pe.prepare(MemorySource(data), [who.signing_key() for who in by], options, target)
    signatures = {slot.name: who.sign(slot) for slot, who in zip(prepared.slots, by, strict=True)}
    return b"".join(prepared.assemble(signatures).apply(MemorySource(data)))


def put(data: bytes, at: int, value: bytes) -> bytes:
    return data[:at] + value + data[at + len(value) :]


def field(data: bytes, at: int, fmt: str) -> int:
    return int(struct.unpack_from(fmt, data, at)[0])


def checksum_by_the_book(data: bytes, checksum_at: int) -> int:
    """Return what the CheckSum field at ``checksum_at`` should hold."""
    return sum_by_the_book(put(data, checksum_at, bytes(4)))


def sum_by_the_book(data: bytes) -> int:
    """Sum word by word, as slowly as the specification tells it."""
    total = 0
    for (word,) in struct.iter_unpack("<H", data + bytes(len(data) % 2)):
        total += word
        total = (total & 0xFFFF) + (total >> 16)
    return total + len(data)
