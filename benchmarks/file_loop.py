"""The reads, hashes, checksum and writes that signing a file cannot do without, and nothing else.

One thread, one pass, then the copy.  ``python -m benchmarks.file_loop FORMAT IMAGE OUT``.
"""

import binascii
import hashlib
import os
import sys
from collections.abc import Callable
from io import FileIO
from pathlib import Path

CHUNK_BYTES = 1 << 20
STEP_BYTES = 1 << 15


def raw(image: Path, out: Path) -> None:
    """Two hashes name an image; its SHA-256 is also what the signature covers; a signature goes beside the file."""
    sha256, sha512 = hashlib.sha256(), hashlib.sha512()
    with image.open("rb", buffering=0) as file:
        while chunk := file.read(CHUNK_BYTES):
            sha256.update(chunk)
            sha512.update(chunk)
    _write_durably(out, lambda descriptor: os.write(descriptor, bytes(1000)))


def uefi_pe(image: Path, out: Path) -> None:
    """Two hashes of the file, one of what Authenticode covers (all but a few bytes), the word sum, and the copy."""
    sha256, sha512, covered, total = hashlib.sha256(), hashlib.sha512(), hashlib.sha256(), 0
    with image.open("rb", buffering=0) as file:
        while chunk := file.read(CHUNK_BYTES):
            sha256.update(chunk)
            sha512.update(chunk)
            covered.update(chunk)
            for at in range(0, len(chunk), STEP_BYTES):
                total += int.from_bytes(chunk[at : at + STEP_BYTES], "little")
        _copy(file, out)


def mcuboot(image: Path, out: Path) -> None:
    """Two hashes of the file, one of header and payload, and the copy behind a header of 512 bytes."""
    sha256, sha512, covered = hashlib.sha256(), hashlib.sha512(), hashlib.sha256(bytes(512))
    with image.open("rb", buffering=0) as file:
        while chunk := file.read(CHUNK_BYTES):
            sha256.update(chunk)
            sha512.update(chunk)
            covered.update(chunk)
        _copy(file, out, before=512)


def u_boot_fit(image: Path, out: Path) -> None:
    """Two hashes of the file, one of the payload against its hash node (all but a few kilobytes), and the copy."""
    sha256, sha512, payload = hashlib.sha256(), hashlib.sha512(), hashlib.sha256()
    with image.open("rb", buffering=0) as file:
        while chunk := file.read(CHUNK_BYTES):
            sha256.update(chunk)
            sha512.update(chunk)
            payload.update(chunk)
        _copy(file, out)


def intel_hex(image: Path, out: Path) -> None:
    """Two hashes of the text, its digits turned into bytes, one hash of these, and a signature beside the file.

    Five bytes of each record of 21 are no memory, and are hashed here all the same.
    """
    sha256, sha512, memory, odd = hashlib.sha256(), hashlib.sha512(), hashlib.sha256(), b""
    with image.open("rb", buffering=0) as file:
        while chunk := file.read(CHUNK_BYTES):
            sha256.update(chunk)
            sha512.update(chunk)
            digits = odd + chunk.translate(None, b":\r\n")
            odd = digits[len(digits) // 2 * 2 :]
            memory.update(binascii.unhexlify(digits[: len(digits) // 2 * 2]))
    _write_durably(out, lambda descriptor: os.write(descriptor, bytes(1000)))


def _copy(file: FileIO, out: Path, *, before: int = 0) -> None:
    """Copy a file that was read to its end."""
    size = file.tell()

    def copy(descriptor: int) -> None:
        os.write(descriptor, bytes(before))
        done = 0
        while done < size:
            done += os.copy_file_range(file.fileno(), descriptor, size - done, done)

    _write_durably(out, copy)


def _write_durably(out: Path, write: Callable[[int], object]) -> None:
    descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        write(descriptor)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


if __name__ == "__main__":
    loops = {"raw": raw, "uefi-pe": uefi_pe, "mcuboot": mcuboot, "u-boot-fit": u_boot_fit, "intel-hex": intel_hex}
    loops[sys.argv[1]](Path(sys.argv[2]), Path(sys.argv[3]))
